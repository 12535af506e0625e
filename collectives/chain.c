/* Chains: the whole vector from rank to rank, passed on (or added to) as it comes. Full bandwidth, but a hop for every rank. */
#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

void chain_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    (void)size;
    *instructions = 3;
    *dependencies = 4;
}

void chain_broadcast(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_BROADCAST, rank, size, root, 1, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    uint32_t next = (rank + 1) % size;
    if (rank != root) {
        build_receive(&build, (rank + size - 1) % size, 0, 0, 1);
    }
    if (next != root) {
        build_send(&build, next, 0, 0, 1);
    }
    if (rank == root) {
        build_settle(&build, 0, 1);
    }
    build_end(&build);
}

/* Towards the root: from the rank before the root, backwards all the way round. */
void chain_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_REDUCE, rank, size, root, 1, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    uint32_t next = (rank + 1) % size;
    if (rank == root) {
        build_receive_reduce_final(&build, next, 0, 0, 1);
    } else {
        if (next != root) {
            build_receive_reduce(&build, next, 0, 0, 1);
        }
        build_send(&build, (rank + size - 1) % size, 0, 0, 1);
    }
    build_end(&build);
}

/* ---- formulas ----------------------------------------------------------------------------------------------------- */

double chain_broadcast_seconds(const struct network_uniform *network, uint32_t size, uint64_t bytes)
{
    return size == 1 ? 0 : (size - 1) * cost_hop(network) + cost_link(network, (double)bytes);
}

double chain_reduce_seconds(const struct network_uniform *network, uint32_t size, uint64_t bytes)
{
    double transfer =
        cost_max(cost_link(network, (double)bytes), cost_reduce(network, (double)bytes));
    return size == 1 ? 0 : (size - 1) * cost_hop(network) + transfer;
}

double chain_sent(uint32_t size)
{
    return size == 1 ? 0 : 1;
}
