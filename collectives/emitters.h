/* emitters: the functions behind the rows of the table in algorithm.c, file by file. A row has four: bounds (room), an emitter
 * (rank, size, root -> schedule), its closed formula of time, and the vectors that the busiest sender sends; algorithm.h says
 * what each must do. Formulas count with streaming: bytes are passed on, and reduced, as they come. */
#ifndef KOLO_COLLECTIVES_EMITTERS_H
#define KOLO_COLLECTIVES_EMITTERS_H

#include "collectives/algorithm.h"

typedef void emitter_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size);
typedef void emitter(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root);
typedef double emitter_seconds(const struct network_uniform *network, uint32_t size,
                               uint64_t bytes);
typedef double emitter_sent(uint32_t size);

/* ring.c: neighbours only; optimal in bytes, not in steps. */
emitter_bounds ring_bounds;
emitter ring_all_reduce, ring_reduce_scatter, ring_all_gather;
emitter_seconds ring_all_reduce_seconds, ring_reduce_scatter_seconds, ring_all_gather_seconds;
emitter_sent ring_all_reduce_sent, ring_half_sent;

/* double_tree.c: two binary trees, each for half of the vector, in which no rank but the root is inside both. */
emitter_bounds double_tree_bounds;
emitter double_tree_all_reduce, double_tree_broadcast, double_tree_reduce;
emitter_seconds double_tree_all_reduce_seconds, double_tree_broadcast_seconds,
    double_tree_reduce_seconds;
emitter_sent double_tree_all_reduce_sent, double_tree_broadcast_sent, double_tree_reduce_sent;

/* tree.c: one k-nomial tree, up and down; the fewest messages. tree: k = 2; knomial: k = 8. */
emitter_bounds tree_bounds, knomial_bounds;
emitter tree_all_reduce, knomial_all_reduce;
emitter_seconds tree_all_reduce_seconds, knomial_all_reduce_seconds;
emitter_sent tree_all_reduce_sent, knomial_all_reduce_sent;

/* recursive_doubling.c: pairs exchange all; the fewest steps. */
emitter_bounds recursive_doubling_bounds;
emitter recursive_doubling_all_reduce;
emitter_seconds recursive_doubling_all_reduce_seconds;
emitter_sent recursive_doubling_all_reduce_sent;

/* direct.c: everyone to everyone (or the root) in one step, folded in rank order. */
emitter_bounds direct_bounds;
emitter direct_all_reduce, direct_reduce_scatter, direct_all_gather, direct_broadcast,
    direct_reduce, direct_barrier;
emitter_seconds direct_all_reduce_seconds, direct_reduce_scatter_seconds, direct_all_gather_seconds,
    direct_broadcast_seconds, direct_reduce_seconds, direct_barrier_seconds;
emitter_seconds direct_all_reduce_shown_seconds, direct_reduce_scatter_shown_seconds,
    direct_all_gather_shown_seconds, direct_barrier_shown_seconds;
emitter_sent direct_all_reduce_sent, direct_half_sent, direct_broadcast_sent, direct_reduce_sent,
    direct_barrier_sent;

/* two_shot.c: everyone reduces one chunk of everyone's, and sends the result to everyone. */
emitter_bounds two_shot_bounds;
emitter two_shot_all_reduce, two_shot_reduce_scatter;
emitter_seconds two_shot_all_reduce_seconds, two_shot_reduce_scatter_seconds;
emitter_sent two_shot_all_reduce_sent, two_shot_reduce_scatter_sent;

/* circulant.c: logarithmic in steps and optimal in bytes, for any number of ranks. circulant_rounds(): how many of a half's
 * ceil(log2 size) rounds wait for each other. */
unsigned circulant_rounds(uint32_t size);
emitter_bounds circulant_bounds;
emitter circulant_all_reduce, circulant_reduce_scatter, circulant_all_gather;
emitter_seconds circulant_all_reduce_seconds, circulant_reduce_scatter_seconds,
    circulant_all_gather_seconds;
emitter_sent circulant_all_reduce_sent, circulant_half_sent;

/* chain.c: from rank to rank, as a pipeline. */
emitter_bounds chain_bounds;
emitter chain_broadcast, chain_reduce;
emitter_seconds chain_broadcast_seconds, chain_reduce_seconds;
emitter_sent chain_sent;

/* dissemination.c: a barrier in which news spreads by doubling. */
emitter_bounds dissemination_bounds;
emitter dissemination_barrier;
emitter_seconds dissemination_barrier_seconds;
emitter_sent dissemination_barrier_sent;

/* star.c: the parameter server that users come from. */
emitter_bounds star_bounds;
emitter star_all_reduce;
emitter_seconds star_all_reduce_seconds;
emitter_sent star_all_reduce_sent;

#endif
