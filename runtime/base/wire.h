/* wire: encoding and decoding of what peers send each other. Little-endian, no padding, every read checked against the end:
 * a reader that ran out stays failed and returns zeros, so that a decoder checks once, at its end. */
#ifndef KOLO_BASE_WIRE_H
#define KOLO_BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_writer {
    uint8_t *bytes;  /* borrowed */
    size_t capacity; /* of bytes */
    size_t length;   /* written so far */
    bool failed;     /* something did not fit; nothing more is written */
};

struct wire_reader {
    const uint8_t *bytes; /* borrowed */
    size_t length;        /* of bytes */
    size_t offset;        /* read so far */
    bool failed;          /* read past the end, or a length that cannot be */
};

void wire_put_u8(struct wire_writer *writer, uint8_t value);
void wire_put_u16(struct wire_writer *writer, uint16_t value);
void wire_put_u32(struct wire_writer *writer, uint32_t value);
void wire_put_u64(struct wire_writer *writer, uint64_t value);
/** A double as its bits: exactly. */
void wire_put_f64(struct wire_writer *writer, double value);
void wire_put_bytes(struct wire_writer *writer, const void *bytes, size_t length);
/** A text or blob with its length (u16) before it. */
void wire_put_blob(struct wire_writer *writer, const void *bytes, size_t length);

uint8_t wire_get_u8(struct wire_reader *reader);
uint16_t wire_get_u16(struct wire_reader *reader);
uint32_t wire_get_u32(struct wire_reader *reader);
uint64_t wire_get_u64(struct wire_reader *reader);
/** A measure: fails, and gives 0, if it is negative, infinite or no number. */
double wire_get_f64(struct wire_reader *reader);
void wire_get_bytes(struct wire_reader *reader, void *bytes, size_t length);
/** A blob into `bytes`; fails if it is longer than `capacity`. Returns its length. */
size_t wire_get_blob(struct wire_reader *reader, void *bytes, size_t capacity);
/** A blob as a terminated text; fails if it does not fit or has a zero byte inside. */
void wire_get_text(struct wire_reader *reader, char *text, size_t capacity);

#endif
