/* Numbers on a command line: what is taken, what is refused, and that refused ones leave the value alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tools/option.h"

static const struct command command = {.name = "test"};

static void bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0},          {"8", 8},
                {"4K", 4096},      {"4k", 4096},
                {"64M", 64 << 20}, {"64MiB", 64 << 20},
                {"1G", 1 << 30},   {"4294967296G", UINT64_C(1) << 62}};
    static const char *const bad[] = {"",     "-1",   "K",   "4X",          "4KB",
                                      "1.5M", "0x10", " 8 ", "4294967297G", "99999999999999999999"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t value = 1;
        assert_true(option_bytes(&value, &command, "-b", good[i].text));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t value = 77;
        assert_false(option_bytes(&value, &command, "-b", bad[i]));
        assert_true(value == 77);
    }
}

static void whole_numbers(void **state)
{
    (void)state;
    int value = 77;
    assert_true(option_int(&value, &command, "-n", "1", 1, 10));
    assert_int_equal(value, 1);
    assert_true(option_int(&value, &command, "-n", "10", 1, 10));
    assert_int_equal(value, 10);
    static const char *const bad[] = {"0",  "11", "",    "x",
                                      "5x", "-5", "5.0", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(option_int(&value, &command, "-n", bad[i], 1, 10));
        assert_int_equal(value, 10);
    }
    uint64_t wide = 0;
    assert_true(option_u64(&wide, &command, "--seed", "18446744073709551615", 0, UINT64_MAX));
    assert_true(wide == UINT64_MAX);
}

static void positive_numbers(void **state)
{
    (void)state;
    double value = 77;
    assert_true(option_positive(&value, &command, "-t", "0.25", 10));
    assert_true(value == 0.25);
    static const char *const bad[] = {"0", "-1", "nan", "inf", "1e99", "11", "", "1s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(option_positive(&value, &command, "-t", bad[i], 10));
        assert_true(value == 0.25);
    }
}

int main(void)
{
    /* The refusals are said on standard error, which is not looked at. */
    if (freopen("/dev/null", "w", stderr) == NULL) {
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes), cmocka_unit_test(whole_numbers),
                                       cmocka_unit_test(positive_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
