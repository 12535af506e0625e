/* fingerprint: what an operation is, in the few bytes that every message of it carries, so that peers which call different
 * things are told so instead of hanging or adding up nonsense. */
#ifndef KOLO_EXECUTE_FINGERPRINT_H
#define KOLO_EXECUTE_FINGERPRINT_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#include "collectives/schedule.h"
#include "transport/transport.h"

#define FINGERPRINT_NONE 0xff /* no type, no operator, no algorithm */
#define FINGERPRINT_TEXT 160

struct fingerprint {
    uint32_t sequence; /* number of the operation on this communicator, from 1 */
    uint8_t collective;
    uint8_t type;      /* FINGERPRINT_NONE for a barrier */
    uint8_t op;        /* FINGERPRINT_NONE where there is no reduction */
    uint8_t algorithm; /* row in the table */
    uint64_t count;
    uint32_t root;
};

/** The header of a message: the fingerprint, which pass of the operation, and which chunks. */
void fingerprint_put(uint8_t header[TRANSPORT_HEADER_BYTES], const struct fingerprint *fingerprint,
                     uint32_t pass, uint32_t chunk, uint32_t chunks);

/** And back: from a header, or from its first FINGERPRINT_BYTES. */
#define FINGERPRINT_BYTES 20
struct fingerprint fingerprint_get(const uint8_t *bytes);

/** The header of a message that is shown: the fingerprint, and the chain of all operations before. */
void fingerprint_put_shown(uint8_t header[TRANSPORT_HEADER_BYTES],
                           const struct fingerprint *fingerprint, uint64_t past);

/** Operations so far, in a number: those before, whose number is `past` (0: none), and one more. Ranks that have called something
 *  else have another number. */
uint64_t fingerprint_chain(uint64_t past, const struct fingerprint *fingerprint);

/** Are they the same operation? */
bool fingerprint_equal(const struct fingerprint *a, const struct fingerprint *b);

/** "all-reduce of 1024 f32, sum (operation 7, ring)" into text. Safe for any bytes from the network. Returns text. */
const char *fingerprint_text(char text[FINGERPRINT_TEXT], const struct fingerprint *fingerprint);

/** What differs, in words: "count 1000 there, 1001 here". Returns text. */
const char *fingerprint_difference(char text[FINGERPRINT_TEXT], const struct fingerprint *here,
                                   const struct fingerprint *there);

#endif
