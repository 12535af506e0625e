/* reader: the receiving end of a ring. Pure memory: no system call, no clock, no waiting. It does not trust the other end:
 * every shared word is read once and checked; what cannot be makes the reader `broken`, and it shows nothing more.
 *
 * peek() looks for the next message; open() begins it; available() shows its next bytes, which stay in place until take()
 * gives them back; with the last of them (of an empty message: with take(0)) the message is over. One thread. */
#ifndef KOLO_TRANSPORT_SHM_READER_H
#define KOLO_TRANSPORT_SHM_READER_H

#include <assert.h>
#include <string.h>

#include "transport/shm/ring.h"

struct shm_reader {
    struct shm_ring *ring;
    uint64_t slot;              /* number of the slot of this or the next message */
    uint64_t slots_told;        /* slots_taken as the writer was told */
    uint64_t position;          /* bulk: of the next byte that is not taken */
    uint64_t bytes_told;        /* bytes_taken as the writer was told */
    uint64_t tail;              /* bulk: bytes known to be published */
    size_t left;                /* bytes of the open message that are not taken */
    const uint8_t *inline_next; /* where they are, when the message lies in its slot; else NULL */
    bool open;
    bool broken; /* the writer's words are nonsense */
};

/** What stands at the front of the ring. */
enum shm_news {
    SHM_NOTHING = 0, /* no message (or broken) */
    SHM_MESSAGE      /* one has come, maybe not all of it */
};

/** Start on a fresh (zeroed) ring, borrowed. */
void shm_reader_init(struct shm_reader *reader, struct shm_ring *ring);

/** The slot's word when it is not what an empty slot holds: sets `broken` if it is nonsense. */
enum shm_news shm_reader_judge(struct shm_reader *reader, uint64_t *word, uint64_t came);

/** Is there a message behind the last one? Out: word: for open(). Only when none is open. The cheap question of spin loops. */
static inline enum shm_news shm_reader_peek(struct shm_reader *reader, uint64_t *word)
{
    assert(!reader->open);
    const struct shm_slot *slot = &reader->ring->slots[reader->slot & (SHM_SLOTS - 1)];
    uint64_t came = atomic_load_explicit(&slot->word, memory_order_acquire);
    uint64_t before = (shm_ring_lap(reader->slot) - 1) & 0xffff;
    if (came >> SHM_WORD_LAP_SHIFT == before) {
        return SHM_NOTHING;
    }
    return shm_reader_judge(reader, word, came);
}

/** The header of the message that peek() found. Borrowed, in shared memory: look once. */
static inline const uint8_t *shm_reader_header(const struct shm_reader *reader)
{
    return reader->ring->slots[reader->slot & (SHM_SLOTS - 1)].header;
}

/** The length of the message that peek() found. */
static inline size_t shm_reader_length(uint64_t word)
{
    return (size_t)(word & SHM_WORD_LENGTH);
}

/** Begin the message that peek() found. False if it is broken. */
bool shm_reader_open(struct shm_reader *reader, uint64_t word);

/** The next bytes of the open message. Returns how many can be read at *bytes; 0 if none now. Borrowed until taken. */
size_t shm_reader_available(struct shm_reader *reader, const uint8_t **bytes);

/** Give back the next `bytes`, at most what available() said. Returns true if the writer was told of room. */
bool shm_reader_take(struct shm_reader *reader, size_t bytes);

/** Leave the open message, of which nothing was taken, at the front of the ring. */
void shm_reader_close(struct shm_reader *reader);

/** Has all of the front message been published (or is it in the reader's hands)? */
bool shm_reader_has_whole(struct shm_reader *reader);

#endif
