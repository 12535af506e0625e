#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/launch/launch.h"

static struct launch launch;

static int clear(void **state)
{
    (void)state;
    memset(&launch, 0, sizeof launch);
    return 0;
}

static void check_contact(unsigned i, const char *host, int port)
{
    assert_true(i < launch.contacts);
    assert_string_equal(launch.contact[i].host, host);
    assert_int_equal(launch.contact[i].port, port);
}

static void every_form(void **state)
{
    (void)state;
    assert_int_equal(
        launch_parse_peers(&launch, "host:1, 10.0.0.7:65535 ,[2001:db8::7]:4242,"
                                    "[fe80::1%eth0]:80,dns:ring.example:4000,file:/shared/run 7"),
        KOLO_OK);
    assert_int_equal(launch.contacts, 5);
    check_contact(0, "host", 1);
    check_contact(1, "10.0.0.7", 65535);
    check_contact(2, "2001:db8::7", 4242);
    check_contact(3, "fe80::1%eth0", 80);
    check_contact(4, "ring.example", 4000);
    assert_string_equal(launch.folder, "/shared/run 7");
}

static void a_folder_alone(void **state)
{
    (void)state;
    assert_int_equal(launch_parse_peers(&launch, "file:relative/path"), KOLO_OK);
    assert_int_equal(launch.contacts, 0);
    assert_string_equal(launch.folder, "relative/path");
}

static void empty_items_and_repetitions(void **state)
{
    (void)state;
    assert_int_equal(launch_parse_peers(&launch, ",a:1,,a:1 ,\n b:1,a:2,"), KOLO_OK);
    assert_int_equal(launch.contacts, 3);
    check_contact(0, "a", 1);
    check_contact(1, "b", 1);
    check_contact(2, "a", 2);
}

/* Each is refused, and the explanation has the item and the reason. */
static void malformed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *item, *reason;
    } cases[] = {
        {"host", "'host'", "no port"},
        {"host:", "'host:'", "no port"},
        {"host:http", "'host:http'", "no port"},
        {"a:1,:5", "':5'", "no host"},
        {"host:0", "'host:0'", "from 1 to 65535"},
        {"host:65536", "'host:65536'", "from 1 to 65535"},
        {"host:12x", "'host:12x'", "from 1 to 65535"},
        {"host:+5", "'host:+5'", "no port"},
        {"2001:db8::7:4242", "'2001:db8::7:4242'", "brackets"},
        {"[::1]", "'[::1]'", "']:port'"},
        {"[::1:80", "'[::1:80'", "']:port'"},
        {"[]:80", "'[]:80'", "no host"},
        {"dns:name", "'dns:name'", "no port"},
        {"file:", "'file:'", "no path"},
        {"file:/a,file:/b", "'file:/b'", "one shared folder"},
        {" , ,", "' , ,'", "names no contact"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clear(NULL);
        assert_int_equal(launch_parse_peers(&launch, cases[i].text), KOLO_ERR_ARGUMENT);
        if (strstr(kolo_last_error(), cases[i].item) == NULL ||
            strstr(kolo_last_error(), cases[i].reason) == NULL) {
            fail_msg("'%s': \"%s\" says neither %s nor %s", cases[i].text, kolo_last_error(),
                     cases[i].item, cases[i].reason);
        }
    }
}

static void too_long(void **state)
{
    (void)state;
    char text[3 * LAUNCH_FOLDER_MAX];
    memset(text, 'h', sizeof text);
    strcpy(text + LAUNCH_HOST_MAX - 1, ":80");
    assert_int_equal(launch_parse_peers(&launch, text), KOLO_OK);
    memset(text, 'h', sizeof text);
    strcpy(text + LAUNCH_HOST_MAX, ":80");
    assert_int_equal(launch_parse_peers(&launch, text), KOLO_ERR_ARGUMENT);
    memset(text, 'h', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(launch_parse_peers(&launch, text), KOLO_ERR_ARGUMENT);

    memset(text, 'p', sizeof text);
    memcpy(text, "file:", 5);
    text[5 + LAUNCH_FOLDER_MAX - 1] = '\0';
    assert_int_equal(launch_parse_peers(&launch, text), KOLO_OK);
    text[5 + LAUNCH_FOLDER_MAX - 1] = 'p';
    text[5 + LAUNCH_FOLDER_MAX] = '\0';
    clear(NULL);
    assert_int_equal(launch_parse_peers(&launch, text), KOLO_ERR_ARGUMENT);
}

static void too_many(void **state)
{
    (void)state;
    char text[16 * (LAUNCH_CONTACTS_MAX + 1)];
    size_t used = 0;
    for (int i = 0; i < LAUNCH_CONTACTS_MAX; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "h%d:80,", i);
    }
    assert_int_equal(launch_parse_peers(&launch, text), KOLO_OK);
    assert_int_equal(launch.contacts, LAUNCH_CONTACTS_MAX);
    snprintf(text + used, sizeof text - used, "more:80");
    clear(NULL);
    assert_int_equal(launch_parse_peers(&launch, text), KOLO_ERR_LIMIT);
    assert_non_null(strstr(kolo_last_error(), "256"));
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_form, clear),
        cmocka_unit_test_setup(a_folder_alone, clear),
        cmocka_unit_test_setup(empty_items_and_repetitions, clear),
        cmocka_unit_test(malformed),
        cmocka_unit_test_setup(too_long, clear),
        cmocka_unit_test_setup(too_many, clear),
    };
    return cmocka_run_group_tests_name("contacts", tests, NULL, NULL);
}
