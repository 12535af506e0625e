/* network: the simulated network that transport_sim moves messages over. Many processes (endpoints) live in one real process
 * and one thread, and time is virtual: it stands still until somebody advances it. The same seed and the same calls give
 * the same run, to the nanosecond, faults included.
 *
 * Use: create a network; create transports with transport_config.wire = network (each is an endpoint, named by `self`);
 * then, in a loop, call progress() of all transports until nothing happens and advance the network by one step.
 *
 * The model. A packet leaves when its link and its sender's port are free, takes bytes over rate, and arrives after the
 * latency (plus jitter); the receiver's port takes one packet at a time. Headers and credits cost latency but no bytes.
 * A lane holds what has not been received in a window; a sender with no window left waits. No two networks share
 * anything. Not thread-safe. */
#ifndef KOLO_TRANSPORT_SIM_NETWORK_H
#define KOLO_TRANSPORT_SIM_NETWORK_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/transport.h"

#define SIM_SEGMENT_MAX (1u << 20) /* the largest packet, bytes */
#define SIM_WINDOW_MAX (1u << 30)  /* the largest window, bytes */
#define SIM_SPAN_MIN 64            /* the smallest room for a span, bytes */
#define SIM_TRACE_MAX 256          /* bytes of a trace line, the final zero included */

struct sim_network;

struct sim_network_config {
    uint64_t seed;       /* of jitter and random cuts */
    uint64_t latency_ns; /* of every link, one way */
    uint64_t jitter_ns;  /* a packet arrives up to this much later */
    bool reorder;        /* jitter may let one lane overtake the other; never packets of a lane */
    uint64_t link_Bps;   /* of one link, one direction; 0: not limited */
    uint64_t port_Bps; /* of an endpoint, all its links together, each direction; 0: not limited */
    size_t
        window_bytes; /* per lane: bytes under way or arrived and not yet taken by a receive. 0: rendezvous, a message's
                          * bytes leave only after its receive has been posted */
    unsigned window_messages; /* per lane: messages begun and not yet received; >= 1 */
    size_t segment_bytes;     /* the largest packet: 1..SIM_SEGMENT_MAX */
    size_t span_bytes;        /* how much a span can show at once, >= SIM_SPAN_MIN */
    uint64_t detection_ns;    /* from the death of a process to its peers' knowing it */
    double cuts_per_s;        /* random cuts of a link, in the whole network; 0: none */
    uint64_t cut_most_ns;     /* the longest of them */
    void (*trace)(void *context, const char *line); /* NULL: no trace. The line is borrowed */
    void *trace_context;
};

/** A fast local network: 5 us, 25 Gbit/s, 256 KiB windows, no jitter, no faults, seed 1. */
struct sim_network_config sim_network_defaults(void);

/** Make a network. KOLO_ERR_ARGUMENT (a field out of range: named), KOLO_ERR_MEMORY. The caller destroys it, after all its
 *  transports. Out: network. Virtual time begins at 0. */
kolo_status sim_network_create(struct sim_network **network,
                               const struct sim_network_config *config);
void sim_network_destroy(struct sim_network *network);

/** Virtual time, in nanoseconds. */
uint64_t sim_network_now_ns(const struct sim_network *network);

/** When the next packet or timer is due; CLOCK_FOREVER: never (quiescent). Random cuts do not count. */
uint64_t sim_network_next_ns(const struct sim_network *network);

/** Go to the time of the next event and let everything of that time happen. False: there is none, and time stays. */
bool sim_network_advance(struct sim_network *network);

/** Let everything up to `time_ns` happen, and end there; nothing is done if that time has passed. */
void sim_network_advance_to(struct sim_network *network, uint64_t time_ns);

/** Payload bytes that left and that reached the endpoint so far (the last one made with this id, also after its transport has
 *  been destroyed). Either may be NULL. False: there was no such endpoint. */
bool sim_network_count(const struct sim_network *network, const uint8_t *id, uint64_t *sent,
                       uint64_t *received);

/** Payload bytes that the network holds in memory now: under way, or arrived and not taken. */
size_t sim_network_held_bytes(const struct sim_network *network);

/* ---- shape: what differs from the default ------------------------------------------------------------------------- */

/** Give the link between a and b another latency and rate (0: not limited), both directions, for links made later.
 *  KOLO_ERR_MEMORY. */
kolo_status sim_network_shape(struct sim_network *network, const uint8_t *a, const uint8_t *b,
                              uint64_t latency_ns, uint64_t link_Bps);

/** Give an endpoint that exists another port rate (0: not limited), both directions, from now on. False: no such endpoint. */
bool sim_network_slow(struct sim_network *network, const uint8_t *id, uint64_t port_Bps);

/* ---- faults ------------------------------------------------------------------------------------------------------- */

/** The process dies: it does nothing from now on (its progress() returns false), and the other ends of its links are lost
 *  after detection_ns. What has left still arrives until then. Its transport is still to be destroyed. False: no such
 *  endpoint, or dead already. */
bool sim_network_kill(struct sim_network *network, const uint8_t *id);

/** Nothing passes between a and b (b NULL: anybody) from from_ns until to_ns. What was under way is late: it arrives one
 *  latency after to_ns. An end whose peer_timeout_ns is shorter than the cut is lost when that has passed.
 *  Each cut counts for itself. KOLO_ERR_MEMORY. */
kolo_status sim_network_cut(struct sim_network *network, const uint8_t *a, const uint8_t *b,
                            uint64_t from_ns, uint64_t to_ns);

#endif
