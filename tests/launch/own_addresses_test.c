/* What a process says of where it listens can be read by those it says it to. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "runtime/launch/launch.h"
#include "runtime/membership/contacts.h"

static struct launch launch;

static struct port_address address(const char *host, uint16_t port)
{
    struct port_address made = {0};
    if (inet_pton(AF_INET, host, &made.as.v4.sin_addr) == 1) {
        made.as.v4.sin_family = AF_INET;
        made.as.v4.sin_port = htons(port);
        return made;
    }
    assert_int_equal(inet_pton(AF_INET6, host, &made.as.v6.sin6_addr), 1);
    made.as.v6.sin6_family = AF_INET6;
    made.as.v6.sin6_port = htons(port);
    return made;
}

static void only_what_others_can_reach(void **state)
{
    (void)state;
    const struct port_address own[] = {address("fd00::7", 42), address("10.0.0.7", 42),
                                       address("fe80::7", 42), address("127.0.0.2", 42),
                                       address("::1", 42)};
    char text[CONTACTS_TEXT_MAX];
    assert_int_equal(contacts_text(text, own, 5), 2);
    assert_string_equal(text, "[fd00::7]:42,10.0.0.7:42");
    assert_int_equal(contacts_text(text, own + 2, 3), 0);
    assert_string_equal(text, "");
}

static void as_many_as_there_can_be_fit(void **state)
{
    (void)state;
    struct port_address own[PORT_ADDRESSES_MAX];
    for (unsigned i = 0; i < PORT_ADDRESSES_MAX; i++) {
        char host[64];
        snprintf(host, sizeof host, "2001:db81:1111:2222:3333:4444:5555:666%u", i);
        own[i] = address(host, 65535);
    }
    char text[CONTACTS_TEXT_MAX];
    assert_int_equal(contacts_text(text, own, PORT_ADDRESSES_MAX), PORT_ADDRESSES_MAX);
    memset(&launch, 0, sizeof launch);
    assert_int_equal(launch_add_addresses(&launch, text), KOLO_OK);
    assert_int_equal(launch.contacts, PORT_ADDRESSES_MAX);
    assert_string_equal(launch.contact[7].host, "2001:db81:1111:2222:3333:4444:5555:6667");
    assert_int_equal(launch.contact[7].port, 65535);
}

static void no_more_contacts_than_fit(void **state)
{
    (void)state;
    memset(&launch, 0, sizeof launch);
    char text[32];
    for (int i = 0; i < LAUNCH_CONTACTS_MAX; i++) {
        snprintf(text, sizeof text, "10.0.0.1:%d", i + 1);
        assert_int_equal(launch_add_addresses(&launch, text), KOLO_OK);
    }
    assert_int_equal(launch_add_addresses(&launch, text), KOLO_OK); /* known */
    assert_int_equal(launch_add_addresses(&launch, "10.0.0.1:1000"), KOLO_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_others_can_reach),
        cmocka_unit_test(as_many_as_there_can_be_fit),
        cmocka_unit_test(no_more_contacts_than_fit),
    };
    return cmocka_run_group_tests_name("own_addresses", tests, NULL, NULL);
}
