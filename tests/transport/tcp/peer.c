#include "tests/transport/tcp/peer.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "transport/tcp/address.h"

const uint8_t peer_run_a[PORT_RUN_BYTES] = "run a";
const uint8_t peer_run_b[PORT_RUN_BYTES] = "run b";

static enum port_verdict on_arrived(void *context, const struct port_hello *hello,
                                    const struct port_address *from)
{
    struct peer *peer = context;
    peer->arrived++;
    peer->hello = *hello;
    peer->from = *from;
    return peer->verdict;
}

static void on_opened(void *context, const struct port_hello *hello,
                      const struct port_address *from, int fd)
{
    struct peer *peer = context;
    (void)from;
    assert_int_equal(hello->token, peer->hello.token);
    peer->opened++;
    if (peer->fd >= 0) {
        close(peer->fd);
    }
    peer->fd = fd;
}

void peer_answered(void *context, const struct port_answer *answer)
{
    struct outcome *outcome = context;
    outcome->count++;
    outcome->answer = *answer;
}

void peer_open(struct peer *peer, const char *id, const uint8_t *run, const char *interfaces)
{
    struct port_config config = {.interfaces = interfaces, .peer_timeout_ns = 10 * NS_PER_S};
    struct port_handler handler = {.context = peer, .arrived = on_arrived, .opened = on_opened};
    memset(peer, 0, sizeof *peer);
    peer->fd = -1;
    snprintf((char *)peer->id, sizeof peer->id, "%s", id);
    memcpy(config.self, peer->id, sizeof peer->id);
    memcpy(config.run, run, PORT_RUN_BYTES);
    assert_int_equal(tcp_port_open(&peer->port, &config), KOLO_OK);
    tcp_port_handle(peer->port, PORT_CONTROL, &handler);
}

void peer_close(struct peer *peer)
{
    if (peer->fd >= 0) {
        close(peer->fd);
    }
    tcp_port_close(peer->port);
}

struct port_address peer_loopback(int family, int number)
{
    struct port_address address;
    assert_true(address_parse(&address, family == AF_INET ? "127.0.0.1" : "::1"));
    address_set_port(&address, (uint16_t)number);
    return address;
}

void peer_dial(struct peer *from, const struct peer *to, const struct port_address *address,
               struct outcome *outcome)
{
    struct port_dial *dial;
    struct port_hello hello = {.purpose = PORT_CONTROL, .token = 77};
    if (to != NULL) {
        memcpy(hello.to, to->id, sizeof hello.to);
    }
    memset(outcome, 0, sizeof *outcome);
    assert_int_equal(tcp_port_dial(&dial, from->port, address, &hello, outcome, peer_answered),
                     KOLO_OK);
}

/* Step both ports until the dial has ended. Either may be NULL. */
void peer_await(struct peer *a, struct peer *b, const struct outcome *outcome)
{
    uint64_t limit = clock_now_ns() + PEER_PATIENCE_NS;
    while (outcome->count == 0) {
        struct pollfd fds[2] = {{.fd = tcp_port_wait_fd(a->port), .events = POLLIN},
                                {.fd = b ? tcp_port_wait_fd(b->port) : -1, .events = POLLIN}};
        assert_true(poll(fds, 2, 10000) > 0);
        assert_true(clock_now_ns() < limit);
        tcp_port_step(a->port, clock_now_ns());
        if (b != NULL) {
            tcp_port_step(b->port, clock_now_ns());
        }
    }
    assert_int_equal(outcome->count, 1);
}

void peer_settle(struct peer *peer)
{
    struct pollfd fd = {.fd = tcp_port_wait_fd(peer->port), .events = POLLIN};
    while (poll(&fd, 1, 0) > 0) {
        tcp_port_step(peer->port, clock_now_ns());
    }
}

/* A raw connection: what a stranger has. */
int peer_raw(const struct peer *peer)
{
    struct port_address address = peer_loopback(AF_INET, tcp_port_number(peer->port));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &address.as.any, address_length(&address)), 0);
    return fd;
}

/* Step until the other side has closed the connection; whatever it says before is put into `answer`. Returns its length. */
size_t peer_await_close(struct peer *peer, int fd, uint8_t *answer, size_t capacity)
{
    uint64_t limit = clock_now_ns() + PEER_PATIENCE_NS;
    size_t length = 0;
    for (;;) {
        tcp_port_step(peer->port, clock_now_ns());
        ssize_t got = recv(fd, answer + length, capacity - length, MSG_DONTWAIT);
        if (got > 0) {
            length += (size_t)got;
        } else if (got == 0 || errno != EAGAIN) {
            return length;
        }
        assert_true(clock_now_ns() < limit);
    }
}

unsigned peer_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* A peer of this run still gets in: the proof that nothing was disturbed. */
void peer_assert_undisturbed(struct peer *peer)
{
    struct peer friendly;
    struct outcome outcome;
    struct port_address address = peer_loopback(AF_INET, tcp_port_number(peer->port));
    unsigned before = peer->opened;
    peer_open(&friendly, "a friend", peer_run_a, NULL);
    peer_dial(&friendly, peer, &address, &outcome);
    peer_await(&friendly, peer, &outcome);
    assert_int_equal(outcome.answer.why, KOLO_OK);
    assert_int_equal(peer->opened, before + 1);
    close(outcome.answer.fd);
    peer_close(&friendly);
}
