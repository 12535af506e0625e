/* The resolver: many routes at once, answers late, bad and unwanted, and its descriptor. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka needs some of those before it */
#include <cmocka.h>

#include "runtime/base/clock.h"
#include "tests/transport/verbs/fake/fake.h"
#include "transport/verbs/device.h"
#include "transport/verbs/resolver.h"

#define ROUTES 100 /* more than there are threads */
#define PATIENCE_NS (20 * NS_PER_S)

static struct devices devices;
static struct resolver *resolver;
static struct resolution *routes[ROUTES];

static int set_up(void **state)
{
    (void)state;
    struct device_wish wish = {.gid_index = -1};
    fake_start(1, NULL);
    assert_int_equal(devices_open(&devices, &wish), KOLO_OK);
    assert_int_equal(resolver_open(&resolver), KOLO_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    resolver_close(resolver);
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
    return 0;
}

static void ask(unsigned count)
{
    struct ibv_ah_attr route = {.port_num = 1, .is_global = 1};
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(resolver_ask(&routes[i], resolver, devices.port[0].pd, &route), KOLO_OK);
    }
}

static bool is_readable(int timeout_ms)
{
    struct pollfd fd = {.fd = resolver_fd(resolver), .events = POLLIN};
    return poll(&fd, 1, timeout_ms) == 1;
}

static int await(const struct resolution *route)
{
    int error = -1;
    uint64_t deadline_ns = clock_now_ns() + PATIENCE_NS;
    while (!resolution_is_done(route, &error)) {
        assert_true(is_readable((int)(PATIENCE_NS / NS_PER_MS)));
        resolver_hear(resolver);
        assert_true(clock_now_ns() < deadline_ns);
    }
    return error;
}

static void all_are_answered(void **state)
{
    (void)state;
    int error;
    fake_hold_resolving(true);
    ask(ROUTES);
    for (unsigned i = 0; i < ROUTES; i++) {
        assert_false(resolution_is_done(routes[i], &error));
    }
    assert_false(is_readable(0));
    fake_hold_resolving(false);
    for (unsigned i = 0; i < ROUTES; i++) {
        assert_int_equal(await(routes[i]), 0);
        resolution_end(routes[i]);
    }
    assert_int_equal(fake_calls(FAKE_VERB_CREATE_AH), ROUTES);
    resolver_hear(resolver);
    assert_false(is_readable(0));
}

static void unwanted_ones_disturb_nobody(void **state)
{
    (void)state;
    fake_hold_resolving(true);
    ask(ROUTES);
    for (unsigned i = 0; i < ROUTES; i += 2) { /* with a thread, and waiting for one */
        resolution_end(routes[i]);
    }
    fake_hold_resolving(false);
    for (unsigned i = 1; i < ROUTES; i += 2) {
        assert_int_equal(await(routes[i]), 0);
        resolution_end(routes[i]);
    }
}

/* Threads are gone when there is nothing to ask; later routes get new ones. */
static void one_after_the_other(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUTES; i++) {
        ask(1);
        assert_int_equal(await(routes[0]), 0);
        resolution_end(routes[0]);
    }
}

static void what_the_kernel_says(void **state)
{
    (void)state;
    const struct {
        int said, answer;
    } errors[] = {
        {ETIMEDOUT, ETIMEDOUT},
        {EHOSTUNREACH, EHOSTUNREACH},
        {ENETUNREACH, ENETUNREACH},
        {EOPNOTSUPP, 0}, /* the device has no handles: that says nothing of the neighbour */
        {ENOMEM, 0}};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        fake_fail(FAKE_VERB_CREATE_AH, 1, errors[i].said);
        ask(1);
        assert_int_equal(await(routes[0]), errors[i].answer);
        resolution_end(routes[0]);
    }
}

static void nothing_to_end(void **state)
{
    (void)state;
    resolution_end(NULL);
    resolver_close(NULL);
    assert_false(is_readable(0));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_are_answered),    TEST(unwanted_ones_disturb_nobody),
        TEST(one_after_the_other), TEST(what_the_kernel_says),
        TEST(nothing_to_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
