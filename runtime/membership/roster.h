/* roster: the list of the group as one process sees it while genesis runs: made of those that are connected, announced by its
 * hash, and settled when all on it have announced the same.
 *
 * A list that was announced is a promise: it is kept while all on it are connected, and made anew only when others have stuck to
 * another one for a while, which happens when more processes than `size` were started. Then all come to the first `size`:
 * those with a rank of their own first, then by identity. */
#ifndef KOLO_MEMBERSHIP_ROSTER_H
#define KOLO_MEMBERSHIP_ROSTER_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/membership/candidate.h"
#include "runtime/membership/member.h"

#define ROSTER_CONFLICT_NS 100000000ULL /* lists that differ for this long are made anew */
#define ROSTER_CLASH_NS 1000000000ULL   /* ranks that do not fit for this long are an error */

struct roster {
    const struct member *self; /* borrowed */
    bool ready;                /* the list is made */
    uint64_t hash;             /* of it */
    uint64_t conflict_ns;      /* since when somebody has announced another list; 0: nobody has */
    uint64_t clash_ns;         /* since when the ranks do not fit; 0: they do */
    struct member *list;       /* [self->size], by rank; owned */
};

/** KOLO_ERR_MEMORY. `self` must outlive it. */
kolo_status roster_open(struct roster *roster, const struct member *self);
void roster_close(struct roster *roster);

/** Bring the list up to date with who is connected. Out: announce: it is new, all are to be told roster->hash.
 *  KOLO_ERR_ARGUMENT (ranks, for ROSTER_CLASH_NS: both are named), KOLO_ERR_MEMORY. */
kolo_status roster_step(struct roster *roster, bool *announce, struct candidates *candidates,
                        uint64_t now_ns);

/** The list is made and nobody contradicts. */
bool roster_quiet(const struct roster *roster);

/** All on the list are connected and have announced the same. */
bool roster_settled(const struct roster *roster, const struct candidates *candidates);

#endif
