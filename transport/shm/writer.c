#include "transport/shm/writer.h"

void shm_writer_init(struct shm_writer *writer, struct shm_ring *ring)
{
    *writer = (struct shm_writer){.ring = ring, .slots_limit = SHM_SLOTS};
}

bool shm_writer_refresh(struct shm_writer *writer)
{
    struct shm_ring *ring = writer->ring;
    uint64_t slots = atomic_load_explicit(&ring->slots_taken, memory_order_acquire) + SHM_SLOTS;
    uint64_t taken = atomic_load_explicit(&ring->bytes_taken, memory_order_acquire);
    if (slots == writer->slots_limit && taken == writer->taken) {
        return false;
    }
    /* Counts only grow, and nothing can be taken that has not been written. */
    bool sane = slots - writer->slots_limit <= SHM_SLOTS && slots - writer->slot <= SHM_SLOTS &&
                taken - writer->taken <= writer->position - writer->taken;
    if (!sane) {
        writer->broken = true;
        return false;
    }
    writer->slots_limit = slots;
    writer->taken = taken;
    return true;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Bytes of the ring that may be written. The gap after a message may lie beyond what the reader has left free. */
static size_t free_bytes(const struct shm_writer *writer)
{
    uint64_t used = writer->position - writer->taken;
    assert(used < SHM_BULK_BYTES + SHM_ALIGN);
    return used < SHM_BULK_BYTES ? (size_t)(SHM_BULK_BYTES - used) : 0;
}

static void begin(struct shm_writer *writer, enum shm_writing writing, const uint8_t *header,
                  size_t length)
{
    assert(writer->writing == SHM_WRITING_NOTHING && writer->slot != writer->slots_limit);
    memcpy(writer->ring->slots[writer->slot & (SHM_SLOTS - 1)].header, header,
           TRANSPORT_HEADER_BYTES);
    writer->writing = writing;
    writer->announced = false;
    writer->length = length;
    writer->left = length;
}

void shm_writer_begin_inline(struct shm_writer *writer, const uint8_t *header, size_t length)
{
    assert(length > 0 && length <= SHM_INLINE_BYTES);
    begin(writer, SHM_WRITING_INLINE, header, length);
}

void shm_writer_begin_bulk(struct shm_writer *writer, const uint8_t *header, size_t length)
{
    assert(length > 0 && length <= SHM_WORD_LENGTH);
    begin(writer, SHM_WRITING_BULK, header, length);
}

size_t shm_writer_room(struct shm_writer *writer, uint8_t **place)
{
    assert(writer->writing != SHM_WRITING_NOTHING);
    struct shm_ring *ring = writer->ring;
    if (writer->writing == SHM_WRITING_INLINE) {
        *place =
            ring->slots[writer->slot & (SHM_SLOTS - 1)].payload + writer->length - writer->left;
        return writer->left;
    }
    size_t offset = writer->position & (SHM_BULK_BYTES - 1);
    size_t wanted = least(writer->left, least(SHM_PIECE_BYTES, SHM_BULK_BYTES - offset));
    if (free_bytes(writer) < wanted) {
        shm_writer_refresh(writer);
    }
    *place = ring->bulk + offset;
    return writer->broken ? 0 : least(wanted, free_bytes(writer));
}

static void publish_slot(struct shm_writer *writer, uint64_t kind)
{
    struct shm_slot *slot = &writer->ring->slots[writer->slot & (SHM_SLOTS - 1)];
    uint64_t word = shm_ring_lap(writer->slot) << SHM_WORD_LAP_SHIFT | kind | writer->length;
    atomic_store_explicit(&slot->word, word, memory_order_release);
    writer->slot++;
}

static void publish_bulk(struct shm_writer *writer)
{
    if (writer->announced) {
        atomic_store_explicit(&writer->ring->tail, writer->position, memory_order_release);
        return;
    }
    memcpy(writer->ring->slots[writer->slot & (SHM_SLOTS - 1)].payload, &writer->position,
           sizeof writer->position);
    publish_slot(writer, SHM_WORD_BULK);
    writer->announced = true;
}

void shm_writer_commit(struct shm_writer *writer, size_t bytes)
{
    assert(writer->writing != SHM_WRITING_NOTHING && bytes > 0 && bytes <= writer->left);
    writer->left -= bytes;
    if (writer->writing == SHM_WRITING_BULK) {
        assert(bytes <= free_bytes(writer));
        writer->position += bytes;
        publish_bulk(writer);
    } else if (writer->left == 0) {
        publish_slot(writer, 0);
    }
    if (writer->left == 0) {
        writer->position = shm_ring_round_up(writer->position);
        writer->writing = SHM_WRITING_NOTHING;
    }
}

void shm_writer_forget(struct shm_writer *writer)
{
    assert(writer->left == writer->length);
    writer->writing = SHM_WRITING_NOTHING;
}
