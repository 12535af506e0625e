/* The simulator against the closed formulas of all algorithms, and against what no algorithm can beat, from 2 to 64 ranks and
 * from 8 bytes to 256 MiB. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collectives/simulate.h"

#define AGREEMENT 0.02
#define AGREEMENT_OF_ESTIMATES 0.2
#define AGREEMENT_BEYOND 0.25 /* vectors that the algorithm is not meant for: nobody asks */
#define MIDDLING_BYTES (64ULL << 10)
#define ROUNDING 1e-9

static const uint32_t sizes[] = {2, 3, 4, 5, 7, 8, 16, 33, 64};
static const uint64_t vectors[] = {8, MIDDLING_BYTES, 16 << 20, 256 << 20};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A 25 Gbit/s network with 5 us from process to process. */
static const struct network_uniform cluster = {.latency_s = 5e-6, .port_Bps = 25e9 / 8};

#define ROWS_MAX 64

/* All simulations, made once. */
static struct simulation results[ROWS_MAX][COUNT(sizes)][COUNT(vectors)];

static int simulate_all(void **state)
{
    (void)state;
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    assert_in_range(count, 1, ROWS_MAX);
    for (unsigned a = 0; a < count; a++) {
        for (unsigned s = 0; s < COUNT(sizes); s++) {
            for (unsigned v = 0; v < COUNT(vectors) && sizes[s] <= table[a].size_max; v++) {
                struct network network = {.uniform = cluster, .size = sizes[s]};
                assert_int_equal(simulate(&results[a][s][v], &network, &table[a], 0, vectors[v]),
                                 KOLO_OK);
            }
        }
    }
    return 0;
}

typedef void check(const struct algorithm *algorithm, uint32_t size, uint64_t bytes,
                   const struct simulation *simulation);

static void for_all(check *check_one)
{
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    for (unsigned a = 0; a < count; a++) {
        for (unsigned s = 0; s < COUNT(sizes); s++) {
            for (unsigned v = 0; v < COUNT(vectors) && sizes[s] <= table[a].size_max; v++) {
                check_one(&table[a], sizes[s], vectors[v], &results[a][s][v]);
            }
        }
    }
}

static void say(const char *what, const struct algorithm *algorithm, uint32_t size, uint64_t bytes,
                double simulated, double expected)
{
    fail_msg("%s by %s, %u ranks, %llu bytes: %.3f us simulated, %s %.3f us",
             collective_name(algorithm->collective), algorithm->name, size,
             (unsigned long long)bytes, simulated * 1e6, what, expected * 1e6);
}

/* ---- formulas ---------------------------------------------------------------------------------------------------------- */

/* Where steps overlap in part, latencies and bytes of middling vectors neither add up nor hide each other: there is no closed
 * formula, and the algorithm's is an estimate; so it is above what it is chosen for. Everywhere else it is exact. */
static bool is_estimate(const struct algorithm *algorithm, uint64_t bytes)
{
    static const struct {
        enum collective collective;
        const char *name;
    } overlapping[] = {
        {COLLECTIVE_ALL_REDUCE, "double-tree"},   {COLLECTIVE_ALL_REDUCE, "tree"},
        {COLLECTIVE_ALL_REDUCE, "knomial"},       {COLLECTIVE_ALL_REDUCE, "recursive-doubling"},
        {COLLECTIVE_ALL_REDUCE, "two-shot"},      {COLLECTIVE_ALL_REDUCE, "circulant"},
        {COLLECTIVE_REDUCE_SCATTER, "circulant"}, {COLLECTIVE_ALL_GATHER, "circulant"}};
    for (unsigned i = 0; i < COUNT(overlapping); i++) {
        if (algorithm->collective == overlapping[i].collective &&
            strcmp(algorithm->name, overlapping[i].name) == 0) {
            return bytes == MIDDLING_BYTES;
        }
    }
    return false;
}

static void check_formula(const struct algorithm *algorithm, uint32_t size, uint64_t bytes,
                          const struct simulation *simulation)
{
    double formula = algorithm->seconds(&cluster, size, bytes);
    double share = bytes > algorithm->bytes_max    ? AGREEMENT_BEYOND
                   : is_estimate(algorithm, bytes) ? AGREEMENT_OF_ESTIMATES
                                                   : AGREEMENT;
    if (fabs(simulation->seconds - formula) > share * formula) {
        say("by formula", algorithm, size, bytes, simulation->seconds, formula);
    }
}

static void test_simulation_agrees_with_formulas(void **state)
{
    (void)state;
    for_all(check_formula);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------------ */

static double vectors_least(enum collective collective, uint32_t size)
{
    double share = (double)(size - 1) / size;
    switch (collective) {
    case COLLECTIVE_ALL_REDUCE:
        return 2 * share;
    case COLLECTIVE_REDUCE_SCATTER:
    case COLLECTIVE_ALL_GATHER:
        return share;
    case COLLECTIVE_BROADCAST:
    case COLLECTIVE_REDUCE:
        return 1;
    case COLLECTIVE_BARRIER:
        break;
    }
    return 0;
}

static void check_bound(const struct algorithm *algorithm, uint32_t size, uint64_t bytes,
                        const struct simulation *simulation)
{
    double moved = vectors_least(algorithm->collective, size) * (double)bytes / cluster.port_Bps;
    /* A one-shot exchange needs one latency, whatever its size: the port is what limits it. */
    double bound = fmax(moved, cluster.latency_s);
    if (simulation->seconds < bound * (1 - ROUNDING)) {
        say("bound", algorithm, size, bytes, simulation->seconds, bound);
    }
}

static void test_nothing_is_faster_than_physics(void **state)
{
    (void)state;
    for_all(check_bound);
}

static void check_sent(const struct algorithm *algorithm, uint32_t size, uint64_t bytes,
                       const struct simulation *simulation)
{
    double sent = algorithm->sent_fraction(size) * (double)bytes;
    if (fabs(simulation->bytes_sent_most - sent) > 1e-6 * (sent + 1)) {
        fail_msg("%s by %s, %u ranks: %.3f bytes sent, %.3f by formula",
                 collective_name(algorithm->collective), algorithm->name, size,
                 simulation->bytes_sent_most, sent);
    }
}

static void test_bytes_sent_are_those_of_the_formula(void **state)
{
    (void)state;
    for_all(check_sent);
}

/* The aims of the design: near the bound for large vectors, near the latency for small ones. */
static void test_best_algorithms_reach_the_bounds(void **state)
{
    (void)state;
    const struct algorithm *ring = algorithm_find(COLLECTIVE_ALL_REDUCE, "ring");
    const struct algorithm *direct = algorithm_find(COLLECTIVE_ALL_REDUCE, "direct");
    for (unsigned s = 0; s < COUNT(sizes); s++) {
        struct network network = {.uniform = cluster, .size = sizes[s]};
        struct simulation simulation = {0};
        assert_int_equal(simulate(&simulation, &network, ring, 0, 64 << 20), KOLO_OK);
        double bound = 2.0 * (sizes[s] - 1) / sizes[s] * (64 << 20) / cluster.port_Bps;
        assert_true(bound / simulation.seconds >= 0.97);
        assert_int_equal(simulate(&simulation, &network, direct, 0, 8), KOLO_OK);
        assert_true(simulation.seconds <= 1.3 * cluster.latency_s);
    }
}

static void test_one_rank_needs_no_time(void **state)
{
    (void)state;
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    for (unsigned a = 0; a < count; a++) {
        struct network network = {.uniform = cluster, .size = 1};
        struct simulation simulation = {.seconds = 1, .messages = 1};
        assert_int_equal(simulate(&simulation, &network, &table[a], 0, 1 << 20), KOLO_OK);
        assert_true(simulation.seconds <= 0);
        assert_int_equal(simulation.messages, 0);
    }
}

static void test_same_simulation_twice_is_the_same(void **state)
{
    (void)state;
    struct network network = {.uniform = cluster, .size = 13};
    struct simulation first = {0}, second = {0};
    const struct algorithm *tree = algorithm_find(COLLECTIVE_ALL_REDUCE, "double-tree");
    assert_int_equal(simulate(&first, &network, tree, 0, 1 << 20), KOLO_OK);
    assert_int_equal(simulate(&second, &network, tree, 0, 1 << 20), KOLO_OK);
    assert_memory_equal(&first.seconds, &second.seconds, sizeof first.seconds);
}

static void test_roots_are_alike(void **state)
{
    (void)state;
    const struct algorithm *broadcast = algorithm_find(COLLECTIVE_BROADCAST, "double-tree");
    for (uint32_t root = 0; root < 9; root++) {
        struct network network = {.uniform = cluster, .size = 9};
        struct simulation simulation = {0};
        assert_int_equal(simulate(&simulation, &network, broadcast, root, 16 << 20), KOLO_OK);
        double formula = broadcast->seconds(&cluster, 9, 16 << 20);
        assert_true(fabs(simulation.seconds - formula) <= AGREEMENT * formula);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simulation_agrees_with_formulas),
        cmocka_unit_test(test_nothing_is_faster_than_physics),
        cmocka_unit_test(test_bytes_sent_are_those_of_the_formula),
        cmocka_unit_test(test_best_algorithms_reach_the_bounds),
        cmocka_unit_test(test_one_rank_needs_no_time),
        cmocka_unit_test(test_same_simulation_twice_is_the_same),
        cmocka_unit_test(test_roots_are_alike),
    };
    return cmocka_run_group_tests(tests, simulate_all, NULL);
}
