/* ring: how one direction of one lane lies in shared memory. One process writes into it (writer.h), the other reads
 * (reader.h); this header is only the layout that both agree on, and its version.
 *
 * A message takes one slot. A short one lies in its slot, header, length and payload: up to SHM_FIRST_LINE_BYTES of payload
 * travel in a single cache line. A longer one has its payload in the bulk ring, beginning at a multiple of SHM_ALIGN; where
 * it begins is never said, since both ends can add up lengths. Both ends count slots and bulk bytes from the beginning of
 * time; what is shared of the counts are two lines, each written by one end only:
 *   - `tail`, the writer's: bulk bytes published. The slot of a message says how many there were when it was published, so
 *     that a message which was complete by then costs no look at this line;
 *   - `slots_taken`, `bytes_taken`, the reader's: what may be written again. Told in batches.
 * A slot's word holds the number of its lap around the ring, so that a slot needs no cleaning. */
#ifndef KOLO_TRANSPORT_SHM_RING_H
#define KOLO_TRANSPORT_SHM_RING_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/transport.h"

#define SHM_LINE_PAIR                                                                              \
    128 /* processors fetch cache lines in pairs: what two ends write is this far apart */
#define SHM_ALIGN 64u         /* of a payload in the bulk ring */
#define SHM_SLOTS 64u         /* messages under way; a power of two */
#define SHM_INLINE_BYTES 344u /* the longest payload in a slot */
#define SHM_FIRST_LINE_BYTES 24u
#define SHM_BULK_BYTES (256u << 10)         /* payload under way; a power of two */
#define SHM_SLOTS_BATCH (SHM_SLOTS / 4)     /* the reader tells when it has taken as many, ... */
#define SHM_BULK_BATCH (SHM_BULK_BYTES / 8) /* ... or as many bytes */

/* A slot's word: | lap : 16 | in the bulk ring : 1 | length : 47 | */
#define SHM_WORD_LAP_SHIFT 48
#define SHM_WORD_BULK (UINT64_C(1) << 47)
#define SHM_WORD_LENGTH (SHM_WORD_BULK - 1)

struct shm_slot {
    alignas(SHM_LINE_PAIR) _Atomic uint64_t word; /* written last, read first */
    uint8_t header[TRANSPORT_HEADER_BYTES];
    uint8_t payload[SHM_INLINE_BYTES]; /* the message, or (u64) bulk bytes published so far */
};

struct shm_ring {
    alignas(SHM_LINE_PAIR) _Atomic uint64_t tail; /* the writer's */

    alignas(SHM_LINE_PAIR) _Atomic uint64_t slots_taken; /* the reader's */
    _Atomic uint64_t bytes_taken;

    struct shm_slot slots[SHM_SLOTS];
    alignas(SHM_LINE_PAIR) uint8_t bulk[SHM_BULK_BYTES];
};

_Static_assert(sizeof(struct shm_slot) % SHM_LINE_PAIR == 0 &&
                   sizeof(struct shm_slot) == offsetof(struct shm_slot, payload) + SHM_INLINE_BYTES,
               "a slot fills pairs of lines");
_Static_assert((SHM_SLOTS & (SHM_SLOTS - 1)) == 0, "slots are found by masking");
_Static_assert((SHM_BULK_BYTES & (SHM_BULK_BYTES - 1)) == 0, "bytes are found by masking");

/** Where a message ends in the bulk ring, the gap to the next payload included. */
static inline uint64_t shm_ring_round_up(uint64_t position)
{
    return (position + SHM_ALIGN - 1) & ~(uint64_t)(SHM_ALIGN - 1);
}

/** The lap (from 1 on, so that fresh memory is the lap before) in which slot number `slot` is used. */
static inline uint64_t shm_ring_lap(uint64_t slot)
{
    return (slot / SHM_SLOTS + 1) & 0xffff;
}

#endif
