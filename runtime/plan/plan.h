/* plan: which schedule for a call. Chooses an algorithm with the cost model (or takes the one that is forced), builds and proves
 * its schedule once, and keeps it. Everything that decides must be the same on all ranks, so that all choose alike: the
 * network's figures are agreed when the communicator opens. Not thread-safe: the caller serialises. */
#ifndef KOLO_PLAN_PLAN_H
#define KOLO_PLAN_PLAN_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#include "collectives/algorithm.h"

#define PLAN_VERIFY_RANKS_MAX                                                                      \
    64 /* larger groups are proved by the tests at spot sizes, not at run time */
#define PLAN_NONE UINT32_MAX
#define PLANS_MAX 256 /* kept in the cache; then the oldest goes */

struct plan {
    uint64_t serial; /* different for every plan of a process */
    const struct algorithm *algorithm;
    uint8_t algorithm_row; /* in the table: part of the fingerprint */
    uint32_t root;
    struct schedule *schedule;
    uint32_t *
        next; /* [instructions] the next instruction of the same peer, lane and direction; PLAN_NONE */
    uint32_t *
        first; /* [firsts] instructions that nothing precedes on their lane, and all local ones, in list order */
    uint32_t firsts;
    uint32_t
        private_blocks; /* WORK: vector-sized memory that the rank which needs most of it has: blocks; 0: none */
    bool
        crosses_blocks; /* some rank sends a range of several blocks from INPUT: passes need a packed copy of it */
    uint32_t private_slots; /* SLOT: the same, slots */
    bool
        exchange; /* each rank may show its input instead of sending it (exchange.h); the same on all ranks */
};

struct plans;

/** A cache for one communicator. `forced`: an algorithm's name, or NULL. KOLO_ERR_ARGUMENT if no collective has an algorithm of
 *  this name (the message lists them). */
kolo_status plans_create(struct plans **plans, uint32_t rank, uint32_t size,
                         const struct network_uniform *network, const char *forced);
void plans_free(struct plans *plans);

/** The plan for a call. `bytes`: of the vector. Fast when it is in the cache. Out: plan, valid until the next plans_get().
 *  KOLO_ERR_MEMORY; KOLO_ERR_INTERNAL if the schedule is not right (the proof's text). */
kolo_status plans_get(const struct plan **plan, struct plans *plans, enum collective collective,
                      uint64_t bytes, uint32_t root);

#endif
