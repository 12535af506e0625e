/* cable: what joins two endpoints: packets under way on ordered channels in both directions (one a lane, and one for control),
 * and at each end an inbox a channel of what has arrived. It knows time, rates and faults, but not what is in a message;
 * the ends bound what is under way (lane.h). It lives while one of its ends is attached. */
#ifndef KOLO_TRANSPORT_SIM_CABLE_H
#define KOLO_TRANSPORT_SIM_CABLE_H

#include "transport/sim/world.h"

#define CABLE_CONTROL TRANSPORT_LANES /* the channel beside the lanes */
#define CABLE_CHANNELS (TRANSPORT_LANES + 1)

enum packet_kind {
    PACKET_DATA,      /* bytes of a message; the first one brings its header */
    PACKET_OPEN,      /* this end has been connected */
    PACKET_SHOWN,     /* a message that its sender shows to all */
    PACKET_WITHDRAWN, /* a message that was shown is not any more */
    PACKET_CREDIT,    /* how much may have been sent on a lane, from the beginning */
    PACKET_CLOSE,     /* nothing more will come; follows all data */
    PACKET_RESET      /* this end has failed; overtakes data */
};

struct packet {
    struct packet *next;
    enum packet_kind kind;
    unsigned lane;                     /* DATA, CREDIT */
    uint64_t departure_ns, arrival_ns; /* of its first byte, and of its last */
    uint64_t written_in_ns;            /* from its first byte to its last, anywhere */
    bool port_passed;                  /* the receiver's port has had its time for it */

    /* DATA; SHOWN: header, message, bytes; WITHDRAWN: message */
    bool begins, ends; /* of a message */
    uint8_t header[TRANSPORT_HEADER_BYTES];
    uint64_t message; /* its number on the lane, or of those shown */
    size_t length;    /* of the message */
    size_t bytes;     /* in this packet */
    size_t taken;     /* of them by the receiver */

    /* CREDIT */
    uint64_t credit_bytes, credit_messages;

    uint8_t data[];
};

struct packet_queue {
    struct packet *first, *last;
};

struct channel {
    struct agenda_event due; /* the first packet arrives */
    struct packet_queue under_way;
    struct cable *cable;
    unsigned from;            /* side */
    uint64_t last_arrival_ns; /* of all packets so far: the order is kept */
};

enum cable_loss { CABLE_SOUND = 0, CABLE_DIED, CABLE_SILENT };

struct cable_end {
    uint8_t id[TRANSPORT_ID_BYTES];
    struct sim_endpoint *endpoint; /* NULL: not attached, or no longer */
    bool gone;                     /* no longer */
    struct packet_queue inbox[CABLE_CHANNELS];
    struct agenda_event loss; /* the other side will be found dead or silent */
    enum cable_loss loss_planned;
    enum cable_loss loss_seen;
    struct cable *cable;
};

struct cable {
    struct cable *next;
    struct sim_network *network;
    uint64_t token;
    uint64_t latency_ns, link_Bps;
    struct cable_end ends[2]; /* the smaller id is side 0 */
    struct channel channels[2][CABLE_CHANNELS];
    uint64_t free_ns[2];         /* by side: when the link has sent what it has been given */
    uint64_t last_arrival_ns[2]; /* by side: of all channels; matters where lanes do not overtake */
};

/** Attach an endpoint to the cable with that peer and token, made if it is not there. Out: cable, side.
 *  KOLO_ERR_MEMORY; KOLO_ERR_STATE: that end is or was attached already. */
kolo_status cable_attach(struct cable **cable, unsigned *side, struct sim_endpoint *endpoint,
                         const uint8_t *peer, uint64_t token);

/** Leave the cable. It is freed with the last end; else what is under way to the other end still arrives. */
void cable_detach(struct cable *cable, unsigned side);

/** A packet with room for `bytes`; NULL: out of memory. Freed by packet_free(), or given away to cable_transmit(). NULL
 *  is allowed there. */
struct packet *packet_new(struct sim_network *network, enum packet_kind kind, size_t bytes);
void packet_free(struct sim_network *network, struct packet *packet);

/** Send a packet from `side` on a channel. Takes the packet. */
void cable_transmit(struct cable *cable, unsigned side, unsigned channel, struct packet *packet);

/** The first packet of an inbox, taken out; NULL: none. Freed by the caller. */
struct packet *packet_queue_take(struct packet_queue *queue);

/** Plan that this end finds the other one dead or silent at `time_ns`, unless it does so earlier. */
void cable_plan_loss(struct cable *cable, unsigned side, enum cable_loss loss, uint64_t time_ns);

/** Throw away what has arrived at this end. */
void cable_discard(struct cable *cable, unsigned side);

#endif
