#include "transport/tcp/hello.h"

#include <assert.h>
#include <string.h>

#include "runtime/base/wire.h"

static const uint8_t hello_magic[4] = {'K', 'O', 'L', 'O'};
static const uint8_t answer_magic[4] = {'O', 'L', 'O', 'K'};
static const uint8_t nobody[TRANSPORT_ID_BYTES];

void hello_encode(uint8_t frame[HELLO_BYTES], const struct port_hello *hello,
                  const uint8_t run[PORT_RUN_BYTES])
{
    memset(frame, 0, HELLO_BYTES);
    struct wire_writer writer = {.bytes = frame, .capacity = HELLO_BYTES};
    wire_put_bytes(&writer, hello_magic, sizeof hello_magic);
    wire_put_u16(&writer, HELLO_VERSION);
    wire_put_u16(&writer, HELLO_BYTES);
    wire_put_bytes(&writer, run, PORT_RUN_BYTES);
    wire_put_bytes(&writer, hello->from, sizeof hello->from);
    wire_put_bytes(&writer, hello->to, sizeof hello->to);
    wire_put_u16(&writer, hello->purpose);
    wire_put_u16(&writer, hello->lane);
    wire_put_u32(&writer, 0); /* reserved: flags */
    wire_put_u64(&writer, hello->token);
    assert(!writer.failed);
}

size_t hello_wants(const uint8_t *frame, size_t length)
{
    size_t seen = length < sizeof hello_magic ? length : sizeof hello_magic;
    if (memcmp(frame, hello_magic, seen) != 0) {
        return 0;
    }
    if (length < HELLO_HEAD_BYTES) {
        return HELLO_HEAD_BYTES;
    }
    struct wire_reader reader = {.bytes = frame, .length = length, .offset = sizeof hello_magic};
    uint16_t version = wire_get_u16(&reader);
    uint16_t bytes = wire_get_u16(&reader);
    bool right = version == HELLO_VERSION ? bytes == HELLO_BYTES
                                          : bytes >= HELLO_HEAD_BYTES && bytes <= HELLO_BYTES_MAX;
    return right ? bytes : 0;
}

enum port_verdict hello_decode(struct port_hello *hello, const uint8_t *frame, size_t length,
                               const uint8_t self[TRANSPORT_ID_BYTES],
                               const uint8_t run[PORT_RUN_BYTES])
{
    if (length < HELLO_HEAD_BYTES || hello_wants(frame, length) != length) {
        return PORT_REFUSED_GARBAGE;
    }
    struct wire_reader reader = {.bytes = frame, .length = length, .offset = sizeof hello_magic};
    if (wire_get_u16(&reader) != HELLO_VERSION) {
        return PORT_REFUSED_VERSION;
    }
    (void)wire_get_u16(&reader); /* the length: hello_wants() has seen to it */
    struct port_hello said;
    uint8_t said_run[PORT_RUN_BYTES];
    wire_get_bytes(&reader, said_run, sizeof said_run);
    wire_get_bytes(&reader, said.from, sizeof said.from);
    wire_get_bytes(&reader, said.to, sizeof said.to);
    said.purpose = wire_get_u16(&reader);
    said.lane = wire_get_u16(&reader);
    (void)wire_get_u32(&reader);
    said.token = wire_get_u64(&reader);
    assert(!reader.failed);
    if (memcmp(said_run, run, sizeof said_run) != 0) {
        return PORT_REFUSED_RUN;
    }
    if (memcmp(said.from, nobody, sizeof said.from) == 0) {
        return PORT_REFUSED_GARBAGE;
    }
    if (memcmp(said.from, self, sizeof said.from) == 0) {
        return PORT_REFUSED_SELF;
    }
    if (memcmp(said.to, nobody, sizeof said.to) != 0 &&
        memcmp(said.to, self, sizeof said.to) != 0) {
        return PORT_REFUSED_IDENTITY;
    }
    *hello = said;
    return PORT_WELCOME;
}

void hello_encode_answer(uint8_t frame[HELLO_ANSWER_BYTES], enum port_verdict verdict,
                         const uint8_t *who)
{
    memset(frame, 0, HELLO_ANSWER_BYTES);
    struct wire_writer writer = {.bytes = frame, .capacity = HELLO_ANSWER_BYTES};
    wire_put_bytes(&writer, answer_magic, sizeof answer_magic);
    wire_put_u16(&writer, HELLO_VERSION);
    wire_put_u16(&writer, (uint16_t)verdict);
    wire_put_bytes(&writer, who != NULL ? who : nobody, TRANSPORT_ID_BYTES);
    assert(!writer.failed);
}

bool hello_answer_plausible(const uint8_t *frame, size_t length)
{
    size_t seen = length < sizeof answer_magic ? length : sizeof answer_magic;
    return memcmp(frame, answer_magic, seen) == 0;
}

enum port_verdict hello_decode_answer(uint8_t who[TRANSPORT_ID_BYTES],
                                      const uint8_t frame[HELLO_ANSWER_BYTES])
{
    memset(who, 0, TRANSPORT_ID_BYTES);
    if (!hello_answer_plausible(frame, HELLO_ANSWER_BYTES)) {
        return PORT_REFUSED_GARBAGE;
    }
    struct wire_reader reader = {
        .bytes = frame, .length = HELLO_ANSWER_BYTES, .offset = sizeof answer_magic};
    uint16_t version = wire_get_u16(&reader);
    uint16_t verdict = wire_get_u16(&reader);
    if (version != HELLO_VERSION) {
        return PORT_REFUSED_VERSION;
    }
    if (verdict > PORT_REFUSED_SELF) {
        return PORT_REFUSED_GARBAGE;
    }
    wire_get_bytes(&reader, who, TRANSPORT_ID_BYTES);
    assert(!reader.failed);
    return (enum port_verdict)verdict;
}

const char *hello_verdict_text(enum port_verdict verdict)
{
    switch (verdict) {
    case PORT_WELCOME:
        return "is a peer of this run";
    case PORT_REFUSED_RUN:
        return "belongs to another run";
    case PORT_REFUSED_VERSION:
        return "speaks another version of the protocol";
    case PORT_REFUSED_IDENTITY:
        return "is another process than the one that was meant";
    case PORT_REFUSED_DUPLICATE:
        return "has such a connection already";
    case PORT_REFUSED_CLOSED:
        return "does not want this connection (any more)";
    case PORT_REFUSED_GARBAGE:
        return "does not speak kolo's protocol";
    case PORT_REFUSED_SELF:
        return "is this process itself";
    }
    return "answered with an unknown verdict";
}
