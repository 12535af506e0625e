/* Which devices and ports are used, and what is said when they cannot be, on devices that are made for it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/transport/verbs/fake/fake.h"
#include "transport/verbs/device.h"

static void said(const char *text)
{
    if (strstr(kolo_last_error(), text) == NULL) {
        fail_msg("\"%s\" is not in: %s", text, kolo_last_error());
    }
}

static void open_ok(struct devices *devices, const char *names)
{
    struct device_wish wish = {.names = names, .gid_index = -1};
    assert_int_equal(devices_open(devices, &wish), KOLO_OK);
}

/* Opening fails so, and leaves nothing open. */
static void open_fails(const struct device_wish *wish, kolo_status status, const char *text)
{
    struct devices devices;
    assert_int_equal(devices_open(&devices, wish), status);
    assert_int_equal(devices.ports, 0);
    said(text);
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
}

static void named_fails(const char *names, kolo_status status, const char *text)
{
    open_fails(&(struct device_wish){.names = names, .gid_index = -1}, status, text);
}

static void the_ports_that_are_up_are_used(void **state)
{
    (void)state;
    struct devices devices;
    char text[160];
    fake_start(3, (struct fake_device[]){
                      {.ports = 2, .port = {{.down = true}}}, {0}, {.port = {{.down = true}}}});
    open_ok(&devices, NULL);
    assert_int_equal(devices.ports, 2);
    assert_string_equal(devices.port[0].name, "fake0");
    assert_int_equal(devices.port[0].number, 2);
    assert_string_equal(devices.port[1].name, "fake1");
    assert_true(devices.port[0].ethernet && devices.port[0].roce_v2 && !devices.port[0].iwarp);
    assert_int_equal(devices.port[0].mtu, IBV_MTU_4096);
    assert_true(devices.port[0].rate_Bps == 12500000000);
    assert_int_equal(devices.port[0].numa_node, -1);
    assert_string_equal(device_describe(text, sizeof text, &devices.port[1]),
                        "fake1:1, RoCE v2, GID 2 (10.77.1.1), MTU 4096, 12.5 GB/s");
    assert_string_equal(devices.port[1].reason,
                        "one of 2 ports that are up; GID 2 (10.77.1.1): the first RoCE v2 "
                        "GID that can be routed");
    devices_close(&devices);
    devices_close(&devices); /* harmless */
    assert_int_equal(fake_leaks(), 0);
}

static void the_fastest_ports_are_used(void **state)
{
    (void)state;
    struct devices devices;
    struct fake_device device[6] = {{0}};
    for (unsigned i = 0; i < 6; i++) {
        device[i].port[0].speed = i % 2 == 0 ? 32 : 64;
    }
    fake_start(6, device);
    open_ok(&devices, NULL);
    assert_int_equal(devices.ports, DEVICE_RAILS_MAX);
    assert_string_equal(devices.port[0].name, "fake1");
    assert_string_equal(devices.port[1].name, "fake3");
    assert_string_equal(devices.port[2].name, "fake5");
    assert_string_equal(devices.port[3].name, "fake0");
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
}

static void open_pairs(struct devices *devices, const char *names, unsigned pairs)
{
    struct device_wish wish = {.names = names, .gid_index = -1, .queue_pairs = pairs};
    assert_int_equal(devices_open(devices, &wish), KOLO_OK);
}

static void queue_pairs_repeat_the_ports(void **state)
{
    (void)state;
    struct devices devices;
    fake_start(3, NULL);
    open_pairs(&devices, "fake1,fake0", 2);
    assert_int_equal(devices.ports, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_string_equal(devices.port[i].name, i % 2 == 0 ? "fake1" : "fake0");
    }
    assert_ptr_equal(devices.port[0].context, devices.port[2].context);
    devices_close(&devices);
    open_pairs(&devices, NULL, 2); /* the two fastest of three */
    assert_int_equal(devices.ports, 4);
    assert_string_equal(devices.port[3].name, "fake1");
    devices_close(&devices);
    open_pairs(&devices, NULL, 3);
    assert_int_equal(devices.ports, 3);
    assert_string_equal(devices.port[2].name, "fake0");
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
}

static void more_ports_named_than_a_link_has(void **state)
{
    (void)state;
    struct devices devices;
    fake_start(2, (struct fake_device[]){{.ports = 4}, {.ports = 4}});
    open_ok(&devices, "fake1,fake0"); /* names of devices: all their ports */
    assert_int_equal(devices.ports, DEVICE_RAILS_MAX);
    assert_string_equal(devices.port[3].name, "fake1");
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
}

static void more_queue_pairs_than_a_link_has(void **state)
{
    (void)state;
    struct devices devices;
    struct device_wish wish = {.names = "fake0,fake1", .gid_index = -1, .queue_pairs = 3};
    fake_start(2, NULL);
    assert_int_equal(devices_open(&devices, &wish), KOLO_ERR_LIMIT);
    assert_non_null(
        strstr(kolo_last_error(), "3 queue pairs on each of 2 RDMA ports (fake0,fake1)"));
    assert_non_null(strstr(kolo_last_error(), "at most 4"));
    devices_close(&devices);
    wish = (struct device_wish){.gid_index = -1, .queue_pairs = DEVICE_RAILS_MAX + 1};
    assert_int_equal(devices_open(&devices, &wish), KOLO_ERR_LIMIT);
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
}

static void ports_of_a_device_share_its_context(void **state)
{
    (void)state;
    struct devices devices;
    fake_start(2, (struct fake_device[]){{.ports = 4}, {.ports = 4}});
    open_ok(&devices, "fake1:4,fake0:2,fake1:1");
    assert_int_equal(devices.ports, 3);
    assert_int_equal(devices.port[0].number, 4);
    assert_string_equal(devices.port[1].name, "fake0");
    assert_true(devices.port[0].context != devices.port[1].context);
    assert_non_null(strstr(devices.port[0].reason, "port named by the user"));
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
    open_ok(&devices, "fake1");
    assert_int_equal(devices.ports, 4);
    assert_ptr_equal(devices.port[0].context, devices.port[3].context);
    assert_ptr_equal(devices.port[0].pd, devices.port[3].pd);
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
}

static void no_device_is_no_error(void **state)
{
    (void)state;
    struct devices devices;
    fake_start(0, NULL);
    open_ok(&devices, NULL);
    assert_int_equal(devices.ports, 0);
    devices_close(&devices);
    fake_start(1, (struct fake_device[]){{.port = {{.down = true}}}});
    open_ok(&devices, NULL);
    assert_int_equal(devices.ports, 0);
    devices_close(&devices);
    fake_start(1, NULL);
    fake_fail(FAKE_VERB_GET_DEVICE_LIST, 1, ENOSYS);
    open_ok(&devices, NULL);
    assert_int_equal(devices.ports, 0);
    assert_int_equal(fake_leaks(), 0);
}

static void names_that_are_none(void **state)
{
    (void)state;
    fake_start(2, NULL);
    named_fails("mlx5_0", KOLO_ERR_ARGUMENT,
                "there is no RDMA device \"mlx5_0\" here; there are: fake0, fake1");
    named_fails("fake0:2", KOLO_ERR_ARGUMENT, "fake0 has no port 2, but 1 of them");
    named_fails("fake0,mlx5_0", KOLO_ERR_ARGUMENT, "mlx5_0");
    named_fails("fake0,", KOLO_ERR_ARGUMENT, "names no RDMA port");
    named_fails("fake0,fake0:1", KOLO_ERR_ARGUMENT, "twice");
    named_fails("a,b,c,d,e", KOLO_ERR_LIMIT, "more than 4");
    fake_start(0, NULL);
    named_fails("fake0", KOLO_ERR_ARGUMENT, "there are: none");
}

static void named_ports_that_are_down(void **state)
{
    (void)state;
    fake_start(2, (struct fake_device[]){{.port = {{.down = true}}},
                                         {.port = {{.down = true, .infiniband = true}}}});
    named_fails("fake0", KOLO_ERR_SYSTEM, "set its network interface up");
    named_fails("fake0:1", KOLO_ERR_SYSTEM, "RDMA port fake0:1 is");
    named_fails("fake1", KOLO_ERR_SYSTEM, "look at the cable and the switch");
}

static void gids_by_wish(void **state)
{
    (void)state;
    struct devices devices;
    struct device_wish wish = {.gid_index = 0};
    fake_start(1, NULL);
    assert_int_equal(devices_open(&devices, &wish), KOLO_OK);
    assert_int_equal(devices.port[0].gid_index, 0);
    assert_false(devices.port[0].roce_v2);
    assert_non_null(strstr(devices.port[0].reason, "as asked for"));
    devices_close(&devices);
    wish.gid_index = 77;
    open_fails(&wish, KOLO_ERR_ARGUMENT, "fake0:1 has no GID 77; it has: 0 RoCE v1 fe80::");
    said(", 2 RoCE v2 10.77.0.1");
    wish.names = "fake0";
    open_fails(&wish, KOLO_ERR_ARGUMENT, "has no GID 77");
}

static void the_best_gid_there_is(void **state)
{
    (void)state;
    static const struct {
        struct fake_gid gid[3];
        uint8_t index;
        const char *reason;
    } cases[] = {
        {{{"fe80::1", IBV_GID_TYPE_ROCE_V1}}, 0, "RoCE v1, this Ethernet only"},
        {{{"fe80::1", IBV_GID_TYPE_ROCE_V1}, {"fe80::1", IBV_GID_TYPE_ROCE_V2}},
         1,
         "no routable address"},
        {{{"10.0.0.1", IBV_GID_TYPE_ROCE_V1}, {0}, {"2001:db8::1", IBV_GID_TYPE_ROCE_V2}},
         2,
         "can be routed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct devices devices;
        struct fake_device device = {0};
        memcpy(device.port[0].gid, cases[i].gid, sizeof cases[i].gid);
        fake_start(1, &device);
        open_ok(&devices, NULL);
        assert_int_equal(devices.ports, 1);
        assert_int_equal(devices.port[0].gid_index, cases[i].index);
        assert_non_null(strstr(devices.port[0].reason, cases[i].reason));
        devices_close(&devices);
        assert_int_equal(fake_leaks(), 0);
    }
}

static void infiniband_is_reached_by_lid(void **state)
{
    (void)state;
    struct devices devices;
    char text[160];
    fake_start(1, (struct fake_device[]){
                      {.port = {{.infiniband = true, .lid = 42, .mtu = IBV_MTU_2048}}}});
    open_ok(&devices, "fake0:1");
    assert_false(devices.port[0].ethernet || devices.port[0].roce_v2);
    assert_int_equal(devices.port[0].lid, 42);
    assert_int_equal(devices.port[0].gid_index, 0);
    assert_non_null(strstr(devices.port[0].reason, "reached by LID"));
    device_describe(text, sizeof text, &devices.port[0]);
    assert_non_null(strstr(text, "fake0:1, InfiniBand, LID 42, GID 0 ("));
    assert_non_null(strstr(text, "MTU 2048"));
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
}

static void iwarp_is_known(void **state)
{
    (void)state;
    struct devices devices;
    fake_start(1, (struct fake_device[]){{.iwarp = true}});
    open_ok(&devices, NULL);
    assert_int_equal(devices.ports, 1);
    assert_true(devices.port[0].iwarp);
    assert_non_null(strstr(devices.port[0].reason, "rdma_cm"));
    devices_close(&devices);
}

/* Each verb in turn: a device that fails is passed over, or is the error if it was named. */
static void devices_that_fail(void **state)
{
    (void)state;
    static const struct {
        enum fake_verb verb;
        int error;
        const char *text;
    } cases[] = {
        {FAKE_VERB_OPEN_DEVICE, EPERM, "no permission to open /dev/infiniband"},
        {FAKE_VERB_OPEN_DEVICE, EACCES, "no permission"},
        {FAKE_VERB_OPEN_DEVICE, ENOENT, "load ib_uverbs"},
        {FAKE_VERB_OPEN_DEVICE, EIO, "cannot be opened"},
        {FAKE_VERB_ALLOC_PD, ENOMEM, "cannot allocate a protection domain"},
        {FAKE_VERB_QUERY_DEVICE, EIO, "cannot query it"},
        {FAKE_VERB_QUERY_PORT, EIO, "cannot query RDMA port fake0:1"},
        {FAKE_VERB_QUERY_GID_TABLE, EIO, "GID table of fake0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct devices devices;
        fake_start(2, NULL);
        fake_fail(cases[i].verb, 1, cases[i].error);
        open_ok(&devices, NULL);
        assert_int_equal(devices.ports, 1);
        assert_string_equal(devices.port[0].name, "fake1");
        devices_close(&devices);
        assert_int_equal(fake_leaks(), 0);
        fake_fail(cases[i].verb, 1, cases[i].error);
        named_fails("fake0", KOLO_ERR_SYSTEM, cases[i].text);
    }
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ports_that_are_up_are_used),
        cmocka_unit_test(the_fastest_ports_are_used),
        cmocka_unit_test(queue_pairs_repeat_the_ports),
        cmocka_unit_test(more_ports_named_than_a_link_has),
        cmocka_unit_test(more_queue_pairs_than_a_link_has),
        cmocka_unit_test(ports_of_a_device_share_its_context),
        cmocka_unit_test(no_device_is_no_error),
        cmocka_unit_test(names_that_are_none),
        cmocka_unit_test(named_ports_that_are_down),
        cmocka_unit_test(gids_by_wish),
        cmocka_unit_test(the_best_gid_there_is),
        cmocka_unit_test(infiniband_is_reached_by_lid),
        cmocka_unit_test(iwarp_is_known),
        cmocka_unit_test(devices_that_fail),
    };
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
