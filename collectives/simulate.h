/* simulate: the finishing time of a collective on a modelled network, in virtual time. Streamed dependencies stream (bytes move
 * on as soon as they are ready), whole ones wait; messages of a lane are in order; a link has latency and rate, a
 * node's port limits the sum of its links per direction; reductions take time on the node's processor. */
#ifndef KOLO_COLLECTIVES_SIMULATE_H
#define KOLO_COLLECTIVES_SIMULATE_H

#include "collectives/algorithm.h"

/** A network of `size` nodes. Where an array is NULL all are alike, as `uniform` says. */
struct network {
    struct network_uniform uniform;
    uint32_t size;
    const double *link_latency_s;   /* [size * size], from * size + to */
    const double *link_Bps;         /* [size * size] */
    const double *port_send_Bps;    /* [size] */
    const double *port_receive_Bps; /* [size] */
};

struct simulation {
    double seconds;         /* until the last rank is done */
    uint64_t messages;      /* of all ranks */
    double bytes_sent_most; /* by the rank that sends most */
    double *rank_seconds;   /* [size] if not NULL on entry: when each rank is done */
};

/** Simulate. `bytes`: of the vector. Returns KOLO_OK, KOLO_ERR_MEMORY, KOLO_ERR_LIMIT, KOLO_ERR_ARGUMENT (network->size and the
 *  rest disagree), KOLO_ERR_INTERNAL (the schedule never ends). Out: simulation. 4,096 ranks take seconds and under 2 GiB. */
kolo_status simulate(struct simulation *simulation, const struct network *network,
                     const struct algorithm *algorithm, uint32_t root, uint64_t bytes);

#endif
