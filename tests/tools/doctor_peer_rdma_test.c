/* What `kolo doctor HOST` says of the way of RDMA, for every end that a measurement can have; the measurement is this file's. Real
 * ones: tests/vm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* cmocka's, which takes no argument */

#include "runtime/base/status.h"
#include "tests/tools/doctor_host.h"
#include "tools/doctor_peer.h"
#include "tools/link.h"

#define CALLS_MAX 4

/* How the next measurements end, and what was asked. */
static struct {
    kolo_status status;
    size_t sizes; /* that are measured before */
    unsigned calls;
    char devices[CALLS_MAX][LINK_SIDES][LINK_DEVICE_BYTES];
} measuring;

kolo_status link_measure(struct link_record **records, size_t *count, const struct link_goal *goal)
{
    assert_string_equal(goal->host, "b.example");
    assert_int_equal(goal->port, 4777);
    assert_int_equal(link_request_check(&goal->request), KOLO_OK);
    assert_true(goal->request.size_count >= 2 && goal->request.size_bytes[0] < 256);
    assert_true(measuring.calls < CALLS_MAX);
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        strcpy(measuring.devices[measuring.calls][side], goal->request.ends[side].device);
    }
    measuring.calls++;
    *count = measuring.status == KOLO_OK ? goal->request.size_count : measuring.sizes;
    *records = calloc(*count + 1, sizeof **records);
    assert_non_null(*records);
    for (size_t i = 0; i < *count; i++) {
        (*records)[i] = (struct link_record){.bandwidth_Bps = 2.5e9, .latency_us.median = 7};
    }
    return measuring.status == KOLO_OK ? KOLO_OK : fail_quietly(measuring.status, "because of me");
}

static struct doctor_facts host_with(unsigned ports)
{
    struct doctor_facts facts = {.host = "b", .ports = ports};
    for (unsigned i = 0; i < ports; i++) {
        facts.port[i] = (struct doctor_fact_port){.ethernet = true, .mtu = 4096};
        snprintf(facts.port[i].name, DOCTOR_NAME_MAX, "mlx5_%u:1", i);
    }
    return facts;
}

static void look(const struct doctor_facts *here, const struct doctor_facts *there,
                 kolo_status status, size_t sizes)
{
    struct doctor_peer peer = {.host = "b.example", .port = 4777, .timeout_s = 1};
    memset(&measuring, 0, sizeof measuring);
    memset(&found, 0, sizeof found);
    measuring.status = status;
    measuring.sizes = sizes;
    doctor_peer_try_rdma(&found, &peer, here, there);
}

static void every_port_meets_its_partner(void **state)
{
    (void)state;
    struct doctor_facts here = host_with(2), there = host_with(2);
    look(&here, &there, KOLO_OK, 0);
    host_expect(DOCTOR_OK, "mlx5_1:1 and mlx5_1:1 on b reach each other", NULL, NULL);
    assert_int_equal(found.count, 2);
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        assert_string_equal(measuring.devices[0][side], "mlx5_0:1");
        assert_string_equal(measuring.devices[1][side], "mlx5_1:1");
    }
}

static void a_port_without_an_equal_meets_the_first_of_its_kind(void **state)
{
    (void)state;
    struct doctor_facts here = host_with(2), there = host_with(2);
    there.port[1].ethernet = false;
    look(&here, &there, KOLO_OK, 0);
    assert_string_equal(measuring.devices[1][LINK_SERVER], "mlx5_0:1");
    here.port[0].ethernet = here.port[1].ethernet = false;
    look(&here, &there, KOLO_OK, 0);
    assert_int_equal(measuring.calls, 2);
    assert_string_equal(measuring.devices[0][LINK_SERVER], "mlx5_1:1");
    there.port[1].ethernet = true;
    look(&here, &there, KOLO_OK, 0);
    assert_int_equal(measuring.calls, 0);
    assert_int_equal(found.count, 0); /* doctor_facts_compare() says it */
}

static void nothing_passes(void **state)
{
    (void)state;
    struct doctor_facts here = host_with(1), there = host_with(1);
    const kolo_status lost[] = {KOLO_ERR_PEER_LOST, KOLO_ERR_TIMEOUT};
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        look(&here, &there, lost[i], 0);
        host_expect(DOCTOR_ERROR, "no RDMA between mlx5_0:1 and mlx5_0:1 on b: because of me",
                    "UDP port 4791", "4791/udp");
    }
    here.port[0].ethernet = there.port[0].ethernet = false;
    look(&here, &there, KOLO_ERR_PEER_LOST, 0);
    host_expect(DOCTOR_ERROR, "no RDMA", "partitions", "pkeys");
}

static void only_small_messages_pass(void **state)
{
    (void)state;
    struct doctor_facts here = host_with(1), there = host_with(1);
    there.port[0].mtu = 1024;
    look(&here, &there, KOLO_ERR_PEER_LOST, 1);
    host_expect(DOCTOR_ERROR, "small messages pass between mlx5_0:1 and mlx5_0:1 on b, but large",
                "packets of 1024 bytes", "kolo perf link b.example --port 4777 --mtu");
}

static void what_was_not_measured_is_not_blamed_on_the_network(void **state)
{
    (void)state;
    struct doctor_facts here = host_with(1), there = host_with(1);
    look(&here, &there, KOLO_ERR_STATE, 0);
    host_expect(DOCTOR_NOTE, "could not be measured: because of me", "not known",
                "kolo doctor b.example");
    look(&here, &there, KOLO_ERR_SYSTEM, 0);
    host_expect(DOCTOR_WARNING, "could not be measured: because of me", "not known",
                "on both hosts");
    look(&here, &there, KOLO_ERR_ARGUMENT, 0);
    host_expect(DOCTOR_WARNING, "because of me", NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(every_port_meets_its_partner),
        HOST_TEST(a_port_without_an_equal_meets_the_first_of_its_kind),
        HOST_TEST(nothing_passes),
        HOST_TEST(only_small_messages_pass),
        HOST_TEST(what_was_not_measured_is_not_blamed_on_the_network),
    };
    return cmocka_run_group_tests_name("doctor_peer_rdma", tests, NULL, NULL);
}
