/* k-nomial trees: reduce towards rank 0, then broadcast from it (Thakur, Rabenseifner & Gropp, "Optimization of collective
 * communication operations in MPICH", 2005, section 3, for k = 2). In base k, a rank's parent lacks its lowest digit that is not
 * zero. 2 (size - 1) messages are the fewest that an all-reduce can do with: for small vectors where ranks share processors and
 * a message costs them more than the way does. The larger k is, the shorter is the way, and the more the root has to do. */
#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

#define BINOMIAL 2u
#define WIDE 8u

/* Digits that ranks have in base `radix`. */
static uint32_t digits(uint32_t size, uint32_t radix)
{
    uint32_t count = 0;
    for (uint64_t weight = 1; weight < size; weight *= radix) {
        count++;
    }
    return count;
}

/* Children that `rank` has at the places of weight `weight`: rank + weight, rank + 2 weight, ... */
static uint32_t children_at(uint32_t rank, uint32_t size, uint32_t radix, uint64_t weight)
{
    uint64_t others = weight < size - rank ? (size - rank - 1) / weight : 0;
    return (uint32_t)(others < radix - 1 ? others : radix - 1);
}

static uint32_t children_of_root(uint32_t size, uint32_t radix)
{
    uint32_t count = 0;
    for (uint64_t weight = 1; weight < size; weight *= radix) {
        count += children_at(0, size, radix, weight);
    }
    return count;
}

static void bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size, uint32_t radix)
{
    *instructions = 2 * (uint64_t)digits(size, radix) * (radix - 1) + 2;
    *dependencies = 4 * *instructions;
}

/* Take the sums of all children, the nearest first. `total`: how many complete the reduction; 0: a part of it only. Returns
 * the weight of the rank's own lowest digit, or one beyond all. */
static uint64_t gather(struct build *build, uint32_t rank, uint32_t size, uint32_t radix)
{
    uint32_t left = rank == 0 ? children_of_root(size, radix) : 0;
    uint64_t weight = 1;
    for (; weight < size && rank / weight % radix == 0; weight *= radix) {
        for (uint32_t i = 1; i <= children_at(rank, size, radix, weight); i++) {
            uint32_t child = (uint32_t)(rank + i * weight);
            if (left == 1) {
                build_receive_reduce_final(build, child, 0, 0, 1);
            } else {
                build_receive_reduce(build, child, 0, 0, 1);
            }
            left -= left > 0;
        }
    }
    return weight;
}

static void all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root,
                       uint32_t radix)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_ALL_REDUCE, rank, size, root, 1, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    uint64_t weight = gather(&build, rank, size, radix);
    if (rank != 0) {
        uint32_t parent = (uint32_t)(rank - rank / weight % radix * weight);
        build_send(&build, parent, 0, 0, 1);
        build_receive(&build, parent, 0, 0, 1);
    }
    for (weight /= radix; weight > 0; weight /= radix) {
        for (uint32_t i = 1; i <= children_at(rank, size, radix, weight); i++) {
            build_send(&build, (uint32_t)(rank + i * weight), 0, 0, 1);
        }
    }
    build_end(&build);
}

/* The most digits that are not zero in any rank. */
static uint32_t depth(uint32_t size, uint32_t radix)
{
    uint32_t most = digits(size, radix);
    uint64_t all_ones = 0; /* the smallest rank with so many */
    for (uint32_t i = 0; i < most; i++) {
        all_ones = all_ones * radix + 1;
    }
    return all_ones < size ? most : most - 1;
}

/* Up and down the longest branch. The root's port carries the vector of every child, each way; both ways overlap where there
 * are many bytes, and they follow each other where there are few. Of the children of a rank, one is handled after the other. */
static double seconds(const struct network_uniform *network, uint32_t size, uint64_t bytes,
                      uint32_t radix)
{
    if (size == 1) {
        return 0;
    }
    double children = children_of_root(size, radix);
    double way = 2.0 * depth(size, radix) * cost_hop(network);
    double handling = 2 * (children - digits(size, radix)) * network->overhead_s;
    return way + handling +
           cost_max(cost_port(network, children, (double)bytes),
                    cost_reduce(network, children * (double)bytes));
}

/* ---- the binomial tree ---- */

void tree_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    bounds(instructions, dependencies, size, BINOMIAL);
}

void tree_all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    all_reduce(schedule, rank, size, root, BINOMIAL);
}

double tree_all_reduce_seconds(const struct network_uniform *network, uint32_t size, uint64_t bytes)
{
    return seconds(network, size, bytes, BINOMIAL);
}

/* The root sends the vector to each of its children. */
double tree_all_reduce_sent(uint32_t size)
{
    return children_of_root(size, BINOMIAL);
}

/* ---- the wide one ---- */

void knomial_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    bounds(instructions, dependencies, size, WIDE);
}

void knomial_all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    all_reduce(schedule, rank, size, root, WIDE);
}

double knomial_all_reduce_seconds(const struct network_uniform *network, uint32_t size,
                                  uint64_t bytes)
{
    return seconds(network, size, bytes, WIDE);
}

double knomial_all_reduce_sent(uint32_t size)
{
    return children_of_root(size, WIDE);
}
