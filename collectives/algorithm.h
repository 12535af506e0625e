/* algorithm: the table of all algorithms, each a pure function (rank, size, root) -> schedule. A new algorithm is one file
 * and one row. */
#ifndef KOLO_COLLECTIVES_ALGORITHM_H
#define KOLO_COLLECTIVES_ALGORITHM_H

#include "collectives/network.h"
#include "collectives/schedule.h"

struct algorithm {
    const char *
        name; /* "ring", "double-tree", "direct", "two-shot", "circulant", "dissemination", "star", "chain", ... */
    enum collective collective;
    const char *what;   /* one line for people, with the source */
    bool baseline_only; /* never chosen, only by name (star) */
    uint32_t size_max;  /* largest group it is meant for; SCHEDULE_RANKS_MAX if any */
    uint64_t
        bytes_max; /* largest vector it is meant for in bytes (one-shot algorithms keep n slots); UINT64_MAX if any */

    /** Upper bounds on what emit() writes for one rank. */
    void (*bounds)(uint64_t *instructions, uint64_t *dependencies, uint32_t size);

    /** Write the schedule of `rank` into `schedule`, which has room for bounds(). Pure: same arguments, same schedule.
     *  0 <= rank < size <= size_max, 0 <= root < size (root 0 where the collective has none). */
    void (*emit)(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root);

    /** Expected seconds for a vector of `bytes` on a uniform network (closed formula; pipelined where the executor pipelines). */
    double (*seconds)(const struct network_uniform *network, uint32_t size, uint64_t bytes);

    /** The same when every rank shows its input to all others at once (exchange.h) instead of sending it to each: what takes its
     *  time is then the looking. NULL: no exchange. */
    double (*shown_seconds)(const struct network_uniform *network, uint32_t size, uint64_t bytes);

    /** Payload bytes of all messages of the rank that sends most, when every chunk divides evenly, in vectors: divided by the
     *  bytes of the whole vector (all blocks). The verifier and the tests hold the schedule to it. */
    double (*sent_fraction)(uint32_t size);
};

/** All rows, ordered by collective. Out: count. */
const struct algorithm *algorithm_table(unsigned *count);

/** By collective and name; NULL if there is none. */
const struct algorithm *algorithm_find(enum collective collective, const char *name);

/** Build the schedule of one rank: bounds, alloc, emit. Returns KOLO_OK, KOLO_ERR_MEMORY, KOLO_ERR_LIMIT (size > size_max),
 *  KOLO_ERR_INTERNAL (overflow). Out: schedule, to be freed with schedule_free; on success only. */
kolo_status algorithm_build(struct schedule **schedule, const struct algorithm *algorithm,
                            uint32_t rank, uint32_t size, uint32_t root);

#endif
