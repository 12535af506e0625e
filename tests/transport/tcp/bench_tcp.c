/* How fast the tcp transport is between two processes of this host, beside plain sockets that do the least one can do. Not a
 * test: prints a table. For every size: half a round trip of a ping-pong; then both directions at once, received in place
 * (data), shown as spans and read once (spans), and with plain sockets (plain); in GB/s a direction. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "transport/tcp/port.h"
#include "transport/transport.h"

#define LARGEST (64u << 20)
#define ROUND_NS (300 * NS_PER_MS) /* about how long each figure is measured */
#define SPINS 20000                /* rounds without progress until a side sleeps */

struct side {
    int number;  /* 0 or 1 */
    int control; /* a pipe to the other side, to carry offers */
    int plain;   /* the plain connection */
    struct tcp_port *port;
    struct transport *transport;
    struct link *link;
    uint8_t *out;
    uint8_t *in;
    uint64_t sum; /* of everything consumed, so that it is read indeed */
};

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench_tcp: %s failed: %s\n", what, kolo_last_error());
        exit(1);
    }
}

/* ---- coming up ---------------------------------------------------------------------------------------------------- */

static void identity(uint8_t id[TRANSPORT_ID_BYTES], int number)
{
    memset(id, 0, TRANSPORT_ID_BYTES);
    snprintf((char *)id, TRANSPORT_ID_BYTES, "side %d", number);
}

static void connect_sides(struct side *side)
{
    struct port_config port = {.run = "bench", .peer_timeout_ns = 10 * NS_PER_S};
    struct transport_config transport = {.peer_timeout_ns = 10 * NS_PER_S};
    struct link_config link = {.dials = side->number == 0, .token = 1, .peer_name = "other side"};
    uint8_t mine[TRANSPORT_OFFER_BYTES];
    uint8_t theirs[TRANSPORT_OFFER_BYTES];
    size_t bytes;
    identity(port.self, side->number);
    identity(transport.self, side->number);
    identity(link.peer, 1 - side->number);
    check(tcp_port_open(&side->port, &port) == KOLO_OK, "tcp_port_open");
    transport.wire = side->port;
    check(transport_tcp.create(&side->transport, &transport) == KOLO_OK, "create");
    check(transport_tcp.link_create(&side->link, mine, &bytes, side->transport, &link) == KOLO_OK,
          "link_create");
    check(send(side->control, mine, bytes, 0) == (ssize_t)bytes, "send of the offer");
    ssize_t got = recv(side->control, theirs, sizeof theirs, 0);
    check(got > 0, "receipt of the offer");
    check(transport_tcp.link_connect(side->link, theirs, (size_t)got) == KOLO_OK, "link_connect");
    while (transport_tcp.link_state(side->link, NULL, NULL) == LINK_CONNECTING) {
        transport_tcp.progress(side->transport);
    }
    check(transport_tcp.link_state(side->link, NULL, NULL) == LINK_UP, "connecting");
}

/* ---- the transport ------------------------------------------------------------------------------------------------ */

static void step(struct side *side, unsigned *idle)
{
    if (transport_tcp.progress(side->transport)) {
        *idle = 0;
        return;
    }
    if (++*idle < SPINS) {
        return;
    }
    if (transport_tcp.arm(side->transport)) {
        struct pollfd fd = {.fd = transport_tcp.wait_fd(side->transport), .events = POLLIN};
        poll(&fd, 1, 1000);
    }
    transport_tcp.disarm(side->transport);
    *idle = 0;
}

static void await_send(struct side *side, struct transfer *transfer)
{
    unsigned idle = 0;
    while (transfer->state == TRANSFER_POSTED) {
        step(side, &idle);
    }
    check(transfer->state == TRANSFER_DONE, "a send");
}

/* Read a span once, as a reduction would: sums up 64-bit words. */
static uint64_t consume(struct side *side, struct transfer *in)
{
    uint64_t sum = 0;
    size_t bytes = in->span_bytes;
    if (in->moved + bytes < in->length) {
        bytes &= ~(size_t)63;
    }
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word;
        memcpy(&word, in->span + i, 8);
        sum += word;
    }
    if (bytes > 0) {
        transport_tcp.release(side->link, 0, in, bytes);
    }
    return sum;
}

static void await_receive(struct side *side, struct transfer *in)
{
    unsigned idle = 0;
    while (in->state == TRANSFER_POSTED) {
        step(side, &idle);
        if (in->state == TRANSFER_POSTED && in->data == NULL) {
            side->sum += consume(side, in);
        }
    }
    check(in->state == TRANSFER_DONE, "a receive");
}

static void ping_pong(struct side *side, size_t bytes, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        struct transfer out = {.data = side->out, .length = bytes, .ready = bytes};
        struct transfer in = {.data = side->in, .length = bytes, .ready = bytes};
        transport_tcp.receive(side->link, 0, &in);
        if (side->number == 1) {
            await_receive(side, &in);
        }
        transport_tcp.send(side->link, 0, &out);
        await_send(side, &out);
        if (side->number == 0) {
            await_receive(side, &in);
        }
    }
}

static void both_ways(struct side *side, size_t bytes, unsigned rounds, bool spans)
{
    for (unsigned i = 0; i < rounds; i++) {
        struct transfer out = {.data = side->out, .length = bytes, .ready = bytes};
        struct transfer in = {.data = spans ? NULL : side->in, .length = bytes, .ready = bytes};
        transport_tcp.receive(side->link, 0, &in);
        transport_tcp.send(side->link, 0, &out);
        await_receive(side, &in);
        await_send(side, &out);
    }
}

static void both_ways_data(struct side *side, size_t bytes, unsigned rounds)
{
    both_ways(side, bytes, rounds, false);
}

static void both_ways_spans(struct side *side, size_t bytes, unsigned rounds)
{
    both_ways(side, bytes, rounds, true);
}

/* ---- plain sockets ------------------------------------------------------------------------------------------------ */

static size_t plain_move(int fd, uint8_t *bytes, size_t length, bool sends)
{
    ssize_t moved = sends ? send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL)
                          : recv(fd, bytes, length, MSG_DONTWAIT);
    check(moved > 0 || (moved < 0 && errno == EAGAIN), "the plain connection");
    return moved > 0 ? (size_t)moved : 0;
}

static void plain_both_ways(struct side *side, size_t bytes, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        size_t out = 0;
        size_t in = 0;
        while (out < bytes || in < bytes) {
            if (out < bytes) {
                out += plain_move(side->plain, side->out + out, bytes - out, true);
            }
            if (in < bytes) {
                in += plain_move(side->plain, side->in + in, bytes - in, false);
            }
        }
    }
}

static void plain_ping_pong(struct side *side, size_t bytes, unsigned rounds)
{
    for (unsigned i = 0; i < 2 * rounds; i++) {
        bool sends = (i % 2 == 0) == (side->number == 0);
        size_t moved = 0;
        while (moved < bytes) {
            uint8_t *place = (sends ? side->out : side->in) + moved;
            moved += plain_move(side->plain, place, bytes - moved, sends);
        }
    }
}

static int plain_connection(const struct side *side, const int *listener)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    int on = 1;
    int fd;
    check(getsockname(*listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
    if (side->number == 0) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        check(connect(fd, (struct sockaddr *)&address, length) == 0, "connect");
    } else {
        fd = accept(*listener, NULL, NULL);
    }
    check(fd >= 0 && setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on) == 0,
          "the plain connection");
    return fd;
}

/* ---- measuring ---------------------------------------------------------------------------------------------------- */

typedef void pattern(struct side *side, size_t bytes, unsigned rounds);

/* Nanoseconds of one round: the best of five, each of as many rounds as both sides agree on after a trial. */
static double measure(struct side *side, pattern *run, size_t bytes)
{
    unsigned rounds = 1;
    double best = 1e18;
    run(side, bytes, 2);
    uint64_t start = clock_now_ns();
    run(side, bytes, 3);
    uint64_t one = (clock_now_ns() - start) / 3 + 1;
    if (side->number == 0) {
        uint64_t fit = ROUND_NS / 5 / one;
        rounds = fit < 2 ? 2 : fit > 20000 ? 20000 : (unsigned)fit;
        check(send(side->control, &rounds, sizeof rounds, 0) == sizeof rounds, "send");
    } else {
        check(recv(side->control, &rounds, sizeof rounds, 0) == sizeof rounds, "recv");
    }
    for (unsigned i = 0; i < 5; i++) {
        start = clock_now_ns();
        run(side, bytes, rounds);
        double ns = (double)(clock_now_ns() - start) / rounds;
        best = ns < best ? ns : best;
    }
    return best;
}

static void run_side(struct side *side, const int *listener)
{
    side->out = malloc(LARGEST);
    side->in = malloc(LARGEST);
    check(side->out != NULL && side->in != NULL, "malloc");
    memset(side->out, side->number + 1, LARGEST);
    memset(side->in, 0, LARGEST);
    side->plain = plain_connection(side, listener);
    connect_sides(side);
    if (side->number == 0) {
        printf("%10s %12s %12s %8s %8s %8s\n", "bytes", "kolo us", "plain us", "data", "spans",
               "plain");
    }
    for (size_t bytes = 8; bytes <= LARGEST; bytes *= bytes < 4096 ? 8 : 4) {
        double half = measure(side, ping_pong, bytes) / 2e3;
        double plain_half = measure(side, plain_ping_pong, bytes) / 2e3;
        double data = (double)bytes / measure(side, both_ways_data, bytes);
        double spans = (double)bytes / measure(side, both_ways_spans, bytes);
        double plain = (double)bytes / measure(side, plain_both_ways, bytes);
        if (side->number == 0) {
            printf("%10zu %12.2f %12.2f %8.2f %8.2f %8.2f\n", bytes, half, plain_half, data, spans,
                   plain);
            fflush(stdout);
        }
    }
    transport_tcp.link_close(side->link);
    transport_tcp.destroy(side->transport);
    tcp_port_close(side->port);
    close(side->plain);
    free(side->out);
    free(side->in);
}

int main(void)
{
    int control[2];
    struct sockaddr_in any = {.sin_family = AF_INET};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control) == 0, "socketpair");
    check(bind(listener, (struct sockaddr *)&any, sizeof any) == 0 && listen(listener, 1) == 0,
          "listen");
    pid_t child = fork();
    check(child >= 0, "fork");
    struct side side = {.number = child == 0, .control = control[child == 0]};
    close(control[child != 0]);
    run_side(&side, &listener);
    if (child == 0) {
        return 0;
    }
    int status;
    check(waitpid(child, &status, 0) == child && status == 0, "the other side");
    return 0;
}
