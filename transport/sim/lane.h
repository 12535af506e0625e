/* lane: one ordered lane of a simulated link at one of its ends: the transfers posted on it, the window that bounds what is
 * under way, and the message that is being received. It makes and takes data and credit packets; the link (sim.c) decides
 * when it is stepped and what a loss means. */
#ifndef KOLO_TRANSPORT_SIM_LANE_H
#define KOLO_TRANSPORT_SIM_LANE_H

#include "transport/sim/cable.h"

#define LANE_ALIGNMENT 16 /* of a span that begins at a multiple of it in the message */

struct transfer_queue {
    struct transfer *first, *last;
};

struct lane {
    struct cable *cable;
    unsigned side, number;
    kolo_status
        broken; /* the step failed: KOLO_ERR_MEMORY, KOLO_ERR_PROTOCOL; the link is to be lost */

    /* Out. */
    struct transfer_queue sends;
    bool begun;                           /* the first one's header has left */
    uint64_t sent_bytes, sent_messages;   /* since the beginning */
    uint64_t grant_bytes, grant_messages; /* how far these may go */
    struct packet *reserved;              /* room given out by lane_reserve() */

    /* In. */
    struct transfer_queue receives;
    bool open;    /* a message is being received: */
    bool matched; /* and the first receive is the right one */
    uint8_t header[TRANSPORT_HEADER_BYTES];
    size_t length, taken;                 /* of that message: all, and taken out of packets */
    uint64_t taken_bytes, taken_messages; /* since the beginning */
    uint64_t told_bytes, told_messages;   /* the grant that the peer knows */
    uint8_t *span_room;                   /* of a receive without data; NULL: not needed yet */
    size_t span_from, span_to;            /* what is in it */
};

void lane_init(struct lane *lane, struct cable *cable, unsigned side, unsigned number);

/** Free what the lane owns. Its transfers are forgotten. */
void lane_clear(struct lane *lane);

/** The transfer becomes the last of its queue. */
void lane_post(struct transfer_queue *queue, struct transfer *transfer);

/** Send and receive what can be. Returns true if anything happened. */
bool lane_step(struct lane *lane);

/** The peer lets this lane go further. */
void lane_credit(struct lane *lane, const struct packet *packet);

/** The contract's release(), reserve() and commit(). */
void lane_release(struct lane *lane, struct transfer *transfer, size_t bytes);
size_t lane_reserve(struct lane *lane, struct transfer *transfer, uint8_t **place);
void lane_commit(struct lane *lane, struct transfer *transfer, size_t bytes);

/** Take the transfer out of the queues. False: it, or one behind it, is in the way: the lane cannot go on. */
bool lane_cancel(struct lane *lane, struct transfer *transfer);

/** The peer will send nothing more. Has all that came been received? And is a transfer posted that can never be done? */
bool lane_drained(const struct lane *lane);
bool lane_stranded(const struct lane *lane);

/** Fail all posted transfers. */
void lane_fail(struct lane *lane, kolo_status status);

#endif
