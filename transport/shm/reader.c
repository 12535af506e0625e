#include "transport/shm/reader.h"

void shm_reader_init(struct shm_reader *reader, struct shm_ring *ring)
{
    *reader = (struct shm_reader){.ring = ring};
}

enum shm_news shm_reader_judge(struct shm_reader *reader, uint64_t *word, uint64_t came)
{
    size_t length = shm_reader_length(came);
    bool sane = came >> SHM_WORD_LAP_SHIFT == shm_ring_lap(reader->slot) &&
                ((came & SHM_WORD_BULK) ? length > 0 : length <= SHM_INLINE_BYTES);
    if (!sane) {
        reader->broken = true;
        return SHM_NOTHING;
    }
    *word = came;
    return SHM_MESSAGE;
}

/* The bulk bytes that the slot says were published with it: some of this message, and no more than the ring holds. */
static bool open_bulk(struct shm_reader *reader, const struct shm_slot *slot)
{
    uint64_t tail;
    memcpy(&tail, slot->payload, sizeof tail);
    uint64_t published = tail - reader->position;
    if (published > reader->left || published > SHM_BULK_BYTES) {
        reader->broken = true;
        return false;
    }
    reader->tail = tail;
    reader->inline_next = NULL;
    return true;
}

bool shm_reader_open(struct shm_reader *reader, uint64_t word)
{
    assert(!reader->open);
    const struct shm_slot *slot = &reader->ring->slots[reader->slot & (SHM_SLOTS - 1)];
    reader->left = shm_reader_length(word);
    if (!(word & SHM_WORD_BULK)) {
        reader->inline_next = slot->payload;
    } else if (!open_bulk(reader, slot)) {
        return false;
    }
    reader->open = true;
    return true;
}

/* The writer's line may lag behind what a slot said, and may be ahead of this message. */
static void look_at_tail(struct shm_reader *reader)
{
    uint64_t tail = atomic_load_explicit(&reader->ring->tail, memory_order_acquire);
    uint64_t published = tail - reader->position;
    if (tail <= reader->tail) {
        return;
    }
    if (published > SHM_BULK_BYTES) {
        reader->broken = true;
        return;
    }
    reader->tail = tail;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t shm_reader_available(struct shm_reader *reader, const uint8_t **bytes)
{
    assert(reader->open);
    if (reader->inline_next) {
        *bytes = reader->inline_next;
        return reader->left;
    }
    size_t offset = reader->position & (SHM_BULK_BYTES - 1);
    size_t wanted = least(reader->left, SHM_BULK_BYTES - offset);
    if (reader->tail - reader->position < wanted) {
        look_at_tail(reader);
    }
    *bytes = reader->ring->bulk + offset;
    return reader->broken ? 0 : least(wanted, (size_t)(reader->tail - reader->position));
}

static bool tell(struct shm_reader *reader)
{
    if (reader->slot - reader->slots_told < SHM_SLOTS_BATCH &&
        reader->position - reader->bytes_told < SHM_BULK_BATCH) {
        return false;
    }
    reader->slots_told = reader->slot;
    reader->bytes_told = reader->position;
    atomic_store_explicit(&reader->ring->slots_taken, reader->slot, memory_order_release);
    atomic_store_explicit(&reader->ring->bytes_taken, reader->position, memory_order_release);
    return true;
}

bool shm_reader_take(struct shm_reader *reader, size_t bytes)
{
    assert(reader->open && bytes <= reader->left);
    reader->left -= bytes;
    if (reader->inline_next) {
        reader->inline_next += bytes;
    } else {
        assert(bytes <= reader->tail - reader->position);
        reader->position += bytes;
    }
    if (reader->left == 0) {
        reader->position = shm_ring_round_up(reader->position);
        reader->slot++;
        reader->open = false;
    }
    return tell(reader);
}

void shm_reader_close(struct shm_reader *reader)
{
    assert(reader->open);
    reader->open = false;
}

bool shm_reader_has_whole(struct shm_reader *reader)
{
    uint64_t word;
    if (!reader->open) {
        if (shm_reader_peek(reader, &word) == SHM_NOTHING || !shm_reader_open(reader, word)) {
            return false;
        }
        bool whole = shm_reader_has_whole(reader);
        shm_reader_close(reader);
        return whole;
    }
    if (reader->inline_next) {
        return true;
    }
    look_at_tail(reader);
    return !reader->broken && reader->tail - reader->position >= reader->left;
}
