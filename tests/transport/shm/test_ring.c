/* The ring: what is written is read, whole and in order, through any number of laps, in any pieces; and whatever the other
 * end writes into the shared words, an end neither reads nor writes outside the ring, and says that it is broken. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "transport/shm/copy.h"
#include "transport/shm/reader.h"
#include "transport/shm/writer.h"

struct duo {
    struct shm_ring *ring;
    struct shm_writer writer;
    struct shm_reader reader;
};

static void duo_open(struct duo *duo)
{
    duo->ring = aligned_alloc(4096, (sizeof *duo->ring + 4095) / 4096 * 4096);
    assert_non_null(duo->ring);
    memset(duo->ring, 0, sizeof *duo->ring);
    shm_writer_init(&duo->writer, duo->ring);
    shm_reader_init(&duo->reader, duo->ring);
}

static void duo_close(struct duo *duo)
{
    free(duo->ring);
}

static void header_of(uint8_t header[TRANSPORT_HEADER_BYTES], uint64_t number)
{
    memset(header, (int)(number * 7 + 1), TRANSPORT_HEADER_BYTES);
    memcpy(header, &number, sizeof number);
}

static uint8_t byte_of(uint64_t number, size_t offset)
{
    return (uint8_t)(number * 131 + offset * 7 + (offset >> 8));
}

static void fill(uint8_t *bytes, uint64_t number, size_t offset, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = byte_of(number, offset + i);
    }
}

/* Returns whether they are the message's; no assertion, since threads use it. */
static bool matches(const uint8_t *bytes, uint64_t number, size_t offset, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != byte_of(number, offset + i)) {
            return false;
        }
    }
    return true;
}

/* ---- one message at a time ------------------------------------------------------------------------------------- */

static void put(struct duo *duo, uint64_t number, size_t length)
{
    uint8_t header[TRANSPORT_HEADER_BYTES], data[SHM_INLINE_BYTES];
    header_of(header, number);
    fill(data, number, 0, length);
    assert_true(shm_writer_has_slot(&duo->writer));
    shm_writer_put(&duo->writer, header, data, length);
}

static void take_inline(struct duo *duo, uint64_t number, size_t length)
{
    uint8_t header[TRANSPORT_HEADER_BYTES];
    const uint8_t *bytes;
    uint64_t word;
    header_of(header, number);
    assert_int_equal(shm_reader_peek(&duo->reader, &word), SHM_MESSAGE);
    assert_int_equal(shm_reader_length(word), length);
    assert_memory_equal(shm_reader_header(&duo->reader), header, sizeof header);
    assert_true(shm_reader_open(&duo->reader, word));
    assert_true(shm_reader_has_whole(&duo->reader));
    assert_int_equal(shm_reader_available(&duo->reader, &bytes), length);
    assert_true(matches(bytes, number, 0, length));
    shm_reader_take(&duo->reader, length);
    assert_false(duo->reader.open);
}

static void test_short_messages_lie_in_their_slots(void **state)
{
    (void)state;
    struct duo duo;
    uint64_t word;
    duo_open(&duo);
    for (uint64_t lap = 0; lap < 5; lap++) {
        for (size_t length = 0; length <= SHM_INLINE_BYTES; length++) {
            assert_int_equal(shm_reader_peek(&duo.reader, &word), SHM_NOTHING);
            put(&duo, lap + length, length);
            take_inline(&duo, lap + length, length);
        }
    }
    assert_int_equal(atomic_load(&duo.ring->tail), 0);
    assert_false(duo.reader.broken || duo.writer.broken);
    duo_close(&duo);
}

static void test_slots_run_out_and_come_back(void **state)
{
    (void)state;
    struct duo duo;
    duo_open(&duo);
    uint64_t written = 0, taken = 0;
    for (unsigned round = 0; round < 100; round++) {
        while (shm_writer_has_slot(&duo.writer)) {
            put(&duo, written++, 8);
        }
        assert_in_range(written - taken, SHM_SLOTS - SHM_SLOTS_BATCH + 1, SHM_SLOTS);
        for (unsigned i = 0; i < 1 + round % SHM_SLOTS && taken < written; i++) {
            take_inline(&duo, taken++, 8);
        }
    }
    assert_true(taken > 2 * SHM_SLOTS);
    duo_close(&duo);
}

static void begin(struct duo *duo, uint64_t number, size_t length)
{
    uint8_t header[TRANSPORT_HEADER_BYTES];
    header_of(header, number);
    assert_true(shm_writer_has_slot(&duo->writer));
    shm_writer_begin_bulk(&duo->writer, header, length);
}

static size_t write_some(struct duo *duo, uint64_t number, size_t offset, size_t most)
{
    uint8_t *place;
    size_t room = shm_writer_room(&duo->writer, &place);
    size_t bytes = room < most ? room : most;
    if (bytes > 0) {
        fill(place, number, offset, bytes);
        shm_writer_commit(&duo->writer, bytes);
    }
    return bytes;
}

static void test_every_commit_can_be_seen(void **state)
{
    (void)state;
    struct duo duo;
    const uint8_t *bytes;
    uint64_t word;
    duo_open(&duo);
    begin(&duo, 3, 1000);
    assert_int_equal(shm_reader_peek(&duo.reader, &word), SHM_NOTHING);
    for (size_t offset = 0; offset < 1000; offset += 10) {
        assert_int_equal(write_some(&duo, 3, offset, 10), 10);
        if (offset == 0) {
            assert_int_equal(shm_reader_peek(&duo.reader, &word), SHM_MESSAGE);
            assert_true(shm_reader_open(&duo.reader, word));
        }
        assert_int_equal(shm_reader_has_whole(&duo.reader), offset == 990);
        assert_int_equal(shm_reader_available(&duo.reader, &bytes), offset + 10);
        assert_int_equal((uintptr_t)bytes % SHM_ALIGN, 0);
        assert_true(matches(bytes, 3, 0, offset + 10));
    }
    shm_reader_take(&duo.reader, 1000);
    put(&duo, 4, 20);
    take_inline(&duo, 4, 20);
    duo_close(&duo);
}

static void test_a_message_can_be_forgotten_or_left_alone(void **state)
{
    (void)state;
    struct duo duo;
    uint8_t header[TRANSPORT_HEADER_BYTES], *place;
    uint64_t word;
    duo_open(&duo);
    header_of(header, 1);
    shm_writer_begin_inline(&duo.writer, header, 50);
    assert_int_equal(shm_writer_room(&duo.writer, &place), 50);
    shm_writer_forget(&duo.writer);
    begin(&duo, 2, 5000);
    shm_writer_forget(&duo.writer);
    assert_int_equal(shm_reader_peek(&duo.reader, &word), SHM_NOTHING);
    put(&duo, 3, 30);
    assert_int_equal(shm_reader_peek(&duo.reader, &word), SHM_MESSAGE);
    assert_true(shm_reader_open(&duo.reader, word));
    shm_reader_close(&duo.reader);
    take_inline(&duo, 3, 30);
    duo_close(&duo);
}

/* ---- at random, against what was meant ------------------------------------------------------------------------- */

static uint64_t draw_state;

static size_t draw(size_t limit)
{
    draw_state = draw_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((draw_state >> 33) % limit);
}

static size_t length_of(uint64_t number)
{
    uint64_t mix = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    mix ^= mix >> 31;
    return (size_t)((mix >> 20) %
                    ((UINT64_C(1) << (mix % 20)) + 1)); /* half a MiB: longer than the ring */
}

struct flow { /* one end's place in the stream of messages */
    uint64_t number;
    size_t offset;
    bool begun;
};

/* Write some of the next message, one way or another. */
static void write_at_random(struct duo *duo, struct flow *flow)
{
    size_t length = length_of(flow->number);
    uint8_t header[TRANSPORT_HEADER_BYTES];
    header_of(header, flow->number);
    if (!flow->begun) {
        if (!shm_writer_has_slot(&duo->writer)) {
            return;
        }
        if (length <= SHM_INLINE_BYTES && (length == 0 || draw(2) == 0)) {
            put(duo, flow->number++, length);
            return;
        }
        if (length <= SHM_INLINE_BYTES && draw(2) == 0) {
            shm_writer_begin_inline(&duo->writer, header, length);
        } else {
            shm_writer_begin_bulk(&duo->writer, header, length);
        }
        flow->begun = true;
    }
    flow->offset += write_some(duo, flow->number, flow->offset, 1 + draw(30000));
    if (flow->offset == length) {
        *flow = (struct flow){.number = flow->number + 1};
    }
}

static void read_at_random(struct duo *duo, struct flow *flow)
{
    uint8_t header[TRANSPORT_HEADER_BYTES];
    const uint8_t *bytes;
    uint64_t word;
    size_t length = length_of(flow->number);
    if (!duo->reader.open) {
        if (shm_reader_peek(&duo->reader, &word) == SHM_NOTHING) {
            return;
        }
        header_of(header, flow->number);
        assert_int_equal(shm_reader_length(word), length);
        assert_memory_equal(shm_reader_header(&duo->reader), header, sizeof header);
        assert_true(shm_reader_open(&duo->reader, word));
    }
    size_t count = shm_reader_available(&duo->reader, &bytes);
    assert_true(flow->offset > 0 || length <= SHM_INLINE_BYTES ||
                (uintptr_t)bytes % SHM_ALIGN == 0);
    count = count > 0 && draw(3) == 0 ? 1 + draw(count) : count;
    assert_true(matches(bytes, flow->number, flow->offset, count));
    if (count > 0 || length == 0) {
        shm_reader_take(&duo->reader, count);
        flow->offset += count;
    }
    if (flow->offset == length) {
        assert_false(duo->reader.open);
        *flow = (struct flow){.number = flow->number + 1};
    }
}

static void test_random_messages_in_random_pieces(void **state)
{
    (void)state;
    struct duo duo;
    struct flow in = {0}, out = {0};
    duo_open(&duo);
    draw_state = 42;
    while (in.number < 3000) {
        size_t writes = draw(20), reads = draw(20);
        for (size_t i = 0; i < writes; i++) {
            write_at_random(&duo, &out);
        }
        for (size_t i = 0; i < reads; i++) {
            read_at_random(&duo, &in);
        }
    }
    assert_true(duo.reader.position > 20 * SHM_BULK_BYTES);
    assert_false(duo.reader.broken || duo.writer.broken);
    duo_close(&duo);
}

/* ---- two threads ----------------------------------------------------------------------------------------------- */

#define THREAD_MESSAGES 3000

static void *write_all(void *context)
{
    struct shm_writer *writer = context;
    uint8_t header[TRANSPORT_HEADER_BYTES], *place;
    static uint8_t data[SHM_PIECE_BYTES];
    for (uint64_t number = 0; number < THREAD_MESSAGES; number++) {
        size_t length = length_of(number) / 8;
        header_of(header, number);
        while (!shm_writer_has_slot(writer)) {
            sched_yield();
        }
        if (length <= SHM_INLINE_BYTES) {
            fill(data, number, 0, length);
            shm_writer_put(writer, header, data, length);
            continue;
        }
        shm_writer_begin_bulk(writer, header, length);
        for (size_t offset = 0; offset < length;) {
            size_t room = shm_writer_room(writer, &place);
            if (room > 0) {
                fill(data, number, offset, room);
                shm_copy_to_ring(place, data, room);
                shm_writer_commit(writer, room);
                offset += room;
            } else {
                sched_yield();
            }
        }
    }
    return writer->broken ? NULL : writer;
}

/* Returns whether the message is as it should be. */
static bool read_one(struct shm_reader *reader, uint64_t number)
{
    uint8_t header[TRANSPORT_HEADER_BYTES];
    const uint8_t *bytes;
    uint64_t word;
    size_t length = length_of(number) / 8;
    while (shm_reader_peek(reader, &word) == SHM_NOTHING) {
        if (reader->broken) {
            return false;
        }
        sched_yield();
    }
    header_of(header, number);
    bool right = shm_reader_length(word) == length &&
                 memcmp(shm_reader_header(reader), header, sizeof header) == 0 &&
                 shm_reader_open(reader, word);
    for (size_t offset = 0; right && reader->open;) {
        size_t count = shm_reader_available(reader, &bytes);
        right = matches(bytes, number, offset, count) && !reader->broken;
        if (count > 0 || length == 0) {
            shm_reader_take(reader, count);
            offset += count;
        } else {
            sched_yield();
        }
    }
    return right;
}

static void test_two_threads(void **state)
{
    (void)state;
    struct duo duo;
    pthread_t thread;
    void *result = NULL;
    duo_open(&duo);
    assert_int_equal(pthread_create(&thread, NULL, write_all, &duo.writer), 0);
    for (uint64_t number = 0; number < THREAD_MESSAGES; number++) {
        assert_true(read_one(&duo.reader, number));
    }
    pthread_join(thread, &result);
    assert_non_null(result);
    duo_close(&duo);
}

/* ---- a hostile other end --------------------------------------------------------------------------------------- */

static void test_nonsensical_words_break_the_reader(void **state)
{
    (void)state;
    const uint64_t lap = UINT64_C(1) << SHM_WORD_LAP_SHIFT;
    const uint64_t words[] = {
        lap * 2,                      /* a lap ahead */
        UINT64_MAX,                   /* all bits */
        lap | (SHM_INLINE_BYTES + 1), /* too long for a slot */
        lap | SHM_WORD_LENGTH,        /* much too long */
        lap | SHM_WORD_BULK,          /* nothing, but in the bulk ring */
    };
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        struct duo duo;
        uint64_t word;
        duo_open(&duo);
        atomic_store(&duo.ring->slots[0].word, words[i]);
        assert_int_equal(shm_reader_peek(&duo.reader, &word), SHM_NOTHING);
        assert_true(duo.reader.broken);
        duo_close(&duo);
    }
}

static void test_nonsensical_fills_break_the_reader(void **state)
{
    (void)state;
    const uint64_t published[] = {1001, SHM_BULK_BYTES + 1, UINT64_MAX, UINT64_MAX - 5};
    for (unsigned i = 0; i < 2 * sizeof published / sizeof *published; i++) {
        struct duo duo;
        const uint8_t *bytes;
        uint64_t word;
        duo_open(&duo);
        begin(&duo, 1, 1000);
        write_some(&duo, 1, 0, 10);
        if (i % 2) {
            memcpy(duo.ring->slots[0].payload, &published[i / 2], sizeof *published);
        }
        assert_int_equal(shm_reader_peek(&duo.reader, &word), SHM_MESSAGE);
        assert_int_equal(shm_reader_open(&duo.reader, word), i % 2 == 0);
        if (i % 2 == 0) {
            atomic_store(&duo.ring->tail, published[i / 2]);
            bool beyond = published[i / 2] > SHM_BULK_BYTES;
            assert_int_equal(shm_reader_available(&duo.reader, &bytes), beyond ? 0 : 1000);
            assert_int_equal(duo.reader.broken, beyond);
        } else {
            assert_true(duo.reader.broken);
        }
        duo_close(&duo);
    }
}

static void test_nonsensical_counts_break_the_writer(void **state)
{
    (void)state;
    const uint64_t counts[][2] = {
        {2, 0}, {UINT64_MAX, 0}, {0, 4096 + 1}, {0, UINT64_MAX}, {1, UINT64_C(1) << 63}};
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct duo duo;
        duo_open(&duo);
        begin(&duo, 1, 4096);
        assert_int_equal(write_some(&duo, 1, 0, SIZE_MAX), 4096);
        atomic_store(&duo.ring->slots_taken, counts[i][0]);
        atomic_store(&duo.ring->bytes_taken, counts[i][1]);
        assert_false(shm_writer_refresh(&duo.writer));
        assert_true(duo.writer.broken);
        duo_close(&duo);
    }
}

/* Flip bits of everything that is shared between all steps; sanitizers see what leaves the ring. */
static void corrupt(struct shm_ring *ring)
{
    struct shm_slot *slot = &ring->slots[draw(SHM_SLOTS)];
    uint64_t noise = draw(2) ? UINT64_C(1) << draw(64) : draw_state;
    switch (draw(5)) {
    case 0:
        atomic_fetch_xor(&ring->tail, noise);
        break;
    case 1:
        atomic_fetch_xor(&ring->slots_taken, noise);
        break;
    case 2:
        atomic_fetch_xor(&ring->bytes_taken, noise);
        break;
    case 3:
        atomic_fetch_xor(&slot->word, noise);
        break;
    default:
        memcpy(slot->payload, &noise, sizeof noise);
    }
}

static void write_blindly(struct duo *duo)
{
    uint8_t header[TRANSPORT_HEADER_BYTES] = {0}, *place;
    if (duo->writer.broken) {
        return;
    }
    if (duo->writer.writing == SHM_WRITING_NOTHING && shm_writer_has_slot(&duo->writer)) {
        shm_writer_begin_bulk(&duo->writer, header, 1 + draw(100000));
    }
    if (duo->writer.writing != SHM_WRITING_NOTHING) {
        size_t room = shm_writer_room(&duo->writer, &place);
        if (room > 0) {
            assert_true(place >= duo->ring->bulk &&
                        place + room <= duo->ring->bulk + SHM_BULK_BYTES);
            memset(place, 1, room);
            shm_writer_commit(&duo->writer, room);
        }
    }
}

static void read_blindly(struct duo *duo)
{
    const uint8_t *bytes = NULL, *end = (const uint8_t *)(duo->ring + 1);
    uint64_t word;
    struct shm_reader *reader = &duo->reader;
    if (!reader->broken && !reader->open && shm_reader_peek(reader, &word) == SHM_MESSAGE) {
        shm_reader_open(reader, word);
    }
    if (!reader->broken && reader->open) {
        size_t count = shm_reader_available(reader, &bytes);
        assert_true(count == 0 || (bytes >= (const uint8_t *)duo->ring && bytes + count <= end));
        if (count > 0) {
            shm_reader_take(reader, 1 + draw(count));
        }
    }
}

static void test_flipped_bits_stay_inside(void **state)
{
    (void)state;
    unsigned broken = 0;
    struct duo duo;
    duo_open(&duo);
    draw_state = 7;
    for (unsigned round = 0; round < 2000; round++) {
        memset(duo.ring, 0, offsetof(struct shm_ring, bulk));
        shm_writer_init(&duo.writer, duo.ring);
        shm_reader_init(&duo.reader, duo.ring);
        for (unsigned step = 0; step < 200; step++) {
            write_blindly(&duo);
            if (draw(20) == 0) {
                corrupt(duo.ring);
            }
            read_blindly(&duo);
        }
        broken += duo.reader.broken || duo.writer.broken;
    }
    assert_true(broken > 1000);
    duo_close(&duo);
}

/* ---- copy ------------------------------------------------------------------------------------------------------ */

static void test_copy_at_every_alignment(void **state)
{
    (void)state;
    enum { ROOM = 3 * SHM_COPY_AROUND_BYTES };
    static uint8_t from[ROOM], to[ROOM];
    for (size_t i = 0; i < ROOM; i++) {
        from[i] = byte_of(5, i);
    }
    for (size_t shift = 0; shift < 70; shift++) {
        for (size_t length = SHM_COPY_AROUND_BYTES - 70; length < SHM_COPY_AROUND_BYTES + 70;
             length += 23) {
            memset(to, 0xee, ROOM);
            shm_copy_to_ring(to + shift, from + 3 * shift, length);
            assert_memory_equal(to + shift, from + 3 * shift, length);
            assert_true((shift == 0 || to[shift - 1] == 0xee) && to[shift + length] == 0xee);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_messages_lie_in_their_slots),
        cmocka_unit_test(test_slots_run_out_and_come_back),
        cmocka_unit_test(test_every_commit_can_be_seen),
        cmocka_unit_test(test_a_message_can_be_forgotten_or_left_alone),
        cmocka_unit_test(test_random_messages_in_random_pieces),
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_nonsensical_words_break_the_reader),
        cmocka_unit_test(test_nonsensical_fills_break_the_reader),
        cmocka_unit_test(test_nonsensical_counts_break_the_writer),
        cmocka_unit_test(test_flipped_bits_stay_inside),
        cmocka_unit_test(test_copy_at_every_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
