/* verbs: the RDMA verbs transport, for whoever makes one. What it is made of is in the README of this folder. */
#ifndef KOLO_VERBS_VERBS_H
#define KOLO_VERBS_VERBS_H

#include "transport/verbs/device.h"

struct transport;

/** transport_config.wire of transport_verbs; NULL: every port that is up, GIDs chosen. Borrowed until create() returns. */
struct verbs_wire {
    struct device_wish wish; /* with gid_index -1 where nothing is asked for */
    bool
        by_cm; /* queue pairs are connected by rdma_cm everywhere, not only on iWARP; at both ends alike */
    struct transport *
        spare; /* TCP, for links that lose all of their ports; NULL: such a link is lost. Borrowed for life: it
                                is progressed where this transport needs it, and may have links of its own */
};

/** Rate of the slowest port that links of this transport use, bytes/s, one direction; 0: unknown. */
uint64_t verbs_rate_Bps(const struct transport *transport);

#endif
