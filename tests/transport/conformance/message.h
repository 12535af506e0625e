/* message: a message with contents that can be told from every other one's, to be sent or received and then checked. */
#ifndef KOLO_TESTS_CONFORMANCE_MESSAGE_H
#define KOLO_TESTS_CONFORMANCE_MESSAGE_H

#include "tests/transport/conformance/mesh.h"

#define MESSAGE_BLANK 0xEE /* what a receive's memory holds before anything arrives */

struct message {
    struct transfer transfer;
    uint64_t seed;   /* of header and contents */
    uint8_t *memory; /* owned; `length` bytes, NULL for none */
    unsigned lane;
};

/** Prepare the contents of all messages. Once, before any other call. */
void message_init(void);

/** The byte at `offset` of the message with that seed. */
uint8_t message_byte(uint64_t seed, size_t offset);

/** Bytes from..to of the message with that seed into `memory` (its byte 0 at memory[0]). */
void message_fill(uint8_t *memory, uint64_t seed, size_t from, size_t to);

/** To be sent: contents and header of `seed`, all ready. */
void message_outgoing(struct message *message, uint64_t seed, size_t length);

/** To be received into memory of its own, all ready; or as spans, which message_drain() copies there. */
void message_incoming(struct message *message, uint64_t seed, size_t length);
void message_incoming_spans(struct message *message, uint64_t seed, size_t length);

void message_free(struct message *message);

/** Post on peer a's link to b. */
void message_send(struct message *message, struct mesh *mesh, unsigned a, unsigned b,
                  unsigned lane);
void message_receive(struct message *message, struct mesh *mesh, unsigned a, unsigned b,
                     unsigned lane);

/** Copy and release up to `most` bytes of what the span shows. Returns how many. */
size_t message_drain(struct message *message, struct link *link, size_t most);

static inline bool message_done(const struct message *message)
{
    return message->transfer.state == TRANSFER_DONE;
}
static inline bool message_failed(const struct message *message)
{
    return message->transfer.state == TRANSFER_FAILED;
}

/** Fail the test unless bytes from..to hold the contents. */
void message_check_range(const struct message *message, size_t from, size_t to);

/** Fail the test unless bytes from..to have not been touched. */
void message_check_blank(const struct message *message, size_t from, size_t to);

/** Fail the test unless it is done, with all of its contents. */
void message_check(const struct message *message);

/** Post both, wait until both are done, check, free. */
void message_exchange(struct mesh *mesh, unsigned a, unsigned b, unsigned lane, uint64_t seed,
                      size_t length);

#endif
