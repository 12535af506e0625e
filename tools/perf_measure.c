#include "tools/perf_measure.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "tools/perf_pattern.h"

#define CALLS_LEAST 10
#define CALLS_MOST 20000 /* when the time decides */
#define BYTES_LEAST 64   /* of a buffer: there is always something to point at */
#define POISON 0xa5      /* no pattern has it */

static void *allocate(const struct perf_options *options, size_t bytes)
{
    return options->shareable ? kolo_alloc(bytes) : malloc(bytes);
}

static void release(const struct perf_options *options, void *memory)
{
    if (options->shareable) {
        kolo_free(memory);
    } else {
        free(memory);
    }
}

kolo_status perf_bench_init(struct perf_bench *bench, const struct perf_options *options,
                            kolo_comm *comm)
{
    memset(bench, 0, sizeof *bench);
    bench->options = options;
    bench->comm = comm;
    bench->rank = kolo_rank(comm);
    bench->size = kolo_size(comm);
    bench->capacity = options->last_bytes > BYTES_LEAST ? options->last_bytes : BYTES_LEAST;
    bench->times_max = options->calls > 0 ? (size_t)options->calls : CALLS_MOST;
    bench->source = allocate(options, bench->capacity);
    bench->target = allocate(options, bench->capacity);
    bench->times_us = malloc(bench->times_max * sizeof *bench->times_us);
    if (bench->source == NULL || bench->target == NULL || bench->times_us == NULL) {
        perf_bench_free(bench);
        return KOLO_ERR_MEMORY;
    }
    if (options->queue_depth > 0) {
        kolo_status status = kolo_queue_create(&bench->queue, comm);
        if (status != KOLO_OK) {
            perf_bench_free(bench);
            return status;
        }
    }
    return KOLO_OK;
}

void perf_bench_free(struct perf_bench *bench)
{
    kolo_queue_destroy(bench->queue);
    release(bench->options, bench->source);
    release(bench->options, bench->target);
    free(bench->times_us);
}

struct perf_case perf_case_make(const struct perf_bench *bench, kolo_type type, kolo_operator op,
                                uint64_t bytes)
{
    const struct perf_collective *collective = bench->options->collective;
    struct perf_case made = {.type = type, .op = op};
    if (!collective->moves) {
        return made;
    }
    bool spread = collective->scatters || collective->gathers;
    size_t parts = spread ? (size_t)bench->size : 1;
    made.count = bytes / kolo_type_size(type) / parts;
    made.bytes = made.count * parts * kolo_type_size(type);
    assert(made.bytes <= bench->capacity);
    return made;
}

/* Bytes from the start of an array that is spread over the ranks to this rank's part. */
static size_t own_offset(const struct perf_bench *bench, const struct perf_case *what)
{
    return (size_t)bench->rank * what->count * kolo_type_size(what->type);
}

/* Where this rank's input stands. */
static unsigned char *input_of(const struct perf_bench *bench, const struct perf_case *what,
                               enum perf_placement placement)
{
    if (placement == PERF_OUT_OF_PLACE) {
        return bench->source;
    }
    return bench->target + (bench->options->collective->gathers ? own_offset(bench, what) : 0);
}

static struct perf_call make_call(const struct perf_bench *bench, const struct perf_case *what,
                                  enum perf_placement placement)
{
    bool shifted = placement == PERF_IN_PLACE && bench->options->collective->scatters;
    return (struct perf_call){.comm = bench->comm,
                              .out = bench->target + (shifted ? own_offset(bench, what) : 0),
                              .in = input_of(bench, what, placement),
                              .count = what->count,
                              .type = what->type,
                              .op = what->op,
                              .root = bench->options->root,
                              .queue = bench->queue};
}

static struct perf_pattern make_pattern(const struct perf_bench *bench,
                                        const struct perf_case *what)
{
    return (struct perf_pattern){.type = what->type, .op = what->op, .size = bench->size};
}

static size_t input_count(const struct perf_bench *bench, const struct perf_case *what)
{
    return what->count * (bench->options->collective->scatters ? (size_t)bench->size : 1);
}

/* The inputs, and something else where the results will be. */
static void fill(const struct perf_bench *bench, const struct perf_case *what,
                 enum perf_placement placement)
{
    struct perf_pattern pattern = make_pattern(bench, what);
    memset(bench->target, POISON, what->bytes);
    if (what->count > 0) {
        perf_pattern_fill(input_of(bench, what, placement), &pattern, bench->rank, 0,
                          input_count(bench, what));
    }
}

static size_t wrong_gathered(const struct perf_bench *bench, const struct perf_case *what)
{
    struct perf_pattern pattern = make_pattern(bench, what);
    size_t wrong = 0, part = what->count * kolo_type_size(what->type);
    for (int rank = 0; rank < bench->size; rank++) {
        wrong += perf_pattern_differs(bench->target + (size_t)rank * part, &pattern, rank, 0,
                                      what->count);
    }
    return wrong;
}

static size_t wrong_outputs(const struct perf_bench *bench, const struct perf_case *what,
                            const unsigned char *out)
{
    const struct perf_collective *collective = bench->options->collective;
    struct perf_pattern pattern = make_pattern(bench, what);
    if (what->count == 0) {
        return 0;
    }
    if (collective->gathers) {
        return wrong_gathered(bench, what);
    }
    if (!collective->reduces) {
        return perf_pattern_differs(out, &pattern, bench->options->root, 0, what->count);
    }
    if (collective->rooted && bench->rank != bench->options->root) {
        return 0; /* there is no output here */
    }
    size_t first = collective->scatters ? (size_t)bench->rank * what->count : 0;
    return perf_pattern_differs_reduced(out, &pattern, first, what->count);
}

/* Out of place, inputs must be what they were. */
static size_t wrong_inputs(const struct perf_bench *bench, const struct perf_case *what,
                           enum perf_placement placement)
{
    struct perf_pattern pattern = make_pattern(bench, what);
    if (placement == PERF_IN_PLACE || what->count == 0) {
        return 0;
    }
    return perf_pattern_differs(bench->source, &pattern, bench->rank, 0, input_count(bench, what));
}

/* `times` calls, waited for together if there is a queue. */
static kolo_status call_times(const struct perf_bench *bench, const struct perf_call *call,
                              int times)
{
    kolo_status status = KOLO_OK;
    for (int i = 0; i < times && status == KOLO_OK; i++) {
        status = bench->options->collective->call(call);
    }
    return status == KOLO_OK && bench->queue != NULL ? kolo_queue_wait(bench->queue, -1) : status;
}

static kolo_status check(struct perf_timing *timing, const struct perf_bench *bench,
                         const struct perf_case *what, enum perf_placement placement)
{
    struct perf_call call = make_call(bench, what, placement);
    fill(bench, what, placement);
    kolo_status status = call_times(bench, &call, 1);
    if (status != KOLO_OK) {
        return status;
    }
    uint64_t wrong = wrong_outputs(bench, what, call.out) + wrong_inputs(bench, what, placement);
    status = kolo_all_reduce(bench->comm, &wrong, &wrong, 1, KOLO_U64, KOLO_SUM, NULL);
    timing->checked = true;
    timing->wrong = wrong;
    return status;
}

static int calls_per_time(const struct perf_bench *bench)
{
    return bench->queue != NULL ? bench->options->queue_depth : 1;
}

/* How long `times` batches of calls take, on the slowest rank. */
static kolo_status time_block(uint64_t *span_ns, const struct perf_bench *bench,
                              const struct perf_call *call, size_t times)
{
    kolo_status status = KOLO_OK;
    uint64_t begin_ns = clock_now_ns();
    for (size_t i = 0; i < times && status == KOLO_OK; i++) {
        status = call_times(bench, call, calls_per_time(bench));
    }
    *span_ns = clock_now_ns() - begin_ns;
    return status == KOLO_OK
               ? kolo_all_reduce(bench->comm, span_ns, span_ns, 1, KOLO_U64, KOLO_MAX, NULL)
               : status;
}

/* How many times are to be taken: what fits into the budget, judged by a tenth of it. The same on all ranks. */
static kolo_status choose_times(size_t *times, const struct perf_bench *bench,
                                const struct perf_call *call)
{
    double budget_ns = bench->options->budget_s * (double)NS_PER_S;
    uint64_t span_ns = 0;
    size_t block = 1;
    for (;; block *= 2) {
        kolo_status status = time_block(&span_ns, bench, call, block);
        if (status != KOLO_OK) {
            return status;
        }
        if ((double)span_ns >= budget_ns / 10 || block >= CALLS_MOST) {
            break;
        }
    }
    double fit = budget_ns * (double)block / ((double)span_ns + 1);
    *times = fit > CALLS_MOST ? CALLS_MOST : fit < CALLS_LEAST ? CALLS_LEAST : (size_t)fit;
    return KOLO_OK;
}

static kolo_status warm_up(size_t *times, const struct perf_bench *bench,
                           const struct perf_call *call)
{
    uint64_t span_ns;
    kolo_status status = time_block(&span_ns, bench, call, (size_t)bench->options->warmups);
    if (status != KOLO_OK || bench->options->calls == 0) {
        return status == KOLO_OK ? choose_times(times, bench, call) : status;
    }
    *times = bench->times_max;
    return KOLO_OK;
}

static kolo_status take_times(const struct perf_bench *bench, const struct perf_call *call,
                              size_t times)
{
    int depth = calls_per_time(bench);
    kolo_status status = kolo_barrier(bench->comm, NULL);
    for (size_t i = 0; i < times && status == KOLO_OK; i++) {
        uint64_t begin_ns = clock_now_ns();
        status = call_times(bench, call, depth);
        bench->times_us[i] = (double)(clock_now_ns() - begin_ns) / (double)NS_PER_US / depth;
    }
    return status;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* This rank's times to the figures of all ranks. */
static kolo_status summarise(struct perf_timing *timing, const struct perf_bench *bench,
                             size_t times)
{
    double sum = 0, *sorted = bench->times_us;
    for (size_t i = 0; i < times; i++) {
        sum += sorted[i];
    }
    qsort(sorted, times, sizeof *sorted, ascending);
    double mean = sum / (double)times;
    /* A minimum is the maximum of the opposite. */
    double most[4] = {sorted[times / 2], sorted[times * 99 / 100], sorted[times - 1], -sorted[0]};
    kolo_status status = kolo_all_reduce(bench->comm, most, most, 4, KOLO_F64, KOLO_MAX, NULL);
    if (status == KOLO_OK) {
        status = kolo_all_reduce(bench->comm, &mean, &mean, 1, KOLO_F64, KOLO_AVG, NULL);
    }
    timing->mean_us = mean;
    timing->median_us = most[0];
    timing->p99_us = most[1];
    timing->max_us = most[2];
    timing->min_us = -most[3];
    timing->calls = times * (uint64_t)calls_per_time(bench);
    return status;
}

kolo_status perf_measure(struct perf_timing *timing, struct perf_bench *bench,
                         const struct perf_case *what, enum perf_placement placement)
{
    struct perf_call call = make_call(bench, what, placement);
    size_t times;
    memset(timing, 0, sizeof *timing);
    fill(bench, what, placement);
    kolo_status status = warm_up(&times, bench, &call);
    if (status == KOLO_OK) {
        status = take_times(bench, &call, times);
    }
    if (status == KOLO_OK) {
        status = summarise(timing, bench, times);
    }
    if (status == KOLO_OK && bench->options->check && bench->options->collective->moves) {
        status = check(timing, bench, what, placement);
    }
    timing->algbw_GBps = (double)what->bytes / (timing->mean_us * 1e3);
    timing->busbw_GBps = timing->algbw_GBps * bench->options->collective->bus_factor(bench->size);
    return status;
}
