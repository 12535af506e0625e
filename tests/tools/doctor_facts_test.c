/* What two hosts tell each other: every finding of comparing it, bytes that are no facts, and askers that misbehave. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "tests/tools/doctor_host.h"
#include "tools/doctor_facts.h"
#include "tools/doctor_peer.h"

static struct doctor_facts sample(const char *name)
{
    struct doctor_facts facts = {.mtu = 9000, .speed_Mbps = 100000, .back_port = 4242};
    snprintf(facts.host, sizeof facts.host, "%s", name);
    strcpy(facts.version, "0.1.0");
    strcpy(facts.interface, "eth2");
    facts.token = UINT64_C(0x123456789abcdef0);
    facts.ports = 1;
    facts.port[0] = (struct doctor_fact_port){
        .name = "mlx5_0:1", .ethernet = true, .mtu = 4096, .rate_Mbps = 100000};
    return facts;
}

static void compare(const struct doctor_facts *here, const struct doctor_facts *there)
{
    memset(&found, 0, sizeof found);
    doctor_facts_compare(&found, here, there);
}

static void alike(void **state)
{
    (void)state;
    struct doctor_facts here = sample("a"), there = sample("b");
    compare(&here, &there);
    host_expect(DOCTOR_OK, "mlx5_0:1 and mlx5_0:1 on b agree", NULL, NULL);
    assert_int_equal(found.count, 3);
}

static void different_versions(void **state)
{
    (void)state;
    struct doctor_facts here = sample("a"), there = sample("b");
    strcpy(there.version, "0.2.0");
    compare(&here, &there);
    host_expect(DOCTOR_WARNING, "0.1.0 here, and 0.2.0 on b", "refuse", "install");
}

static void different_mtu(void **state)
{
    (void)state;
    struct doctor_facts here = sample("a"), there = sample("b");
    there.mtu = 1500;
    compare(&here, &there);
    host_expect(DOCTOR_WARNING, "9000 here, eth2 on b has 1500", "dropped",
                "on b: sudo ip link set dev eth2 mtu 9000");
    compare(&there, &here);
    host_expect(DOCTOR_WARNING, "1500 here", NULL,
                "on this host: sudo ip link set dev eth2 mtu 9000");
    there.mtu = 0; /* unknown */
    compare(&here, &there);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
}

static void different_rates(void **state)
{
    (void)state;
    struct doctor_facts here = sample("a"), there = sample("b");
    there.speed_Mbps = 25000;
    there.port[0].rate_Mbps = 25000;
    compare(&here, &there);
    host_expect(DOCTOR_NOTE, "100000 Mbit/s here, eth2 on b at 25000", "slower", "ethtool");
    host_expect(DOCTOR_NOTE, "100 Gbit/s, mlx5_0:1 on b at 25", "slower", NULL);
}

static void rdma_that_does_not_fit(void **state)
{
    (void)state;
    struct doctor_facts here = sample("a"), there = sample("b");
    there.port[0].mtu = 1024;
    compare(&here, &there);
    host_expect(DOCTOR_WARNING, "4096 bytes, mlx5_0:1 on b of 1024", "dropped", "mtu 9000");
    there.port[0].ethernet = false;
    compare(&here, &there);
    host_expect(DOCTOR_WARNING, "is Ethernet (RoCE), and no port of b is", "fabrics",
                "LINK_TYPE_P1");
    there.ports = 0;
    compare(&here, &there);
    host_expect(DOCTOR_WARNING, "this host has a working RDMA port, b has none", "TCP",
                "kolo doctor");
    compare(&there, &here);
    host_expect(DOCTOR_WARNING, "a has a working RDMA port, this host has none", NULL, NULL);
}

static size_t encode(uint8_t bytes[DOCTOR_FACTS_BYTES], const struct doctor_facts *facts)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = DOCTOR_FACTS_BYTES};
    doctor_facts_put(&writer, facts);
    assert_false(writer.failed);
    return writer.length;
}

static void facts_travel(void **state)
{
    (void)state;
    uint8_t bytes[DOCTOR_FACTS_BYTES];
    struct doctor_facts sent = sample("a"), got;
    sent.ports = DOCTOR_FACTS_PORTS_MAX;
    for (unsigned i = 0; i < sent.ports; i++) {
        sent.port[i] = sent.port[0];
        memset(sent.port[i].name, 'x', DOCTOR_NAME_MAX - 1);
    }
    size_t length = encode(bytes, &sent);
    struct wire_reader reader = {.bytes = bytes, .length = length};
    doctor_facts_get(&got, &reader);
    assert_false(reader.failed);
    assert_string_equal(got.host, sent.host);
    assert_int_equal(got.token, sent.token);
    assert_int_equal(got.back_port, sent.back_port);
    assert_int_equal(got.ports, sent.ports);
    assert_string_equal(got.port[15].name, sent.port[15].name);
    assert_int_equal(got.port[15].rate_Mbps, 100000);
}

/* Cut anywhere they are refused; changed anywhere they are refused or harmless, and never unprintable. */
static void bytes_that_are_no_facts(void **state)
{
    (void)state;
    uint8_t bytes[DOCTOR_FACTS_BYTES];
    struct doctor_facts sent = sample("a"), got;
    size_t length = encode(bytes, &sent);
    for (size_t cut = 0; cut < length; cut++) {
        struct wire_reader reader = {.bytes = bytes, .length = cut};
        doctor_facts_get(&got, &reader);
        assert_true(reader.failed);
        assert_int_equal(got.ports, 0);
    }
    for (size_t at = 0; at < length; at++) {
        for (unsigned change = 1; change < 256; change += 37) {
            bytes[at] = (uint8_t)(bytes[at] ^ change);
            struct wire_reader reader = {.bytes = bytes, .length = length};
            doctor_facts_get(&got, &reader);
            assert_in_range(got.ports, 0, DOCTOR_FACTS_PORTS_MAX);
            for (const char *text = got.host; *text != '\0'; text++) {
                assert_true((unsigned char)*text >= 0x20);
            }
            bytes[at] = (uint8_t)(bytes[at] ^ change);
        }
    }
}

static void this_hosts_facts(void **state)
{
    (void)state;
    struct doctor_facts facts;
    host_address("eth2", "10.0.0.7/24", true);
    host_put("/sys/class/net/eth2/mtu", "4200\n");
    host.links = 1;
    host.link[0] = (struct doctor_link){.name = "eth2", .speed_Mbps = 25000};
    host_device("mlx5_0", "4: ACTIVE\n", "Ethernet\n", "25 Gb/sec (1X EDR)\n");
    host_device("mlx5_1", "1: DOWN\n", "Ethernet\n", "25 Gb/sec (1X EDR)\n");
    doctor_facts_read(&facts, &host, &host.address[0].address);
    assert_string_equal(facts.host, "node7");
    assert_string_equal(facts.interface, "eth2");
    assert_int_equal(facts.mtu, 4200);
    assert_int_equal(facts.speed_Mbps, 25000);
    assert_int_equal(facts.ports, 1);
    assert_string_equal(facts.port[0].name, "mlx5_0:1");
    assert_int_equal(facts.port[0].rate_Mbps, 25000);
    assert_true(facts.port[0].ethernet);
}

/* Whatever comes, the answering end ends, and at once. */
static void askers_that_misbehave(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } said[] = {{"", 0},
                {"\xff\xff\xff\xff", 4},
                {"\x04\0\0\0\0\0\0\0", 8},
                {"\x02\0\0\0..", 6},
                {"\x08\0\0\0\x01\0\0\0\xff\xff..", 12}};
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        assert_int_equal(send(pair[0], said[i].bytes, said[i].length, 0), said[i].length);
        shutdown(pair[0], SHUT_WR);
        uint64_t begin_ns = clock_now_ns();
        doctor_peer_answer(pair[1], &host);
        assert_in_range(clock_now_ns() - begin_ns, 0, NS_PER_S);
        close(pair[0]);
        close(pair[1]);
    }
}

static void how_calls_end(void **state)
{
    (void)state;
    assert_int_equal(doctor_call_from(0), DOCTOR_CALL_WORKS);
    assert_int_equal(doctor_call_from(ECONNREFUSED), DOCTOR_CALL_REFUSED);
    assert_int_equal(doctor_call_from(ETIMEDOUT), DOCTOR_CALL_FILTERED);
    assert_int_equal(doctor_call_from(EHOSTUNREACH), DOCTOR_CALL_UNREACHABLE);
    assert_int_equal(doctor_call_from(ENETUNREACH), DOCTOR_CALL_UNREACHABLE);
    assert_int_equal(doctor_call_from(EMFILE), DOCTOR_CALL_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(alike),
        HOST_TEST(different_versions),
        HOST_TEST(different_mtu),
        HOST_TEST(different_rates),
        HOST_TEST(rdma_that_does_not_fit),
        HOST_TEST(facts_travel),
        HOST_TEST(bytes_that_are_no_facts),
        HOST_TEST(this_hosts_facts),
        HOST_TEST(askers_that_misbehave),
        HOST_TEST(how_calls_end),
    };
    return cmocka_run_group_tests_name("doctor_facts", tests, NULL, NULL);
}
