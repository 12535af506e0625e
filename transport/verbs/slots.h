/* slots: the registered memory of a link: slots that the peer writes, slots that frames are sent from, and the words that rails
 * without immediates receive in their place. One mapping,
 * registered once for each rail. SLOTS_BYTES (2 MiB and a little) a link, pinned. */
#ifndef KOLO_VERBS_SLOTS_H
#define KOLO_VERBS_SLOTS_H

#include "transport/verbs/credit.h"
#include "transport/verbs/device.h"
#include "transport/verbs/rail.h"

#define SLOTS_HALF_BYTES                                                                           \
    ((size_t)FRAME_SLOTS * (TRANSPORT_LANES * FRAME_SLOT_BYTES + FRAME_NOTICE_BYTES))
#define SLOTS_WORDS_BYTES ((size_t)DEVICE_RAILS_MAX * (RAIL_RECEIVES + 2) * sizeof(uint32_t))
#define SLOTS_BYTES (2 * SLOTS_HALF_BYTES + SLOTS_WORDS_BYTES)

struct slots {
    uint8_t *memory;                          /* first what the peer writes, then what is sent */
    struct ibv_mr *regions[DEVICE_RAILS_MAX]; /* NULL: that port could not */
    unsigned rails;
};

/** KOLO_ERR_MEMORY, KOLO_ERR_SYSTEM (no port could register it: with limit and cure). Undone by slots_close(). */
kolo_status slots_open(struct slots *slots, const struct devices *devices);
void slots_close(
    struct slots *slots); /* a zeroed one is allowed. After the queue pairs that use it */

/** Where a slot lies, from the start of its half. */
static inline size_t slots_place(unsigned channel, uint32_t sequence)
{
    size_t lanes = (size_t)FRAME_SLOTS * FRAME_SLOT_BYTES;
    size_t slot = credit_slot(sequence);
    return channel == FRAME_NOTICES ? TRANSPORT_LANES * lanes + slot * FRAME_NOTICE_BYTES
                                    : channel * lanes + slot * FRAME_SLOT_BYTES;
}

static inline uint8_t *slots_in(const struct slots *slots, unsigned channel, uint32_t sequence)
{
    return slots->memory + slots_place(channel, sequence);
}

/** RAIL_RECEIVES words of a rail, and two more that a probe reads into. */
static inline uint32_t *slots_words(const struct slots *slots, unsigned rail)
{
    return (uint32_t *)(void *)(slots->memory + 2 * SLOTS_HALF_BYTES) + rail * (RAIL_RECEIVES + 2);
}

static inline uint8_t *slots_out(const struct slots *slots, unsigned channel, uint32_t sequence)
{
    return slots->memory + SLOTS_HALF_BYTES + slots_place(channel, sequence);
}

#endif
