/* Circulant graphs: J. L. Traeff, "Optimal, non-pipelined reduce-scatter and allreduce algorithms", 2024 (arXiv 2410.14234),
 * algorithms 1 and 2. ceil(log2 size) rounds for each half, size-1 chunks sent in each half: optimal in both, for any size.
 *
 * Chunks are counted from the rank's own: chunk i of rank r is r + i. Skips are halved, rounded up, from size down to 1. In the
 * round from skip s to s' the rank sends its partial sums s' .. s-1 to the rank s' ahead, to which they are 0 .. s-s'-1. So
 * the range is contiguous, but for where it wraps around the end of the vector: there it becomes two messages. */
#include <assert.h>

#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

#define ROUNDS_MAX 32

void circulant_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    uint64_t rounds = cost_log2(size);
    *instructions = 8 * rounds + 4; /* both halves, both directions, two parts each */
    *dependencies = 6 * (uint64_t)size + 16 * rounds * rounds; /* pairs of overlapping ranges */
}

/* skip[0] = size, then halved and rounded up until it is 1. Returns the number of rounds. */
static unsigned skips(uint32_t *skip, uint32_t size)
{
    unsigned rounds = 0;
    skip[0] = size;
    while (skip[rounds] > 1) {
        assert(rounds + 1 < ROUNDS_MAX);
        skip[rounds + 1] = skip[rounds] / 2 + skip[rounds] % 2;
        rounds++;
    }
    return rounds;
}

/* Chunks before the range wraps around the end of the vector; all of them if it does not. */
static uint32_t until_end(uint32_t first, uint32_t chunks, uint32_t size)
{
    return chunks <= size - first ? chunks : size - first;
}

/* Both parts wait for what either needs, so that ranks whose range wraps run like those whose range does not: a part sent
 * early would take the ports from what others wait for. */
static void send_range(struct build *build, uint32_t peer, uint32_t first, uint32_t chunks)
{
    uint32_t size = build->schedule->size, before, after;
    first %= size;
    before = until_end(first, chunks, size);
    after = chunks - before;
    build_send(build, peer, 0, first, before);
    if (after > 0) {
        build_wait(build, 0, after);
        build_send(build, peer, 0, 0, after);
        build_wait(build, first, before);
    }
}

typedef void receive(struct build *build, uint32_t peer, unsigned lane, uint32_t chunk,
                     uint32_t chunks);

static void receive_range(struct build *build, receive *do_receive, uint32_t peer, uint32_t first,
                          uint32_t chunks)
{
    uint32_t size = build->schedule->size, before;
    first %= size;
    before = until_end(first, chunks, size);
    do_receive(build, peer, 0, first, before);
    if (chunks > before) {
        do_receive(build, peer, 0, 0, chunks - before);
    }
}

static void reduce_scatter(struct build *build, uint32_t rank, uint32_t size)
{
    uint32_t skip[ROUNDS_MAX];
    unsigned rounds = skips(skip, size);
    for (unsigned k = 0; k < rounds; k++) {
        uint32_t to = (rank + skip[k + 1]) % size, from = (rank + size - skip[k + 1]) % size;
        uint32_t chunks = skip[k] - skip[k + 1];
        build_round(build);
        receive *reduce = k + 1 < rounds ? build_receive_reduce : build_receive_reduce_final;
        send_range(build, to, rank + skip[k + 1], chunks);
        receive_range(build, reduce, from, rank, chunks);
    }
}

/* The same rounds backwards, with the messages turned around. */
static void all_gather(struct build *build, uint32_t rank, uint32_t size)
{
    uint32_t skip[ROUNDS_MAX];
    for (unsigned k = skips(skip, size); k-- > 0;) {
        uint32_t from = (rank + skip[k + 1]) % size, to = (rank + size - skip[k + 1]) % size;
        uint32_t chunks = skip[k] - skip[k + 1];
        build_round(build);
        send_range(build, to, rank, chunks);
        receive_range(build, build_receive, from, rank + skip[k + 1], chunks);
    }
}

void circulant_all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_ALL_REDUCE, rank, size, root, size, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    reduce_scatter(&build, rank, size);
    all_gather(&build, rank, size);
    build_end(&build);
}

void circulant_reduce_scatter(struct schedule *schedule, uint32_t rank, uint32_t size,
                              uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_REDUCE_SCATTER, rank, size, root, 1, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    reduce_scatter(&build, rank, size);
    build_end(&build);
}

void circulant_all_gather(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_ALL_GATHER, rank, size, root, 1, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    all_gather(&build, rank, size);
    build_settle(&build, rank, 1);
    build_end(&build);
}

/* ---- formulas ----------------------------------------------------------------------------------------------------- */

/* A round waits for the last round before it that touched the first chunk it sends (those after it were touched no
 * later). Where sizes are odd that may be an earlier one than the round just before. */
unsigned circulant_rounds(uint32_t size)
{
    uint32_t skip[ROUNDS_MAX];
    unsigned rounds = skips(skip, size), chain[ROUNDS_MAX], longest = 0;
    for (unsigned k = 0; k < rounds; k++) {
        unsigned before = k;
        while (before > 0 && skip[before - 1] - skip[before] <= skip[k + 1]) {
            before--;
        }
        chain[k] = before > 0 ? chain[before - 1] + 1 : 1;
        longest = chain[k] > longest ? chain[k] : longest;
    }
    return longest;
}

/* Rounds wait for whole messages: nothing overlaps but a message and its own reduction. In all rounds but one, some rank's
 * range wraps, and takes two messages. */
static double half(const struct network_uniform *network, uint32_t size, double transfer)
{
    double parts = size > 2 ? cost_log2(size) - 1 : 0;
    return circulant_rounds(size) * cost_hop(network) + parts * network->overhead_s + transfer;
}

double circulant_reduce_scatter_seconds(const struct network_uniform *network, uint32_t size,
                                        uint64_t bytes)
{
    double sent = circulant_half_sent(size) * (double)bytes;
    return half(network, size, cost_max(cost_link(network, sent), cost_reduce(network, sent)));
}

double circulant_all_gather_seconds(const struct network_uniform *network, uint32_t size,
                                    uint64_t bytes)
{
    return half(network, size, cost_link(network, circulant_half_sent(size) * (double)bytes));
}

/* The first chunk that is gathered is sent on while the last contribution to it comes in. */
double circulant_all_reduce_seconds(const struct network_uniform *network, uint32_t size,
                                    uint64_t bytes)
{
    double chunk = (double)bytes / size, wire = cost_link(network, chunk);
    double overlap = cost_min(wire, cost_hop(network));
    return circulant_reduce_scatter_seconds(network, size, bytes) +
           circulant_all_gather_seconds(network, size, bytes) - (size > 1 ? overlap : 0);
}

double circulant_half_sent(uint32_t size)
{
    return (double)(size - 1) / size;
}

double circulant_all_reduce_sent(uint32_t size)
{
    return 2 * circulant_half_sent(size);
}
