/* Recursive doubling: in round k, ranks that differ in bit k of their number exchange all that they have summed up so far
 * (Thakur, Rabenseifner & Gropp, "Optimization of collective communication operations in MPICH", 2005, section 4.1). log2(size)
 * steps are the fewest that any algorithm with one message a step can do with: for small vectors, where the way costs more than
 * the bytes. Where the size is no power of two, ranks beyond it add their vectors to a neighbour's before, and get the sum from
 * it after. */
#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

void recursive_doubling_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    *instructions = 3 * (uint64_t)cost_log2(size) + 4;
    *dependencies = 4 * *instructions;
}

/* The largest power of two that is no larger than the size. */
static uint32_t core_of(uint32_t size)
{
    uint32_t core = 1;
    while (core <= size / 2) {
        core *= 2;
    }
    return core;
}

/* The first 2 (size - core) ranks are pairs, of which the odd one takes part in the rounds. */
static uint32_t rank_of(uint32_t member, uint32_t extra)
{
    return member < extra ? 2 * member + 1 : member + extra;
}

/* Both ends of an exchange need their old values until the other has read them, and add in the order of ranks, so that they
 * have the same bits: a round has two slots, the sums of the lower rank and of the higher one. Rounds take turns with two such
 * pairs. A rank's sum so far is where its next round reads it; until there is one, that is INPUT. */
#define SLOTS 4

static uint32_t slots_of(unsigned round)
{
    return round % 2 * 2;
}

/* What `peer` sends in this round is added; the sum goes to where the next round, with `next`, looks for it. */
static void add_from(struct build *build, unsigned round, uint32_t peer, bool is_input,
                     uint32_t next)
{
    uint32_t rank = build->schedule->rank, first = slots_of(round), own = peer < rank;
    build_receive_slot(build, peer, first + !own, 0, 1);
    uint32_t to = next == rank ? BUILD_TO_OUTPUT : slots_of(round + 1) + (next < rank);
    build_add_slots(build, first, is_input ? own : FOLD_NO_OWN, to, 0, 1);
}

static void send_sum(struct build *build, unsigned round, uint32_t peer, bool is_input)
{
    if (is_input) {
        build_send(build, peer, 0, 0, 1);
    } else {
        build_send_slot(build, peer, slots_of(round) + (peer < build->schedule->rank), 0, 1);
    }
}

/* Round 0 is that of the pairs. */
static void doubling(struct build *build, uint32_t rank, uint32_t core, uint32_t extra)
{
    bool paired = rank < 2 * extra;
    uint32_t member = paired ? rank / 2 : rank - extra;
    if (paired) {
        add_from(build, 0, rank - 1, true, rank_of(member ^ 1, extra));
    }
    unsigned round = 1;
    for (uint32_t bit = 1; bit < core; bit <<= 1, round++) {
        uint32_t peer = rank_of(member ^ bit, extra), next = bit << 1;
        bool is_input = round == 1 && !paired;
        send_sum(build, round, peer, is_input);
        add_from(build, round, peer, is_input, next < core ? rank_of(member ^ next, extra) : rank);
    }
    if (paired) {
        build_send(build, rank - 1, 0, 0, 1);
    }
}

void recursive_doubling_all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size,
                                   uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_ALL_REDUCE, rank, size, root, 1, SLOTS};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    uint32_t core = core_of(size), extra = size - core;
    if (rank < 2 * extra && rank % 2 == 0) {
        build_send(&build, rank + 1, 0, 0, 1);
        build_receive(&build, rank + 1, 0, 0, 1);
    } else {
        doubling(&build, rank, core, extra);
    }
    build_end(&build);
}

/* ---- formulas ----------------------------------------------------------------------------------------------------- */

/* What a member of the busiest pair sends: in every round, and at the end. */
double recursive_doubling_all_reduce_sent(uint32_t size)
{
    uint32_t core = core_of(size);
    return size == 1 ? 0 : cost_log2(core) + (size > core);
}

/* A round begins when the first bytes of the one before it are there, or when its port is free of that one. A rank beyond the
 * power of two is heard of a hop later, and hears the sum a hop later; the two add up if more than half of the members stand
 * for one: else the last round brings them what nobody waited for. */
double recursive_doubling_all_reduce_seconds(const struct network_uniform *network, uint32_t size,
                                             uint64_t bytes)
{
    if (size == 1) {
        return 0;
    }
    uint32_t core = core_of(size), extra = size - core;
    double all = (double)bytes, hop = cost_hop(network);
    double transfer = cost_max(cost_port(network, 1, all), cost_reduce(network, all));
    double pairs = extra == 0 ? 0 : (extra > core / 2 ? 2 : 1) * hop + transfer;
    return cost_pipeline(cost_log2(core), hop, transfer) + pairs;
}
