/* exchange: ranks on several hosts tell each other where they listen, through the launcher that started them.
 *
 * Each puts its addresses on the launcher's board, waits until all have, and reads those of the others: of all of them up to
 * EXCHANGE_PEERS_MAX, else of those at distances of 1, 2, 4, ... around the ring, from where genesis finds the rest. No rank is
 * special. What the board says is outside input, and so is the launcher: bounded, checked, and waited for up to a deadline.
 *
 * Only where launch_read() has found a channel and no contact: on one host, or with KOLO_PEERS, nothing of this is touched. */
#ifndef KOLO_LAUNCH_EXCHANGE_H
#define KOLO_LAUNCH_EXCHANGE_H

#include <kolo/kolo.h>
#include <stdint.h>

#include "runtime/launch/launch.h"

#define EXCHANGE_TEXT_MAX 512 /* one rank's addresses; PMI-1 promises 1024 */
#define EXCHANGE_PEERS_MAX 31 /* whose addresses are read: 8 of each fit into LAUNCH_CONTACTS_MAX */

struct exchange_peer {
    int rank;
    char text[EXCHANGE_TEXT_MAX];
};

/** What a channel carries: `own` there, and the texts of the peers back. */
struct exchange {
    int rank, size;
    unsigned
        round; /* how many exchanges this process has begun before: texts of different ones do not mix */
    char own[EXCHANGE_TEXT_MAX];
    unsigned peers;
    struct exchange_peer peer[EXCHANGE_PEERS_MAX];
};

/** One way to do it; a constant table in a file of its own. Entries block until `deadline_ns`, are called by one thread at a
 *  time, and explain an error without logging it. */
struct exchange_channel {
    /** Is it there, and does it tell which job this is? Out: run_id, left alone if it does not. */
    kolo_status (*join)(char run_id[LAUNCH_RUN_ID_MAX], uint64_t deadline_ns);
    /** All ranks call it. Out: the texts of exchange->peer. After an error the channel is of no further use. */
    kolo_status (*swap)(struct exchange *exchange, uint64_t deadline_ns);
};

extern const struct exchange_channel exchange_pmi;
extern const struct exchange_channel exchange_pmix;

/** Before the port is opened: sets launch->run_id if that is "". Does nothing without a channel.
 *  Returns: KOLO_OK, or the channel's error with the launcher's name and the cure. Any thread. */
kolo_status exchange_join(struct launch *launch, uint64_t deadline_ns);

/** Afterwards, by all ranks: `own` are this process's addresses as text (launch_add_addresses). Adds those of others to
 *  launch->contact. Does nothing without a channel.
 *  Returns: KOLO_OK; KOLO_ERR_TIMEOUT (not all ranks came in time), KOLO_ERR_PROTOCOL (answers without meaning; names the rank),
 *           KOLO_ERR_SYSTEM, all with the launcher's name and the cure. Any thread. */
kolo_status exchange_contacts(struct launch *launch, const char *own, uint64_t deadline_ns);

/** Whose addresses are read. Out: exchange->peers and their ranks. */
void exchange_choose(struct exchange *exchange);

#endif
