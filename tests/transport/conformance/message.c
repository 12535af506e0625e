#include "tests/transport/conformance/message.h"

#include <stdlib.h>

/* Contents are a piece of an endless repetition of these bytes that begins where the seed says. The period is a prime: no
 * mistake by a power of two goes unnoticed. Copied and compared as blocks, since sanitizers make loops over bytes slow. */
#define MESSAGE_PERIOD 65521

static uint8_t contents[MESSAGE_PERIOD];

void message_init(void)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < MESSAGE_PERIOD; i++) {
        state = state * 1664525u + 1013904223u;
        contents[i] = (uint8_t)(state >> 24);
    }
}

static size_t place_of(uint64_t seed, size_t offset)
{
    return (size_t)((seed * 151 + offset) % MESSAGE_PERIOD);
}

uint8_t message_byte(uint64_t seed, size_t offset)
{
    return contents[place_of(seed, offset)];
}

/* How many of the bytes from..to lie in one piece of the contents. */
static size_t piece(uint64_t seed, size_t from, size_t to)
{
    size_t most = MESSAGE_PERIOD - place_of(seed, from);
    return to - from < most ? to - from : most;
}

void message_fill(uint8_t *memory, uint64_t seed, size_t from, size_t to)
{
    while (from < to) {
        size_t bytes = piece(seed, from, to);
        memcpy(memory + from, contents + place_of(seed, from), bytes);
        from += bytes;
    }
}

static void message_begin(struct message *message, uint64_t seed, size_t length)
{
    *message = (struct message){.seed = seed};
    message->transfer.length = length;
    if (length > 0) {
        message->memory = malloc(length);
        assert_non_null(message->memory);
        memset(message->memory, MESSAGE_BLANK, length);
    }
    for (unsigned i = 0; i < TRANSPORT_HEADER_BYTES; i++) {
        message->transfer.header[i] = (uint8_t)(message_byte(seed, i) ^ (seed >> (8 * (i % 8))));
    }
}

void message_outgoing(struct message *message, uint64_t seed, size_t length)
{
    message_begin(message, seed, length);
    message_fill(message->memory, seed, 0, length);
    message->transfer.data = message->memory;
    message->transfer.ready = length;
}

void message_incoming(struct message *message, uint64_t seed, size_t length)
{
    message_begin(message, seed, length);
    message->transfer.data = message->memory;
    message->transfer.ready = length;
}

void message_incoming_spans(struct message *message, uint64_t seed, size_t length)
{
    message_begin(message, seed, length);
}

void message_free(struct message *message)
{
    assert_int_not_equal(message->transfer.state, TRANSFER_POSTED);
    free(message->memory);
    message->memory = NULL;
}

void message_send(struct message *message, struct mesh *mesh, unsigned a, unsigned b, unsigned lane)
{
    message->lane = lane;
    mesh->wire->ops->send(mesh->peers[a].links[b], lane, &message->transfer);
}

void message_receive(struct message *message, struct mesh *mesh, unsigned a, unsigned b,
                     unsigned lane)
{
    message->lane = lane;
    mesh->wire->ops->receive(mesh->peers[a].links[b], lane, &message->transfer);
}

size_t message_drain(struct message *message, struct link *link, size_t most)
{
    struct transfer *transfer = &message->transfer;
    if (transfer->state != TRANSFER_POSTED || transfer->data != NULL || transfer->span_bytes == 0) {
        return 0;
    }
    assert_non_null(transfer->span);
    assert_true(transfer->span_bytes <= transfer->length - transfer->moved);
    size_t bytes = transfer->span_bytes < most ? transfer->span_bytes : most;
    memcpy(message->memory + transfer->moved, transfer->span, bytes);
    size_t moved = transfer->moved;
    link->ops->release(link, message->lane, transfer, bytes);
    if (transfer->state != TRANSFER_FAILED) {
        assert_int_equal(transfer->moved, moved + bytes);
    }
    return bytes;
}

/* Fail the test: one of the bytes from..to is wrong. */
static void tell_wrong_byte(const struct message *message, size_t from, size_t to)
{
    while (from < to && message->memory[from] == message_byte(message->seed, from)) {
        from++;
    }
    fail_msg("message %llu of %zu bytes: byte %zu is %02x, not %02x",
             (unsigned long long)message->seed, message->transfer.length, from,
             message->memory[from], message_byte(message->seed, from));
}

void message_check_range(const struct message *message, size_t from, size_t to)
{
    while (from < to) {
        size_t bytes = piece(message->seed, from, to);
        if (memcmp(message->memory + from, contents + place_of(message->seed, from), bytes) != 0) {
            tell_wrong_byte(message, from, from + bytes);
        }
        from += bytes;
    }
}

void message_check_blank(const struct message *message, size_t from, size_t to)
{
    const uint8_t *memory = message->memory;
    if (from < to && (memory[from] != MESSAGE_BLANK ||
                      memcmp(memory + from, memory + from + 1, to - from - 1) != 0)) {
        fail_msg("message %llu of %zu bytes: a byte of %zu..%zu was written too early",
                 (unsigned long long)message->seed, message->transfer.length, from, to);
    }
}

void message_check(const struct message *message)
{
    assert_int_equal(message->transfer.state, TRANSFER_DONE);
    assert_int_equal(message->transfer.status, KOLO_OK);
    assert_int_equal(message->transfer.moved, message->transfer.length);
    message_check_range(message, 0, message->transfer.length);
}

void message_exchange(struct mesh *mesh, unsigned a, unsigned b, unsigned lane, uint64_t seed,
                      size_t length)
{
    struct message out;
    struct message in;
    message_outgoing(&out, seed, length);
    message_incoming(&in, seed, length);
    message_receive(&in, mesh, b, a, lane);
    message_send(&out, mesh, a, b, lane);
    MESH_WAIT(mesh, message_done(&out) && message_done(&in));
    message_check(&out);
    message_check(&in);
    message_free(&out);
    message_free(&in);
}
