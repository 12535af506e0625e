/* pair: one reliable connected queue pair, from its creation through the exchange of addresses to ready-to-send, and why it
 * failed. Knows nothing of messages. Connected by addresses that the caller carries to the other end (the default), or by
 * rdma_cm (cm.h), which iWARP needs. */
#ifndef KOLO_VERBS_PAIR_H
#define KOLO_VERBS_PAIR_H

#include <infiniband/verbs.h>
#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/wire.h"
#include "transport/verbs/device.h"

/** What a queue pair is made for. */
struct pair_shape {
    struct ibv_cq *send_cq, *receive_cq; /* may be the same */
    struct ibv_srq *srq;                 /* or NULL */
    uint32_t sends, receives;            /* work requests outstanding, at most */
    uint32_t send_sges, receive_sges;    /* 0 means 1 */
    uint32_t inline_bytes;               /* wished for; the device may give less */
    enum ibv_qp_type type;               /* 0: IBV_QPT_RC */
};

/* Adapters answer 16 reads at once; soft-RoCE and soft-iWARP answer 128, and are some percent faster so. */
#define PAIR_READS_MAX 128

/** How it is connected; zero means the default. */
struct pair_settings {
    enum ibv_mtu mtu; /* 0: the lesser of both ports' */
    uint8_t timeout;  /* 4.096 us x 2^timeout; 0 means 14 */
    uint8_t
        retries; /* 1 .. 7, 0 means 6: soft-RoCE takes 7 for "for ever", and a dead peer would never be noticed */
    uint8_t service_level; /* 0 .. 15 */
    uint8_t traffic_class; /* 0 .. 255 */
    uint8_t
        reads; /* RDMA reads and atomics outstanding; 0: as many as the device can, PAIR_READS_MAX at most */
};

struct pair {
    struct ibv_qp *qp;
    const struct device_port *port; /* borrowed */
    uint32_t inline_bytes;          /* what the device gave */
    uint32_t psn;                   /* first packet number sent, random */
};

/** How an end is reached; travels to the other end. */
struct pair_address {
    uint32_t qp_number, psn;
    union ibv_gid gid;
    uint16_t lid;
    uint8_t mtu;   /* enum ibv_mtu */
    uint8_t reads; /* that this end answers at once */
    bool ethernet;
    uint8_t gid_type; /* 0 InfiniBand or RoCE v1, 1 RoCE v2: both ends must be alike on Ethernet */
};
#define PAIR_ADDRESS_BYTES 32 /* encoded, at most */

/** Make it (state INIT, so that receives can be posted). KOLO_ERR_SYSTEM names the limit that was hit (max_qp_wr, memlock, ...) and
 *  the cure. Out: pair: zeroed on failure. Destroyed by pair_destroy(). */
kolo_status pair_create(struct pair *pair, const struct device_port *port,
                        const struct pair_shape *shape);

/** End it for good without freeing it: all that is posted completes as flushed. Harmless if it has failed already. */
void pair_flush(struct pair *pair);
/** What the other end may do to this one (enum ibv_access_flags): all that the device can. */
unsigned pair_access(const struct device_port *port);
void pair_destroy(struct pair *pair); /* a zeroed one is allowed */

void pair_address(struct pair_address *address, const struct pair *pair);
void pair_address_put(struct wire_writer *writer, const struct pair_address *address);
/** From a peer: marks the reader failed if a field cannot be. */
void pair_address_get(struct wire_reader *reader, struct pair_address *address);

/** Bring it to ready-to-send towards `remote`. Both ends must do so; neither waits for the other, but on RoCE the kernel resolves
 *  the neighbour's hardware address first, for a second at most, if it does not know it (resolver.h). KOLO_ERR_ARGUMENT, not logged
 *  (different fabrics: InfiniBand and Ethernet, RoCE v1 and v2, IPv4 and IPv6; an MTU that a port does not have); KOLO_ERR_SYSTEM (no
 *  route to the GID: says which; not logged, since there may be other ways). */
kolo_status pair_connect(struct pair *pair, const struct pair_address *remote,
                         const struct pair_settings *settings);

/** The route that pair_connect() will take. KOLO_ERR_ARGUMENT as there. */
kolo_status pair_route(struct ibv_ah_attr *route, const struct pair *pair,
                       const struct pair_address *remote, const struct pair_settings *settings);

/** The kernel finds no way to the peer's address: KOLO_ERR_SYSTEM, explained, not logged. */
kolo_status pair_route_failed(const struct pair *pair, const struct pair_address *remote,
                              int error);

/** What a completion status means and what to look at, for people: "retry exceeded: the peer does not answer; ...". */
const char *pair_explain(enum ibv_wc_status status);

#endif
