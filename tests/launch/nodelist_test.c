#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/launch/nodelist.h"

static void first_hosts(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"host", "host"},
        {"a,b", "a"},
        {"node[01-03,7],other", "node01"},
        {"node[7,01-03]", "node7"},
        {"other,node[1-2]", "other"},
        {"rack[2-3]node[004-009]", "rack2node004"},
        {"n[1-2]-ib.cluster,m", "n1-ib.cluster"},
        {"c[0]", "c0"},
        {"[10-12]", "10"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char host[32];
        assert_true(nodelist_first(host, sizeof host, cases[i][0]));
        assert_string_equal(host, cases[i][1]);
    }
}

static void malformed_lists(void **state)
{
    (void)state;
    static const char *const cases[] = {"",   ",a",    "n[1-2", "n[",    "n[]",    "n[a-b]",
                                        "n]", "n[1x]", "n[-3]", "n[,1]", "n[1;2]", "n[1"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char host[32];
        if (nodelist_first(host, sizeof host, cases[i])) {
            fail_msg("'%s' was taken for '%s'", cases[i], host);
        }
    }
}

static void a_name_that_does_not_fit(void **state)
{
    (void)state;
    char host[5];
    assert_true(nodelist_first(host, sizeof host, "abcd,e"));
    assert_string_equal(host, "abcd");
    assert_true(nodelist_first(host, sizeof host, "ab[12-13]"));
    assert_false(nodelist_first(host, sizeof host, "abcde"));
    assert_false(nodelist_first(host, sizeof host, "abc[12]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_hosts),
        cmocka_unit_test(malformed_lists),
        cmocka_unit_test(a_name_that_does_not_fit),
    };
    return cmocka_run_group_tests_name("nodelist", tests, NULL, NULL);
}
