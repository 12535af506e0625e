/* bench_reduce: how fast the arithmetic is, beside memcpy. Not a test: run it by hand on a quiet machine.
 *   bench_reduce [SOURCES [DESTINATIONS]]     (default 2 and 1)
 * A figure is gigabytes read from all sources and written to all destinations, a second: the median of several runs. The small
 * buffers stay in the second-level cache together, the large ones come from memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/reduce/kernel.h"

#define SOURCES_MAX 32
#define RUNS 9
#define RUN_NS (20 * NS_PER_MS)
#define SMALL_BYTES (512UL << 10) /* of all buffers */
#define LARGE_BYTES (512UL << 20)

struct buffers {
    void *source[SOURCES_MAX];
    void *destination[2];
    unsigned sources, destinations;
    size_t bytes; /* of one */
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run_memcpy(const struct buffers *buffers, const void *kernel, kolo_type type)
{
    (void)kernel;
    (void)type;
    memcpy(buffers->destination[0], buffers->source[0], buffers->bytes);
}

struct work {
    reduce_kernel *kernel;
};

static void run_kernel(const struct buffers *buffers, const void *work, kolo_type type)
{
    const struct work *w = work;
    void *second = buffers->destinations > 1 ? buffers->destination[1] : NULL;
    w->kernel(buffers->destination[0], second, (const void *const *)buffers->source,
              buffers->sources, buffers->bytes / kolo_type_size(type), 0);
}

/* Seconds of one run: the median. */
static double measure(void (*run)(const struct buffers *, const void *, kolo_type),
                      const struct buffers *buffers, const void *work, kolo_type type)
{
    double seconds[RUNS];
    for (int i = 0; i < RUNS; i++) {
        uint64_t start = clock_now_ns();
        uint64_t now = start;
        unsigned times = 0;
        do {
            run(buffers, work, type);
            times++;
            now = clock_now_ns();
        } while (now - start < RUN_NS);
        seconds[i] = (double)(now - start) / 1e9 / times;
    }
    qsort(seconds, RUNS, sizeof seconds[0], compare);
    return seconds[RUNS / 2];
}

static void get_buffers(struct buffers *buffers, size_t all_bytes)
{
    buffers->bytes = all_bytes / (buffers->sources + buffers->destinations) / 4096 * 4096;
    for (unsigned i = 0; i < buffers->sources + buffers->destinations; i++) {
        void *memory = kolo_alloc(buffers->bytes);
        if (memory == NULL) {
            exit(1);
        }
        memset(memory, 1, buffers->bytes);
        *(i < buffers->sources ? &buffers->source[i]
                               : &buffers->destination[i - buffers->sources]) = memory;
    }
}

static void free_buffers(struct buffers *buffers)
{
    for (unsigned i = 0; i < buffers->sources; i++) {
        kolo_free(buffers->source[i]);
    }
    for (unsigned i = 0; i < buffers->destinations; i++) {
        kolo_free(buffers->destination[i]);
    }
}

static void print_table(const struct reduce_kernels *kernels, const struct buffers *small,
                        const struct buffers *large)
{
    double streams = small->sources + small->destinations;
    printf("\n%-8s  %-5s  %10s  %10s\n", kernels->name, "op", "cache GB/s", "memory GB/s");
    for (int type = 0; type < KOLO_TYPES; type++) {
        for (int op = KOLO_SUM; op <= KOLO_MAX; op += KOLO_MAX) {
            struct work work = {kernels->kernel[type][op]};
            double in_cache = measure(run_kernel, small, &work, (kolo_type)type);
            double in_memory = measure(run_kernel, large, &work, (kolo_type)type);
            printf("%-8s  %-5s  %10.1f  %10.1f\n", kolo_type_name((kolo_type)type),
                   kolo_operator_name((kolo_operator)op),
                   streams * (double)small->bytes / in_cache / 1e9,
                   streams * (double)large->bytes / in_memory / 1e9);
        }
    }
}

int main(int argc, char **argv)
{
    unsigned sources = argc > 1 ? (unsigned)atoi(argv[1]) : 2;
    unsigned destinations = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    if (sources < 1 || sources > SOURCES_MAX || destinations < 1 || destinations > 2) {
        fprintf(stderr, "usage: bench_reduce [1..%d sources [1..2 destinations]]\n", SOURCES_MAX);
        return 2;
    }
    struct buffers small = {.sources = sources, .destinations = destinations};
    struct buffers large = small;
    get_buffers(&small, SMALL_BYTES);
    get_buffers(&large, LARGE_BYTES);
    printf("%u sources, %u destinations of %zu and %zu bytes\nmemcpy: %.1f and %.1f GB/s\n",
           sources, destinations, small.bytes, large.bytes,
           2 * (double)small.bytes / measure(run_memcpy, &small, NULL, KOLO_U8) / 1e9,
           2 * (double)large.bytes / measure(run_memcpy, &large, NULL, KOLO_U8) / 1e9);
    const struct reduce_kernels *here[REDUCE_KERNELS_MAX];
    unsigned count = reduce_kernels_here(here);
    for (unsigned i = 0; i < count; i++) {
        print_table(here[i], &small, &large);
    }
    free_buffers(&small);
    free_buffers(&large);
    return 0;
}
