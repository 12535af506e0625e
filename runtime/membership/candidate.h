/* candidate: a process that may become a member while genesis runs: what is known of it, and the one connection with it. */
#ifndef KOLO_MEMBERSHIP_CANDIDATE_H
#define KOLO_MEMBERSHIP_CANDIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/membership/control.h"
#include "runtime/membership/member.h"

#define CANDIDATES_MAX 4096 /* more are ignored: a run has at most GENESIS_SIZE_MAX peers */

struct candidate {
    struct member member;    /* id always; the rest if known */
    bool known;              /* its record has come */
    bool was_here;           /* it has been connected, now or before */
    bool listed;             /* on the list that this process has announced */
    struct control *control; /* NULL: not connected */
    bool dialled;            /* control was dialled by this process */
    bool
        promised; /* this process has announced the list on this connection: it must not replace it */
    uint64_t ready_hash;   /* of the list it has announced; 0: none */
    unsigned next_address; /* to dial */
    bool dialling;
    uint64_t retry_ns; /* when to dial again */
};

struct candidates {
    uint8_t self[TRANSPORT_ID_BYTES];
    unsigned count;
    struct candidate *at[CANDIDATES_MAX]; /* owned */
};

/** The candidate of this identity; NULL if there is none. */
struct candidate *candidates_find(const struct candidates *candidates,
                                  const uint8_t id[TRANSPORT_ID_BYTES]);

/** The same, made if need be; NULL if there is no room or memory. */
struct candidate *candidates_get(struct candidates *candidates,
                                 const uint8_t id[TRANSPORT_ID_BYTES]);

/** How many are connected. */
unsigned candidates_connected(const struct candidates *candidates);

/** Of two connections with the same process both ends keep the one dialled by the smaller identity. May a new one, dialled by
 *  this process (`dialled`) or by the other, take the place of what there is? Not one dialled here once the list has been
 *  announced: the other end may have finished on it. */
bool candidate_prefers(const struct candidates *candidates, const struct candidate *candidate,
                       bool dialled);

/** Take `control` as the connection, closing the one before. */
void candidate_adopt(struct candidate *candidate, struct control *control, bool dialled);

/** The connection has ended. */
void candidate_drop(struct candidate *candidate);

/** Free all, connections included. */
void candidates_free(struct candidates *candidates);

#endif
