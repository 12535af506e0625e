/* credit: the two ends of a channel's window. Frames have sequence numbers; frame n lies in slot n modulo FRAME_SLOTS, at its
 * sender (until the device has done with it) and at its receiver (until the slot is given back). So a sender needs no other
 * bookkeeping than three numbers, and a receiver one number and a bit for each slot. Over several rails frames come out of
 * order; they are used in order. */
#ifndef KOLO_VERBS_CREDIT_H
#define KOLO_VERBS_CREDIT_H

#include "transport/verbs/frame.h"

/** What a frame on its way is made of, to raise `moved` when it is done, and to send it again by another rail. */
struct flight {
    struct transfer
        *transfer;       /* its `moved` rises when the frame is done; NULL: it has risen already */
    const uint8_t *data; /* payload in the poster's memory; NULL: it lies in the slot */
    uint64_t remote;     /* a put: where to */
    uint32_t keys[FRAME_RAILS]; /* a put: of that place, one a rail */
    uint32_t bytes;             /* of payload */
    uint16_t pad;               /* between header and payload */
    uint8_t kind;               /* enum frame_kind */
    uint8_t rail;               /* which carries it */
    uint8_t about;              /* a RESUME: of which rail */
    bool done;                  /* by the device; frames before it may not be */
};

/** The sending end. completed <= credited + FRAME_SLOTS and so on: all are <= next, and next less than FRAME_SLOTS ahead. */
struct credit_out {
    uint32_t next;      /* sequence of the next frame */
    uint32_t credited;  /* slots before this one have been given back */
    uint32_t completed; /* frames before this one are done: their slots here are free */
    struct flight flight[FRAME_SLOTS];
};

/** The receiving end. */
struct credit_in {
    uint32_t front; /* sequence of the oldest frame that is not given back */
    uint32_t told;  /* as the peer has last been told */
    uint32_t mask;  /* slots with a frame that has come */
};

static inline unsigned credit_slot(uint32_t sequence)
{
    return sequence & (FRAME_SLOTS - 1);
}

static inline struct flight *credit_flight(struct credit_out *out, uint32_t sequence)
{
    return &out->flight[credit_slot(sequence)];
}

/** How many frames may be sent now. */
static inline unsigned credit_room(const struct credit_out *out)
{
    uint32_t there = out->next - out->credited;
    uint32_t here = out->next - out->completed;
    return FRAME_SLOTS - (there > here ? there : here);
}

/** The peer says that it has given back so many slots. An older saying than the last is no news: it may come by a slow rail
 *  when the other lane has moved gigabytes by a fast one. False: impossible. */
static inline bool credit_take(struct credit_out *out, uint32_t given)
{
    uint32_t more = given - out->credited;
    if (more > UINT32_MAX / 2) {
        return true;
    }
    if (more > out->next - out->credited) {
        return false;
    }
    out->credited += more;
    return true;
}

/** Has the frame come? */
static inline bool credit_has(const struct credit_in *in, uint32_t sequence)
{
    return sequence - in->front < FRAME_SLOTS && (in->mask >> credit_slot(sequence) & 1) != 0;
}

/** A frame has come into a slot. Out: its sequence number. False: there was one already. */
static inline bool credit_arrive(struct credit_in *in, unsigned slot, uint32_t *sequence)
{
    uint32_t bit = UINT32_C(1) << slot;
    *sequence = in->front + ((slot - in->front) & (FRAME_SLOTS - 1));
    if ((in->mask & bit) != 0) {
        return false;
    }
    in->mask |= bit;
    return true;
}

/** Give the front slot back. */
static inline void credit_give(struct credit_in *in)
{
    assert(credit_has(in, in->front));
    in->mask &= ~(UINT32_C(1) << credit_slot(in->front));
    in->front++;
}

/** Would the peer soon starve if it is not told? */
static inline bool credit_due(const struct credit_in *in)
{
    return in->front - in->told >= FRAME_SLOTS / 2;
}

#endif
