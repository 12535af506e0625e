/* simulate_shape: what the simulator keeps of a schedule: its form without buffers and chunk numbers, with peers counted from
 * the rank itself, and with the questions that a simulation asks answered: which instruction is next on a lane, who
 * waits for this one. Ranks whose schedules have the same form (all of a ring) share one shape, which is why thousands of
 * ranks fit in memory. */
#ifndef KOLO_COLLECTIVES_SIMULATE_SHAPE_H
#define KOLO_COLLECTIVES_SIMULATE_SHAPE_H

#include "collectives/schedule.h"

#define SHAPE_NO_LANE UINT32_MAX

/** One instruction. */
struct shape_step {
    uint8_t kind;     /* enum instruction_kind */
    uint32_t lane;    /* of struct shape.lane; SHAPE_NO_LANE: local (COPY, FOLD) */
    uint32_t chunks;  /* its length */
    uint32_t sources; /* FOLD */
    uint32_t wholes;  /* how many instructions must be done before it */
    uint32_t
        first_stream; /* of struct shape.stream: what it follows byte by byte, up to the next step's */
    uint32_t first_waiting; /* of struct shape.waiting: who waits for it, up to the next step's */
};

/** Who waits for a step. */
struct shape_waiting {
    uint32_t step;
    bool streamed;
};

/** A lane to or from a peer: its messages in order. */
struct shape_lane {
    uint32_t ahead; /* the peer is (rank + ahead) mod size */
    uint8_t number; /* of the lane */
    bool sends;     /* else it receives */
    uint32_t link;  /* the first lane of the same peer and direction: they share a link */
    uint32_t first; /* of struct shape.order, and */
    uint32_t count; /* messages */
};

struct shape {
    uint32_t total_chunks; /* of the vector */
    uint32_t steps;
    uint32_t lanes;
    struct shape_step *step;       /* [steps + 1], the last one only ends the ranges before it */
    uint32_t *stream;              /* steps followed */
    struct shape_waiting *waiting; /* steps that wait */
    struct shape_lane *lane;       /* [lanes], sorted by (sends, ahead, number) */
    uint32_t *order;               /* steps by lane */
};

/** Take the form of a schedule, whose size is that of its group.
 *  Returns: KOLO_OK, KOLO_ERR_MEMORY, KOLO_ERR_INTERNAL (an index out of range, a streamed dependency of another length).
 *  Out: shape, to be freed with shape_free; on success only. The schedule is not needed afterwards. */
kolo_status shape_create(struct shape **shape, const struct schedule *schedule);
void shape_free(struct shape *shape);

/** Bytes that the shape of this schedule takes, before it is made. */
uint64_t shape_bytes(const struct schedule *schedule);

/** Do the two schedules (of different ranks) have the same shape? */
bool shape_same(const struct schedule *a, const struct schedule *b);

/** The lane to (sends) or from the peer that is `ahead`; SHAPE_NO_LANE if there is none. */
uint32_t shape_find_lane(const struct shape *shape, bool sends, uint32_t ahead, uint8_t number);

#endif
