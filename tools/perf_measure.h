/* perf_measure: times one collective at one size on this communicator, and checks what came out. All peers call it with the
 * same arguments; figures are put together over the ranks by kolo's own all-reduce. */
#ifndef KOLO_TOOLS_PERF_MEASURE_H
#define KOLO_TOOLS_PERF_MEASURE_H

#include "tools/perf_options.h"

/** One line of the table. */
struct perf_case {
    kolo_type type;
    kolo_operator op;
    size_t count; /* as the collective's argument */
    size_t bytes; /* of the whole array: count, or size times count, elements */
};

enum perf_placement { PERF_OUT_OF_PLACE, PERF_IN_PLACE, PERF_PLACEMENTS };

struct perf_timing {
    double mean_us;           /* average over the ranks */
    double median_us, p99_us; /* the largest over the ranks */
    double min_us, max_us;    /* over the calls of all ranks */
    double algbw_GBps;        /* bytes / mean, 10^9 bytes a second */
    double busbw_GBps;        /* algbw times the collective's factor */
    uint64_t calls;           /* timed, on each rank */
    bool checked;             /* else `wrong` says nothing */
    uint64_t wrong;           /* elements, over all ranks */
};

/** What is measured on; made once. */
struct perf_bench {
    const struct perf_options *options; /* borrowed */
    kolo_comm *comm;                    /* borrowed */
    kolo_queue *queue;                  /* NULL: blocking calls */
    int rank, size;
    unsigned char *source, *target; /* of `capacity` bytes each; in place, the target is both */
    size_t capacity;
    double *times_us; /* of `times_max` */
    size_t times_max;
};

/** Allocate buffers for arrays up to options->last_bytes. KOLO_ERR_MEMORY and what kolo_queue_create returns. */
kolo_status perf_bench_init(struct perf_bench *bench, const struct perf_options *options,
                            kolo_comm *comm);

/** Free the buffers and the queue. */
void perf_bench_free(struct perf_bench *bench);

/** The case of an array of at most `bytes` bytes, at most what fits evenly. */
struct perf_case perf_case_make(const struct perf_bench *bench, kolo_type type, kolo_operator op,
                                uint64_t bytes);

/** Warm up, time, check. Out: timing, the same on all ranks. Returns what the collectives return. */
kolo_status perf_measure(struct perf_timing *timing, struct perf_bench *bench,
                         const struct perf_case *what, enum perf_placement placement);

#endif
