/* frame: what lies in a slot, and what the immediate says about it. A message travels as frames; each is written into one slot
 * of the receiver and announced by an immediate. A frame begins with a header; its payload lies behind it, at an address that
 * is congruent to its offset in the message modulo FRAME_ALIGN, so that spans are aligned as the message is. Of a *put* the
 * payload has been written to its destination already, and the frame is only its announcement. Pure layout: no verbs here. */
#ifndef KOLO_VERBS_FRAME_H
#define KOLO_VERBS_FRAME_H

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "transport/transport.h"

#define FRAME_VERSION 3 /* of everything that peers must agree on; travels in the offer */
#define FRAME_ALIGN 16
#define FRAME_SLOTS                                                                                \
    16u /* of a channel, each direction: a power of two, at least FRAME_ALIGN (see inbox.c) */
#define FRAME_SLOT_BYTES                                                                           \
    32768u /* of a lane's slot: a multiple of every MTU, so that no packet is nearly empty */
#define FRAME_NOTICE_BYTES 128u       /* of a slot for notices */
#define FRAME_PUT_BYTES (256u * 1024) /* written to a destination before it is announced */
#define FRAME_RAILS 4                 /* keys in a grant */

/* Channels: the lanes, and one for notices (credits, grants, goodbyes). */
#define FRAME_NOTICES TRANSPORT_LANES
#define FRAME_CHANNELS (TRANSPORT_LANES + 1)

enum frame_kind {
    FRAME_COPY = 1, /* payload behind the header */
    FRAME_PUT,      /* payload in place */
    FRAME_CREDIT,   /* notices from here on. Only its header's credits matter */
    FRAME_GRANT,    /* a receive is posted: its message may be put there */
    FRAME_GOODBYE,  /* the end is closed: nothing follows */
    FRAME_RESUME    /* a rail is given up: these frames have come, send the others again */
};

/** A header, decoded. Of a grant: bytes is the number of the message, offset the address, length and header what it is for. */
struct frame {
    uint32_t sequence;                /* of its channel, from 0 */
    uint32_t bytes;                   /* of payload */
    uint64_t offset;                  /* of the payload in the message */
    uint64_t length;                  /* of the message */
    uint32_t credits[FRAME_CHANNELS]; /* slots that its sender has given back, of each channel */
    uint32_t kind;
    uint8_t header[TRANSPORT_HEADER_BYTES]; /* of the message */
};
#define FRAME_HEADER_BYTES 80u

/** What follows the header of a notice, decoded; 32 bits each on the wire. */
struct frame_notice {
    uint32_t lane;                   /* GRANT */
    uint32_t keys[FRAME_RAILS];      /* GRANT: of the destination, one a rail */
    uint32_t rail;                   /* RESUME */
    uint32_t fronts[FRAME_CHANNELS]; /* RESUME, GOODBYE: see failover.h, link.c */
    uint32_t masks[FRAME_CHANNELS];  /* RESUME: slots with frames that have come */
};
#define FRAME_NOTICE_WORDS (sizeof(struct frame_notice) / sizeof(uint32_t))

static_assert(FRAME_HEADER_BYTES + sizeof(struct frame_notice) <= FRAME_NOTICE_BYTES,
              "notices fit");
static_assert(FRAME_SLOTS >= FRAME_ALIGN && (FRAME_SLOTS & (FRAME_SLOTS - 1)) == 0, "see inbox.c");

void frame_encode(uint8_t *slot, const struct frame *frame);
void frame_decode(struct frame *frame, const uint8_t *slot);
/** Only the credits of a header. */
void frame_decode_credits(uint32_t credits[FRAME_CHANNELS], const uint8_t *slot);
void frame_notice_encode(uint8_t *slot, const struct frame_notice *notice);
void frame_notice_decode(struct frame_notice *notice, const uint8_t *slot);

/** Where in its slot the payload of a frame with that offset begins. */
static inline size_t frame_payload(uint64_t offset)
{
    return FRAME_HEADER_BYTES + (size_t)(offset % FRAME_ALIGN);
}

/** Payload that fits into the slot of a lane. */
static inline size_t frame_room(uint64_t offset)
{
    return FRAME_SLOT_BYTES - frame_payload(offset);
}

/* ---- immediates: epoch (16 bits), kind (8 bits: a channel, or hello), slot (8 bits) ---- */

#define FRAME_HELLO 0xffu /* the rail works: no slot */

static inline uint32_t frame_immediate(uint16_t epoch, unsigned channel, unsigned slot)
{
    return (uint32_t)epoch << 16 | (uint32_t)channel << 8 | (uint32_t)slot;
}

#endif
