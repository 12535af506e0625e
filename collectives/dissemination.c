/* Dissemination barrier: Hensgen, Finkel & Manber, "Two algorithms for barrier synchronization", 1988. In round k everyone tells
 * the rank 2^k ahead what it has heard so far; after ceil(log2 size) rounds everyone has heard of everyone. */
#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

void dissemination_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    uint64_t rounds = cost_log2(size);
    *instructions = 2 * rounds;
    *dependencies = rounds * rounds;
}

void dissemination_barrier(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_BARRIER, rank, size, root, 0, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    for (uint32_t ahead = 1; ahead < size; ahead *= 2) {
        build_signal(&build, (rank + ahead) % size);
        build_await(&build, (rank + size - ahead) % size);
    }
    build_end(&build);
}

double dissemination_barrier_seconds(const struct network_uniform *network, uint32_t size,
                                     uint64_t bytes)
{
    (void)bytes;
    return cost_log2(size) * cost_hop(network);
}

double dissemination_barrier_sent(uint32_t size)
{
    (void)size;
    return 0;
}
