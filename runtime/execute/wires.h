/* wires: the links of a communicator, one to each other peer, each over the best transport that both ends can use: found by
 * trying, not by name. Shared memory first, then RDMA verbs, then TCP. */
#ifndef KOLO_EXECUTE_WIRES_H
#define KOLO_EXECUTE_WIRES_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/membership/genesis.h"
#include "transport/transport.h"

#define WIRES_TRANSPORTS                                                                           \
    3 /* rows of the table: 0 shm, 1 verbs, 2 tcp; the bit in member.transports */

struct wires_config {
    struct tcp_port *port;     /* borrowed for life */
    const char *verbs_devices; /* KOLO_VERBS_DEVICE; NULL: all. Borrowed for wires_open() */
    int verbs_gid_index;       /* KOLO_VERBS_GID_INDEX; -1: chosen */
    int verbs_queue_pairs;     /* KOLO_VERBS_QUEUE_PAIRS: of a link on each port */
    uint64_t peer_timeout_ns;
    uint64_t deadline_ns; /* for connecting */
};

struct wires {
    struct group *group;                           /* borrowed */
    struct transport *transport[WIRES_TRANSPORTS]; /* NULL: not used by any link */
    struct transport *spare; /* tcp, where only verbs may need it, and moves it; NULL */
    struct link **link; /* [size], by rank; NULL for this process, and for a link that was closed */
    uint8_t *row;       /* [size] which transport */
};

/** The bits of the transports named in a list ("shm,tcp"; NULL: all that this kolo was built with). KOLO_ERR_ARGUMENT names what
 *  exists. */
kolo_status wires_parse(uint32_t *transports, const char *names);

/** The name of a row: "shm", "verbs", "tcp". */
const char *wires_name(unsigned row);

/** Connect with every other member. Blocks until done or the deadline.
 *  Returns KOLO_OK; KOLO_ERR_ARGUMENT (two members have no transport in common); KOLO_ERR_TIMEOUT, KOLO_ERR_PEER_LOST (names the
 *  peer); KOLO_ERR_MEMORY. Out: wires, to be closed with wires_close() whatever is returned. */
kolo_status wires_open(struct wires *wires, struct group *group, const struct wires_config *config);

/** Close all links: nothing touches posted buffers afterwards. The transports stay. */
void wires_cut(struct wires *wires);

/** Close all links and transports, free. */
void wires_close(struct wires *wires);

/** Rate of the RDMA ports that links use, bytes/s, one direction; 0: unknown, or none is used. */
double wires_verbs_rate_Bps(const struct wires *wires);

/** The transport of all links, if there is one that can show (transport.h); else NULL. */
struct transport *wires_board(const struct wires *wires);

/** Move bytes on all transports in use. True if anything happened. */
bool wires_progress(struct wires *wires);

#endif
