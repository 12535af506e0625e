/* Rates, times and sizes as people write them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/quantity.h"

static const struct command command = {.name = "test", .what = "", .main = NULL};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void assert_same(double is, double should)
{
    if (fabs(is - should) > 1e-12 * fabs(should)) {
        fail_msg("%.15g is not %.15g", is, should);
    }
}

static void test_rates_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double rate_Bps;
    } cases[] = {{"25Gbit", 3.125e9},   {"25 Gbit", 3.125e9}, {"25Gbit/s", 3.125e9},
                 {"25Gbps", 3.125e9},   {"100Mbit", 12.5e6},  {"3GB", 3e9},
                 {"0.5GB/s", 5e8},      {"1GiB", 1073741824}, {"8bit", 1},
                 {"1.5Tbit", 1.875e11}, {"1000B", 1000}};
    for (unsigned i = 0; i < COUNT(cases); i++) {
        double rate_Bps = 0;
        assert_true(quantity_rate(&rate_Bps, &command, "--rate", cases[i].text));
        assert_same(rate_Bps, cases[i].rate_Bps);
    }
}

static void test_times_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } cases[] = {{"5us", 5e-6}, {"5 us", 5e-6},  {"5\xC2\xB5s", 5e-6},
                 {"1ms", 1e-3}, {"200ns", 2e-7}, {"1.5s", 1.5},
                 {"0", 0},      {"0us", 0}};
    for (unsigned i = 0; i < COUNT(cases); i++) {
        double seconds = -1;
        assert_true(quantity_seconds(&seconds, &command, "--latency", cases[i].text));
        assert_same(seconds, cases[i].seconds);
    }
}

static void test_what_is_no_quantity_is_refused(void **state)
{
    (void)state;
    const char *rates[] = {"",
                           "25",
                           "Gbit",
                           "-1Gbit",
                           "0Gbit",
                           "25Gbut",
                           "25  Gbit",
                           "1e999GB",
                           "infGB",
                           "nanGB",
                           "0x10GB",
                           "25Gbit/h",
                           "1GBbbbbbbbbbbbbbbbbb"};
    const char *times[] = {"", "5", "us", "-5us", "5min", "5  us", "infs", "0x5us", "1e999s"};
    double value = 42;
    for (unsigned i = 0; i < COUNT(rates); i++) {
        assert_false(quantity_rate(&value, &command, "--rate", rates[i]));
    }
    for (unsigned i = 0; i < COUNT(times); i++) {
        assert_false(quantity_seconds(&value, &command, "--latency", times[i]));
    }
    assert_same(value, 42);
}

static void test_quantities_are_printed(void **state)
{
    (void)state;
    char text[QUANTITY_TEXT_MAX];
    assert_string_equal(quantity_print_seconds(text, 0.03766), "37.66 ms");
    assert_string_equal(quantity_print_seconds(text, 5e-6), "5 us");
    assert_string_equal(quantity_print_seconds(text, 2e-10), "0.2 ns");
    assert_string_equal(quantity_print_seconds(text, 0), "0 s");
    assert_string_equal(quantity_print_seconds(text, 7200), "7200 s");
    assert_string_equal(quantity_print_seconds(text, 0.99999e-3), "1 ms");
    assert_string_equal(quantity_print_bits(text, 3.125e9), "25 Gbit/s");
    assert_string_equal(quantity_print_rate(text, 3.125e9), "3.125 GB/s");
    assert_string_equal(quantity_print_bytes(text, 64 << 20), "64 MiB");
    assert_string_equal(quantity_print_bytes(text, 1000), "1000 B");
    assert_string_equal(quantity_print_bytes(text, 0), "0 B");
    assert_string_equal(quantity_print_bytes(text, UINT64_MAX), "18446744073709551615 B");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates_are_read),
        cmocka_unit_test(test_times_are_read),
        cmocka_unit_test(test_what_is_no_quantity_is_refused),
        cmocka_unit_test(test_quantities_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
