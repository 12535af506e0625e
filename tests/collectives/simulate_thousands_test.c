/* 4,096 ranks: 33 million messages must be simulated in bounded memory, exactly. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "collectives/simulate.h"

#define RANKS 4096
#define MEMORY_BYTES_MAX (2ULL << 30)
#define AGREEMENT 0.02

static const struct network_uniform cluster = {.latency_s = 5e-6, .port_Bps = 25e9 / 8};

static struct simulation run(enum collective collective, const char *name, uint64_t bytes)
{
    const struct algorithm *algorithm = algorithm_find(collective, name);
    struct network network = {.uniform = cluster, .size = RANKS};
    struct simulation simulation = {0};
    struct timespec before, after;
    assert_non_null(algorithm);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    assert_int_equal(simulate(&simulation, &network, algorithm, 0, bytes), KOLO_OK);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);

    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    uint64_t peak = (uint64_t)usage.ru_maxrss * 1024;
    double formula = algorithm->seconds(&cluster, RANKS, bytes);
    printf("%s by %s: %llu messages, %.3f ms simulated, %.3f ms by formula; %.1f s, %llu MiB\n",
           collective_name(collective), name, (unsigned long long)simulation.messages,
           simulation.seconds * 1e3, formula * 1e3,
           (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec),
           (unsigned long long)(peak >> 20));
    assert_true(peak < MEMORY_BYTES_MAX);
    assert_true(fabs(simulation.seconds - formula) <= AGREEMENT * formula);
    return simulation;
}

static void test_trees(void **state)
{
    (void)state;
    run(COLLECTIVE_ALL_REDUCE, "double-tree", 1 << 30);
    run(COLLECTIVE_BROADCAST, "chain", 1 << 30);
    run(COLLECTIVE_BARRIER, "dissemination", 8);
}

/* Chunks of 4 KiB: latency rules. */
static void test_ring(void **state)
{
    (void)state;
    struct simulation simulation = run(COLLECTIVE_ALL_REDUCE, "ring", 16 << 20);
    assert_int_equal(simulation.messages, 2ULL * (RANKS - 1) * RANKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
