#include "runtime/membership/candidate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct candidate *candidates_find(const struct candidates *candidates,
                                  const uint8_t id[TRANSPORT_ID_BYTES])
{
    for (unsigned i = 0; i < candidates->count; i++) {
        if (memcmp(candidates->at[i]->member.id, id, TRANSPORT_ID_BYTES) == 0) {
            return candidates->at[i];
        }
    }
    return NULL;
}

struct candidate *candidates_get(struct candidates *candidates,
                                 const uint8_t id[TRANSPORT_ID_BYTES])
{
    struct candidate *candidate = candidates_find(candidates, id);
    if (candidate != NULL || candidates->count == CANDIDATES_MAX) {
        return candidate;
    }
    candidate = calloc(1, sizeof *candidate);
    if (candidate != NULL) {
        memcpy(candidate->member.id, id, TRANSPORT_ID_BYTES);
        candidates->at[candidates->count++] = candidate;
    }
    return candidate;
}

unsigned candidates_connected(const struct candidates *candidates)
{
    unsigned connected = 0;
    for (unsigned i = 0; i < candidates->count; i++) {
        connected += candidates->at[i]->control != NULL && candidates->at[i]->known;
    }
    return connected;
}

bool candidate_prefers(const struct candidates *candidates, const struct candidate *candidate,
                       bool dialled)
{
    if (candidate->control == NULL) {
        return true;
    }
    if (dialled && candidate->promised) {
        return false;
    }
    bool smaller_dials =
        (memcmp(candidates->self, candidate->member.id, TRANSPORT_ID_BYTES) < 0) == dialled;
    return dialled != candidate->dialled && smaller_dials;
}

void candidate_adopt(struct candidate *candidate, struct control *control, bool dialled)
{
    assert(control != NULL);
    candidate_drop(candidate);
    candidate->control = control;
    candidate->dialled = dialled;
    candidate->was_here = true;
}

void candidate_drop(struct candidate *candidate)
{
    control_close(candidate->control);
    candidate->control = NULL;
    candidate->promised = false;
    candidate->ready_hash = 0;
}

void candidates_free(struct candidates *candidates)
{
    for (unsigned i = 0; i < candidates->count; i++) {
        candidate_drop(candidates->at[i]);
        free(candidates->at[i]);
    }
    candidates->count = 0;
}
