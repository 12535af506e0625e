/* verify_memory: what the places of all ranks hold while the verifier runs them on symbols: one value for each chunk, in
 * one of two worlds (INPUT and OUTPUT apart, or the same memory). Only for verify*.c. */
#ifndef KOLO_COLLECTIVES_VERIFY_MEMORY_H
#define KOLO_COLLECTIVES_VERIFY_MEMORY_H

#include "collectives/verify_parts.h"

struct memory {
    const struct proof *proof;
    bool in_place;
    value_id *output;      /* [size * chunks] */
    value_id *work;        /* [size * chunks] */
    value_id *slot;        /* [all slots * slot_width] */
    size_t *slot_base;     /* [size] number of the rank's first slot */
    uint32_t *slot_chunk;  /* [all slots] the range that was written last */
    uint32_t *slot_chunks; /* [all slots] */
    uint32_t slot_width;   /* chunks of the longest range in a slot */
};

/** Places as they are before the collective. Returns false if memory ran out (nothing is left to free then). */
bool verify_memory_init(struct memory *memory, const struct proof *proof, bool in_place);
void verify_memory_free(struct memory *memory);

/** What `place` of `rank` holds for the chunk at `offset` in the instruction's range; VALUE_NOTHING if it was not written. */
value_id verify_memory_read(const struct memory *memory, uint32_t rank, const struct place *place,
                            const struct instruction *instruction, uint32_t offset);

/** Put a value into the instruction's `to`, for the chunk at `offset` in its range. */
void verify_memory_write(struct memory *memory, uint32_t rank,
                         const struct instruction *instruction, uint32_t offset, value_id value);

/** What OUTPUT of `rank` holds. */
value_id verify_memory_output(const struct memory *memory, uint32_t rank, uint32_t chunk);

#endif
