#include "tests/fuzz/decoders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/execute/fingerprint.h"
#include "runtime/membership/control.h"
#include "runtime/membership/member.h"
#include "runtime/plan/costs.h"
#include "transport/tcp/hello.h"
#include "transport/tcp/tcp_offer.h"

static void promise(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static const uint8_t self_id[TRANSPORT_ID_BYTES] = "self";
static const uint8_t peer_id[TRANSPORT_ID_BYTES] = "peer";
static const uint8_t run_key[PORT_RUN_BYTES] = "run";

/* ---- wire: the bytes say themselves which reads to make ---- */

static size_t sample_wire(uint8_t *bytes)
{
    static const uint8_t script[] = {0, 7, 1, 1, 2, 2, 1, 2, 3, 4, 3, 1, 2,   3,   4,
                                     5, 6, 7, 8, 4, 2, 0, 9, 9, 5, 3, 0, 'a', 'b', 'c'};
    memcpy(bytes, script, sizeof script);
    return sizeof script;
}

static void read_one(struct wire_reader *reader, unsigned kind)
{
    uint8_t blob[16];
    char text[16];
    switch (kind % 6) {
    case 0:
        wire_get_u8(reader);
        break;
    case 1:
        wire_get_u16(reader);
        break;
    case 2:
        wire_get_u32(reader);
        break;
    case 3:
        wire_get_u64(reader);
        break;
    case 4:
        promise(wire_get_blob(reader, blob, sizeof blob) <= sizeof blob, "a blob fits");
        break;
    default:
        wire_get_text(reader, text, sizeof text);
        promise(strnlen(text, sizeof text) < sizeof text, "a text ends");
    }
}

static void feed_wire(const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    while (!reader.failed && reader.offset < length) {
        read_one(&reader, wire_get_u8(&reader));
        promise(reader.offset <= length, "never beyond the end");
    }
    promise(!reader.failed || wire_get_u64(&reader) == 0, "a failed reader gives zeros");
}

/* ---- member ---- */

static size_t sample_member(uint8_t *bytes)
{
    struct member member = {
        .rank = 3, .size = 8, .pid = 77, .transports = 3, .processor_set = 9, .addresses = 2};
    strcpy(member.hostname, "host");
    member.address[0].as.v4.sin_family = AF_INET;
    member.address[1].as.v6.sin6_family = AF_INET6;
    struct wire_writer writer = {.bytes = bytes, .capacity = DECODER_BYTES_MAX};
    member_put(&writer, &member);
    return writer.length;
}

static void feed_member(const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    struct member member;
    char name[MEMBER_NAME_MAX];
    uint8_t again[MEMBER_WIRE_MAX];
    member_get(&reader, &member);
    promise(member.addresses <= PORT_ADDRESSES_MAX, "not too many addresses");
    promise(strlen(member_name(name, &member)) < sizeof name, "a name ends");
    if (!reader.failed) {
        struct wire_writer writer = {.bytes = again, .capacity = sizeof again};
        member_put(&writer, &member);
        promise(!writer.failed && writer.length == reader.offset, "what was read can be written");
        members_rank(&member, 1);
    }
}

/* ---- control: through a socket, in two pieces ---- */

static size_t sample_control(uint8_t *bytes)
{
    static const uint8_t frames[] = {3,   0, 0, 0, 1, 0, 0x6f, 0x6b, 'a', 'b',
                                     'c', 0, 0, 0, 0, 9, 0,    0x6f, 0x6b};
    memcpy(bytes, frames, sizeof frames);
    return sizeof frames;
}

static void drain(struct control *control)
{
    struct control_frame frame;
    int got;
    while ((got = control_receive(control, &frame)) == 1) {
        promise(frame.length <= CONTROL_PAYLOAD_MAX, "a payload fits");
        promise(frame.kind >= CONTROL_MEMBER && frame.kind <= CONTROL_BYE, "a known kind");
    }
    promise(got == 0 || control_cause(control)[0] != '\0', "an end has a cause");
}

static void feed_control(const uint8_t *bytes, size_t length)
{
    int fds[2];
    struct control *control = NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0 ||
        control_open(&control, fds[0]) != KOLO_OK) {
        abort();
    }
    size_t half = length / 2;
    promise(send(fds[1], bytes, half, MSG_NOSIGNAL) == (ssize_t)half, "sent");
    drain(control);
    promise(send(fds[1], bytes + half, length - half, MSG_NOSIGNAL) == (ssize_t)(length - half),
            "sent");
    control_peek(control);
    drain(control);
    close(fds[1]);
    drain(control);
    promise(control_peek(control) == -1, "it has ended");
    control_close(control);
}

/* ---- fingerprint ---- */

static size_t sample_fingerprint(uint8_t *bytes)
{
    const struct fingerprint fingerprint = {.sequence = 7, .type = KOLO_F32, .count = 1000};
    fingerprint_put(bytes, &fingerprint, 1, 2, 3);
    return FINGERPRINT_BYTES;
}

static void feed_fingerprint(const uint8_t *bytes, size_t length)
{
    if (length < FINGERPRINT_BYTES) {
        return; /* its callers see to that */
    }
    char text[FINGERPRINT_TEXT];
    const struct fingerprint other = {.sequence = 1};
    struct fingerprint fingerprint = fingerprint_get(bytes);
    promise(strlen(fingerprint_text(text, &fingerprint)) < sizeof text, "a text ends");
    promise(strlen(fingerprint_difference(text, &fingerprint, &other)) < sizeof text, "it ends");
    promise(strlen(fingerprint_difference(text, &other, &fingerprint)) < sizeof text, "it ends");
    promise(fingerprint_equal(&fingerprint, &fingerprint), "equal to itself");
}

/* ---- hello, and its answer ---- */

static size_t sample_hello(uint8_t *bytes)
{
    struct port_hello hello = {.purpose = PORT_LANE, .lane = 1, .token = 5};
    memcpy(hello.from, peer_id, sizeof hello.from);
    memcpy(hello.to, self_id, sizeof hello.to);
    hello_encode(bytes, &hello, run_key);
    return HELLO_BYTES;
}

static void feed_hello(const uint8_t *bytes, size_t length)
{
    struct port_hello hello;
    for (size_t seen = 0; seen <= length && seen <= HELLO_BYTES_MAX; seen++) {
        promise(hello_wants(bytes, seen) <= HELLO_BYTES_MAX, "a hello is short");
    }
    enum port_verdict verdict = hello_decode(&hello, bytes, length, self_id, run_key);
    promise(hello_verdict_text(verdict)[0] != '\0', "a verdict has words");
    promise(verdict != PORT_WELCOME || memcmp(hello.from, self_id, sizeof hello.from) != 0,
            "not from itself");
}

static size_t sample_answer(uint8_t *bytes)
{
    hello_encode_answer(bytes, PORT_REFUSED_RUN, peer_id);
    return HELLO_ANSWER_BYTES;
}

static void feed_answer(const uint8_t *bytes, size_t length)
{
    uint8_t who[TRANSPORT_ID_BYTES];
    hello_answer_plausible(bytes, length);
    if (length >= HELLO_ANSWER_BYTES) {
        promise(hello_decode_answer(who, bytes) <= PORT_REFUSED_SELF, "a known verdict");
    }
}

/* ---- costs ---- */

static size_t sample_costs(uint8_t *bytes)
{
    const struct network_uniform network = costs_of(COSTS_NETWORK, 1, 1, 1e9);
    struct wire_writer writer = {.bytes = bytes, .capacity = DECODER_BYTES_MAX};
    costs_put(&writer, &network);
    return writer.length;
}

static void feed_costs(const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    struct network_uniform network, worst = costs_of(COSTS_NETWORK, 1, 1, 1e9);
    costs_get(&reader, &network);
    if (!reader.failed) {
        costs_worst(&worst, &network);
        promise(worst.latency_s >= 0 && worst.latency_s < 1e18, "a latency");
        promise(worst.link_Bps >= 0 && worst.reduce_Bps >= 0, "rates");
    }
}

/* ---- offers of links ---- */

static size_t sample_tcp_offer(uint8_t *bytes)
{
    struct tcp_offer offer = {.token = 5, .count = 1};
    memcpy(offer.who, peer_id, sizeof offer.who);
    offer.addresses[0].as.v4.sin_family = AF_INET;
    offer.addresses[0].as.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    offer.addresses[0].as.v4.sin_port = htons(9);
    return tcp_offer_encode(bytes, &offer);
}

static void feed_tcp_offer(const uint8_t *bytes, size_t length)
{
    struct tcp_offer offer;
    if (tcp_offer_decode(&offer, bytes, length)) {
        uint8_t again[TRANSPORT_OFFER_BYTES];
        promise(offer.count <= PORT_ADDRESSES_MAX, "not too many addresses");
        promise(tcp_offer_encode(again, &offer) == length, "what was read can be written");
    }
}

static struct transport *transport_once(const struct transport_ops *ops)
{
    static struct transport *tcp, *shm;
    static struct tcp_port *port;
    struct transport **place = ops == &transport_tcp ? &tcp : &shm;
    if (*place != NULL) {
        return *place; /* kept until the program ends */
    }
    struct transport_config config = {.peer_timeout_ns = 1000000000ULL};
    memcpy(config.self, self_id, sizeof config.self);
    if (ops == &transport_tcp) {
        struct port_config listen = {.peer_timeout_ns = config.peer_timeout_ns};
        memcpy(listen.self, self_id, sizeof listen.self);
        memcpy(listen.run, run_key, sizeof listen.run);
        promise(tcp_port_open(&port, &listen) == KOLO_OK, "a port");
        config.wire = port;
    }
    promise(ops->create(place, &config) == KOLO_OK, "a transport");
    return *place;
}

static struct link *some_link(const struct transport_ops *ops, uint8_t *offer, size_t *length)
{
    struct link *link = NULL;
    /* It must not dial: mutated addresses are anybody's. */
    struct link_config config = {.dials = false, .token = 5, .peer_name = "the peer"};
    memcpy(config.peer, peer_id, sizeof config.peer);
    promise(ops->link_create(&link, offer, length, transport_once(ops), &config) == KOLO_OK,
            "a link");
    return link;
}

static void feed_link(const struct transport_ops *ops, const uint8_t *bytes, size_t length)
{
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    size_t offer_bytes = 0;
    struct link *link = some_link(ops, offer, &offer_bytes);
    kolo_status status = ops->link_connect(link, bytes, length);
    promise(status == KOLO_OK || status == KOLO_ERR_PROTOCOL || status == KOLO_ERR_STATE,
            "a legal answer");
    ops->progress(transport_once(ops));
    promise(ops->link_state(link, NULL, NULL) != LINK_UP, "nobody is there");
    ops->link_close(link);
}

static void feed_tcp_link(const uint8_t *bytes, size_t length)
{
    feed_link(&transport_tcp, bytes, length);
}

static void feed_shm_link(const uint8_t *bytes, size_t length)
{
    feed_link(&transport_shm, bytes, length);
}

/* An offer of shared memory holds where it comes from, so a real one is mutated. */
static size_t sample_shm_link(uint8_t *bytes)
{
    size_t length = 0;
    struct link *link = some_link(&transport_shm, bytes, &length);
    transport_shm.link_close(link);
    return length;
}

static const struct decoder decoders[] = {
    {"wire", sample_wire, feed_wire},
    {"member", sample_member, feed_member},
    {"control", sample_control, feed_control},
    {"fingerprint", sample_fingerprint, feed_fingerprint},
    {"hello", sample_hello, feed_hello},
    {"answer", sample_answer, feed_answer},
    {"costs", sample_costs, feed_costs},
    {"tcp_offer", sample_tcp_offer, feed_tcp_offer},
    {"tcp_link", sample_tcp_offer, feed_tcp_link},
    {"shm_link", sample_shm_link, feed_shm_link},
};

const struct decoder *decoder_find(const char *name)
{
    for (size_t i = 0; i < sizeof decoders / sizeof decoders[0]; i++) {
        if (strcmp(decoders[i].name, name) == 0) {
            return &decoders[i];
        }
    }
    return NULL;
}
