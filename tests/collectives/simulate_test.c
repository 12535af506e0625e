/* The simulator on schedules small enough to be timed by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collectives/simulate.h"

#define RANKS_MAX 8
#define OPS_MAX 16
#define ALPHA 1e-3
#define RATE 1e9
#define BYTES 100000000ULL /* 0.1 s at RATE */
#define SECONDS 0.1

/* One instruction, as the tests write it. `after`: index of an instruction of the same rank + 1; 0: none. */
struct op {
    enum instruction_kind kind;
    uint32_t peer, chunk, chunks;
    uint32_t after;
    bool streamed;
    uint8_t lane;
    uint32_t sources;
};

/* The schedule that the emitter below writes: the ops of each rank. */
static struct {
    uint32_t chunks;
    uint32_t ops[RANKS_MAX];
    struct op op[RANKS_MAX][OPS_MAX];
} script;

static void script_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    (void)size;
    *instructions = OPS_MAX;
    *dependencies = OPS_MAX;
}

static void script_emit(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    schedule->collective = COLLECTIVE_ALL_REDUCE;
    schedule->rank = rank;
    schedule->size = size;
    schedule->root = root;
    schedule->blocks = 1;
    schedule->block_chunks = script.chunks;
    schedule->lanes = SCHEDULE_LANES;
    for (uint32_t i = 0; i < script.ops[rank]; i++) {
        const struct op *op = &script.op[rank][i];
        schedule->instruction[schedule->instructions++] =
            (struct instruction){.kind = (uint8_t)op->kind,
                                 .lane = op->lane,
                                 .peer = op->peer,
                                 .chunk = op->chunk,
                                 .chunks = op->chunks,
                                 .sources = op->sources,
                                 .own = FOLD_NO_OWN,
                                 .dependency = schedule->dependencies,
                                 .dependencies = op->after > 0};
        if (op->after > 0) {
            schedule->dependency[schedule->dependencies++] =
                (struct dependency){.on = op->after - 1, .streamed = op->streamed};
        }
    }
}

static const struct algorithm scripted = {.name = "scripted",
                                          .collective = COLLECTIVE_ALL_REDUCE,
                                          .size_max = RANKS_MAX,
                                          .bounds = script_bounds,
                                          .emit = script_emit};

static void start(uint32_t chunks)
{
    memset(&script, 0, sizeof script);
    script.chunks = chunks;
}

static void add(uint32_t rank, struct op op)
{
    assert_true(script.ops[rank] < OPS_MAX);
    script.op[rank][script.ops[rank]++] = op;
}

/* A message of some chunks from one rank to another: both instructions, no dependencies. */
static void add_message(uint32_t from, uint32_t to, uint32_t chunk, uint32_t chunks)
{
    add(from, (struct op){INSTRUCTION_SEND, to, chunk, chunks, 0, false, 0, 0});
    add(to, (struct op){INSTRUCTION_RECEIVE, from, chunk, chunks, 0, false, 0, 0});
}

static struct network network_of(uint32_t size)
{
    return (struct network){.uniform = {.latency_s = ALPHA, .port_Bps = RATE}, .size = size};
}

static double rank_seconds[RANKS_MAX];

static struct simulation run(const struct network *network)
{
    struct simulation simulation = {.rank_seconds = rank_seconds};
    assert_int_equal(simulate(&simulation, network, &scripted, 0, BYTES), KOLO_OK);
    return simulation;
}

static void assert_near(double is, double should, double share)
{
    if (fabs(is - should) > share * should) {
        fail_msg("%.9f is not within %.2f %% of %.9f", is, 100 * share, should);
    }
}

/* ---- one message ------------------------------------------------------------------------------------------------------- */

static void test_one_message_costs_latency_and_bytes(void **state)
{
    (void)state;
    struct network network = network_of(2);
    start(1);
    add_message(0, 1, 0, 1);
    struct simulation simulation = run(&network);
    assert_near(simulation.seconds, ALPHA + SECONDS, 1e-9);
    assert_int_equal(simulation.messages, 1);
    assert_near(simulation.bytes_sent_most, BYTES, 1e-9);
    assert_near(rank_seconds[0], SECONDS, 1e-9); /* the sender is done when its bytes have left */
    assert_near(rank_seconds[1], ALPHA + SECONDS, 1e-9);
}

static void test_overhead_is_paid_by_both(void **state)
{
    (void)state;
    struct network network = network_of(2);
    network.uniform.overhead_s = 2e-3;
    start(1);
    add_message(0, 1, 0, 1);
    assert_near(run(&network).seconds, ALPHA + 2 * 2e-3 + SECONDS, 1e-9);
}

static void test_empty_message_costs_latency(void **state)
{
    (void)state;
    struct network network = network_of(2);
    start(1);
    add_message(0, 1, 0, 0);
    assert_near(run(&network).seconds, ALPHA, 1e-9);
}

static void test_no_limits_cost_nothing(void **state)
{
    (void)state;
    struct network network = {.size = 2};
    start(1);
    add_message(0, 1, 0, 1);
    assert_true(run(&network).seconds <= 0);
}

/* ---- passing on -------------------------------------------------------------------------------------------------------- */

/* 0 -> 1 -> ... -> ranks - 1. */
static void script_chain(uint32_t ranks, bool streamed)
{
    start(1);
    add(0, (struct op){INSTRUCTION_SEND, 1, 0, 1, 0, false, 0, 0});
    for (uint32_t rank = 1; rank < ranks; rank++) {
        add(rank, (struct op){INSTRUCTION_RECEIVE, rank - 1, 0, 1, 0, false, 0, 0});
        if (rank + 1 < ranks) {
            add(rank, (struct op){INSTRUCTION_SEND, rank + 1, 0, 1, 1, streamed, 0, 0});
        }
    }
}

static void test_whole_dependency_waits(void **state)
{
    (void)state;
    struct network network = network_of(4);
    script_chain(4, false);
    assert_near(run(&network).seconds, 3 * (ALPHA + SECONDS), 1e-9);
}

static void test_streamed_dependency_streams(void **state)
{
    (void)state;
    struct network network = network_of(8);
    script_chain(8, true);
    assert_near(run(&network).seconds, 7 * ALPHA + SECONDS, 1e-6);
}

static void test_stream_is_as_fast_as_its_slowest_link(void **state)
{
    (void)state;
    double rates[16] = {0};
    struct network network = network_of(4);
    for (unsigned i = 0; i < 16; i++) {
        rates[i] = RATE;
    }
    rates[1 * 4 + 2] = RATE / 4;
    network.link_Bps = rates;
    script_chain(4, true);
    assert_near(run(&network).seconds, 3 * ALPHA + 4 * SECONDS, 0.005);
}

static void test_latency_of_each_link_counts(void **state)
{
    (void)state;
    double latencies[9] = {0, 1e-3, 0, 0, 0, 50e-3, 0, 0, 0};
    struct network network = network_of(3);
    network.link_latency_s = latencies;
    script_chain(3, true);
    assert_near(run(&network).seconds, 51e-3 + SECONDS, 1e-6);
}

/* ---- sharing ----------------------------------------------------------------------------------------------------------- */

static void test_receivers_port_is_shared(void **state)
{
    (void)state;
    struct network network = network_of(3);
    start(1);
    add_message(0, 2, 0, 1);
    add_message(1, 2, 0, 1);
    assert_near(run(&network).seconds, ALPHA + 2 * SECONDS, 1e-3);
    assert_near(rank_seconds[0], 2 * SECONDS, 0.01); /* neither is favoured */
    assert_near(rank_seconds[1], 2 * SECONDS, 0.01);
}

static void test_senders_port_is_shared_fairly(void **state)
{
    (void)state;
    struct network network = network_of(3);
    start(3);
    add_message(0, 1, 0, 1); /* a third of the vector, */
    add_message(0, 2, 1, 2); /* beside two thirds */
    assert_near(run(&network).seconds, ALPHA + SECONDS, 1e-3);
    assert_near(rank_seconds[1], ALPHA + 2 * SECONDS / 3, 0.01);
}

static void test_slow_receiver_holds_up_only_its_own_flow(void **state)
{
    (void)state;
    double receive[3] = {RATE, RATE / 10, RATE};
    struct network network = network_of(3);
    network.port_receive_Bps = receive;
    start(1);
    add_message(0, 1, 0, 1);
    add_message(0, 2, 0, 1);
    run(&network);
    assert_near(rank_seconds[1], ALPHA + 10 * SECONDS, 0.02);
    assert_near(rank_seconds[2], ALPHA + SECONDS / 0.9, 0.03); /* it has what the slow one leaves */
}

static void test_slow_senders_port_counts(void **state)
{
    (void)state;
    double send[2] = {RATE / 5, RATE};
    struct network network = network_of(2);
    network.port_send_Bps = send;
    start(1);
    add_message(0, 1, 0, 1);
    assert_near(run(&network).seconds, ALPHA + 5 * SECONDS, 1e-6);
}

static void test_lane_is_in_order_and_lanes_share_a_link(void **state)
{
    (void)state;
    struct network network = network_of(2);
    network.uniform.port_Bps = 0;
    network.uniform.link_Bps = RATE;
    for (uint8_t lane = 0; lane < 2; lane++) {
        start(1);
        add(0, (struct op){INSTRUCTION_SEND, 1, 0, 1, 0, false, 0, 0});
        add(0, (struct op){INSTRUCTION_SEND, 1, 0, 1, 0, false, lane, 0});
        add(1, (struct op){INSTRUCTION_RECEIVE, 0, 0, 1, 0, false, 0, 0});
        add(1, (struct op){INSTRUCTION_RECEIVE, 0, 0, 1, 0, false, lane, 0});
        assert_near(run(&network).seconds, ALPHA + 2 * SECONDS, 0.005);
    }
}

static void test_directions_do_not_share(void **state)
{
    (void)state;
    struct network network = network_of(2);
    start(1);
    add_message(0, 1, 0, 1);
    add_message(1, 0, 0, 1);
    assert_near(run(&network).seconds, ALPHA + SECONDS, 1e-9);
}

/* ---- reducing ---------------------------------------------------------------------------------------------------------- */

static void test_slow_reduction_paces_the_receiver(void **state)
{
    (void)state;
    struct network network = network_of(2);
    network.uniform.reduce_Bps = RATE / 3;
    start(1);
    add(0, (struct op){INSTRUCTION_SEND, 1, 0, 1, 0, false, 0, 0});
    add(1, (struct op){INSTRUCTION_RECEIVE_REDUCE, 0, 0, 1, 0, false, 0, 0});
    assert_near(run(&network).seconds, ALPHA + 3 * SECONDS, 0.005);
}

static void test_fast_reduction_is_hidden(void **state)
{
    (void)state;
    struct network network = network_of(2);
    network.uniform.reduce_Bps = RATE * 2;
    start(1);
    add(0, (struct op){INSTRUCTION_SEND, 1, 0, 1, 0, false, 0, 0});
    add(1, (struct op){INSTRUCTION_RECEIVE_REDUCE, 0, 0, 1, 0, false, 0, 0});
    assert_near(run(&network).seconds, ALPHA + SECONDS, 0.005);
}

static void test_fold_reads_all_but_the_first_source(void **state)
{
    (void)state;
    struct network network = network_of(2);
    network.uniform.reduce_Bps = RATE;
    start(1);
    add_message(0, 1, 0, 1);
    add(1, (struct op){INSTRUCTION_FOLD, 0, 0, 1, 1, false, 0, 3});
    assert_near(run(&network).seconds, ALPHA + SECONDS + 2 * SECONDS, 1e-6);
}

static void test_processor_is_shared_in_turns(void **state)
{
    (void)state;
    struct network network = network_of(3);
    network.uniform.port_Bps = 0;
    network.uniform.link_Bps = RATE;
    network.uniform.reduce_Bps = RATE;
    start(1);
    add(0, (struct op){INSTRUCTION_SEND, 2, 0, 1, 0, false, 0, 0});
    add(1, (struct op){INSTRUCTION_SEND, 2, 0, 1, 0, false, 0, 0});
    add(2, (struct op){INSTRUCTION_RECEIVE_REDUCE, 0, 0, 1, 0, false, 0, 0});
    add(2, (struct op){INSTRUCTION_RECEIVE_REDUCE, 1, 0, 1, 1, true, 0, 0});
    assert_near(run(&network).seconds, ALPHA + 2 * SECONDS, 0.005);
}

static void test_local_chain_of_copies_costs_nothing(void **state)
{
    (void)state;
    struct network network = network_of(2);
    start(1);
    add_message(0, 1, 0, 1);
    for (uint32_t i = 1; i + 1 < OPS_MAX; i++) {
        add(1, (struct op){INSTRUCTION_COPY, 0, 0, 1, i, true, 0, 0});
    }
    assert_near(run(&network).seconds, ALPHA + SECONDS, 1e-6);
}

/* ---- what is refused --------------------------------------------------------------------------------------------------- */

static kolo_status refuse(const struct network *network, const char *why)
{
    struct simulation simulation = {.seconds = 42};
    kolo_status status = simulate(&simulation, network, &scripted, 0, BYTES);
    assert_int_not_equal(status, KOLO_OK);
    assert_true(simulation.seconds > 41 && simulation.seconds < 43); /* outputs on success only */
    if (strstr(kolo_last_error(), why) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", kolo_last_error(), why);
    }
    return status;
}

static void test_cycle_of_waits_is_found(void **state)
{
    (void)state;
    struct network network = network_of(2);
    start(1);
    for (uint32_t rank = 0; rank < 2; rank++) {
        add(rank, (struct op){INSTRUCTION_RECEIVE, 1 - rank, 0, 1, 0, false, 0, 0});
        add(rank, (struct op){INSTRUCTION_SEND, 1 - rank, 0, 1, 1, false, 0, 0});
    }
    assert_int_equal(refuse(&network, "never ends"), KOLO_ERR_INTERNAL);
}

static void test_unmatched_messages_are_found(void **state)
{
    (void)state;
    struct network network = network_of(2);
    start(2);
    add(0, (struct op){INSTRUCTION_SEND, 1, 0, 1, 0, false, 0, 0});
    assert_int_equal(refuse(&network, "which receives 0"), KOLO_ERR_INTERNAL);
    add(1, (struct op){INSTRUCTION_RECEIVE, 0, 0, 2, 0, false, 0, 0});
    assert_int_equal(refuse(&network, "sends 1 chunks"), KOLO_ERR_INTERNAL);
}

static void test_wrong_indices_are_found(void **state)
{
    (void)state;
    struct network network = network_of(2);
    start(2);
    add(0, (struct op){INSTRUCTION_SEND, 7, 0, 1, 0, false, 0, 0});
    assert_int_equal(refuse(&network, "that is none"), KOLO_ERR_INTERNAL);
    start(2);
    add(0, (struct op){INSTRUCTION_COPY, 0, 0, 1, 9, false, 0, 0});
    assert_int_equal(refuse(&network, "depends on 8 of 1"), KOLO_ERR_INTERNAL);
    start(2);
    add_message(1, 0, 0, 2);
    add(0, (struct op){INSTRUCTION_COPY, 0, 0, 1, 1, true, 0, 0});
    assert_int_equal(refuse(&network, "another length"), KOLO_ERR_INTERNAL);
}

static void test_senseless_networks_are_refused(void **state)
{
    (void)state;
    double bad[4] = {RATE, RATE, -1, RATE};
    struct simulation simulation = {0};
    start(1);
    struct network network = network_of(0);
    assert_int_equal(refuse(&network, "0 nodes"), KOLO_ERR_ARGUMENT);
    network = network_of(SCHEDULE_RANKS_MAX + 1);
    assert_int_equal(refuse(&network, "nodes"), KOLO_ERR_ARGUMENT);
    network = network_of(2);
    network.uniform.latency_s = -1;
    assert_int_equal(refuse(&network, "negative"), KOLO_ERR_ARGUMENT);
    network = network_of(2);
    network.uniform.reduce_Bps = (double)NAN;
    assert_int_equal(refuse(&network, "not finite"), KOLO_ERR_ARGUMENT);
    network = network_of(2);
    network.link_Bps = bad;
    assert_int_equal(refuse(&network, "negative"), KOLO_ERR_ARGUMENT);
    network = network_of(2);
    assert_int_equal(simulate(&simulation, &network, &scripted, 2, BYTES), KOLO_ERR_ARGUMENT);
    network = network_of(RANKS_MAX + 1);
    assert_int_equal(refuse(&network, "at most"), KOLO_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_message_costs_latency_and_bytes),
        cmocka_unit_test(test_overhead_is_paid_by_both),
        cmocka_unit_test(test_empty_message_costs_latency),
        cmocka_unit_test(test_no_limits_cost_nothing),
        cmocka_unit_test(test_whole_dependency_waits),
        cmocka_unit_test(test_streamed_dependency_streams),
        cmocka_unit_test(test_stream_is_as_fast_as_its_slowest_link),
        cmocka_unit_test(test_latency_of_each_link_counts),
        cmocka_unit_test(test_receivers_port_is_shared),
        cmocka_unit_test(test_senders_port_is_shared_fairly),
        cmocka_unit_test(test_slow_receiver_holds_up_only_its_own_flow),
        cmocka_unit_test(test_slow_senders_port_counts),
        cmocka_unit_test(test_lane_is_in_order_and_lanes_share_a_link),
        cmocka_unit_test(test_directions_do_not_share),
        cmocka_unit_test(test_slow_reduction_paces_the_receiver),
        cmocka_unit_test(test_fast_reduction_is_hidden),
        cmocka_unit_test(test_fold_reads_all_but_the_first_source),
        cmocka_unit_test(test_processor_is_shared_in_turns),
        cmocka_unit_test(test_local_chain_of_copies_costs_nothing),
        cmocka_unit_test(test_cycle_of_waits_is_found),
        cmocka_unit_test(test_unmatched_messages_are_found),
        cmocka_unit_test(test_wrong_indices_are_found),
        cmocka_unit_test(test_senseless_networks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
