/* sha256: the SHA-256 digest of FIPS 180-4, to show that peers hold the same bytes. It guards no secret. */
#ifndef KOLO_TOOLS_SHA256_H
#define KOLO_TOOLS_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_HEX_BYTES (2 * SHA256_BYTES + 1) /* the final zero included */

/** Digest `length` bytes. */
void sha256(uint8_t digest[SHA256_BYTES], const void *data, size_t length);

/** As a person reads it. */
void sha256_hex(char hex[SHA256_HEX_BYTES], const uint8_t digest[SHA256_BYTES]);

#endif
