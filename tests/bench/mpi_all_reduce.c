/* mpi_all_reduce: times MPI_Allreduce (float, sum, ordinary memory, out of place) the way `kolo perf` times kolo, so that
 * tests/bench/run can set the two side by side. Compiled with mpicc of each MPI; it is no part of kolo.
 *
 * Each call is timed on its own; a rank's figure is the median over the calls, the reported one the largest over the ranks; means are
 * averaged over the ranks, as kolo perf does.
 * Prints one line a size: bytes, median, p99 and mean in microseconds, calls, wrong elements. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALLS_LEAST 10
#define CALLS_MOST 10000
#define SIZES_MOST 64

struct timing {
    double median_us, p99_us, mean_us;
};

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Values whose sum is exact in float: small integers. */
static float value_at(int rank, size_t index)
{
    return (float)((index * 7 + (size_t)rank * 13) % 31);
}

static long count_wrong(const float *out, size_t count, int size)
{
    long wrong = 0;
    for (size_t i = 0; i < count; i++) {
        float expected = 0;
        for (int rank = 0; rank < size; rank++) {
            expected += value_at(rank, i);
        }
        wrong += out[i] != expected;
    }
    return wrong;
}

/* How many calls fit into the time budget, by the duration of the last warm-up call; the same on all ranks. */
static int choose_calls(double call_us, double budget_us)
{
    double fit = budget_us / (call_us > 0.1 ? call_us : 0.1);
    int calls = fit > CALLS_MOST ? CALLS_MOST : fit < CALLS_LEAST ? CALLS_LEAST : (int)fit;
    MPI_Bcast(&calls, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return calls;
}

static struct timing reduce_timing(double *times_us, int calls)
{
    double sum = 0;
    for (int i = 0; i < calls; i++) {
        sum += times_us[i];
    }
    qsort(times_us, (size_t)calls, sizeof *times_us, ascending);
    double mine[2] = {times_us[calls / 2], times_us[(calls * 99) / 100]}, all[2];
    double mean = sum / calls, means = 0;
    int ranks;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Allreduce(mine, all, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    MPI_Allreduce(&mean, &means, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return (struct timing){all[0], all[1], means / ranks};
}

static void measure(size_t bytes, int warmups, double budget_us)
{
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    size_t count = bytes / sizeof(float);
    float *in = malloc(bytes), *out = malloc(bytes);
    double *times_us = malloc(CALLS_MOST * sizeof *times_us);
    if (!in || !out || !times_us) {
        fprintf(stderr, "out of memory\n");
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    memset(out, 0xff, bytes);
    for (size_t i = 0; i < count; i++) {
        in[i] = value_at(rank, i);
    }
    double call_us = 0;
    for (int i = 0; i < warmups; i++) {
        double begin = now_us();
        MPI_Allreduce(in, out, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        call_us = now_us() - begin;
    }
    int calls = choose_calls(call_us, budget_us);
    MPI_Barrier(MPI_COMM_WORLD);
    for (int i = 0; i < calls; i++) {
        double begin = now_us();
        MPI_Allreduce(in, out, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        times_us[i] = now_us() - begin;
    }
    long mine = count_wrong(out, count, size), wrong;
    MPI_Allreduce(&mine, &wrong, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
    struct timing timing = reduce_timing(times_us, calls);
    if (rank == 0) {
        printf("%zu %.3f %.3f %.3f %d %ld\n", bytes, timing.median_us, timing.p99_us,
               timing.mean_us, calls, wrong);
        fflush(stdout);
    }
    free(in);
    free(out);
    free(times_us);
}

/* Arguments: first size, last size, factor, time budget of a size in seconds. */
int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    size_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 8;
    size_t last = argc > 2 ? strtoull(argv[2], NULL, 10) : (size_t)64 << 20;
    size_t factor = argc > 3 ? strtoull(argv[3], NULL, 10) : 8;
    double budget_s = argc > 4 ? strtod(argv[4], NULL) : 0.25;
    if (first < sizeof(float) || factor < 2 || budget_s <= 0) {
        fprintf(stderr, "usage: mpi_all_reduce FIRST-BYTES LAST-BYTES FACTOR SECONDS\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    size_t bytes = first;
    for (int i = 0; i < SIZES_MOST && bytes <= last; i++, bytes *= factor) {
        measure(bytes, bytes < ((size_t)1 << 20) ? 10 : 3, budget_s * 1e6);
    }
    MPI_Finalize();
    return 0;
}
