#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/wire.h"

static void numbers_are_little_endian(void **state)
{
    (void)state;
    uint8_t bytes[15];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    wire_put_u8(&writer, 0x01);
    wire_put_u16(&writer, 0x0302);
    wire_put_u32(&writer, 0x07060504);
    wire_put_u64(&writer, 0x0f0e0d0c0b0a0908);
    assert_false(writer.failed);
    assert_int_equal(writer.length, sizeof bytes);
    for (uint8_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(bytes[i], i + 1);
    }
    struct wire_reader reader = {.bytes = bytes, .length = sizeof bytes};
    assert_int_equal(wire_get_u8(&reader), 0x01);
    assert_int_equal(wire_get_u16(&reader), 0x0302);
    assert_int_equal(wire_get_u32(&reader), 0x07060504);
    assert_true(wire_get_u64(&reader) == 0x0f0e0d0c0b0a0908);
    assert_false(reader.failed);
    assert_int_equal(reader.offset, sizeof bytes);
}

static void largest_numbers(void **state)
{
    (void)state;
    uint8_t bytes[15];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    wire_put_u8(&writer, UINT8_MAX);
    wire_put_u16(&writer, UINT16_MAX);
    wire_put_u32(&writer, UINT32_MAX);
    wire_put_u64(&writer, UINT64_MAX);
    struct wire_reader reader = {.bytes = bytes, .length = writer.length};
    assert_true(wire_get_u8(&reader) == UINT8_MAX && wire_get_u16(&reader) == UINT16_MAX &&
                wire_get_u32(&reader) == UINT32_MAX && wire_get_u64(&reader) == UINT64_MAX);
}

/* What does not fit is not written at all, and nothing after it is either. */
static void a_full_writer_stays_failed(void **state)
{
    (void)state;
    uint8_t bytes[8];
    memset(bytes, 0xaa, sizeof bytes);
    struct wire_writer writer = {.bytes = bytes, .capacity = 5};
    wire_put_u32(&writer, 1);
    wire_put_u16(&writer, 0xffff);
    assert_true(writer.failed);
    wire_put_u8(&writer, 0xff); /* would fit */
    assert_true(writer.failed);
    assert_int_equal(writer.length, 4);
    assert_int_equal(bytes[4], 0xaa);
    wire_put_bytes(&writer, NULL, 0);
    assert_true(writer.failed);
}

/* What is not there reads as zero, and so does everything after it. */
static void an_empty_reader_stays_failed(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3};
    struct wire_reader reader = {.bytes = bytes, .length = sizeof bytes};
    assert_int_equal(wire_get_u16(&reader), 0x0201);
    assert_int_equal(wire_get_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(wire_get_u8(&reader), 0); /* would be there */
    uint8_t out[2] = {9, 9};
    wire_get_bytes(&reader, out, 2);
    assert_int_equal(out[0] + out[1], 0);
    char text[4] = "abc";
    wire_get_text(&reader, text, sizeof text);
    assert_string_equal(text, "");
    assert_int_equal(wire_get_blob(&reader, out, sizeof out), 0);
    assert_true(reader.failed);
    assert_int_equal(reader.offset, 2);
}

static void lengths_do_not_overflow(void **state)
{
    (void)state;
    uint8_t bytes[4] = {0};
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes, .length = 2};
    wire_put_bytes(&writer, bytes, SIZE_MAX);
    assert_true(writer.failed);
    assert_int_equal(writer.length, 2);
}

static void blobs_and_texts(void **state)
{
    (void)state;
    uint8_t bytes[32];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    wire_put_blob(&writer, "\0\1\2", 3);
    wire_put_blob(&writer, "host", 4);
    wire_put_blob(&writer, NULL, 0);
    assert_false(writer.failed);
    assert_int_equal(writer.length, 2 + 3 + 2 + 4 + 2);
    struct wire_reader reader = {.bytes = bytes, .length = writer.length};
    uint8_t blob[3];
    char text[5];
    char empty[1] = "x";
    assert_int_equal(wire_get_blob(&reader, blob, sizeof blob), 3);
    assert_memory_equal(blob, "\0\1\2", 3);
    wire_get_text(&reader, text, sizeof text);
    assert_string_equal(text, "host");
    wire_get_text(&reader, empty, sizeof empty);
    assert_string_equal(empty, "");
    assert_false(reader.failed);
    assert_int_equal(reader.offset, reader.length);
}

/* Lengths that a hostile peer may claim. */
static void blobs_that_cannot_be(void **state)
{
    (void)state;
    const uint8_t longer_than_the_message[] = {5, 0, 'a', 'b'};
    struct wire_reader reader = {.bytes = longer_than_the_message, .length = 4};
    char text[16] = "kept?";
    wire_get_text(&reader, text, sizeof text);
    assert_true(reader.failed);
    assert_string_equal(text, "");

    const uint8_t longer_than_the_room[] = {4, 0, 'a', 'b', 'c', 'd'};
    reader = (struct wire_reader){.bytes = longer_than_the_room, .length = 6};
    char small[4] = "xyz";
    wire_get_text(&reader, small, sizeof small);
    assert_true(reader.failed);
    assert_string_equal(small, "");

    reader = (struct wire_reader){.bytes = longer_than_the_room, .length = 6};
    uint8_t blob[3] = {7, 7, 7};
    assert_int_equal(wire_get_blob(&reader, blob, sizeof blob), 0);
    assert_true(reader.failed);
    assert_int_equal(blob[0], 7);

    const uint8_t zero_inside[] = {3, 0, 'a', 0, 'b'};
    reader = (struct wire_reader){.bytes = zero_inside, .length = 5};
    wire_get_text(&reader, text, sizeof text);
    assert_true(reader.failed);
    assert_string_equal(text, "");
}

static void a_blob_has_at_most_65535_bytes(void **state)
{
    (void)state;
    static uint8_t in[UINT16_MAX + 1];
    static uint8_t bytes[UINT16_MAX + 16];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    wire_put_blob(&writer, in, UINT16_MAX);
    assert_false(writer.failed);
    assert_int_equal(writer.length, 2 + UINT16_MAX);
    writer = (struct wire_writer){.bytes = bytes, .capacity = sizeof bytes};
    wire_put_blob(&writer, in, UINT16_MAX + 1);
    assert_true(writer.failed);
    assert_int_equal(writer.length, 0);
}

/* Every cut of a good message is noticed. */
static void every_truncation_fails(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    wire_put_u32(&writer, 42);
    wire_put_blob(&writer, "some text", 9);
    wire_put_u64(&writer, 43);
    for (size_t length = 0; length <= writer.length; length++) {
        struct wire_reader reader = {.bytes = bytes, .length = length};
        char text[16];
        wire_get_u32(&reader);
        wire_get_text(&reader, text, sizeof text);
        uint64_t last = wire_get_u64(&reader);
        assert_int_equal(reader.failed, length < writer.length);
        assert_true(last == (reader.failed ? 0 : 43));
    }
}

static void measures(void **state)
{
    (void)state;
    static const double fine[] = {0, 1.5, 0x1p-1074, DBL_MAX},
                        refused[] = {-1, -0x1p-1074, INFINITY, NAN};
    for (unsigned i = 0; i < 4; i++) {
        uint8_t bytes[16];
        struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
        wire_put_f64(&writer, fine[i]);
        wire_put_f64(&writer, refused[i]);
        assert_false(writer.failed);
        struct wire_reader reader = {.bytes = bytes, .length = writer.length};
        assert_true(wire_get_f64(&reader) == fine[i]);
        assert_false(reader.failed);
        assert_true(wire_get_f64(&reader) == 0);
        assert_true(reader.failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_little_endian),
        cmocka_unit_test(largest_numbers),
        cmocka_unit_test(a_full_writer_stays_failed),
        cmocka_unit_test(an_empty_reader_stays_failed),
        cmocka_unit_test(lengths_do_not_overflow),
        cmocka_unit_test(blobs_and_texts),
        cmocka_unit_test(blobs_that_cannot_be),
        cmocka_unit_test(a_blob_has_at_most_65535_bytes),
        cmocka_unit_test(every_truncation_fails),
        cmocka_unit_test(measures),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
