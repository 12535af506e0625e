/* build: what emitters write schedules with. An emitter says which chunks go where, in an order that would be right if one
 * instruction happened after the other; the builder knows where each chunk's value lives (input, output or work), and derives
 * the dependencies that any other order must respect: a read after the write it needs, a write after the reads and the write
 * that it destroys, in place (INPUT and OUTPUT the same memory) as well. Streamed where both have the same chunk range,
 * whole otherwise; none that follows from others. Not a place for algorithms.
 *
 * Costs O(1) for every chunk an instruction touches. Allocates notes between build_begin() and build_end(). One thread. */
#ifndef KOLO_COLLECTIVES_BUILD_H
#define KOLO_COLLECTIVES_BUILD_H

#include "collectives/schedule.h"

/** What build_begin() must know of a schedule. */
struct build_shape {
    enum collective collective;
    uint32_t rank, size, root;
    uint32_t block_chunks; /* of a block; how many blocks follows from the collective */
    uint32_t slots;
};

/** A schedule on its way. Private. */
struct build {
    struct schedule *schedule;
    struct build_cell
        *cell; /* who touched a place last: chunks of INPUT, OUTPUT, WORK, then slots */
    struct build_reader *reader; /* pool of readers since the last write, in lists */
    uint32_t readers, readers_max;
    uint32_t *waits; /* [instructions_max] 1 + the last instruction that depends on this one */
    uint32_t *met;   /* [instructions_max] whether the newest instruction waits for this one */
    uint8_t *where;  /* [chunks] the buffer in which the chunk's value lives */
    uint32_t chunks; /* of the vector */
    uint32_t sent;   /* the last send, counted from 1; 0: none */
    uint32_t paced;  /* the send that sends of this round wait for; 0: none */
};

/** Begin. Returns false if nothing is left to do: the group is one rank (the copy has been written), or memory ran out
 *  (schedule->starved). If true, end with build_end(). */
bool build_begin(struct build *build, struct schedule *schedule, const struct build_shape *shape);

/** Free the notes. */
void build_end(struct build *build);

/** Send chunks from where they live. Chunks of the range that still live in INPUT while others do not are copied first. */
void build_send(struct build *build, uint32_t peer, unsigned lane, uint32_t chunk, uint32_t chunks);

/** The last instruction waits for the values of these chunks as well, though it does not use them: so that the parts of
 *  something that had to be cut behave like the whole. */
void build_wait(struct build *build, uint32_t chunk, uint32_t chunks);

/** A new round: what is sent from here on waits until what was sent before has left, so that it does not take the port from
 *  it. For algorithms in which the others wait for whole messages of a round. */
void build_round(struct build *build);

/** Receive chunks into OUTPUT. */
void build_receive(struct build *build, uint32_t peer, unsigned lane, uint32_t chunk,
                   uint32_t chunks);

/** Receive chunks into a slot, for build_fold(). */
void build_receive_slot(struct build *build, uint32_t peer, uint32_t slot, uint32_t chunk,
                        uint32_t chunks);

/** Receive chunks and add them to their values; the sum lives in OUTPUT where this rank's output has those chunks, else in
 *  WORK. */
void build_receive_reduce(struct build *build, uint32_t peer, unsigned lane, uint32_t chunk,
                          uint32_t chunks);

/** The same for the last contribution: the reduction of these chunks is complete. They then live in OUTPUT. */
void build_receive_reduce_final(struct build *build, uint32_t peer, unsigned lane, uint32_t chunk,
                                uint32_t chunks);

/** Send what is in a slot. */
void build_send_slot(struct build *build, uint32_t peer, uint32_t slot, uint32_t chunk,
                     uint32_t chunks);

/** Slots `first` and `first` + 1, added in this order, into slot `to`; or into OUTPUT, which completes the reduction, if that
 *  is BUILD_TO_OUTPUT. `own`: which of both (0, 1) is this rank's INPUT instead; FOLD_NO_OWN: neither. */
#define BUILD_TO_OUTPUT UINT32_MAX
void build_add_slots(struct build *build, uint32_t first, uint32_t own, uint32_t to, uint32_t chunk,
                     uint32_t chunks);

/** Complete a reduction into OUTPUT: slots 0 .. size-1 in this order, this rank's INPUT in its place. */
void build_fold(struct build *build, uint32_t chunk, uint32_t chunks);

/** Copy those of the chunks to OUTPUT that still live in INPUT. Best said last: nothing then waits for it. */
void build_settle(struct build *build, uint32_t chunk, uint32_t chunks);

/** An empty message to `peer`, after every build_await() so far. */
void build_signal(struct build *build, uint32_t peer);

/** Wait for an empty message from `peer`. */
void build_await(struct build *build, uint32_t peer);

#endif
