/* The simulated network keeps its promises about time, rates, order, memory and replay. */
#include <stdio.h>

#include "tests/transport/sim/lab.h"

#define MESSAGE_BYTES 1000000

static uint8_t out_bytes[4][MESSAGE_BYTES];
static uint8_t in_bytes[4][MESSAGE_BYTES];

/* Send `length` bytes from a to b while nothing else happens. Returns how long it took, in ns. */
static uint64_t one_way_ns(struct lab *lab, unsigned a, unsigned b, size_t length)
{
    struct transfer out = lab_transfer(out_bytes[0], length);
    struct transfer in = lab_transfer(in_bytes[0], length);
    lab_run(lab);
    uint64_t start_ns = sim_network_now_ns(lab->network);
    lab_receive(lab, b, a, 0, &in);
    lab_send(lab, a, b, 0, &out);
    uint64_t end_ns = lab_run_transfer(lab, &in);
    assert_int_equal(in.state, TRANSFER_DONE);
    lab_run(lab);
    assert_int_equal(out.state, TRANSFER_DONE);
    return end_ns - start_ns;
}

static void time_is_latency_plus_bytes_over_rate(void **state)
{
    (void)state;
    struct lab lab;
    struct sim_network_config config = lab_config();
    lab_open(&lab, &config, 2, NS_PER_S);
    lab_connect(&lab);
    assert_int_equal(one_way_ns(&lab, 0, 1, 0), 1000);
    assert_int_equal(one_way_ns(&lab, 0, 1, 1), 1001);
    assert_int_equal(one_way_ns(&lab, 1, 0, MESSAGE_BYTES), 1000 + MESSAGE_BYTES);
    lab_close(&lab);
}

static void time_stands_still_when_nothing_is_left(void **state)
{
    (void)state;
    struct lab lab;
    struct sim_network_config config = lab_config();
    lab_open(&lab, &config, 2, NS_PER_S);
    lab_connect(&lab);
    lab_run(&lab);
    uint64_t now_ns = sim_network_now_ns(lab.network);
    assert_false(sim_network_advance(lab.network));
    assert_int_equal(sim_network_next_ns(lab.network), CLOCK_FOREVER);
    assert_int_equal(sim_network_now_ns(lab.network), now_ns);
    sim_network_advance_to(lab.network, now_ns + 77);
    assert_int_equal(sim_network_now_ns(lab.network), now_ns + 77);
    sim_network_advance_to(lab.network, now_ns);
    assert_int_equal(sim_network_now_ns(lab.network), now_ns + 77);
    lab_close(&lab);
}

/* Send MESSAGE_BYTES over each of the links a-b given. Returns how long all of it took. */
static uint64_t together_ns(struct lab *lab, unsigned count, const unsigned (*links)[2])
{
    struct transfer out[4];
    struct transfer in[4];
    lab_run(lab);
    uint64_t start_ns = sim_network_now_ns(lab->network);
    for (unsigned i = 0; i < count; i++) {
        out[i] = lab_transfer(out_bytes[i], MESSAGE_BYTES);
        in[i] = lab_transfer(in_bytes[i], MESSAGE_BYTES);
        lab_receive(lab, links[i][1], links[i][0], 0, &in[i]);
        lab_send(lab, links[i][0], links[i][1], 0, &out[i]);
    }
    uint64_t end_ns = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t done_ns = lab_run_transfer(lab, &in[i]);
        end_ns = done_ns > end_ns ? done_ns : end_ns;
    }
    lab_run(lab);
    return end_ns - start_ns;
}

static void ports_are_shared_by_links(void **state)
{
    (void)state;
    static const unsigned apart[][2] = {{0, 1}, {2, 3}};
    static const unsigned same_sender[][2] = {{0, 1}, {0, 2}};
    static const unsigned same_receiver[][2] = {{1, 0}, {2, 0}, {3, 0}};
    static const unsigned both_ways[][2] = {{0, 1}, {1, 0}};
    struct lab lab;
    struct sim_network_config config = lab_config();
    config.port_Bps = NS_PER_S;
    config.link_Bps = 0;
    lab_open(&lab, &config, 4, NS_PER_S);
    lab_connect(&lab);
    assert_in_range(together_ns(&lab, 2, apart), MESSAGE_BYTES, MESSAGE_BYTES + 3000);
    assert_in_range(together_ns(&lab, 2, same_sender), 2 * MESSAGE_BYTES, 2 * MESSAGE_BYTES + 3000);
    assert_in_range(together_ns(&lab, 3, same_receiver), 3 * MESSAGE_BYTES,
                    3 * MESSAGE_BYTES + 5000);
    assert_in_range(together_ns(&lab, 2, both_ways), MESSAGE_BYTES, MESSAGE_BYTES + 3000);
    lab_close(&lab);
}

static void slow_endpoint_is_slow(void **state)
{
    (void)state;
    struct lab lab;
    struct sim_network_config config = lab_config();
    uint8_t nobody[TRANSPORT_ID_BYTES] = {0};
    lab_open(&lab, &config, 3, NS_PER_S);
    lab_connect(&lab);
    assert_true(sim_network_slow(lab.network, lab.ids[1], NS_PER_S / 4));
    assert_false(sim_network_slow(lab.network, nobody, NS_PER_S / 4));
    assert_in_range(one_way_ns(&lab, 1, 0, 400000), 1600000, 1603000);
    assert_in_range(one_way_ns(&lab, 0, 1, 400000), 1600000, 1606000);
    assert_in_range(one_way_ns(&lab, 0, 2, 400000), 400000, 402000);
    lab_close(&lab);
}

static void shaped_link_differs(void **state)
{
    (void)state;
    struct lab lab;
    struct sim_network_config config = lab_config();
    lab_open(&lab, &config, 3, NS_PER_S);
    assert_int_equal(sim_network_shape(lab.network, lab.ids[2], lab.ids[0], 50000, NS_PER_S / 10),
                     KOLO_OK);
    lab_connect(&lab);
    assert_int_equal(one_way_ns(&lab, 0, 2, 1000), 50000 + 10000);
    assert_int_equal(one_way_ns(&lab, 2, 0, 1000), 50000 + 10000);
    assert_int_equal(one_way_ns(&lab, 0, 1, 1000), 1000 + 1000);
    lab_close(&lab);
}

static void window_bounds_rate_and_memory(void **state)
{
    (void)state;
    struct lab lab;
    struct sim_network_config config = lab_config();
    config.window_bytes = 4000;
    lab_open(&lab, &config, 2, NS_PER_S);
    lab_connect(&lab);
    struct transfer out = lab_transfer(out_bytes[0], MESSAGE_BYTES);
    struct transfer in = lab_transfer(in_bytes[0], MESSAGE_BYTES);
    lab_send(&lab, 0, 1, 0, &out);
    lab_run(&lab);
    assert_int_equal(out.state, TRANSFER_POSTED); /* nobody receives: one window, no more */
    assert_int_equal(out.moved, 4000);
    assert_int_equal(sim_network_held_bytes(lab.network), 4000);
    uint64_t start_ns = sim_network_now_ns(lab.network);
    lab_receive(&lab, 1, 0, 0, &in);
    uint64_t took_ns = lab_run_transfer(&lab, &in) - start_ns;
    /* A window a round trip (2000 ns and a packet's 1000), although the link could do it in a third of that. */
    assert_in_range(took_ns, MESSAGE_BYTES / 4000 * 2000, MESSAGE_BYTES / 4000 * 6000);
    assert_int_equal(sim_network_held_bytes(lab.network), 0);
    lab_close(&lab);
}

static void bytes_are_counted_by_endpoint(void **state)
{
    (void)state;
    struct lab lab;
    struct sim_network_config config = lab_config();
    uint8_t nobody[TRANSPORT_ID_BYTES] = {0};
    uint64_t sent;
    uint64_t received;
    lab_open(&lab, &config, 3, NS_PER_S);
    lab_connect(&lab);
    one_way_ns(&lab, 0, 1, 5000);
    one_way_ns(&lab, 1, 2, 300);
    one_way_ns(&lab, 2, 0, 0);
    assert_true(sim_network_count(lab.network, lab.ids[1], &sent, &received));
    assert_int_equal(sent, 300);
    assert_int_equal(received, 5000);
    assert_true(sim_network_count(lab.network, lab.ids[2], &sent, NULL));
    assert_int_equal(sent, 0);
    assert_false(sim_network_count(lab.network, nobody, &sent, &received));
    lab_close(&lab);
}

#define CHATTER_MESSAGES 40

/* Everybody sends everybody a few messages of mixed lengths on both lanes. */
static void chatter(struct lab *lab)
{
    static struct transfer out[3][3][2][CHATTER_MESSAGES];
    static struct transfer in[3][3][2][CHATTER_MESSAGES];
    for (unsigned i = 0; i < 3 * 3 * 2 * CHATTER_MESSAGES; i++) {
        unsigned a = i % 3;
        unsigned b = i / 3 % 3;
        unsigned lane = i / 9 % 2;
        unsigned number = i / 18;
        size_t length = (number * 977u) % 5000;
        if (a == b) {
            continue;
        }
        out[a][b][lane][number] = lab_transfer(out_bytes[0], length);
        in[a][b][lane][number] = lab_transfer(in_bytes[0], length);
        lab_send(lab, a, b, lane, &out[a][b][lane][number]);
        lab_receive(lab, b, a, lane, &in[a][b][lane][number]);
    }
    lab_run(lab);
    for (unsigned a = 0; a < 3; a++) {
        for (unsigned b = 0; b < 3; b++) {
            if (a != b) {
                assert_int_equal(in[a][b][0][CHATTER_MESSAGES - 1].state, TRANSFER_DONE);
                assert_int_equal(in[a][b][1][CHATTER_MESSAGES - 1].state, TRANSFER_DONE);
            }
        }
    }
}

static struct sim_network_config rough_config(uint64_t seed)
{
    struct sim_network_config config = lab_config();
    config.seed = seed;
    config.jitter_ns = 20000;
    config.reorder = true;
    config.cuts_per_s = 20000;
    config.cut_most_ns = 100000;
    return config;
}

static void same_seed_same_trace(void **state)
{
    (void)state;
    struct lab labs[3];
    static const uint64_t seeds[3] = {42, 42, 43};
    for (unsigned i = 0; i < 3; i++) {
        struct sim_network_config config = rough_config(seeds[i]);
        lab_open(&labs[i], &config, 3, NS_PER_S);
        lab_connect(&labs[i]);
        chatter(&labs[i]);
    }
    assert_true(labs[0].trace_bytes > 1000);
    assert_non_null(strstr(labs[0].trace, " cut for "));
    assert_string_equal(labs[0].trace, labs[1].trace);
    assert_string_not_equal(labs[0].trace, labs[2].trace);
    for (unsigned i = 0; i < 3; i++) {
        lab_close(&labs[i]);
    }
}

/* How often a message of one lane is traced after a later-sent one of the other; the order within a lane must hold. */
static unsigned overtakings(const char *trace)
{
    unsigned next[2] = {0, 0};
    unsigned count = 0;
    for (const char *line = strstr(trace, "0>1 lane "); line != NULL;
         line = strstr(line + 1, "0>1 lane ")) {
        unsigned lane;
        unsigned number;
        assert_int_equal(sscanf(line, "0>1 lane %u message %u:", &lane, &number), 2);
        assert_int_equal(number, next[lane]); /* never within a lane */
        next[lane]++;
        count += next[lane] > next[1 - lane] + 1;
    }
    assert_int_equal(next[0] + next[1], 2 * CHATTER_MESSAGES);
    return count;
}

static void lanes_overtake_only_when_told_to(void **state)
{
    (void)state;
    for (unsigned reorder = 0; reorder < 2; reorder++) {
        struct lab lab;
        struct sim_network_config config = lab_config();
        config.jitter_ns = 20000;
        config.reorder = reorder;
        lab_open(&lab, &config, 3, NS_PER_S);
        lab_connect(&lab);
        static struct transfer out[2][CHATTER_MESSAGES];
        static struct transfer in[2][CHATTER_MESSAGES];
        for (unsigned i = 0; i < 2 * CHATTER_MESSAGES; i++) {
            out[i % 2][i / 2] = lab_transfer(out_bytes[0], 10);
            in[i % 2][i / 2] = lab_transfer(in_bytes[0], 10);
            lab_receive(&lab, 1, 0, i % 2, &in[i % 2][i / 2]);
            lab_send(&lab, 0, 1, i % 2, &out[i % 2][i / 2]);
        }
        lab_run(&lab);
        unsigned count = overtakings(lab.trace);
        assert_true(reorder ? count > 0 : count == 0);
        lab_close(&lab);
    }
}

static void trace_reads_like_a_log(void **state)
{
    (void)state;
    struct lab lab;
    struct sim_network_config config = lab_config();
    lab_open(&lab, &config, 2, NS_PER_S);
    lab_connect(&lab);
    assert_string_equal(lab.trace, "1000 ns: 0 is linked with peer 1\n"
                                   "1000 ns: 1 is linked with peer 0\n");
    lab_trace_clear(&lab);
    one_way_ns(&lab, 0, 1, 2500);
    one_way_ns(&lab, 0, 1, 0);
    transport_sim.link_close(lab.links[0][1]);
    lab_run(&lab);
    /* From 1000000 on; a credit comes back in 1000 ns. */
    assert_string_equal(lab.trace, "1003500 ns: 0>1 lane 0 message 0: 2500 bytes\n"
                                   "1005500 ns: 0>1 lane 0 message 1: 0 bytes\n"
                                   "1007500 ns: 1 loses peer 0 closed its end\n");
    lab_close(&lab);
}

static void nonsensical_configurations_are_refused(void **state)
{
    (void)state;
    struct sim_network *network = NULL;
    struct sim_network_config config = lab_config();
    config.segment_bytes = 0;
    assert_int_equal(sim_network_create(&network, &config), KOLO_ERR_ARGUMENT);
    config = lab_config();
    config.window_messages = 0;
    assert_int_equal(sim_network_create(&network, &config), KOLO_ERR_ARGUMENT);
    config = lab_config();
    config.span_bytes = SIM_SPAN_MIN - 1;
    assert_int_equal(sim_network_create(&network, &config), KOLO_ERR_ARGUMENT);
    config = lab_config();
    config.window_bytes = (size_t)SIM_WINDOW_MAX + 1;
    assert_int_equal(sim_network_create(&network, &config), KOLO_ERR_ARGUMENT);
    assert_null(network);
}

static void networks_do_not_touch(void **state)
{
    (void)state;
    struct lab labs[2];
    struct sim_network_config config = lab_config();
    uint8_t offers[2][TRANSPORT_OFFER_BYTES];
    size_t bytes[2];
    for (unsigned i = 0; i < 2; i++) {
        struct link_config link = {.dials = i == 0, .token = 5};
        lab_open(&labs[i], &config, 2, NS_PER_S);
        memcpy(link.peer, labs[i].ids[1 - i], sizeof link.peer);
        assert_int_equal(transport_sim.link_create(&labs[i].links[i][1 - i], offers[i], &bytes[i],
                                                   labs[i].transports[i], &link),
                         KOLO_OK);
    }
    assert_int_equal(transport_sim.link_connect(labs[0].links[0][1], offers[1], bytes[1]),
                     KOLO_ERR_STATE);
    lab_close(&labs[0]);
    lab_close(&labs[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_is_latency_plus_bytes_over_rate),
        cmocka_unit_test(time_stands_still_when_nothing_is_left),
        cmocka_unit_test(ports_are_shared_by_links),
        cmocka_unit_test(slow_endpoint_is_slow),
        cmocka_unit_test(shaped_link_differs),
        cmocka_unit_test(window_bounds_rate_and_memory),
        cmocka_unit_test(bytes_are_counted_by_endpoint),
        cmocka_unit_test(same_seed_same_trace),
        cmocka_unit_test(lanes_overtake_only_when_told_to),
        cmocka_unit_test(trace_reads_like_a_log),
        cmocka_unit_test(nonsensical_configurations_are_refused),
        cmocka_unit_test(networks_do_not_touch),
    };
    return cmocka_run_group_tests_name("sim_network", tests, NULL, NULL);
}
