/* decoders: everything that reads bytes of the network, each with a valid sample and a function that feeds it any bytes. What a
 * decoder promises about its output is checked with abort(), so that it holds in every build. */
#ifndef KOLO_TESTS_FUZZ_DECODERS_H
#define KOLO_TESTS_FUZZ_DECODERS_H

#include <stddef.h>
#include <stdint.h>

#define DECODER_BYTES_MAX 4096 /* of a sample, and of what is fed */

struct decoder {
    const char *name;
    /** Something valid. Returns its length. */
    size_t (*sample)(uint8_t bytes[DECODER_BYTES_MAX]);
    /** Feed these bytes. `bytes` is exactly `length` long, so that a sanitizer sees a read beyond it. */
    void (*feed)(const uint8_t *bytes, size_t length);
};

/** The decoder of this name; NULL if there is none. */
const struct decoder *decoder_find(const char *name);

#endif
