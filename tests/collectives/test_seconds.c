/* The closed formulas of time against the simulator, which knows nothing of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "collectives/simulate.h"

/* Largest difference allowed, as a share: of small and middling vectors, and of large ones. */
struct allowance {
    double any, large;
};

#define LARGE_BYTES ((uint64_t)4 << 20)

static void compare(const struct algorithm *algorithm, const struct network_uniform *uniform,
                    uint32_t size, uint64_t bytes, const struct allowance *allowed)
{
    struct network network = {.uniform = *uniform, .size = size};
    struct simulation simulation = {0};
    assert_int_equal(simulate(&simulation, &network, algorithm, 0, bytes), KOLO_OK);
    double formula = algorithm->seconds(uniform, size, bytes);
    double most =
        bytes >= LARGE_BYTES && bytes <= algorithm->bytes_max ? allowed->large : allowed->any;
    if (fabs(formula - simulation.seconds) > most * simulation.seconds) {
        fail_msg("%s by %s, %u ranks, %llu bytes: the formula says %g s, the simulator %g s",
                 collective_name(algorithm->collective), algorithm->name, size,
                 (unsigned long long)bytes, formula, simulation.seconds);
    }
}

static void compare_all(const struct network_uniform *uniform, const struct allowance *allowed)
{
    static const uint32_t sizes[] = {2, 3, 5, 8, 13};
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            for (uint64_t bytes = 8; bytes <= LARGE_BYTES << 2; bytes *= 8) {
                if (!row[i].baseline_only) {
                    compare(&row[i], uniform, sizes[s], bytes, allowed);
                }
            }
        }
    }
}

static void test_latency_and_bandwidth(void **state)
{
    (void)state;
    static const struct network_uniform uniform = {.latency_s = 5e-6, .port_Bps = 1e9};
    compare_all(&uniform, &(struct allowance){.any = 0.2, .large = 0.02});
}

static void test_with_processors(void **state)
{
    (void)state;
    static const struct network_uniform uniform = {
        .latency_s = 5e-6, .overhead_s = 1e-6, .link_Bps = 1e9, .port_Bps = 1e9, .reduce_Bps = 4e9};
    compare_all(&uniform, &(struct allowance){.any = 0.25, .large = 0.05});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency_and_bandwidth),
        cmocka_unit_test(test_with_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
