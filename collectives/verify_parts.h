/* verify_parts: the steps of the verifier, one file each, and what they hand on. Only for verify*.c: what others need is in
 * verify.h. Shares with emitters and builder nothing but the meaning of a schedule (schedule.h), so that a mistake in one
 * is seen by the other. */
#ifndef KOLO_COLLECTIVES_VERIFY_PARTS_H
#define KOLO_COLLECTIVES_VERIFY_PARTS_H

#include "collectives/verify.h"

#define NOBODY UINT32_MAX

/** All ranks' schedules, and what the steps find out about them. Instructions of all ranks are numbered through: number
 *  base[rank] + index. */
struct proof {
    const struct schedule *const *schedules; /* [size] */
    uint32_t size;
    uint32_t chunks; /* of the vector, in each schedule */
    struct verify_report *report;
    uint32_t *base;      /* [size + 1] */
    uint32_t *partner;   /* [all] a message's other end: its index in the peer's schedule */
    uint32_t *lane_next; /* [all] the next one for the same peer, lane and direction, or NOBODY */
};

/** Say why the schedules are wrong; the first reason stays. Returns KOLO_ERR_INTERNAL. */
kolo_status verify_wrong(struct verify_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Returns KOLO_ERR_MEMORY, and says so. */
kolo_status verify_starved(struct verify_report *report);

/** What a buffer is called in texts. */
const char *verify_buffer_name(uint8_t buffer);

/** Have this rank's INPUT and OUTPUT the chunk? (schedule.h, "Buffers of a rank") */
bool verify_input_has(const struct schedule *schedule, uint32_t chunk);
bool verify_output_has(const struct schedule *schedule, uint32_t chunk);

/** verify_form.c: each schedule by itself, field by field: everything is within its limits and belongs to the collective; all
 *  ranks agree on the shape; dependencies point backwards, streamed ones join equal ranges. The later steps rely on it. */
kolo_status verify_form(const struct proof *proof);

/** verify_order.c: conflicting accesses of a rank are ordered by dependencies, in place and out of place. Hence whatever runs,
 *  in whatever legal order, has the effect of the list's order. */
kolo_status verify_order(const struct proof *proof);

/** verify_match.c: every send meets a receive of the same range. Out: proof->partner and lane_next (allocated by the caller). */
kolo_status verify_match(struct proof *proof);

/** verify_flow.c: runs all ranks on symbols instead of numbers: there is no cycle of waits, nothing is read that was not
 *  written, and every result is right. Out: report->rounds. */
kolo_status verify_flow(const struct proof *proof);

/* ---- verify_value.c: what a place can hold, as a number ------------------------------------------------------------ */

/** 0: nothing. 1 + rank: that rank's contribution. Above: a reduction of two values in this order, or a completed reduction.
 *  Equal numbers: equal trees, so equal bits. */
typedef uint32_t value_id;
#define VALUE_NOTHING 0

struct values {
    uint32_t size;       /* ranks */
    struct value *value; /* [values_max] by id - 1 - size */
    uint32_t values, values_max;
    uint32_t *bucket; /* [buckets] hash table of ids */
    uint32_t buckets; /* a power of two */
    uint32_t *seen;   /* [size] for counting contributions */
    value_id *stack;  /* [size + 1] */
    uint32_t counted; /* counts so far */
};

/** Returns KOLO_OK, KOLO_ERR_MEMORY. */
kolo_status verify_values_init(struct values *values, uint32_t size);
void verify_values_free(struct values *values);

static inline value_id verify_value_of_rank(uint32_t rank)
{
    return rank + 1;
}

/** left (+) right. VALUE_NOTHING: no memory. */
value_id verify_value_join(struct values *values, value_id left, value_id right);

/** The completed reduction (AVG has divided). VALUE_NOTHING: no memory. */
value_id verify_value_complete(struct values *values, value_id sum);

bool verify_value_is_complete(const struct values *values, value_id value);

/** How often each rank's contribution is in a sum. Returns true if once each; else out: rank: one that is not, and
 *  twice: whether it is in it more than once (else: not at all). */
bool verify_value_has_all(uint32_t *rank, bool *twice, struct values *values, value_id sum);

#endif
