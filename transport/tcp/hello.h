/* hello: the first bytes on every connection, and the answer to them, as bytes. Nothing here does I/O, so that hostile frames
 * can be tried by the thousand.
 *
 * The dialling side sends a hello of HELLO_BYTES, the other answers with HELLO_ANSWER_BYTES. The first eight bytes of both
 * mean the same in every version for ever: "KOLO", version (u16), bytes of the frame (u16); "OLOK", version (u16), verdict
 * (u16). Little-endian; reserved bytes are sent as zero and not looked at. */
#ifndef KOLO_TRANSPORT_TCP_HELLO_H
#define KOLO_TRANSPORT_TCP_HELLO_H

#include "transport/tcp/port.h"

#define HELLO_VERSION 2
#define HELLO_BYTES 128       /* a hello of this version */
#define HELLO_BYTES_MAX 512   /* a hello of any version */
#define HELLO_HEAD_BYTES 8    /* what is the same in every version */
#define HELLO_ANSWER_BYTES 64 /* an answer of any version */

/** Encode a hello of the run `run`. Out: frame. */
void hello_encode(uint8_t frame[HELLO_BYTES], const struct port_hello *hello,
                  const uint8_t run[PORT_RUN_BYTES]);

/** How many bytes in all the frame needs that begins with these `length` bytes: HELLO_HEAD_BYTES as long as that is not known;
 *  0 if these bytes do not begin a hello. */
size_t hello_wants(const uint8_t *frame, size_t length);

/** Decode and judge a frame of hello_wants() bytes, as far as it can be judged without knowing who is expected:
 *  PORT_WELCOME, PORT_REFUSED_GARBAGE, _VERSION, _RUN, _SELF or _IDENTITY. Out: hello, on PORT_WELCOME only. */
enum port_verdict hello_decode(struct port_hello *hello, const uint8_t *frame, size_t length,
                               const uint8_t self[TRANSPORT_ID_BYTES],
                               const uint8_t run[PORT_RUN_BYTES]);

/** Encode an answer. `who` is the answering process, or NULL towards those who have no business to know. */
void hello_encode_answer(uint8_t frame[HELLO_ANSWER_BYTES], enum port_verdict verdict,
                         const uint8_t *who);

/** Do these first bytes of an answer still look like one? */
bool hello_answer_plausible(const uint8_t *frame, size_t length);

/** Decode a whole answer. Returns the verdict: PORT_REFUSED_GARBAGE for nonsense. Out: who. */
enum port_verdict hello_decode_answer(uint8_t who[TRANSPORT_ID_BYTES],
                                      const uint8_t frame[HELLO_ANSWER_BYTES]);

/** What a verdict means, to be read after "the other side": "belongs to another run". */
const char *hello_verdict_text(enum port_verdict verdict);

#endif
