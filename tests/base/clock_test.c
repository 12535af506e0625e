#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/base/clock.h"

static void time_does_not_go_back(void **state)
{
    (void)state;
    uint64_t before = clock_now_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_now_ns();
        assert_true(now >= before);
        before = now;
    }
}

static void seconds_saturate(void **state)
{
    (void)state;
    assert_true(clock_ns_from_s(0.5) == 500 * NS_PER_MS);
    assert_true(clock_ns_from_s(0) == 0);
    assert_true(clock_ns_from_s(-1) == 0);
    assert_true(clock_ns_from_s(NAN) == 0);
    assert_true(clock_ns_from_s(1e9) == CLOCK_FOREVER);
    assert_true(clock_ns_from_s(INFINITY) == CLOCK_FOREVER);
}

static void deadlines_saturate(void **state)
{
    (void)state;
    assert_true(clock_after(10, 5) == 15);
    assert_true(clock_after(10, CLOCK_FOREVER) == CLOCK_FOREVER);
    assert_true(clock_after(CLOCK_FOREVER - 5, 6) == CLOCK_FOREVER);
    assert_true(clock_after(CLOCK_FOREVER - 5, 5) == CLOCK_FOREVER);
    assert_true(clock_after(CLOCK_FOREVER - 5, 4) == CLOCK_FOREVER - 1);
}

/* Rounded up: a wait that ends early would only be repeated. */
static void milliseconds_until(void **state)
{
    (void)state;
    assert_int_equal(clock_ms_until(100, 100, 1000), 0);
    assert_int_equal(clock_ms_until(99, 100, 1000), 0);
    assert_int_equal(clock_ms_until(101, 100, 1000), 1);
    assert_int_equal(clock_ms_until(NS_PER_MS, 0, 1000), 1);
    assert_int_equal(clock_ms_until(NS_PER_MS + 1, 0, 1000), 2);
    assert_int_equal(clock_ms_until(5 * NS_PER_S, 0, 1000), 1000);
}

static void forever_is_capped(void **state)
{
    (void)state;
    assert_int_equal(clock_ms_until(CLOCK_FOREVER, clock_now_ns(), 1000), 1000);
    assert_int_equal(clock_ms_until(CLOCK_FOREVER, 0, 1000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_does_not_go_back), cmocka_unit_test(seconds_saturate),
        cmocka_unit_test(deadlines_saturate),    cmocka_unit_test(milliseconds_until),
        cmocka_unit_test(forever_is_capped),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
