/* Double binary trees: Sanders, Speck & Traeff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan", 2009,
 * section 3, with the in-order numbering that NCCL made popular. Labels: the root is 0; the others are 1 .. last.
 * A tree over 1 .. last has its leaves at the odd labels; the root hangs above it. The second tree is the first one
 * under another labelling that makes odd labels even (but for one that is a leaf in both): so no rank passes on to two others
 * in both, and the trees, one on each lane, share the ports evenly. Chunk t of the vector, and lane t, are tree t's. */
#include <assert.h>

#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

#define TREES 2

/* A rank's place in one tree: labels until place_find() has made them ranks. NOBODY: none. */
#define NOBODY UINT32_MAX
struct tree_place {
    uint32_t parent;
    uint32_t child[2];
};

void double_tree_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    (void)size;
    *instructions =
        TREES * 6 + 2; /* for each tree: two children and a parent, both ways; the root's copy */
    *dependencies = TREES * 12 + 4; /* a receive: at most 3; a send: 1; the copy: all before */
}

/* In-order tree over 1 .. last, hung below 0. The lowest set bit of a label is its height. */
static struct tree_place tree_of(uint32_t label, uint32_t last)
{
    struct tree_place place = {.parent = NOBODY, .child = {NOBODY, NOBODY}};
    uint32_t bit = 1;
    while (bit <= last && !(label & bit)) {
        bit <<= 1;
    }
    if (label == 0) {
        place.child[0] = bit >> 1;
        return place;
    }
    place.parent = (label ^ bit) | (bit << 1);
    if (place.parent > last) {
        place.parent = label ^ bit;
    }
    uint32_t half = bit >> 1;
    place.child[0] = half ? label - half : NOBODY;
    while (half && label + half > last) {
        half >>= 1;
    }
    place.child[1] = half ? label + half : NOBODY;
    return place;
}

/* The label in `tree` of a rank that is `distance` after the root, and back. Tree 1 mirrors the labels where that changes
 * even and odd (an even number of them), else it turns them by one. */
static uint32_t label_of(uint32_t distance, unsigned tree, uint32_t last)
{
    if (tree == 0 || distance == 0) {
        return distance;
    }
    if (last % 2 == 0) {
        return last + 1 - distance;
    }
    return distance == 1 ? last : distance - 1;
}

static uint32_t distance_of(uint32_t label, unsigned tree, uint32_t last)
{
    if (tree == 0 || label == 0) {
        return label;
    }
    if (last % 2 == 0) {
        return last + 1 - label;
    }
    return label == last ? 1 : label + 1;
}

static struct tree_place place_find(const struct schedule *schedule, unsigned tree)
{
    uint32_t size = schedule->size, last = size - 1;
    uint32_t distance = (schedule->rank + size - schedule->root) % size;
    struct tree_place place = tree_of(label_of(distance, tree, last), last);
    uint32_t *label[] = {&place.parent, &place.child[0], &place.child[1]};
    for (unsigned i = 0; i < 3; i++) {
        if (*label[i] != NOBODY) {
            *label[i] = (schedule->root + distance_of(*label[i], tree, last)) % size;
        }
    }
    return place;
}

/* Towards the root: the children's sums are added, in turn, and sent on. */
static void reduce_up(struct build *build, const struct tree_place *place, unsigned tree)
{
    bool root = place->parent == NOBODY;
    assert(!root || place->child[1] == NOBODY);
    for (unsigned i = 0; i < 2; i++) {
        if (place->child[i] != NOBODY && root) {
            build_receive_reduce_final(build, place->child[i], tree, tree, 1);
        } else if (place->child[i] != NOBODY) {
            build_receive_reduce(build, place->child[i], tree, tree, 1);
        }
    }
    if (!root) {
        build_send(build, place->parent, tree, tree, 1);
    }
}

static void broadcast_down(struct build *build, const struct tree_place *place, unsigned tree)
{
    if (place->parent != NOBODY) {
        build_receive(build, place->parent, tree, tree, 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (place->child[i] != NOBODY) {
            build_send(build, place->child[i], tree, tree, 1);
        }
    }
}

static bool begin(struct build *build, struct schedule *schedule, enum collective collective,
                  uint32_t rank, uint32_t size, uint32_t root)
{
    struct build_shape shape = {
        .collective = collective, .rank = rank, .size = size, .root = root, .block_chunks = TREES};
    return build_begin(build, schedule, &shape);
}

void double_tree_all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    if (!begin(&build, schedule, COLLECTIVE_ALL_REDUCE, rank, size, root)) {
        return;
    }
    for (unsigned tree = 0; tree < TREES; tree++) {
        struct tree_place place = place_find(schedule, tree);
        reduce_up(&build, &place, tree);
        broadcast_down(&build, &place, tree);
    }
    build_end(&build);
}

void double_tree_broadcast(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    if (!begin(&build, schedule, COLLECTIVE_BROADCAST, rank, size, root)) {
        return;
    }
    for (unsigned tree = 0; tree < TREES; tree++) {
        struct tree_place place = place_find(schedule, tree);
        broadcast_down(&build, &place, tree);
    }
    build_settle(&build, 0, TREES);
    build_end(&build);
}

void double_tree_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    if (!begin(&build, schedule, COLLECTIVE_REDUCE, rank, size, root)) {
        return;
    }
    for (unsigned tree = 0; tree < TREES; tree++) {
        struct tree_place place = place_find(schedule, tree);
        reduce_up(&build, &place, tree);
    }
    build_end(&build);
}

/* ---- formulas ----------------------------------------------------------------------------------------------------- */

/* From the root to the deepest leaf: as many hops as the last label has bits. At each, a rank inside a tree deals with a second
 * child. */
static double way(const struct network_uniform *network, uint32_t size)
{
    return cost_log2(size) * (cost_hop(network) + network->overhead_s);
}

/* All bytes of a half follow each other through the tree; the port of a rank inside a tree carries two halves. */
static double through(const struct network_uniform *network, uint32_t size, uint64_t bytes)
{
    double half = (double)bytes / TREES;
    return cost_max(cost_port(network, TREES, half),
                    cost_link(network, size == 2 ? 2 * half : half));
}

double double_tree_broadcast_seconds(const struct network_uniform *network, uint32_t size,
                                     uint64_t bytes)
{
    return size == 1 ? 0 : way(network, size) + through(network, size, bytes);
}

double double_tree_reduce_seconds(const struct network_uniform *network, uint32_t size,
                                  uint64_t bytes)
{
    double folded = cost_reduce(network, (double)bytes);
    return size == 1 ? 0 : way(network, size) + cost_max(through(network, size, bytes), folded);
}

/* Up and down overlap. Few bytes follow each other up and down the whole tree; many fill the ports of ranks inside a tree,
 * which send to a parent in each tree and to two children, and the links on which the trees meet. */
double double_tree_all_reduce_seconds(const struct network_uniform *network, uint32_t size,
                                      uint64_t bytes)
{
    if (size == 1) {
        return 0;
    }
    double half = (double)bytes / TREES, halves = TREES * double_tree_all_reduce_sent(size);
    double up_or_down = way(network, size);
    double few = cost_max(cost_port(network, TREES, half), cost_reduce(network, (double)bytes));
    double full = cost_max(cost_port(network, halves, half), cost_link(network, (double)bytes));
    return up_or_down + cost_max(up_or_down + few, full);
}

/* The root sends a half to the top of each tree; a rank inside one sends its half to two. */
double double_tree_broadcast_sent(uint32_t size)
{
    return size <= 1 ? 0 : 1;
}

/* To a parent in each tree. */
double double_tree_reduce_sent(uint32_t size)
{
    return size <= 1 ? 0 : 1;
}

/* To a parent in each tree, and to as many children as a rank has in both: one in a group of three, two in a larger one. */
double double_tree_all_reduce_sent(uint32_t size)
{
    return size <= 1 ? 0 : size == 2 ? 1 : size == 3 ? 1.5 : 2;
}
