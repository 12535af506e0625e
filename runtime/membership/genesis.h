/* genesis: how peers that know only a few addresses become a group, with no server and no special rank.
 *
 * Every process dials its contacts, tells everyone whom it knows (gossip), and dials whom it hears of, until it is connected
 * with size - 1 others. Then it sorts the list, announces the list's hash, and is done when all on it have announced the
 * same. Contacts may start in any order, and may be missing as long as the rest is connected through others.
 *
 * Two processes may dial each other at once; of the two connections both keep the one dialled by the smaller identity. A
 * dialled connection counts on the accepting side only when the dialler's first frame has come, so that both agree. */
#ifndef KOLO_MEMBERSHIP_GENESIS_H
#define KOLO_MEMBERSHIP_GENESIS_H

#include <kolo/kolo.h>
#include <stdint.h>

#include "runtime/launch/launch.h"
#include "runtime/membership/control.h"
#include "runtime/membership/member.h"

#define GENESIS_SIZE_MAX 1024 /* peers that this full mesh is meant for */

/** The group: the same list on every peer. */
struct group {
    uint32_t size;
    uint32_t rank;            /* this process's */
    struct member *member;    /* [size], by rank */
    struct control **control; /* [size], by rank; NULL for this process */
};

struct genesis_config {
    struct tcp_port *port;       /* listening; borrowed */
    const struct member *self;   /* rank -1 or given, size */
    const struct launch *launch; /* contacts */
    uint64_t deadline_ns;
};

/** Find the peers and agree on the list. Blocks until done or the deadline has passed. Afterwards the port refuses control
 *  connections (the group is complete).
 *  Returns: KOLO_OK; KOLO_ERR_TIMEOUT (names who is missing and what was tried), KOLO_ERR_ARGUMENT (two of one rank, peers that
 *           expect another size), KOLO_ERR_MEMORY, KOLO_ERR_SYSTEM. Out: group, on success only; group_close() frees it. */
kolo_status genesis_run(struct group *group, const struct genesis_config *config);

/** Close the control connections, free the lists. */
void group_close(struct group *group);

#endif
