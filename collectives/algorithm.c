#include "collectives/algorithm.h"

#include <string.h>

#include "collectives/emitters.h"
#include "runtime/base/status.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)

/* Direct algorithms that fold keep a slot for each rank; their largest group and vector bound that memory. */
#define DIRECT_RANKS_MAX 256
#define DIRECT_BYTES_MAX (1 * MIB)          /* a slot is a whole vector */
#define DIRECT_SCATTER_BYTES_MAX (16 * MIB) /* all slots together are one vector */
#define TREE_BYTES_MAX (128 * KIB)          /* the root sends a vector to every child */
#define DOUBLING_BYTES_MAX (128 * KIB)      /* everyone sends a vector in every round */

static const struct algorithm rows[] = {
    {.name = "ring",
     .collective = COLLECTIVE_ALL_REDUCE,
     .what = "reduce-scatter, then all-gather around a ring (Patarasuk & Yuan 2009)",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = ring_bounds,
     .emit = ring_all_reduce,
     .seconds = ring_all_reduce_seconds,
     .sent_fraction = ring_all_reduce_sent},
    {.name = "circulant",
     .collective = COLLECTIVE_ALL_REDUCE,
     .what = "2 ceil(log2 n) rounds, as few bytes as the ring (Traeff 2024)",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = circulant_bounds,
     .emit = circulant_all_reduce,
     .seconds = circulant_all_reduce_seconds,
     .sent_fraction = circulant_all_reduce_sent},
    {.name = "knomial",
     .collective = COLLECTIVE_ALL_REDUCE,
     .what = "one 8-nomial tree, up and down: the fewest messages, few steps",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = TREE_BYTES_MAX,
     .bounds = knomial_bounds,
     .emit = knomial_all_reduce,
     .seconds = knomial_all_reduce_seconds,
     .sent_fraction = knomial_all_reduce_sent},
    {.name = "tree",
     .collective = COLLECTIVE_ALL_REDUCE,
     .what = "one binomial tree, up and down: the fewest messages",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = TREE_BYTES_MAX,
     .bounds = tree_bounds,
     .emit = tree_all_reduce,
     .seconds = tree_all_reduce_seconds,
     .sent_fraction = tree_all_reduce_sent},
    {.name = "double-tree",
     .collective = COLLECTIVE_ALL_REDUCE,
     .what = "two binary trees, half of the vector each (Sanders, Speck & Traeff 2009)",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = double_tree_bounds,
     .emit = double_tree_all_reduce,
     .seconds = double_tree_all_reduce_seconds,
     .sent_fraction = double_tree_all_reduce_sent},
    {.name = "direct",
     .collective = COLLECTIVE_ALL_REDUCE,
     .what = "one shot: everyone sends all to everyone and folds in rank order",
     .size_max = DIRECT_RANKS_MAX,
     .bytes_max = DIRECT_BYTES_MAX,
     .bounds = direct_bounds,
     .emit = direct_all_reduce,
     .seconds = direct_all_reduce_seconds,
     .shown_seconds = direct_all_reduce_shown_seconds,
     .sent_fraction = direct_all_reduce_sent},
    {.name = "recursive-doubling",
     .collective = COLLECTIVE_ALL_REDUCE,
     .what = "pairs exchange their sums in log2 n rounds (Thakur, Rabenseifner & Gropp 2005)",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = DOUBLING_BYTES_MAX,
     .bounds = recursive_doubling_bounds,
     .emit = recursive_doubling_all_reduce,
     .seconds = recursive_doubling_all_reduce_seconds,
     .sent_fraction = recursive_doubling_all_reduce_sent},
    {.name = "two-shot",
     .collective = COLLECTIVE_ALL_REDUCE,
     .what = "everyone reduces one chunk of everyone's, and sends it to everyone",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = two_shot_bounds,
     .emit = two_shot_all_reduce,
     .seconds = two_shot_all_reduce_seconds,
     .sent_fraction = two_shot_all_reduce_sent},
    {.name = "star",
     .collective = COLLECTIVE_ALL_REDUCE,
     .what = "parameter server at rank 0; the baseline, never chosen",
     .baseline_only = true,
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = star_bounds,
     .emit = star_all_reduce,
     .seconds = star_all_reduce_seconds,
     .sent_fraction = star_all_reduce_sent},

    {.name = "ring",
     .collective = COLLECTIVE_REDUCE_SCATTER,
     .what = "partial sums around a ring (Patarasuk & Yuan 2009)",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = ring_bounds,
     .emit = ring_reduce_scatter,
     .seconds = ring_reduce_scatter_seconds,
     .sent_fraction = ring_half_sent},
    {.name = "direct",
     .collective = COLLECTIVE_REDUCE_SCATTER,
     .what = "everyone sends each its block, which is folded in rank order",
     .size_max = DIRECT_RANKS_MAX,
     .bytes_max = DIRECT_SCATTER_BYTES_MAX,
     .bounds = direct_bounds,
     .emit = direct_reduce_scatter,
     .seconds = direct_reduce_scatter_seconds,
     .shown_seconds = direct_reduce_scatter_shown_seconds,
     .sent_fraction = direct_half_sent},
    {.name = "two-shot",
     .collective = COLLECTIVE_REDUCE_SCATTER,
     .what = "everyone sends each its block, which is added as it comes",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = two_shot_bounds,
     .emit = two_shot_reduce_scatter,
     .seconds = two_shot_reduce_scatter_seconds,
     .sent_fraction = two_shot_reduce_scatter_sent},
    {.name = "circulant",
     .collective = COLLECTIVE_REDUCE_SCATTER,
     .what = "ceil(log2 n) rounds, as few bytes as the ring (Traeff 2024)",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = circulant_bounds,
     .emit = circulant_reduce_scatter,
     .seconds = circulant_reduce_scatter_seconds,
     .sent_fraction = circulant_half_sent},

    {.name = "ring",
     .collective = COLLECTIVE_ALL_GATHER,
     .what = "blocks around a ring",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = ring_bounds,
     .emit = ring_all_gather,
     .seconds = ring_all_gather_seconds,
     .sent_fraction = ring_half_sent},
    {.name = "direct",
     .collective = COLLECTIVE_ALL_GATHER,
     .what = "everyone sends its block to everyone",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = direct_bounds,
     .emit = direct_all_gather,
     .seconds = direct_all_gather_seconds,
     .shown_seconds = direct_all_gather_shown_seconds,
     .sent_fraction = direct_half_sent},
    {.name = "circulant",
     .collective = COLLECTIVE_ALL_GATHER,
     .what = "ceil(log2 n) rounds, as few bytes as the ring (Traeff 2024; Bruck et al. 1997)",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = circulant_bounds,
     .emit = circulant_all_gather,
     .seconds = circulant_all_gather_seconds,
     .sent_fraction = circulant_half_sent},

    {.name = "double-tree",
     .collective = COLLECTIVE_BROADCAST,
     .what = "two binary trees, half of the vector each (Sanders, Speck & Traeff 2009)",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = double_tree_bounds,
     .emit = double_tree_broadcast,
     .seconds = double_tree_broadcast_seconds,
     .sent_fraction = double_tree_broadcast_sent},
    {.name = "chain",
     .collective = COLLECTIVE_BROADCAST,
     .what = "from rank to rank, passed on as it comes",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = chain_bounds,
     .emit = chain_broadcast,
     .seconds = chain_broadcast_seconds,
     .sent_fraction = chain_sent},
    {.name = "direct",
     .collective = COLLECTIVE_BROADCAST,
     .what = "the root sends to everyone",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = direct_bounds,
     .emit = direct_broadcast,
     .seconds = direct_broadcast_seconds,
     .sent_fraction = direct_broadcast_sent},

    {.name = "double-tree",
     .collective = COLLECTIVE_REDUCE,
     .what = "two binary trees, half of the vector each (Sanders, Speck & Traeff 2009)",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = double_tree_bounds,
     .emit = double_tree_reduce,
     .seconds = double_tree_reduce_seconds,
     .sent_fraction = double_tree_reduce_sent},
    {.name = "chain",
     .collective = COLLECTIVE_REDUCE,
     .what = "from rank to rank, added to as it comes",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = chain_bounds,
     .emit = chain_reduce,
     .seconds = chain_reduce_seconds,
     .sent_fraction = chain_sent},
    {.name = "direct",
     .collective = COLLECTIVE_REDUCE,
     .what = "everyone sends to the root, which folds in rank order",
     .size_max = DIRECT_RANKS_MAX,
     .bytes_max = DIRECT_BYTES_MAX,
     .bounds = direct_bounds,
     .emit = direct_reduce,
     .seconds = direct_reduce_seconds,
     .sent_fraction = direct_reduce_sent},

    {.name = "dissemination",
     .collective = COLLECTIVE_BARRIER,
     .what = "ceil(log2 n) rounds of empty messages (Hensgen, Finkel & Manber 1988)",
     .size_max = SCHEDULE_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = dissemination_bounds,
     .emit = dissemination_barrier,
     .seconds = dissemination_barrier_seconds,
     .sent_fraction = dissemination_barrier_sent},
    {.name = "direct",
     .collective = COLLECTIVE_BARRIER,
     .what = "everyone tells everyone",
     .size_max = DIRECT_RANKS_MAX,
     .bytes_max = UINT64_MAX,
     .bounds = direct_bounds,
     .emit = direct_barrier,
     .seconds = direct_barrier_seconds,
     .shown_seconds = direct_barrier_shown_seconds,
     .sent_fraction = direct_barrier_sent},
};

#define ROWS ((unsigned)(sizeof rows / sizeof rows[0]))

const struct algorithm *algorithm_table(unsigned *count)
{
    *count = ROWS;
    return rows;
}

const struct algorithm *algorithm_find(enum collective collective, const char *name)
{
    for (unsigned i = 0; i < ROWS; i++) {
        if (rows[i].collective == collective && strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

kolo_status algorithm_build(struct schedule **schedule, const struct algorithm *algorithm,
                            uint32_t rank, uint32_t size, uint32_t root)
{
    const char *collective = collective_name(algorithm->collective);
    if (size > algorithm->size_max) {
        return fail(KOLO_ERR_LIMIT, "%s by %s is for at most %u ranks, not %u", collective,
                    algorithm->name, algorithm->size_max, size);
    }
    uint64_t instructions = 0, dependencies = 0;
    algorithm->bounds(&instructions, &dependencies, size);
    struct schedule *made = NULL;
    kolo_status status = schedule_alloc(&made, instructions, dependencies);
    if (status != KOLO_OK) {
        return status;
    }
    algorithm->emit(made, rank, size, root);
    if (made->starved) {
        status = fail(KOLO_ERR_MEMORY, "no memory to build %s by %s for %u ranks", collective,
                      algorithm->name, size);
    } else if (made->overflow) {
        status = fail(KOLO_ERR_INTERNAL,
                      "%s by %s for rank %u of %u does not fit its own bounds; please report this",
                      collective, algorithm->name, rank, size);
    }
    if (status != KOLO_OK) {
        schedule_free(made);
        return status;
    }
    *schedule = made;
    return KOLO_OK;
}
