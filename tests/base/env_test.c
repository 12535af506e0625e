#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/env.h"

#define NAME "KOLO_TEST_VARIABLE"

static void says(kolo_status status, const char *value)
{
    assert_int_equal(status, KOLO_ERR_ARGUMENT);
    char start[128] = NAME "=";
    strcat(start, value);
    assert_memory_equal(kolo_last_error(), start,
                        strlen(start)); /* variable and value come first */
}

static void unset_and_empty_leave_the_value_alone(void **state)
{
    (void)state;
    int number = 7;
    double seconds = 7;
    uint64_t bytes = 7;
    bool flag = true;
    for (int i = 0; i < 2; i++) {
        i == 0 ? unsetenv(NAME) : setenv(NAME, "", 1);
        assert_null(env_text(NAME));
        assert_int_equal(env_int(&number, NAME, 0, 1), KOLO_OK);
        assert_int_equal(env_seconds(&seconds, NAME), KOLO_OK);
        assert_int_equal(env_bytes(&bytes, NAME), KOLO_OK);
        assert_int_equal(env_bool(&flag, NAME), KOLO_OK);
    }
    assert_true(number == 7 && seconds == 7 && bytes == 7 && flag);
}

static void whole_numbers(void **state)
{
    (void)state;
    int number = 0;
    setenv(NAME, "-5", 1);
    assert_int_equal(env_int(&number, NAME, -5, 5), KOLO_OK);
    assert_int_equal(number, -5);
    setenv(NAME, "2147483647", 1);
    assert_int_equal(env_int(&number, NAME, 0, INT32_MAX), KOLO_OK);
    assert_int_equal(number, INT32_MAX);
    static const char *const wrong[] = {"six", "6x", "5.0", "6", "-6", "99999999999999999999",
                                        "0x3"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        number = 77;
        setenv(NAME, wrong[i], 1);
        says(env_int(&number, NAME, -5, 5), wrong[i]);
        assert_non_null(strstr(kolo_last_error(), "from -5 to 5"));
        assert_int_equal(number, 77);
    }
}

static void seconds(void **state)
{
    (void)state;
    double value = 0;
    setenv(NAME, "0.25", 1);
    assert_int_equal(env_seconds(&value, NAME), KOLO_OK);
    assert_true(value == 0.25);
    setenv(NAME, "1e3", 1);
    assert_int_equal(env_seconds(&value, NAME), KOLO_OK);
    assert_true(value == 1000);
    static const char *const wrong[] = {"0", "-1", "nan", "inf", "1e999", "5s", "soon"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        value = 77;
        setenv(NAME, wrong[i], 1);
        says(env_seconds(&value, NAME), wrong[i]);
        assert_true(value == 77);
    }
}

static void bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } right[] = {{"0", 0},
                 {"4096", 4096},
                 {"64K", 65536},
                 {"64k", 65536},
                 {"16M", UINT64_C(16) << 20},
                 {"1g", UINT64_C(1) << 30},
                 {"18446744073709551615", UINT64_MAX},
                 {"17179869183G", UINT64_C(17179869183) << 30}};
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        setenv(NAME, right[i].text, 1);
        assert_int_equal(env_bytes(&value, NAME), KOLO_OK);
        assert_true(value == right[i].bytes);
    }
    static const char *const wrong[] = {
        "-1", "K", "1T", "1KB", "1.5M", "17179869184G", "18446744073709551616"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        value = 77;
        setenv(NAME, wrong[i], 1);
        says(env_bytes(&value, NAME), wrong[i]);
        assert_true(value == 77);
    }
}

static void flags(void **state)
{
    (void)state;
    static const char *const yes[] = {"1", "yes", "on", "true"};
    static const char *const no[] = {"0", "no", "off", "false"};
    bool flag = false;
    for (int i = 0; i < 4; i++) {
        setenv(NAME, yes[i], 1);
        assert_int_equal(env_bool(&flag, NAME), KOLO_OK);
        assert_true(flag);
        setenv(NAME, no[i], 1);
        assert_int_equal(env_bool(&flag, NAME), KOLO_OK);
        assert_false(flag);
    }
    setenv(NAME, "maybe", 1);
    says(env_bool(&flag, NAME), "maybe");
}

static void texts_from_elsewhere(void **state)
{
    (void)state;
    int number = 0;
    assert_int_equal(parse_int(&number, "12", "--count", 1, 20), KOLO_OK);
    assert_int_equal(number, 12);
    assert_int_equal(parse_int(&number, "", "--count", 1, 20), KOLO_ERR_ARGUMENT);
    assert_non_null(strstr(kolo_last_error(), "--count"));
    double value = 0;
    assert_int_equal(parse_seconds(&value, "", "--for"), KOLO_ERR_ARGUMENT);
    uint64_t size = 0;
    assert_int_equal(parse_bytes(&size, "", "--bytes"), KOLO_ERR_ARGUMENT);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unset_and_empty_leave_the_value_alone),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(seconds),
        cmocka_unit_test(bytes),
        cmocka_unit_test(flags),
        cmocka_unit_test(texts_from_elsewhere),
    };
    return cmocka_run_group_tests_name("env", tests, NULL, NULL);
}
