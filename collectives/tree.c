/* One binomial tree: reduce towards rank 0, then broadcast from it (Thakur, Rabenseifner & Gropp, "Optimization of collective
 * communication operations in MPICH", 2005, section 3). 2 (size - 1) messages are the fewest that an all-reduce can do with:
 * for small vectors where ranks share processors and a message costs them more than the way does. */
#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

void tree_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    *instructions = 2 * (uint64_t)cost_log2(size) + 2;
    *dependencies = 4 * *instructions;
}

/* A rank's children are those that have one more bit set, below its lowest; its parent lacks that lowest bit. */
void tree_all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_ALL_REDUCE, rank, size, root, 1, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    uint32_t bit = 1;
    for (; bit < size && !(rank & bit); bit <<= 1) {
        if (rank == 0 && bit << 1 >= size) {
            build_receive_reduce_final(&build, bit, 0, 0, 1);
        } else if (rank + bit < size) {
            build_receive_reduce(&build, rank + bit, 0, 0, 1);
        }
    }
    if (rank != 0) {
        build_send(&build, rank - bit, 0, 0, 1);
        build_receive(&build, rank - bit, 0, 0, 1);
    }
    for (bit >>= 1; bit > 0; bit >>= 1) {
        if (rank + bit < size) {
            build_send(&build, rank + bit, 0, 0, 1);
        }
    }
    build_end(&build);
}

/* Up and down the longest branch. The root's port carries the vector of every child, each way; both ways overlap where there
 * are many bytes, and they follow each other where there are few. */
double tree_all_reduce_seconds(const struct network_uniform *network, uint32_t size, uint64_t bytes)
{
    if (size == 1) {
        return 0;
    }
    double children = cost_log2(size);
    double deepest = cost_log2(size / 2 + 1); /* as many as a rank has bits */
    double way = 2 * deepest * cost_hop(network);
    return way + cost_max(cost_port(network, children, (double)bytes),
                          cost_reduce(network, children * (double)bytes));
}

/* The root sends the vector to each of its children. */
double tree_all_reduce_sent(uint32_t size)
{
    return cost_log2(size);
}
