/* world: the structures of a simulated network that the files of this box share: the network, its endpoints, its cuts. What
 * its users may know is in network.h. */
#ifndef KOLO_TRANSPORT_SIM_WORLD_H
#define KOLO_TRANSPORT_SIM_WORLD_H

#include "transport/sim/agenda.h"
#include "transport/sim/network.h"

struct cable;

/* A simulated process. Lives until the network is destroyed, so that its counters can be asked for. */
struct sim_endpoint {
    struct sim_endpoint *next; /* the one made before */
    struct sim_network *network;
    uint8_t id[TRANSPORT_ID_BYTES];
    unsigned number; /* in the order of creation: its name in the trace */
    bool dead;
    bool woken; /* something has arrived since its last progress() */
    uint64_t peer_timeout_ns;
    uint64_t port_Bps;
    uint64_t out_free_ns, in_free_ns; /* when its port has done what it has been given */
    uint64_t sent, received;          /* payload bytes */
};

/* Nothing passes between the two from from_ns until to_ns. */
struct sim_cut {
    uint8_t a[TRANSPORT_ID_BYTES], b[TRANSPORT_ID_BYTES];
    bool everybody; /* b is anybody */
    uint64_t from_ns, to_ns;
};

struct sim_shape {
    uint8_t a[TRANSPORT_ID_BYTES], b[TRANSPORT_ID_BYTES];
    uint64_t latency_ns, link_Bps;
};

struct sim_network {
    struct sim_network_config config;
    uint64_t now_ns;
    uint64_t random; /* state of the generator */
    struct agenda agenda;
    struct sim_endpoint *endpoints; /* the last made first */
    unsigned endpoint_count;
    struct cable *cables, **cables_end; /* the first made first */
    struct sim_cut *cuts;
    size_t cut_count, cut_capacity;
    struct sim_shape *shapes;
    size_t shape_count, shape_capacity;
    uint64_t random_cut_ns; /* when the next one comes; CLOCK_FOREVER: none */
    size_t held_bytes;
};

/** The endpoint of that id that was made last; NULL: none. */
struct sim_endpoint *sim_network_find(const struct sim_network *network, const uint8_t *id);

/** Add an endpoint. NULL: out of memory. Owned by the network. */
struct sim_endpoint *sim_network_add(struct sim_network *network,
                                     const struct transport_config *config);

/** A random number, 0 <= it < limit (0 if limit is 0). */
uint64_t sim_network_random(struct sim_network *network, uint64_t limit);

/** Write a line into the trace, with the time before it. */
void sim_network_trace(struct sim_network *network, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
