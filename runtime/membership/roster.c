#include "runtime/membership/roster.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"

kolo_status roster_open(struct roster *roster, const struct member *self)
{
    *roster = (struct roster){.self = self};
    roster->list = calloc(self->size, sizeof *roster->list);
    return roster->list != NULL
               ? KOLO_OK
               : fail(KOLO_ERR_MEMORY, "no memory for a list of %u peers", self->size);
}

void roster_close(struct roster *roster)
{
    free(roster->list);
    roster->list = NULL;
}

/* Who comes first when more than `size` processes were started. */
static int compare_claims(const void *a, const void *b)
{
    const struct member *left = a;
    const struct member *right = b;
    if ((left->rank < 0) != (right->rank < 0)) {
        return left->rank < 0 ? 1 : -1;
    }
    return memcmp(left->id, right->id, sizeof left->id);
}

/* The first `size` of all that are connected, ranked. Out: within: this process is among them. */
static kolo_status fill_list(struct roster *roster, bool *within,
                             const struct candidates *candidates)
{
    const struct member *self = roster->self;
    uint32_t count = 0;
    struct member *all = calloc(candidates->count + 1, sizeof *all);
    if (all == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory for a list of %u peers", self->size);
    }
    all[count++] = *self;
    for (unsigned i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = candidates->at[i];
        if (candidate->control != NULL && candidate->known) {
            all[count++] = candidate->member;
        }
    }
    assert(count >= self->size);
    qsort(all, count, sizeof *all, compare_claims);
    memcpy(roster->list, all, self->size * sizeof *all);
    free(all);
    *within = false;
    for (uint32_t i = 0; i < self->size; i++) {
        *within |= memcmp(roster->list[i].id, self->id, sizeof self->id) == 0;
    }
    return *within ? members_rank(roster->list, self->size) : KOLO_OK;
}

/* Remember who is on the list, so that looking at it is quick. */
static void mark_listed(const struct roster *roster, struct candidates *candidates)
{
    for (unsigned i = 0; i < candidates->count; i++) {
        candidates->at[i]->listed = false;
    }
    for (uint32_t i = 0; i < roster->self->size; i++) {
        struct candidate *candidate = candidates_find(candidates, roster->list[i].id);
        if (candidate != NULL) {
            candidate->listed = true;
        }
    }
}

/* Enough are connected: make the list. A process too many makes none: the others are more likely to be the group. */
static kolo_status make_list(struct roster *roster, bool *announce, struct candidates *candidates)
{
    bool within = false;
    kolo_status status = fill_list(roster, &within, candidates);
    roster->ready = status == KOLO_OK && within;
    roster->conflict_ns = 0;
    if (roster->ready) {
        mark_listed(roster, candidates);
        roster->hash = members_hash(roster->list, roster->self->size);
        *announce = true;
    }
    return status;
}

/* What is wrong with the ranks counts once it has lasted: the connection of a process that was killed ends a moment after the one
 * that takes its place may have come. */
static kolo_status hold_back(struct roster *roster, kolo_status status, uint64_t now_ns)
{
    if (status != KOLO_ERR_ARGUMENT) {
        roster->clash_ns = 0;
        return status;
    }
    if (roster->clash_ns == 0) {
        roster->clash_ns = now_ns;
    }
    return now_ns - roster->clash_ns >= ROSTER_CLASH_NS ? status : KOLO_OK;
}

/* How many on the list are connected, and how many of them have announced the same: this process included. */
static unsigned count_listed(const struct roster *roster, unsigned *agreed,
                             const struct candidates *candidates)
{
    unsigned there = 1;
    *agreed = 1;
    for (unsigned i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = candidates->at[i];
        if (candidate->listed && candidate->control != NULL) {
            there++;
            *agreed += candidate->ready_hash == roster->hash;
        }
    }
    return there;
}

/* Has anybody announced another list? */
static bool contradicted(const struct roster *roster, const struct candidates *candidates)
{
    for (unsigned i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = candidates->at[i];
        if (candidate->control != NULL && candidate->ready_hash != 0 &&
            candidate->ready_hash != roster->hash) {
            return true;
        }
    }
    return false;
}

kolo_status roster_step(struct roster *roster, bool *announce, struct candidates *candidates,
                        uint64_t now_ns)
{
    uint32_t size = roster->self->size;
    unsigned agreed = 0;
    *announce = false;
    if (roster->ready && count_listed(roster, &agreed, candidates) < size) {
        roster->ready = false; /* somebody left again */
    }
    if (candidates_connected(candidates) + 1 < size) {
        return hold_back(roster, KOLO_OK, now_ns);
    }
    if (!roster->ready) {
        return hold_back(roster, make_list(roster, announce, candidates), now_ns);
    }
    if (agreed == size || !contradicted(roster, candidates)) {
        roster->conflict_ns = 0;
    } else if (roster->conflict_ns == 0) {
        roster->conflict_ns = now_ns;
    } else if (now_ns - roster->conflict_ns >= ROSTER_CONFLICT_NS) {
        return hold_back(roster, make_list(roster, announce, candidates), now_ns);
    }
    return KOLO_OK;
}

bool roster_quiet(const struct roster *roster)
{
    return roster->ready && roster->conflict_ns == 0;
}

bool roster_settled(const struct roster *roster, const struct candidates *candidates)
{
    unsigned agreed = 0;
    return roster->ready && count_listed(roster, &agreed, candidates) == roster->self->size &&
           agreed == roster->self->size;
}
