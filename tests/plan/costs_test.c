/* The figures that the cost model starts from. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan/costs.h"

#define WIRE_BYTES 56

static void assert_equal(const struct network_uniform *a, const struct network_uniform *b)
{
    assert_memory_equal(a, b, sizeof *a); /* exactly: all ranks must compute the same */
}

static struct network_uniform figures(double latency, double overhead, double link, double port,
                                      double reduce)
{
    return (struct network_uniform){.latency_s = latency,
                                    .overhead_s = overhead,
                                    .link_Bps = link,
                                    .port_Bps = port,
                                    .reduce_Bps = reduce};
}

static void the_worst_is_slowest_in_everything(void **state)
{
    (void)state;
    const struct network_uniform a = figures(1e-6, 5e-6, 1e9, 2e9, 3e9);
    const struct network_uniform b = figures(2e-6, 4e-6, 2e9, 1e9, 4e9);
    const struct network_uniform expected = figures(2e-6, 5e-6, 1e9, 1e9, 3e9);
    struct network_uniform ab = a, ba = b;
    costs_worst(&ab, &b);
    costs_worst(&ba, &a);
    assert_equal(&ab, &expected);
    assert_equal(&ba, &expected);
    costs_worst(&ab, &ab);
    assert_equal(&ab, &expected);
}

static void no_limit_is_not_the_worst(void **state)
{
    (void)state;
    struct network_uniform worst = {0};
    const struct network_uniform b = figures(1e-6, 1e-7, 1e9, 0, 3e9);
    costs_worst(&worst, &b);
    assert_equal(&worst, &b);
    struct network_uniform other = b;
    const struct network_uniform none = {0};
    costs_worst(&other, &none);
    assert_equal(&other, &b);
}

static void the_order_does_not_matter(void **state)
{
    (void)state;
    struct network_uniform rows[8];
    for (unsigned i = 0; i < 8; i++) {
        rows[i] = costs_of((enum costs_wire)(i % 4), 1 + i, 1 + i / 2, i == 2 ? 1e8 : 0);
    }
    struct network_uniform forward = {0}, backward = {0};
    for (unsigned i = 0; i < 8; i++) {
        costs_worst(&forward, &rows[i]);
        costs_worst(&backward, &rows[7 - i]);
    }
    assert_equal(&forward, &backward);
}

static void wires_are_ordered_by_distance(void **state)
{
    (void)state;
    const struct network_uniform shm = costs_of(COSTS_SHARED_MEMORY, 2, 2, 0);
    const struct network_uniform loopback = costs_of(COSTS_LOOPBACK, 2, 2, 0);
    const struct network_uniform network = costs_of(COSTS_NETWORK, 2, 2, 0);
    assert_true(shm.latency_s < loopback.latency_s && loopback.latency_s < network.latency_s);
    assert_true(shm.link_Bps > loopback.link_Bps && loopback.link_Bps > network.link_Bps);
    const struct network_uniform fast = costs_of(COSTS_NETWORK, 2, 2, 12.5e9);
    assert_true(fast.link_Bps == 12.5e9 && fast.port_Bps == 12.5e9);
    const struct network_uniform crowded = costs_of(COSTS_SHARED_MEMORY, 8, 2, 0);
    assert_true(crowded.latency_s > shm.latency_s && crowded.link_Bps < shm.link_Bps);
}

static void figures_travel_exactly(void **state)
{
    (void)state;
    const struct network_uniform rows[] = {
        costs_of(COSTS_SHARED_MEMORY, 3, 2, 0), figures(0, 0, 0, 0, 0),
        figures(DBL_TRUE_MIN, DBL_MIN, 1.0 / 3.0, 9.99e17, 0.1 + 0.2)};
    for (unsigned i = 0; i < 3; i++) {
        uint8_t bytes[WIRE_BYTES];
        struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
        struct wire_reader reader = {.bytes = bytes, .length = sizeof bytes};
        struct network_uniform back;
        costs_put(&writer, &rows[i]);
        assert_false(writer.failed);
        assert_int_equal(writer.length, sizeof bytes);
        costs_get(&reader, &back);
        assert_false(reader.failed);
        assert_equal(&back, &rows[i]);
    }
}

static bool accepted(double value, size_t cut)
{
    uint8_t bytes[WIRE_BYTES] = {0};
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    wire_put_u64(&writer, bits);
    struct wire_reader reader = {.bytes = bytes, .length = sizeof bytes - cut};
    struct network_uniform back;
    costs_get(&reader, &back);
    return !reader.failed;
}

static void hostile_figures_are_refused(void **state)
{
    (void)state;
    assert_true(accepted(1.0, 0));
    assert_false(accepted(1.0, 1));
    assert_false(accepted((double)NAN, 0));
    assert_false(accepted((double)INFINITY, 0));
    assert_false(accepted(-(double)INFINITY, 0));
    assert_false(accepted(-1e-9, 0));
    assert_false(accepted(DBL_MAX, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worst_is_slowest_in_everything),
        cmocka_unit_test(no_limit_is_not_the_worst),
        cmocka_unit_test(the_order_does_not_matter),
        cmocka_unit_test(wires_are_ordered_by_distance),
        cmocka_unit_test(figures_travel_exactly),
        cmocka_unit_test(hostile_figures_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
