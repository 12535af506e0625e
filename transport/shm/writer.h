/* writer: the sending end of a ring. Pure memory: no system call, no clock, no waiting. It does not trust the other end: a
 * count from the shared memory that cannot be makes the writer `broken`, and nothing more is written.
 *
 * A message is written either whole (put) or in pieces: begin, then room and commit until its length is reached. Every
 * commit can be seen by the reader at once (an inline message: when it is complete). One thread. */
#ifndef KOLO_TRANSPORT_SHM_WRITER_H
#define KOLO_TRANSPORT_SHM_WRITER_H

#include <assert.h>
#include <string.h>

#include "transport/shm/ring.h"

#define SHM_PIECE_BYTES (16u << 10) /* the most that is written before the reader is shown it */

enum shm_writing {
    SHM_WRITING_NOTHING = 0, /* between messages */
    SHM_WRITING_INLINE,      /* a message in its slot */
    SHM_WRITING_BULK,        /* a message in the bulk ring */
};

struct shm_writer {
    struct shm_ring *ring;
    uint64_t slot;        /* number of the next message's slot */
    uint64_t slots_limit; /* slot numbers below may be written */
    uint64_t position;    /* bulk: of the next byte */
    uint64_t
        taken; /* bulk: positions below have been read; `position` is at most a ring and a gap ahead */
    size_t left;   /* bytes of the message that is being written */
    size_t length; /* of that message */
    enum shm_writing writing;
    bool announced; /* SHM_WRITING_BULK: the slot is published */
    bool broken;    /* the reader's counts are nonsense */
};

/** Start on a fresh (zeroed) ring, borrowed. */
void shm_writer_init(struct shm_writer *writer, struct shm_ring *ring);

/** Look at the reader's counts again. Returns true if that made room. */
bool shm_writer_refresh(struct shm_writer *writer);

/** Is there a slot for another message? */
static inline bool shm_writer_has_slot(struct shm_writer *writer)
{
    assert(writer->writing == SHM_WRITING_NOTHING);
    return writer->slot != writer->slots_limit ||
           (shm_writer_refresh(writer) && writer->slot != writer->slots_limit);
}

/** Write and publish a whole message of at most SHM_INLINE_BYTES. Only after shm_writer_has_slot() said true. */
static inline void shm_writer_put(struct shm_writer *writer, const uint8_t *header,
                                  const uint8_t *data, size_t length)
{
    assert(writer->writing == SHM_WRITING_NOTHING && length <= SHM_INLINE_BYTES);
    struct shm_slot *slot = &writer->ring->slots[writer->slot & (SHM_SLOTS - 1)];
    memcpy(slot->header, header, TRANSPORT_HEADER_BYTES);
    if (length > 0) {
        memcpy(slot->payload, data, length);
    }
    uint64_t word = shm_ring_lap(writer->slot) << SHM_WORD_LAP_SHIFT | length;
    atomic_store_explicit(&slot->word, word, memory_order_release);
    writer->slot++;
}

/** Begin a message that will lie in its slot (1..SHM_INLINE_BYTES), or in the bulk ring (1..SHM_WORD_LENGTH). Only after
 *  shm_writer_has_slot() said true. Nothing is published yet. */
void shm_writer_begin_inline(struct shm_writer *writer, const uint8_t *header, size_t length);
void shm_writer_begin_bulk(struct shm_writer *writer, const uint8_t *header, size_t length);

/** Room for the next bytes of the message. Returns how many bytes fit at *place (at most SHM_PIECE_BYTES); 0 if none now. */
size_t shm_writer_room(struct shm_writer *writer, uint8_t **place);

/** Publish `bytes` (1..what room() said) written to the place. Ends the message when that was the last of it. */
void shm_writer_commit(struct shm_writer *writer, size_t bytes);

/** Forget a message of which nothing has been committed. */
void shm_writer_forget(struct shm_writer *writer);

#endif
