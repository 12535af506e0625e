#include "transport/verbs/frame.h"

/* Offsets in the encoded header. */
enum { SEQUENCE = 0, BYTES = 4, OFFSET = 8, LENGTH = 16, CREDITS = 24, KIND = 36, HEADER = 48 };
static_assert(CREDITS + 4 * FRAME_CHANNELS == KIND, "credits fit");
static_assert(HEADER + TRANSPORT_HEADER_BYTES == FRAME_HEADER_BYTES, "the header fits");

static void put_u32(uint8_t *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof value);
}

static void put_u64(uint8_t *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}

static uint32_t get_u32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static uint64_t get_u64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

void frame_encode(uint8_t *slot, const struct frame *frame)
{
    put_u32(slot + SEQUENCE, frame->sequence);
    put_u32(slot + BYTES, frame->bytes);
    put_u64(slot + OFFSET, frame->offset);
    put_u64(slot + LENGTH, frame->length);
    for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
        put_u32(slot + CREDITS + 4 * i, frame->credits[i]);
    }
    put_u32(slot + KIND, frame->kind);
    memset(slot + KIND + 4, 0, HEADER - KIND - 4);
    memcpy(slot + HEADER, frame->header, TRANSPORT_HEADER_BYTES);
}

void frame_decode(struct frame *frame, const uint8_t *slot)
{
    uint8_t copy[FRAME_HEADER_BYTES]; /* the peer may write it again while we look */
    memcpy(copy, slot, sizeof copy);
    frame->sequence = get_u32(copy + SEQUENCE);
    frame->bytes = get_u32(copy + BYTES);
    frame->offset = get_u64(copy + OFFSET);
    frame->length = get_u64(copy + LENGTH);
    for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
        frame->credits[i] = get_u32(copy + CREDITS + 4 * i);
    }
    frame->kind = get_u32(copy + KIND);
    memcpy(frame->header, copy + HEADER, TRANSPORT_HEADER_BYTES);
}

void frame_decode_credits(uint32_t credits[FRAME_CHANNELS], const uint8_t *slot)
{
    for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
        credits[i] = get_u32(slot + CREDITS + 4 * i);
    }
}

void frame_notice_encode(uint8_t *slot, const struct frame_notice *notice)
{
    uint32_t words[FRAME_NOTICE_WORDS];
    memcpy(words, notice, sizeof words);
    for (size_t i = 0; i < FRAME_NOTICE_WORDS; i++) {
        put_u32(slot + FRAME_HEADER_BYTES + i * sizeof words[0], words[i]);
    }
}

void frame_notice_decode(struct frame_notice *notice, const uint8_t *slot)
{
    uint32_t words[FRAME_NOTICE_WORDS] = {0};
    for (size_t i = 0; i < FRAME_NOTICE_WORDS; i++) {
        words[i] = get_u32(slot + FRAME_HEADER_BYTES + i * sizeof words[0]);
    }
    memcpy(notice, words, sizeof words);
}
