/* Rings: Patarasuk & Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009, section 3. Chunk r is
 * completed by rank r. A rank's send of a step streams on its receive of the step before: chunks flow through. */
#include <assert.h>

#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

void ring_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    *instructions = 4 * (uint64_t)size;
    *dependencies = 5 * (uint64_t)size;
}

/* `rank` moved back by `steps` <= size around the ring. */
static uint32_t back(uint32_t rank, uint32_t steps, uint32_t size)
{
    return rank >= steps ? rank - steps : rank + size - steps;
}

/* The sum of chunk c starts at rank c + 1 and ends, complete, at rank c. */
static void reduce_scatter(struct build *build, uint32_t rank, uint32_t size)
{
    uint32_t next = (rank + 1) % size, previous = back(rank, 1, size);
    for (uint32_t step = 0; step + 1 < size; step++) {
        build_send(build, next, 0, back(rank, step + 1, size), 1);
        if (step + 2 < size) {
            build_receive_reduce(build, previous, 0, back(rank, step + 2, size), 1);
        } else {
            build_receive_reduce_final(build, previous, 0, rank, 1);
        }
    }
}

static void all_gather(struct build *build, uint32_t rank, uint32_t size)
{
    uint32_t next = (rank + 1) % size, previous = back(rank, 1, size);
    for (uint32_t step = 0; step + 1 < size; step++) {
        build_send(build, next, 0, back(rank, step, size), 1);
        build_receive(build, previous, 0, back(rank, step + 1, size), 1);
    }
}

void ring_all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {.collective = COLLECTIVE_ALL_REDUCE,
                                .rank = rank,
                                .size = size,
                                .root = root,
                                .block_chunks = size};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    reduce_scatter(&build, rank, size);
    all_gather(&build, rank, size);
    build_end(&build);
}

void ring_reduce_scatter(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {.collective = COLLECTIVE_REDUCE_SCATTER,
                                .rank = rank,
                                .size = size,
                                .root = root,
                                .block_chunks = 1};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    reduce_scatter(&build, rank, size);
    build_end(&build);
}

void ring_all_gather(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {.collective = COLLECTIVE_ALL_GATHER,
                                .rank = rank,
                                .size = size,
                                .root = root,
                                .block_chunks = 1};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    all_gather(&build, rank, size);
    build_settle(&build, rank, 1);
    build_end(&build);
}

/* ---- formulas ----------------------------------------------------------------------------------------------------- */

/* A chunk on a link; and until it has been folded, which a processor does besides handling two messages. */
static double wire_s(const struct network_uniform *network, double chunk)
{
    return cost_link(network, chunk);
}

static double fold_s(const struct network_uniform *network, double chunk)
{
    double processor = cost_reduce(network, chunk) + 2 * network->overhead_s;
    return cost_max(wire_s(network, chunk), processor);
}

double ring_reduce_scatter_seconds(const struct network_uniform *network, uint32_t size,
                                   uint64_t bytes)
{
    double chunk = (double)bytes / size, hop = cost_hop(network), steps = size - 1;
    double last = cost_max(wire_s(network, chunk), cost_reduce(network, chunk));
    return size == 1 ? 0 : (steps - 1) * cost_max(hop, fold_s(network, chunk)) + hop + last;
}

double ring_all_gather_seconds(const struct network_uniform *network, uint32_t size, uint64_t bytes)
{
    return cost_pipeline(size - 1, cost_hop(network), wire_s(network, (double)bytes / size));
}

/* One pipeline: the second half's first send streams on the first half's last receive, and is hidden by its folding if that
 * is slower than the wire. */
double ring_all_reduce_seconds(const struct network_uniform *network, uint32_t size, uint64_t bytes)
{
    if (size == 1) {
        return 0;
    }
    double chunk = (double)bytes / size, hop = cost_hop(network), steps = size - 1;
    double wire = wire_s(network, chunk);
    double fold_bound =
        steps * cost_max(hop, fold_s(network, chunk)) + (steps - 1) * cost_max(hop, wire) + hop;
    return cost_max(fold_bound, cost_pipeline(2 * steps, hop, wire));
}

double ring_half_sent(uint32_t size)
{
    return (double)(size - 1) / size;
}

double ring_all_reduce_sent(uint32_t size)
{
    return 2 * ring_half_sent(size);
}
