#include "tests/transport/tcp/side.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/tcp/hello.h"

static const uint8_t side_run[PORT_RUN_BYTES] = "run of the sides";

static void identity(uint8_t id[TRANSPORT_ID_BYTES], const char *name)
{
    memset(id, 0, TRANSPORT_ID_BYTES);
    memcpy(id, name, strlen(name) < TRANSPORT_ID_BYTES ? strlen(name) : TRANSPORT_ID_BYTES);
}

void side_open(struct side *side, const char *name, const char *peer, bool dials,
               const char *interfaces, uint64_t peer_timeout_ns)
{
    struct port_config port = {.interfaces = interfaces, .peer_timeout_ns = peer_timeout_ns};
    struct transport_config transport = {.peer_timeout_ns = peer_timeout_ns};
    struct link_config link = {.dials = dials, .token = SIDE_TOKEN, .peer_name = "the other side"};
    memset(side, 0, sizeof *side);
    identity(side->id, name);
    identity(link.peer, peer);
    memcpy(port.self, side->id, sizeof port.self);
    memcpy(port.run, side_run, sizeof port.run);
    memcpy(transport.self, side->id, sizeof transport.self);
    assert_int_equal(tcp_port_open(&side->port, &port), KOLO_OK);
    transport.wire = side->port;
    assert_int_equal(transport_tcp.create(&side->transport, &transport), KOLO_OK);
    assert_int_equal(transport_tcp.link_create(&side->link, side->offer, &side->offer_bytes,
                                               side->transport, &link),
                     KOLO_OK);
}

void side_close(struct side *side)
{
    if (side->link != NULL) {
        transport_tcp.link_close(side->link);
    }
    transport_tcp.destroy(side->transport);
    tcp_port_close(side->port);
}

void side_connect(struct side *a, struct side *b)
{
    assert_int_equal(transport_tcp.link_connect(a->link, b->offer, b->offer_bytes), KOLO_OK);
    assert_int_equal(transport_tcp.link_connect(b->link, a->offer, a->offer_bytes), KOLO_OK);
    SIDE_WAIT(a, b, side_state(a) != LINK_CONNECTING && side_state(b) != LINK_CONNECTING);
    assert_int_equal(side_state(a), LINK_UP);
    assert_int_equal(side_state(b), LINK_UP);
}

void side_step(struct side *a, struct side *b)
{
    transport_tcp.progress(a->transport);
    if (b != NULL) {
        transport_tcp.progress(b->transport);
    }
}

enum link_state side_state(const struct side *side)
{
    return transport_tcp.link_state(side->link, NULL, NULL);
}

const char *side_why(const struct side *side, kolo_status *status)
{
    const char *text;
    transport_tcp.link_state(side->link, status, &text);
    return text;
}

struct transfer side_message(uint8_t *bytes, size_t length, uint8_t fill)
{
    struct transfer transfer = {.data = bytes, .length = length, .ready = length};
    memset(transfer.header, fill, sizeof transfer.header);
    return transfer;
}

enum port_verdict raw_dial(int *fd, struct side *side, const char *name, unsigned lane,
                           uint64_t token)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)tcp_port_number(side->port))};
    struct port_hello hello = {.purpose = PORT_LANE, .lane = (uint16_t)lane, .token = token};
    uint8_t frame[HELLO_BYTES];
    uint8_t answer[HELLO_ANSWER_BYTES];
    uint8_t who[TRANSPORT_ID_BYTES];
    size_t got = 0;
    int on = 1;
    identity(hello.from, name);
    memcpy(hello.to, side->id, sizeof hello.to);
    hello_encode(frame, &hello, side_run);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(*fd >= 0);
    assert_int_equal(connect(*fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    assert_int_equal(send(*fd, frame, sizeof frame, 0), (int)sizeof frame);
    uint64_t limit_ns = clock_now_ns() + SIDE_PATIENCE_NS;
    while (got < sizeof answer) {
        assert_true(clock_now_ns() < limit_ns);
        side_step(side, NULL);
        ssize_t more = recv(*fd, answer + got, sizeof answer - got, MSG_DONTWAIT);
        assert_true(more > 0 || (more < 0 && errno == EAGAIN));
        got += more > 0 ? (size_t)more : 0;
    }
    return hello_decode_answer(who, answer);
}

void raw_connect(struct raw *raw, struct side *side, const char *name)
{
    /* What the offer of a raw peer would say does not matter to the end that is dialled, but for who it is from. */
    struct side peer;
    side_open(&peer, name, (const char *)side->id, true, NULL, NS_PER_S);
    assert_int_equal(transport_tcp.link_connect(side->link, peer.offer, peer.offer_bytes), KOLO_OK);
    side_close(&peer);
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        assert_int_equal(raw_dial(&raw->fds[lane], side, name, lane, SIDE_TOKEN), PORT_WELCOME);
    }
    assert_int_equal(side_state(side), LINK_UP);
}

void raw_close(struct raw *raw)
{
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        if (raw->fds[lane] >= 0) {
            close(raw->fds[lane]);
            raw->fds[lane] = -1;
        }
    }
}

void raw_frame(uint8_t frame[TCP_FRAME_BYTES], uint32_t number, uint64_t length, uint8_t fill)
{
    uint32_t magic = htole32(TCP_FRAME_MAGIC);
    number = htole32(number);
    length = htole64(length);
    memset(frame, fill, TCP_FRAME_BYTES);
    memcpy(frame, &magic, 4);
    memcpy(frame + 4, &number, 4);
    memcpy(frame + 8, &length, 8);
}

void raw_send(int fd, struct side *side, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint64_t limit_ns = clock_now_ns() + SIDE_PATIENCE_NS;
    while (length > 0) {
        assert_true(clock_now_ns() < limit_ns);
        ssize_t sent = send(fd, at, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        assert_true(sent > 0 || (sent < 0 && errno == EAGAIN));
        if (sent > 0) {
            at += sent;
            length -= (size_t)sent;
        } else {
            side_step(side, NULL);
        }
    }
}
