/* outbox: the sends of one lane: what of them can go out now, as what frames, and when the poster's memory is free again. A
 * message whose memory is registered is sent straight from it, or put straight to its destination if the receiver has granted
 * that; all others are copied into the slots they are sent from. */
#ifndef KOLO_VERBS_OUTBOX_H
#define KOLO_VERBS_OUTBOX_H

#include "transport/queue.h"
#include "transport/verbs/credit.h"

#define OUTBOX_GRANTS 4 /* messages of a lane that may be granted ahead */
#define OUTBOX_GATHER_BYTES                                                                        \
    4096 /* shorter messages are copied even if their memory is registered */
#define OUTBOX_TINY_BYTES                                                                          \
    4096 /* a frame that waits for more of its message while the wire is busy */

struct verbs_link;
struct frame_notice;

/** What a receiver allows: that message may be written there. */
struct outbox_grant {
    bool valid;
    uint32_t number; /* of the message on its lane */
    uint32_t keys[FRAME_RAILS];
    uint64_t address;
    uint64_t length;
    uint8_t header[TRANSPORT_HEADER_BYTES];
};

struct outbox {
    struct verbs_link *link;
    struct credit_out *out;
    unsigned lane;
    struct queue queue; /* not wholly handed to the device yet */
    uint32_t number;    /* of the first of them */
    bool begun;         /* a frame of it has been sent */
    bool tracked;   /* it is sent from the poster's memory: `moved` rises when the device is done */
    bool starved;   /* reserve() found no room: progress() tells when there is some */
    uint8_t *place; /* of reserve(); NULL: none */
    size_t place_bytes;
    uint64_t sent_bytes; /* payload, ever */
    struct outbox_grant grants[OUTBOX_GRANTS];
};

/** Send what can be sent. True if anything moved. */
bool outbox_step(struct outbox *box);

/** A frame is done: raise `moved`. */
void outbox_sent(struct outbox *box, struct flight *flight);

size_t outbox_reserve(struct outbox *box, struct transfer *transfer, uint8_t **place);
void outbox_commit(struct outbox *box, struct transfer *transfer, size_t bytes);

/** Take back a send of which nothing has moved, and that no other follows. False: impossible. */
bool outbox_cancel(struct outbox *box, struct transfer *transfer);

/** The receiver allows a put. False: it cannot mean that. */
bool outbox_grant(struct outbox *box, const struct frame *frame, const struct frame_notice *notice);

/** Does anybody wait for a send to be done? */
bool outbox_waits(const struct outbox *box);

/** Is the device reading the poster's memory? */
bool outbox_borrows(const struct outbox *box);

/** Fail everything. After the rails are closed, or when no send is under way. */
void outbox_fail(struct outbox *box, kolo_status status);

#endif
