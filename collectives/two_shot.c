/* Two steps: everyone sends chunk p to rank p, which adds what comes; then everyone sends its finished chunk to everyone. As
 * few bytes as a ring, in two steps instead of 2(size-1), but between all pairs. Sums are added as they come in, in the order
 * in which they are sent (from the neighbour before, from the one before that, ...), and need no room of their own. */
#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

void two_shot_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    *instructions = 4 * (uint64_t)size;
    *dependencies = 5 * (uint64_t)size;
}

static void scatter(struct build *build, uint32_t rank, uint32_t size)
{
    for (uint32_t i = 1; i < size; i++) {
        uint32_t next = (rank + i) % size, previous = (rank + size - i) % size;
        build_send(build, next, 0, next, 1);
        if (i + 1 < size) {
            build_receive_reduce(build, previous, 0, rank, 1);
        } else {
            build_receive_reduce_final(build, previous, 0, rank, 1);
        }
    }
}

static void gather(struct build *build, uint32_t rank, uint32_t size)
{
    for (uint32_t i = 1; i < size; i++) {
        uint32_t next = (rank + i) % size, previous = (rank + size - i) % size;
        build_send(build, next, 0, rank, 1);
        build_receive(build, previous, 0, previous, 1);
    }
}

void two_shot_all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_ALL_REDUCE, rank, size, root, size, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    scatter(&build, rank, size);
    gather(&build, rank, size);
    build_end(&build);
}

void two_shot_reduce_scatter(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_REDUCE_SCATTER, rank, size, root, 1, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    scatter(&build, rank, size);
    build_end(&build);
}

/* ---- formulas ----------------------------------------------------------------------------------------------------- */

/* Contributions are folded as they come. */
double two_shot_reduce_scatter_seconds(const struct network_uniform *network, uint32_t size,
                                       uint64_t bytes)
{
    double chunk = (double)bytes / size, messages = size - 1;
    double fold_s = cost_reduce(network, messages * chunk);
    return size == 1 ? 0 : cost_exchange(network, messages, chunk, fold_s);
}

/* What is finished of a rank's chunk is sent on while the rest of that chunk comes in: so folding, if it is slower than the
 * wire, hides the second half; if not, the wire is busy for both. */
double two_shot_all_reduce_seconds(const struct network_uniform *network, uint32_t size,
                                   uint64_t bytes)
{
    if (size == 1) {
        return 0;
    }
    double chunk = (double)bytes / size, hop = cost_hop(network);
    double half = cost_exchange(network, size - 1, chunk, 0);
    double second = half - cost_min(hop, cost_link(network, chunk));
    double wire = half + cost_max(second, cost_exchange(network, size - 1, 0, 0));
    return cost_max(wire, two_shot_reduce_scatter_seconds(network, size, bytes) + hop);
}

double two_shot_reduce_scatter_sent(uint32_t size)
{
    return (double)(size - 1) / size;
}

double two_shot_all_reduce_sent(uint32_t size)
{
    return 2 * two_shot_reduce_scatter_sent(size);
}
