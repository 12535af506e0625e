/* cm: queue pairs connected by rdma_cm, for iWARP and for routed InfiniBand, or where asked for. Nothing blocks: cm_progress()
 * brings listeners and connections on, and cm_fd() can be slept on. Carries up to CM_PRIVATE_BYTES of the caller's with the
 * connection request. The queue pairs are the caller's devices' own (the same protection domain, completion queues and
 * registrations as without rdma_cm). All calls on a cm and its connections are serialised by the caller. */
#ifndef KOLO_VERBS_CM_H
#define KOLO_VERBS_CM_H

#include <kolo/kolo.h>
#include <netinet/in.h>
#include <rdma/rdma_cma.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport/verbs/pair.h"

#define CM_PRIVATE_BYTES 48 /* less than the 56 that RDMA_PS_TCP leaves */
#define CM_ACCEPT_TIMEOUT_NS                                                                       \
    (10 * UINT64_C(1000000000)) /* for an accepted dialler to say that it is ready */

struct cm;            /* an event channel with its connections */
struct cm_connection; /* one, in the making or made */

enum cm_state { CM_CONNECTING = 0, CM_UP, CM_LOST };

/** What a connection does to its owner; called from cm_progress(), in its thread. No connection is closed in it. */
struct cm_events {
    /** Address and route are known (or a request has come in): make the queue pair with pair_shape's fields; out: shape, settings,
     *  both zeroed before; an MTU above the path's
     *  means the path's. `port` is the device's port that rdma_cm chose, among `devices` of cm_open(). False: refuse. */
    bool (*shape)(void *owner, struct pair_shape *shape, struct pair_settings *settings,
                  const struct device_port *port);
    /** The queue pair exists: post receives. The pair is the connection's: destroyed by cm_connection_close(). */
    void (*created)(void *owner, struct pair *pair);
};

/** Whom a request is for. Returns the owner of the new connection, and its events, after looking at the private data (a
 *  stranger's: anything), or NULL to refuse. The connection is the owner's, to be closed by cm_connection_close() once it is
 *  CM_UP or CM_LOST, or at any time before, outside of callbacks. */
typedef void *cm_accept(void *context, struct cm_connection *connection,
                        const struct cm_events **events, const uint8_t *data, size_t data_bytes);

/** `devices` is borrowed for life. KOLO_ERR_SYSTEM (no /dev/infiniband/rdma_cm: load rdma_ucm), KOLO_ERR_MEMORY. */
kolo_status cm_open(struct cm **cm, const struct devices *devices);

/** With all its connections and listeners; NULL is allowed. */
void cm_close(struct cm *cm);

/** Polls readable when cm_progress() has something to do. Constant. */
int cm_fd(const struct cm *cm);

/** Listen on an address (port 0: any). Out: bound: where. KOLO_ERR_SYSTEM, KOLO_ERR_MEMORY. Ends with cm_close(). */
kolo_status cm_listen(struct cm *cm, struct sockaddr_storage *bound, const struct sockaddr *address,
                      cm_accept *accept, void *context);

/** Dial. `data` goes with the request. The end is CM_UP or CM_LOST through cm_progress(), within `timeout_ns`.
 *  KOLO_ERR_SYSTEM, KOLO_ERR_MEMORY. Out: connection, on success only; for cm_connection_close(). */
kolo_status cm_dial(struct cm_connection **connection, struct cm *cm, const struct sockaddr *to,
                    const uint8_t *data, size_t data_bytes, uint64_t timeout_ns,
                    const struct cm_events *events, void *owner);

/** Handle what has happened. True if anything did. A system call even if nothing has: for when cm_fd() is readable. */
bool cm_progress(struct cm *cm);

/** Out: why, text: of CM_LOST; either may be NULL. The text lives as long as the connection. */
enum cm_state cm_state(const struct cm_connection *connection, kolo_status *why, const char **text);

/** NULL before `created`. */
struct pair *cm_pair(struct cm_connection *connection);

/** Disconnect (the queue pair is flushed on both ends; some devices flush the end that waits only because cm_progress() there
 *  does it) and free, with the queue pair. NULL is allowed. */
void cm_connection_close(struct cm_connection *connection);

/** Under which IP address of this host rdma_cm reaches a port: IPv4 first, then routable IPv6, then others. Found by trying.
 *  Out: address, with port 0. False: none. Opens and closes sockets: not for the data path. */
bool cm_address(struct sockaddr_storage *address, const struct device_port *port);

#endif
