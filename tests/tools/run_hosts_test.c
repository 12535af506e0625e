/* The list of hosts of `kolo run --hosts`: what is one, which rank runs where, who is a first contact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/command.h"
#include "tools/run_hosts.h"
#include "tools/run_options.h"

const struct command command_run = {.name = "run"}; /* who speaks when a list is refused */

static struct run_hosts hosts;

static void read_ok(const char *text)
{
    assert_int_equal(run_hosts_read(&hosts, text), 0);
}

static void expect_place(unsigned rank, const char *name, unsigned local_rank)
{
    unsigned local = 99;
    assert_string_equal(run_hosts_place(&hosts, &local, rank)->name, name);
    assert_int_equal(local, local_rank);
}

static void reads_names_addresses_users_and_places(void **state)
{
    (void)state;
    read_ok("a,b.example.org:2,me@c,me@[fd00::1]:4,[::1],10.0.0.7:3");
    assert_int_equal(hosts.count, 6);
    assert_int_equal(hosts.peers, 1 + 2 + 1 + 4 + 1 + 3);
    assert_string_equal(hosts.host[2].login, "me@c");
    assert_string_equal(hosts.host[2].name, "c");
    assert_string_equal(hosts.host[3].login, "me@fd00::1");
    assert_string_equal(hosts.host[3].name, "fd00::1");
    assert_int_equal(hosts.host[3].peers, 4);
    assert_string_equal(hosts.host[4].name, "::1");
    assert_int_equal(hosts.host[5].peers, 3);
}

static void refuses_what_is_no_host(void **state)
{
    (void)state;
    static const char *const lists[] = {"",     "a,",    ",a",           "a:",        "a:0", "a:-1",
                                        "a:x",  "::1",   "me@",          "-oProxy=x", "a b", "a;b",
                                        "$(x)", "a:1:2", "a:9999999999", "[]:2",      "a'b"};
    for (unsigned i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        assert_int_equal(run_hosts_read(&hosts, lists[i]), COMMAND_USAGE);
    }
}

static void refuses_too_long_a_name_and_too_many_places(void **state)
{
    (void)state;
    char name[RUN_HOST_TEXT + 1];
    memset(name, 'a', RUN_HOST_TEXT);
    name[RUN_HOST_TEXT] = '\0';
    assert_int_equal(run_hosts_read(&hosts, name), COMMAND_USAGE);
    name[RUN_HOST_TEXT - 1] = '\0';
    assert_int_equal(run_hosts_read(&hosts, name), 0);
    read_ok("a:4096");
    assert_int_equal(run_hosts_read(&hosts, "a:4096,b"), COMMAND_USAGE);
}

static void refuses_too_many_hosts(void **state)
{
    (void)state;
    char *list = calloc(RUN_HOSTS_MAX + 1, 2);
    assert_non_null(list);
    for (unsigned i = 0; i <= RUN_HOSTS_MAX; i++) {
        memcpy(list + 2 * i, i < RUN_HOSTS_MAX ? "a," : "a", i < RUN_HOSTS_MAX ? 2 : 1);
    }
    assert_int_equal(run_hosts_read(&hosts, list), COMMAND_USAGE);
    free(list);
}

static void fills_hosts_in_order(void **state)
{
    (void)state;
    read_ok("a,b:2,me@a:2");
    expect_place(0, "a", 0);
    expect_place(1, "b", 0);
    expect_place(2, "b", 1);
    expect_place(3, "a", 1); /* the same host again */
    expect_place(4, "a", 2);
}

static void leaves_out_the_last_places(void **state)
{
    (void)state;
    read_ok("a:2,b:3,c");
    run_hosts_limit(&hosts, 4);
    assert_int_equal(hosts.count, 2);
    assert_int_equal(hosts.peers, 4);
    expect_place(3, "b", 1);
    run_hosts_limit(&hosts, 2);
    assert_int_equal(hosts.count, 1);
}

static void contacts_are_the_first_different_hosts(void **state)
{
    (void)state;
    read_ok("me@a:2,b,a,[fd00::1]:2");
    char *contacts = run_hosts_contacts(&hosts, 4242);
    assert_string_equal(contacts, "a:4242,b:4242,[fd00::1]:4242");
    free(contacts);
    read_ok("h1,h2,h3,h4,h5,h6,h7,h8,h9,h10");
    contacts = run_hosts_contacts(&hosts, 1);
    assert_string_equal(contacts, "h1:1,h2:1,h3:1,h4:1,h5:1,h6:1,h7:1,h8:1");
    free(contacts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_names_addresses_users_and_places),
        cmocka_unit_test(refuses_what_is_no_host),
        cmocka_unit_test(refuses_too_long_a_name_and_too_many_places),
        cmocka_unit_test(refuses_too_many_hosts),
        cmocka_unit_test(fills_hosts_in_order),
        cmocka_unit_test(leaves_out_the_last_places),
        cmocka_unit_test(contacts_are_the_first_different_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
