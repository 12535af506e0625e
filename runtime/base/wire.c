#include "runtime/base/wire.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static uint8_t *writer_take(struct wire_writer *writer, size_t length)
{
    assert(writer->length <= writer->capacity);
    if (writer->failed || length > writer->capacity - writer->length) {
        writer->failed = true;
        return NULL;
    }
    uint8_t *place = writer->bytes + writer->length;
    writer->length += length;
    return place;
}

static const uint8_t *reader_take(struct wire_reader *reader, size_t length)
{
    assert(reader->offset <= reader->length);
    if (reader->failed || length > reader->length - reader->offset) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *place = reader->bytes + reader->offset;
    reader->offset += length;
    return place;
}

static void put_number(struct wire_writer *writer, uint64_t value, size_t length)
{
    uint8_t *place = writer_take(writer, length);
    for (size_t i = 0; place != NULL && i < length; i++) {
        place[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get_number(struct wire_reader *reader, size_t length)
{
    const uint8_t *place = reader_take(reader, length);
    uint64_t value = 0;
    for (size_t i = 0; place != NULL && i < length; i++) {
        value |= (uint64_t)place[i] << (8 * i);
    }
    return value;
}

void wire_put_u8(struct wire_writer *writer, uint8_t value)
{
    put_number(writer, value, 1);
}

void wire_put_u16(struct wire_writer *writer, uint16_t value)
{
    put_number(writer, value, 2);
}

void wire_put_u32(struct wire_writer *writer, uint32_t value)
{
    put_number(writer, value, 4);
}

void wire_put_u64(struct wire_writer *writer, uint64_t value)
{
    put_number(writer, value, 8);
}

void wire_put_f64(struct wire_writer *writer, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    wire_put_u64(writer, bits);
}

void wire_put_bytes(struct wire_writer *writer, const void *bytes, size_t length)
{
    uint8_t *place = writer_take(writer, length);
    if (place != NULL && length > 0) {
        memcpy(place, bytes, length);
    }
}

void wire_put_blob(struct wire_writer *writer, const void *bytes, size_t length)
{
    if (length > UINT16_MAX) {
        writer->failed = true;
        return;
    }
    wire_put_u16(writer, (uint16_t)length);
    wire_put_bytes(writer, bytes, length);
}

uint8_t wire_get_u8(struct wire_reader *reader)
{
    return (uint8_t)get_number(reader, 1);
}

uint16_t wire_get_u16(struct wire_reader *reader)
{
    return (uint16_t)get_number(reader, 2);
}

uint32_t wire_get_u32(struct wire_reader *reader)
{
    return (uint32_t)get_number(reader, 4);
}

uint64_t wire_get_u64(struct wire_reader *reader)
{
    return get_number(reader, 8);
}

double wire_get_f64(struct wire_reader *reader)
{
    uint64_t bits = wire_get_u64(reader);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value) || value < 0) {
        reader->failed = true;
        return 0;
    }
    return value;
}

void wire_get_bytes(struct wire_reader *reader, void *bytes, size_t length)
{
    const uint8_t *place = reader_take(reader, length);
    if (place == NULL) {
        memset(bytes, 0, length);
    } else if (length > 0) {
        memcpy(bytes, place, length);
    }
}

size_t wire_get_blob(struct wire_reader *reader, void *bytes, size_t capacity)
{
    size_t length = wire_get_u16(reader);
    if (length > capacity) {
        reader->failed = true;
    }
    if (reader->failed) {
        return 0;
    }
    wire_get_bytes(reader, bytes, length);
    return reader->failed ? 0 : length;
}

void wire_get_text(struct wire_reader *reader, char *text, size_t capacity)
{
    assert(capacity > 0);
    size_t length = wire_get_blob(reader, text, capacity - 1);
    text[length] = '\0';
    if (strlen(text) != length) {
        reader->failed = true;
        text[0] = '\0';
    }
}
