/* What is decided about a port without a device: its address, its rate, the user's wish. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "transport/verbs/gid.h"
#include "transport/verbs/rate.h"
#include "transport/verbs/wish.h"

static union ibv_gid gid_of(const char *text)
{
    union ibv_gid gid = {.raw = {[10] = 0xff, [11] = 0xff}};
    if (strchr(text, ':') != NULL) {
        assert_int_equal(inet_pton(AF_INET6, text, gid.raw), 1);
    } else {
        assert_int_equal(inet_pton(AF_INET, text, gid.raw + 12), 1);
    }
    return gid;
}

static void reach_of_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        enum gid_reach reach;
    } cases[] = {{"10.77.0.1", GID_ROUTABLE},   {"192.168.1.1", GID_ROUTABLE},
                 {"169.254.3.4", GID_LINK},     {"127.0.0.1", GID_HOST},
                 {"0.0.0.0", GID_NOWHERE},      {"224.0.0.1", GID_NOWHERE},
                 {"239.1.1.1", GID_NOWHERE},    {"255.255.255.255", GID_NOWHERE},
                 {"fe80::1", GID_LINK},         {"febf::1", GID_LINK},
                 {"fec0::1", GID_ROUTABLE},     {"fd00::1", GID_ROUTABLE},
                 {"2001:db8::1", GID_ROUTABLE}, {"::1", GID_HOST},
                 {"::", GID_NOWHERE},           {"ff02::1", GID_NOWHERE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[GID_TEXT_BYTES];
        union ibv_gid gid = gid_of(cases[i].address);
        assert_int_equal(gid_reach(&gid), cases[i].reach);
        assert_string_equal(gid_text(text, &gid), cases[i].address);
    }
}

static struct ibv_gid_entry entry(uint32_t index, enum ibv_gid_type type, const char *address)
{
    return (struct ibv_gid_entry){
        .gid = gid_of(address), .gid_index = index, .port_num = 1, .gid_type = type};
}

static int chosen(const struct ibv_gid_entry *entries, size_t count)
{
    const struct ibv_gid_entry *best = gid_choose(entries, count, 1);
    return best != NULL ? (int)best->gid_index : -1;
}

#define V1 IBV_GID_TYPE_ROCE_V1
#define V2 IBV_GID_TYPE_ROCE_V2

/* Each entry beats all those before it, in whatever order they stand. */
static void better_gids_are_chosen(void **state)
{
    (void)state;
    const struct ibv_gid_entry ladder[] = {
        entry(10, V1, "fe80::1"),    entry(9, V1, "169.254.1.1"), entry(8, V1, "2001:db8::1"),
        entry(7, V1, "10.0.0.1"),    entry(6, V2, "::1"),         entry(5, V2, "fe80::1"),
        entry(4, V2, "169.254.1.1"), entry(3, V2, "2001:db8::1"), entry(2, V2, "10.0.0.2"),
        entry(1, V2, "10.0.0.1"),
    };
    size_t all = sizeof ladder / sizeof ladder[0];
    for (size_t count = 1; count <= all; count++) {
        struct ibv_gid_entry turned[sizeof ladder / sizeof ladder[0]];
        for (size_t i = 0; i < count; i++) {
            turned[i] = ladder[count - 1 - i];
        }
        assert_int_equal(chosen(ladder, count), ladder[count - 1].gid_index);
        assert_int_equal(chosen(turned, count), ladder[count - 1].gid_index);
    }
}

static void entries_that_cannot_be_used(void **state)
{
    (void)state;
    struct ibv_gid_entry entries[] = {entry(0, V2, "::"), entry(1, V2, "224.0.0.1"),
                                      entry(256, V2, "10.0.0.1"), entry(3, V2, "10.0.0.1")};
    entries[3].port_num = 2;
    assert_int_equal(chosen(entries, 4), -1);
    assert_int_equal(chosen(entries, 0), -1);
    assert_null(gid_at(entries, 4, 1, 0));
    assert_null(gid_at(entries, 4, 1, 3));
    assert_ptr_equal(gid_at(entries, 4, 2, 3), &entries[3]);
}

static void a_list_of_gids_is_cut(void **state)
{
    (void)state;
    char text[200], small[20];
    const struct ibv_gid_entry entries[] = {entry(0, V1, "fe80::1"), entry(2, V2, "10.0.0.1"),
                                            entry(3, IBV_GID_TYPE_IB, "fe80::2")};
    assert_string_equal(gid_list(text, sizeof text, entries, 3, 1),
                        "0 RoCE v1 fe80::1, 2 RoCE v2 10.0.0.1, 3 InfiniBand fe80::2");
    assert_string_equal(gid_list(small, sizeof small, entries, 3, 1), "0 RoCE v1 fe80::1, ");
    assert_string_equal(gid_list(text, sizeof text, entries, 3, 2), "");
}

static void rates_of_ports(void **state)
{
    (void)state;
    static const struct {
        uint32_t speed, width;
        uint64_t infiniband_Mbit, ethernet_Mbit;
    } cases[] = {
        {1, 2, 8000, 10000},
        {4, 2, 32000, 40000},
        {8, 2, 40000, 40000},
        {16, 2, 54544, 56000},
        {32, 1, 25000, 25000},
        {32, 2, 100000, 100000},
        {64, 2, 200000, 200000},
        {64, 16, 100000, 100000},
        {128, 2, 400000, 400000},
        {128, 4, 800000, 800000},
        {256, 2, 800000, 800000},
        {32, 8, 300000, 300000},
        {0, 2, 0, 0},
        {32, 0, 0, 0},
        {3, 2, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(rate_of(cases[i].speed, cases[i].width, false) ==
                    cases[i].infiniband_Mbit * 125000);
        assert_true(rate_of(cases[i].speed, cases[i].width, true) ==
                    cases[i].ethernet_Mbit * 125000);
    }
}

/* 1x SDR on Ethernet is what drivers say when they do not know. */
static void an_unknown_rate_is_none(void **state)
{
    (void)state;
    struct ibv_port_attr attributes = {
        .link_layer = IBV_LINK_LAYER_ETHERNET, .active_speed = 1, .active_width = 1};
    assert_true(rate_of_port(&attributes, 0) == 0);
    assert_true(rate_of_port(&attributes, 0x7fffffff) == 0);
    attributes.active_width = 2;
    assert_true(rate_of_port(&attributes, 0) == 1250000000);
    attributes.link_layer = IBV_LINK_LAYER_INFINIBAND;
    assert_true(rate_of_port(&attributes, 0) == 1000000000);
}

static void wishes_are_taken_apart(void **state)
{
    (void)state;
    struct wish_port wanted[DEVICE_RAILS_MAX];
    unsigned count = 0;
    assert_int_equal(wish_parse(wanted, &count, "mlx5_0,mlx5_1:2,rxe0:255"), KOLO_OK);
    assert_int_equal(count, 3);
    assert_string_equal(wanted[0].device, "mlx5_0");
    assert_int_equal(wanted[0].number, 0);
    assert_string_equal(wanted[1].device, "mlx5_1");
    assert_int_equal(wanted[1].number, 2);
    assert_int_equal(wanted[2].number, 255);
    assert_int_equal(wish_parse(wanted, &count, "a:1,a:2,b,c"), KOLO_OK);
    assert_int_equal(wish_parse(wanted, &count, "a,b,c,d,e"), KOLO_ERR_LIMIT);
}

static const char a_long_name[] =
    "a_device_of_a_name_that_is_longer_than_the_kernel_lets_it_be_64_bytes";

static void wishes_that_mean_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     ",",   "a,",    ",a",      "a,,b",     ":1",
                                      "a:",   "a:0", "a:x",   "a:-1",    "a:256",    "a:1:2",
                                      "a:1 ", "a,a", "a,a:1", "a:2,a:2", a_long_name};
    struct wish_port wanted[DEVICE_RAILS_MAX];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unsigned count = 0;
        assert_int_equal(wish_parse(wanted, &count, bad[i]), KOLO_ERR_ARGUMENT);
        assert_true(count < DEVICE_RAILS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reach_of_addresses),
        cmocka_unit_test(better_gids_are_chosen),
        cmocka_unit_test(entries_that_cannot_be_used),
        cmocka_unit_test(a_list_of_gids_is_cut),
        cmocka_unit_test(rates_of_ports),
        cmocka_unit_test(an_unknown_rate_is_none),
        cmocka_unit_test(wishes_are_taken_apart),
        cmocka_unit_test(wishes_that_mean_nothing),
    };
    return cmocka_run_group_tests_name("gid", tests, NULL, NULL);
}
