/* Cuts, deaths and slow detection in the simulated network: each at the nanosecond it is meant for. */
#include "tests/transport/sim/lab.h"

#define PATIENCE_NS 1000000 /* of every peer in these tests */

static uint8_t out_bytes[100000];
static uint8_t in_bytes[100000];

static void three_peers(struct lab *lab)
{
    struct sim_network_config config = lab_config();
    lab_open(lab, &config, 3, PATIENCE_NS);
    lab_connect(lab);
    lab_run(lab);
    lab_trace_clear(lab);
}

static kolo_status why(const struct lab *lab, unsigned a, unsigned b)
{
    kolo_status status = KOLO_OK;
    transport_sim.link_state(lab->links[a][b], &status, NULL);
    return status;
}

static void short_cut_delays(void **state)
{
    (void)state;
    struct lab lab;
    three_peers(&lab);
    uint64_t now_ns = sim_network_now_ns(lab.network);
    struct transfer out[2] = {lab_transfer(out_bytes, 5000), lab_transfer(out_bytes, 5000)};
    struct transfer in[2] = {lab_transfer(in_bytes, 5000), lab_transfer(in_bytes, 5000)};
    uint64_t healed_ns = now_ns + PATIENCE_NS / 2;
    assert_int_equal(sim_network_cut(lab.network, lab.ids[1], lab.ids[0], now_ns + 3000, healed_ns),
                     KOLO_OK);
    lab_send(&lab, 0, 1, 0, &out[0]);
    lab_receive(&lab, 1, 0, 0, &in[0]);
    lab_send(&lab, 0, 2, 0, &out[1]);
    lab_receive(&lab, 2, 0, 0, &in[1]);
    assert_int_equal(lab_run_transfer(&lab, &in[1]), now_ns + 6000); /* this link is whole */
    assert_int_equal(in[0].moved, 1000); /* arrived at 2000; what is due at 3000 meets the cut */
    assert_int_equal(lab_run_transfer(&lab, &in[0]), healed_ns + 1000);
    assert_int_equal(in[0].state, TRANSFER_DONE);
    lab_run(&lab);
    assert_int_equal(lab_state(&lab, 0, 1), LINK_UP);
    assert_int_equal(lab_state(&lab, 1, 0), LINK_UP);
    lab_close(&lab);
}

static void long_cut_loses_both_ends(void **state)
{
    (void)state;
    struct lab lab;
    three_peers(&lab);
    uint64_t from_ns = sim_network_now_ns(lab.network) + 10000;
    struct transfer in = lab_transfer(in_bytes, 10);
    lab_receive(&lab, 1, 0, 0, &in);
    assert_int_equal(
        sim_network_cut(lab.network, lab.ids[0], lab.ids[1], from_ns, from_ns + 5 * PATIENCE_NS),
        KOLO_OK);
    lab_run_until(&lab, from_ns + PATIENCE_NS - 1);
    assert_int_equal(lab_state(&lab, 0, 1), LINK_UP);
    lab_run_until(&lab, from_ns + PATIENCE_NS);
    assert_int_equal(lab_state(&lab, 0, 1), LINK_LOST);
    assert_int_equal(lab_state(&lab, 1, 0), LINK_LOST);
    assert_int_equal(why(&lab, 1, 0), KOLO_ERR_PEER_LOST);
    assert_int_equal(in.state, TRANSFER_FAILED);
    assert_int_equal(in.status, KOLO_ERR_PEER_LOST);
    assert_int_equal(lab_state(&lab, 0, 2), LINK_UP);
    assert_int_equal(lab_state(&lab, 1, 2), LINK_UP);
    lab_run(&lab);
    lab_close(&lab);
}

static void host_cut_off_loses_all_its_links(void **state)
{
    (void)state;
    struct lab lab;
    three_peers(&lab);
    uint64_t now_ns = sim_network_now_ns(lab.network);
    assert_int_equal(sim_network_cut(lab.network, lab.ids[2], NULL, now_ns, CLOCK_FOREVER),
                     KOLO_OK);
    lab_run_until(&lab, now_ns + PATIENCE_NS);
    assert_int_equal(lab_state(&lab, 0, 2), LINK_LOST);
    assert_int_equal(lab_state(&lab, 1, 2), LINK_LOST);
    assert_int_equal(lab_state(&lab, 2, 0), LINK_LOST);
    assert_int_equal(lab_state(&lab, 0, 1), LINK_UP);
    lab_close(&lab);
}

static void cut_before_linking_delays_it(void **state)
{
    (void)state;
    struct lab lab;
    struct sim_network_config config = lab_config();
    lab_open(&lab, &config, 2, PATIENCE_NS);
    assert_int_equal(sim_network_cut(lab.network, lab.ids[0], lab.ids[1], 0, 400000), KOLO_OK);
    lab_connect(&lab);
    assert_non_null(strstr(lab.trace, "401000 ns: 0 is linked with peer 1\n"));
    lab_close(&lab);
}

static void killed_peer_is_noticed_after_detection(void **state)
{
    (void)state;
    struct lab lab;
    three_peers(&lab);
    uint64_t now_ns = sim_network_now_ns(lab.network);
    struct transfer in = lab_transfer(in_bytes, 10);
    struct transfer out = lab_transfer(out_bytes, 10);
    lab_receive(&lab, 0, 2, 1, &in);
    assert_true(sim_network_kill(lab.network, lab.ids[2]));
    assert_false(sim_network_kill(lab.network, lab.ids[2])); /* dead is dead */
    lab_send(&lab, 2, 0, 1, &out);                           /* the dead do nothing */
    assert_false(transport_sim.progress(lab.transports[2]));
    lab_run_until(&lab, now_ns + 4999);
    assert_int_equal(lab_state(&lab, 0, 2), LINK_UP);
    lab_run_until(&lab, now_ns + 5000);
    assert_int_equal(lab_state(&lab, 0, 2), LINK_LOST);
    assert_int_equal(lab_state(&lab, 1, 2), LINK_LOST);
    assert_int_equal(in.state, TRANSFER_FAILED);
    assert_int_equal(in.status, KOLO_ERR_PEER_LOST);
    assert_int_equal(in.moved, 0);
    assert_int_equal(lab_state(&lab, 0, 1), LINK_UP);
    lab_close(&lab);
}

static void what_left_before_death_arrives(void **state)
{
    (void)state;
    struct lab lab;
    three_peers(&lab);
    struct transfer out = lab_transfer(out_bytes, 100);
    struct transfer in = lab_transfer(in_bytes, 100);
    lab_receive(&lab, 0, 2, 0, &in);
    lab_send(&lab, 2, 0, 0, &out);
    assert_true(sim_network_kill(lab.network, lab.ids[2]));
    lab_run(&lab);
    assert_int_equal(in.state, TRANSFER_DONE);
    assert_int_equal(lab_state(&lab, 0, 2), LINK_LOST);
    lab_close(&lab);
}

static void dead_peer_can_come_back(void **state)
{
    (void)state;
    struct lab lab;
    three_peers(&lab);
    assert_true(sim_network_kill(lab.network, lab.ids[2]));
    lab_run(&lab);
    transport_sim.destroy(lab.transports[2]);
    transport_sim.link_close(lab.links[0][2]);
    transport_sim.link_close(lab.links[1][2]);
    lab.links[0][2] = NULL;
    struct transport_config config = {.peer_timeout_ns = PATIENCE_NS, .wire = lab.network};
    memcpy(config.self, lab.ids[2], sizeof config.self);
    assert_int_equal(transport_sim.create(&lab.transports[2], &config), KOLO_OK);
    uint8_t offers[2][TRANSPORT_OFFER_BYTES];
    size_t bytes[2];
    struct link_config ends[2] = {{.dials = true, .token = 9}, {.token = 9}};
    memcpy(ends[0].peer, lab.ids[2], TRANSPORT_ID_BYTES);
    memcpy(ends[1].peer, lab.ids[0], TRANSPORT_ID_BYTES);
    assert_int_equal(transport_sim.link_create(&lab.links[0][2], offers[0], &bytes[0],
                                               lab.transports[0], &ends[0]),
                     KOLO_OK);
    assert_int_equal(transport_sim.link_create(&lab.links[2][0], offers[1], &bytes[1],
                                               lab.transports[2], &ends[1]),
                     KOLO_OK);
    assert_int_equal(transport_sim.link_connect(lab.links[0][2], offers[1], bytes[1]), KOLO_OK);
    assert_int_equal(transport_sim.link_connect(lab.links[2][0], offers[0], bytes[0]), KOLO_OK);
    lab_run(&lab);
    assert_int_equal(lab_state(&lab, 0, 2), LINK_UP);
    assert_int_equal(lab_state(&lab, 2, 0), LINK_UP);
    lab_close(&lab);
}

/* Random cuts, shorter than anybody's patience: all of it arrives, in order, only later. */
static void random_cuts_lose_nothing(void **state)
{
    (void)state;
    struct lab lab;
    struct sim_network_config config = lab_config();
    config.cuts_per_s = 5000;
    config.cut_most_ns = PATIENCE_NS / 2;
    config.window_bytes = 5000;
    lab_open(&lab, &config, 3, PATIENCE_NS);
    lab_connect(&lab);
    for (size_t i = 0; i < sizeof out_bytes; i++) {
        out_bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
    for (unsigned round = 0; round < 20; round++) {
        struct transfer out = lab_transfer(out_bytes, sizeof out_bytes);
        struct transfer in = lab_transfer(in_bytes, sizeof in_bytes);
        memset(in_bytes, 0, sizeof in_bytes);
        lab_send(&lab, round % 3, (round + 1) % 3, 0, &out);
        lab_receive(&lab, (round + 1) % 3, round % 3, 0, &in);
        lab_run_transfer(&lab, &in);
        assert_int_equal(in.state, TRANSFER_DONE);
        assert_memory_equal(in_bytes, out_bytes, sizeof in_bytes);
    }
    assert_non_null(strstr(lab.trace, " cut for "));
    assert_null(strstr(lab.trace, " loses "));
    lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_cut_delays),
        cmocka_unit_test(long_cut_loses_both_ends),
        cmocka_unit_test(host_cut_off_loses_all_its_links),
        cmocka_unit_test(cut_before_linking_delays_it),
        cmocka_unit_test(killed_peer_is_noticed_after_detection),
        cmocka_unit_test(what_left_before_death_arrives),
        cmocka_unit_test(dead_peer_can_come_back),
        cmocka_unit_test(random_cuts_lose_nothing),
    };
    return cmocka_run_group_tests_name("sim_faults", tests, NULL, NULL);
}
