/* schedule: what one rank does in a collective, as data. A short list of instructions on chunks, in a few lanes, with the
 * dependencies written down. Nothing here knows addresses, element types or links.
 *
 * The vector. A collective works on a vector of `blocks` blocks (1 for all-reduce, broadcast and reduce; one a rank for
 * reduce-scatter and all-gather), each cut into `block_chunks` chunks that differ by at most one element. A chunk is named by
 * its index 0 .. blocks * block_chunks - 1; schedule_chunk_range() is the one place that turns an index into elements.
 *
 * Buffers of a rank:
 *   INPUT   the user's input. All-gather: only the chunks of block `rank` exist. Broadcast: exists on the root only.
 *   OUTPUT  the user's output. Reduce-scatter: only the chunks of block `rank`. Reduce: exists on the root only.
 *   WORK    private, laid out like the whole vector; for accumulating where the output cannot be used.
 *   SLOT    private, `slots` places that each hold the largest chunk range that an instruction puts there.
 * INPUT and OUTPUT may be the same memory (in place), so a schedule must be right for both; that is: every chunk of INPUT
 * overlaps the same chunk of OUTPUT as far as hazards go. In place, a COPY from INPUT to the same chunk of OUTPUT is nothing.
 *
 * Order. Instructions for the same peer, lane and direction happen in list order (the lane is ordered). Everything else may
 * happen in any order or at once, but for the dependencies. A dependency is *whole* (all of the other instruction first)
 * or *streamed* (byte i of this one after byte i of the other one; both must then have the same chunk range). So chunks
 * flow through a rank without being stored first, and pipelining needs no instructions of its own. */
#ifndef KOLO_COLLECTIVES_SCHEDULE_H
#define KOLO_COLLECTIVES_SCHEDULE_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEDULE_RANKS_MAX 16384
#define SCHEDULE_LANES 2 /* lanes a schedule may use: 0 and 1 */

enum collective {
    COLLECTIVE_ALL_REDUCE = 0,
    COLLECTIVE_REDUCE_SCATTER,
    COLLECTIVE_ALL_GATHER,
    COLLECTIVE_BROADCAST,
    COLLECTIVE_REDUCE,
    COLLECTIVE_BARRIER
};
#define COLLECTIVES 6

/** "all-reduce", ...; NULL if it is none. And back: -1 if the name is none. */
const char *collective_name(enum collective collective);
int collective_from_name(const char *name);
bool collective_has_root(enum collective collective);

enum instruction_kind {
    INSTRUCTION_SEND = 0, /* send the chunks from `from` to `peer` */
    INSTRUCTION_RECEIVE,  /* receive the chunks from `peer` into `to` */
    INSTRUCTION_RECEIVE_REDUCE, /* to = from (+) received; from and to are places of this rank (the same, or not) */
    INSTRUCTION_COPY, /* to = from */
    INSTRUCTION_FOLD /* to = s[0] (+) s[1] (+) ... in this order, where s[i] is slot from.slot + i, but s[own] is
                                 * the chunk in INPUT; `sources` of them */
};

enum schedule_buffer { BUFFER_INPUT = 0, BUFFER_OUTPUT, BUFFER_WORK, BUFFER_SLOT };

struct place {
    uint8_t buffer; /* enum schedule_buffer */
    uint32_t slot;  /* BUFFER_SLOT: which; else 0 */
};

#define FOLD_NO_OWN UINT32_MAX

struct instruction {
    uint8_t kind; /* enum instruction_kind */
    uint8_t lane; /* SEND, RECEIVE, RECEIVE_REDUCE */
    bool
        final; /* RECEIVE_REDUCE, FOLD, COPY: what is written is the complete reduction (AVG divides here, and only here).
                   * COPY: only in a group of one rank */
    uint32_t peer;  /* SEND, RECEIVE, RECEIVE_REDUCE: a rank */
    uint32_t chunk; /* the first chunk, and */
    uint32_t
        chunks; /* how many (consecutive; a range does not wrap around); barrier: 0, the message is empty */
    struct place from;
    struct place to;
    uint32_t sources;      /* FOLD */
    uint32_t own;          /* FOLD: the position of this rank's INPUT, or FOLD_NO_OWN */
    uint32_t dependency;   /* index into schedule.dependencies of the first, and */
    uint32_t dependencies; /* how many */
};

/** Does it concern this rank alone? */
static inline bool instruction_is_local(const struct instruction *instruction)
{
    return instruction->kind == INSTRUCTION_COPY || instruction->kind == INSTRUCTION_FOLD;
}

struct dependency {
    uint32_t on;   /* index of an earlier instruction of this schedule */
    bool streamed; /* else whole */
};

/** A schedule. Its arrays are the owner's: filled by an emitter, never grown by it. */
struct schedule {
    enum collective collective;
    uint32_t rank, size, root;
    uint32_t blocks, block_chunks;
    uint32_t slots; /* of BUFFER_SLOT */
    bool uses_work; /* BUFFER_WORK */
    uint32_t lanes; /* lanes in use */
    uint32_t instructions;
    uint32_t dependencies;
    struct instruction *instruction; /* [instructions_max] */
    struct dependency *dependency;   /* [dependencies_max] */
    uint32_t instructions_max, dependencies_max;
    bool overflow; /* an emitter ran out of room: a mistake in its bound */
    bool starved;  /* the builder found no memory for its notes */
};

/** The elements of a range of chunks: in units of elements from the start of the vector, when each block has `count` elements.
 *  Chunk k of a block starts at floor(k * count / block_chunks): sizes differ by at most one. A range that crosses blocks
 *  is contiguous, too. Out: first, length. */
void schedule_chunk_range(uint64_t *first, uint64_t *length, const struct schedule *schedule,
                          uint32_t chunk, uint32_t chunks, uint64_t count);

/** Room for a schedule of at most these sizes, in one allocation (building only; schedule_free).
 *  Returns: KOLO_OK, KOLO_ERR_MEMORY, KOLO_ERR_LIMIT (sizes beyond 32 bits). */
kolo_status schedule_alloc(struct schedule **schedule, uint64_t instructions,
                           uint64_t dependencies);
void schedule_free(struct schedule *schedule);

#endif
