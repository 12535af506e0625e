/* Addresses as text and in their order, and the selection of interfaces by name and prefix, on machines made up here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "transport/tcp/address.h"
#include "transport/tcp/interface.h"

static struct port_address parsed(const char *text)
{
    struct port_address address;
    assert_true(address_parse(&address, text));
    return address;
}

static struct interface made(const char *name, const char *text, bool up)
{
    struct interface interface = {.up = up, .address = parsed(text)};
    snprintf(interface.name, sizeof interface.name, "%s", name);
    return interface;
}

/* A machine with about everything; eth1 is down. */
static unsigned machine(struct interface *list)
{
    unsigned n = 0;
    list[n++] = made("lo", "127.0.0.1", true);
    list[n++] = made("lo", "::1", true);
    list[n++] = made("docker0", "172.17.0.1", true);
    list[n++] = made("virbr0", "192.168.122.1", true);
    list[n++] = made("br-0123456789ab", "172.18.0.1", true);
    list[n++] = made("eth0", "fe80::1", true);
    list[n++] = made("eth0", "10.1.2.3", true);
    list[n++] = made("eth0", "fd00::3", true);
    list[n++] = made("eth1", "10.9.9.9", false);
    list[n++] = made("eth2", "2001:db9::7", true);
    list[n++] = made("eth2", "203.0.113.7", true);
    return n;
}

static void assert_set(const struct interface_set *set, const char *const *expected, unsigned count)
{
    assert_int_equal(set->count, count);
    for (unsigned i = 0; i < count; i++) {
        struct port_address address = parsed(expected[i]);
        assert_true(address_same_host(&set->addresses[i], &address));
    }
}

static void the_best_address_comes_first_and_loopback_last(void **state)
{
    (void)state;
    struct interface list[16];
    struct interface_set set;
    const char *const expected[] = {"203.0.113.7", "2001:db9::7", "10.1.2.3", "fd00::3",
                                    "fe80::1",     "127.0.0.1",   "::1"};
    assert_int_equal(interface_select(&set, list, machine(list), NULL), KOLO_OK);
    assert_set(&set, expected, 7);
    assert_false(set.restricted);
}

static void names_and_prefixes_select(void **state)
{
    (void)state;
    struct interface list[16];
    struct interface_set set;
    unsigned count = machine(list);
    const char *const eth0[] = {"10.1.2.3", "fd00::3", "fe80::1"};
    assert_int_equal(interface_select(&set, list, count, "eth0"), KOLO_OK);
    assert_set(&set, eth0, 3);
    assert_true(set.restricted);
    const char *const prefixes[] = {"2001:db9::7", "10.1.2.3"};
    assert_int_equal(interface_select(&set, list, count, "10.1.0.0/16, 2001:db8::/31"), KOLO_OK);
    assert_set(&set, prefixes, 2);
    const char *const mixed[] = {"203.0.113.7", "2001:db9::7", "10.1.2.3"};
    assert_int_equal(interface_select(&set, list, count, "10.1.2.3,eth2,eth2"), KOLO_OK);
    assert_set(&set, mixed, 3);
    const char *const bridge[] = {"172.17.0.1"};
    assert_int_equal(interface_select(&set, list, count, "docker0"), KOLO_OK);
    assert_set(&set, bridge, 1);
    const char *const down[] = {"10.9.9.9"};
    assert_int_equal(interface_select(&set, list, count, "eth1"), KOLO_OK);
    assert_set(&set, down, 1);
}

static void assert_refused(const char *selection, const char *named)
{
    struct interface list[16];
    struct interface_set set;
    assert_int_equal(interface_select(&set, list, machine(list), selection), KOLO_ERR_ARGUMENT);
    assert_non_null(strstr(kolo_last_error(), named));
}

static void a_bad_selection_names_what_exists(void **state)
{
    (void)state;
    assert_refused("eth7", "'eth7'");
    assert_refused("eth7", "eth0 (fe80::1, 10.1.2.3, fd00::3), eth1 (down, 10.9.9.9)");
    assert_refused("eth0,eth7", "'eth7'");
    assert_refused("10.2.0.0/16", "10.2.0.0/16");
    assert_refused("10.2.0.0/16", "10.1.2.3");
    assert_refused("10.9.0.0/16", "is up"); /* there, but down */
    assert_refused("10.1.0.0/33", "no prefix");
    assert_refused("10.1.0.0/", "no prefix");
    assert_refused("10.1.0.0/1x", "no prefix");
    assert_refused("10.1.0.0/-1", "no prefix");
    assert_refused("2001:db8::/129", "no prefix");
    assert_refused("10.1/16", "no prefix");
    assert_refused("", "names nothing");
    assert_refused(" , ,", "names nothing");
    assert_refused("a-name-that-is-longer-than-any-address-and-any-interface-can-be-here",
                   "too long");
}

static void a_restricted_set_allows_only_its_own(void **state)
{
    (void)state;
    struct interface list[16];
    struct interface_set set;
    struct port_address inside = parsed("10.1.2.3");
    struct port_address outside = parsed("203.0.113.7");
    address_set_port(&inside, 4242);
    assert_int_equal(interface_select(&set, list, machine(list), NULL), KOLO_OK);
    assert_true(interface_allows(&set, &outside));
    assert_int_equal(interface_select(&set, list, machine(list), "eth0"), KOLO_OK);
    assert_true(interface_allows(&set, &inside));
    assert_false(interface_allows(&set, &outside));
}

static void one_dials_from_the_nearest_address(void **state)
{
    (void)state;
    struct interface list[16];
    struct interface_set set;
    struct port_address near_eth0 = parsed("10.1.9.9");
    struct port_address near_eth2 = parsed("203.0.113.200");
    struct port_address v6 = parsed("fd00::99");
    struct port_address loopback = parsed("127.0.0.1");
    assert_int_equal(interface_select(&set, list, machine(list), "eth0,eth2"), KOLO_OK);
    const struct port_address *source = interface_source(&set, &near_eth0);
    struct port_address expected = parsed("10.1.2.3");
    assert_true(source != NULL && address_same_host(source, &expected));
    source = interface_source(&set, &near_eth2);
    expected = parsed("203.0.113.7");
    assert_true(source != NULL && address_same_host(source, &expected));
    source = interface_source(&set, &v6);
    expected = parsed("fd00::3");
    assert_true(source != NULL && address_same_host(source, &expected));
    assert_null(interface_source(&set, &loopback));
}

static void more_addresses_than_fit_are_left_out(void **state)
{
    (void)state;
    static struct interface list[INTERFACES_MAX];
    struct interface_set set;
    for (unsigned i = 0; i < INTERFACES_MAX; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.%u.%u", i / 200, i % 200 + 1);
        list[i] = made("eth0", text, true);
    }
    assert_int_equal(interface_select(&set, list, INTERFACES_MAX, "eth0"), KOLO_OK);
    assert_int_equal(set.count, INTERFACE_SELECTED_MAX);
    assert_int_equal(interface_select(&set, list, INTERFACES_MAX, "eth9"), KOLO_ERR_ARGUMENT);
}

static void this_machine_has_loopback(void **state)
{
    (void)state;
    static struct interface list[INTERFACES_MAX];
    unsigned count;
    bool found = false;
    assert_int_equal(interface_list(list, &count), KOLO_OK);
    for (unsigned i = 0; i < count; i++) {
        found |= address_reach(&list[i].address) == ADDRESS_LOOPBACK && list[i].up;
        assert_true(strlen(list[i].name) > 0);
        assert_int_equal(address_port(&list[i].address), 0);
    }
    assert_true(found);
}

static void assert_text(const char *ip, uint16_t number, const char *expected)
{
    char text[PORT_ADDRESS_TEXT];
    struct port_address address = parsed(ip);
    address_set_port(&address, number);
    assert_string_equal(port_address_text(text, &address), expected);
}

static void addresses_read_as_people_write_them(void **state)
{
    (void)state;
    char text[PORT_ADDRESS_TEXT];
    assert_text("10.0.0.7", 4242, "10.0.0.7:4242");
    assert_text("2001:db8::7", 65535, "[2001:db8::7]:65535");
    struct port_address none = {0};
    assert_string_equal(port_address_text(text, &none), "no address");
    struct port_address scoped = parsed("fe80::1");
    scoped.as.v6.sin6_scope_id = if_nametoindex("lo");
    address_set_port(&scoped, 1);
    assert_string_equal(port_address_text(text, &scoped), "[fe80::1%lo]:1");
    scoped.as.v6.sin6_scope_id = 4000000000u;
    assert_string_equal(port_address_text(text, &scoped), "[fe80::1%4000000000]:1");
}

static void a_mapped_address_becomes_plain(void **state)
{
    (void)state;
    char text[PORT_ADDRESS_TEXT];
    struct port_address address = parsed("::ffff:10.0.0.7");
    struct port_address plain = parsed("10.0.0.7");
    address_set_port(&address, 99);
    address_unmap(&address);
    assert_string_equal(port_address_text(text, &address), "10.0.0.7:99");
    assert_false(port_address_equal(&address, &plain));
    address_set_port(&plain, 99);
    assert_true(port_address_equal(&address, &plain));
    address = parsed("2001:db8::7");
    address_unmap(&address);
    assert_int_equal(address.as.any.sa_family, AF_INET6);
}

static void reach_follows_the_registries(void **state)
{
    (void)state;
    const struct {
        const char *ip;
        enum address_reach reach;
    } cases[] = {
        {"8.8.8.8", ADDRESS_GLOBAL},         {"172.15.0.1", ADDRESS_GLOBAL},
        {"172.16.0.1", ADDRESS_PRIVATE},     {"172.31.255.1", ADDRESS_PRIVATE},
        {"172.32.0.1", ADDRESS_GLOBAL},      {"192.168.1.1", ADDRESS_PRIVATE},
        {"100.64.0.1", ADDRESS_PRIVATE},     {"100.128.0.1", ADDRESS_GLOBAL},
        {"169.254.7.7", ADDRESS_LINK_LOCAL}, {"127.9.9.9", ADDRESS_LOOPBACK},
        {"2001:4860::8888", ADDRESS_GLOBAL}, {"fc00::1", ADDRESS_PRIVATE},
        {"fdff::1", ADDRESS_PRIVATE},        {"fe80::1", ADDRESS_LINK_LOCAL},
        {"::1", ADDRESS_LOOPBACK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct port_address address = parsed(cases[i].ip);
        assert_int_equal(address_reach(&address), cases[i].reach);
    }
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1); /* refusals are expected */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_address_comes_first_and_loopback_last),
        cmocka_unit_test(names_and_prefixes_select),
        cmocka_unit_test(a_bad_selection_names_what_exists),
        cmocka_unit_test(a_restricted_set_allows_only_its_own),
        cmocka_unit_test(one_dials_from_the_nearest_address),
        cmocka_unit_test(more_addresses_than_fit_are_left_out),
        cmocka_unit_test(this_machine_has_loopback),
        cmocka_unit_test(addresses_read_as_people_write_them),
        cmocka_unit_test(a_mapped_address_becomes_plain),
        cmocka_unit_test(reach_follows_the_registries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
