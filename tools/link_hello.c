#include "tools/link_hello.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/base/wire.h"

#define BUSY_PATIENCE_NS (3 * NS_PER_S) /* the client before may be on its way out */
#define BUSY_RETRY_MS 100
#define SILENCE_MS 10000 /* unacknowledged data for so long: the peer's host is gone */
#define KEEPALIVE_S 1

static const char hello_magic[4] = {'K', 'P', 'L', 'K'};
static const char answer_magic[4] = {'K', 'L', 'P', 'K'};

void link_hello_encode(uint8_t bytes[LINK_HELLO_BYTES], const struct link_hello *hello)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = LINK_HELLO_BYTES};
    memset(bytes, 0, LINK_HELLO_BYTES);
    wire_put_bytes(&writer, hello_magic, sizeof hello_magic);
    wire_put_u16(&writer, hello->version);
    wire_put_u16(&writer, hello->purpose);
    wire_put_u32(&writer, hello->index);
    wire_put_u64(&writer, hello->token);
}

bool link_hello_decode(struct link_hello *hello, const uint8_t bytes[LINK_HELLO_BYTES])
{
    struct wire_reader reader = {.bytes = bytes, .length = LINK_HELLO_BYTES};
    char magic[sizeof hello_magic];
    wire_get_bytes(&reader, magic, sizeof magic);
    hello->version = wire_get_u16(&reader);
    hello->purpose = wire_get_u16(&reader);
    hello->index = wire_get_u32(&reader);
    hello->token = wire_get_u64(&reader);
    return memcmp(magic, hello_magic, sizeof magic) == 0 &&
           hello->purpose >= LINK_PURPOSE_CONTROL && hello->purpose <= LINK_PURPOSE_DOCTOR;
}

void link_answer_encode(uint8_t bytes[LINK_ANSWER_BYTES], enum link_verdict verdict)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = LINK_ANSWER_BYTES};
    memset(bytes, 0, LINK_ANSWER_BYTES);
    wire_put_bytes(&writer, answer_magic, sizeof answer_magic);
    wire_put_u16(&writer, LINK_VERSION);
    wire_put_u16(&writer, (uint16_t)verdict);
}

static void set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

void link_hello_tune(int fd)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, SILENCE_MS / 1000);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, SILENCE_MS);
}

/* Wait for a descriptor; 0, or an errno. */
static int await(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd poller = {.fd = fd, .events = events};
        int ready = poll(&poller, 1, clock_ms_until(deadline_ns, clock_now_ns(), INT_MAX));
        if (ready > 0) {
            return 0;
        }
        if (ready == 0 || errno != EINTR) {
            return ready == 0 ? ETIMEDOUT : errno;
        }
    }
}

/* Connect a socket. Out: its descriptor, non-blocking. 0, or an errno. */
static int connect_to(int *fd, const struct addrinfo *address, uint64_t deadline_ns)
{
    *fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (*fd < 0) {
        return errno;
    }
    int error = connect(*fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        socklen_t length = sizeof error;
        error = await(*fd, POLLOUT, deadline_ns);
        if (error == 0 && getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
            error = errno;
        }
    }
    if (error != 0) {
        close(*fd);
        *fd = -1;
    }
    return error;
}

static kolo_status explain_connect(const char *host, int port, int error)
{
    switch (error) {
    case ECONNREFUSED:
        return fail_quietly(
            KOLO_ERR_SYSTEM,
            "%s refuses connections on port %d: is `kolo perf link --serve` running "
            "on %s, with the same --port?",
            host, port, host);
    case ETIMEDOUT:
        return fail_quietly(KOLO_ERR_TIMEOUT,
                            "%s does not answer on port %d: is the address right, and does a "
                            "firewall let the port through?",
                            host, port);
    default:
        return fail_quietly(KOLO_ERR_SYSTEM, "cannot connect to %s port %d: %s", host, port,
                            strerror(error));
    }
}

static kolo_status connect_any(int *fd, const char *host, int port, uint64_t deadline_ns)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%d", port);
    int wrong = getaddrinfo(host, service, &hints, &found);
    if (wrong != 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "there is no host \"%s\": %s", host,
                            wrong == EAI_SYSTEM ? strerror(errno) : gai_strerror(wrong));
    }
    int error = ENOENT, refused = 0;
    for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        error = connect_to(fd, at, deadline_ns);
        if (error == 0) {
            break;
        }
        refused = error == ECONNREFUSED ? error : refused;
    }
    freeaddrinfo(found);
    return error == 0 ? KOLO_OK : explain_connect(host, port, refused != 0 ? refused : error);
}

/* "10.0.0.7:18516" of the other end. */
static void name_peer(char *peer, int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char host[64] = "?", port[8] = "?";
    if (getpeername(fd, (struct sockaddr *)&address, &length) == 0) {
        (void)getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port,
                          NI_NUMERICHOST | NI_NUMERICSERV);
    }
    snprintf(peer, LINK_PEER_BYTES,
             strchr(host, ':') != NULL ? "the server at [%s]:%s" : "the server at %s:%s", host,
             port);
}

static kolo_status read_answer(uint8_t answer[LINK_ANSWER_BYTES], int fd, const char *peer,
                               uint64_t deadline_ns)
{
    size_t have = 0;
    while (have < LINK_ANSWER_BYTES) {
        int error = await(fd, POLLIN, deadline_ns);
        if (error != 0) {
            return fail_quietly(KOLO_ERR_TIMEOUT,
                                "%s accepts the connection but does not answer: is it `kolo perf "
                                "link --serve`?",
                                peer);
        }
        ssize_t got = recv(fd, answer + have, LINK_ANSWER_BYTES - have, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            return fail_quietly(KOLO_ERR_PROTOCOL,
                                "%s closed the connection at once: it is not `kolo perf link "
                                "--serve`, or it was just stopped",
                                peer);
        }
        have += got > 0 ? (size_t)got : 0;
    }
    return KOLO_OK;
}

static kolo_status judge(const uint8_t answer[LINK_ANSWER_BYTES], const char *peer)
{
    struct wire_reader reader = {.bytes = answer, .length = LINK_ANSWER_BYTES};
    char magic[sizeof answer_magic];
    wire_get_bytes(&reader, magic, sizeof magic);
    unsigned version = wire_get_u16(&reader), verdict = wire_get_u16(&reader);
    if (memcmp(magic, answer_magic, sizeof magic) != 0) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "%s is not `kolo perf link --serve`", peer);
    }
    switch (verdict) {
    case LINK_WELCOME:
        return KOLO_OK;
    case LINK_REFUSED_BUSY:
        return fail_quietly(KOLO_ERR_STATE, "%s is busy with another client: try again later",
                            peer);
    case LINK_REFUSED_VERSION:
        return fail_quietly(
            KOLO_ERR_PROTOCOL,
            "%s speaks version %u of the protocol, this is version %d: use the same "
            "kolo on both ends",
            peer, version, LINK_VERSION);
    default:
        return fail_quietly(KOLO_ERR_PROTOCOL, "%s does not know this session (verdict %u)", peer,
                            verdict);
    }
}

static kolo_status greet(int fd, char *peer, const struct link_hello *hello, uint64_t deadline_ns)
{
    uint8_t bytes[LINK_HELLO_BYTES], answer[LINK_ANSWER_BYTES];
    name_peer(peer, fd);
    link_hello_tune(fd);
    link_hello_encode(bytes, hello);
    /* A new connection has room for so few bytes. */
    if (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) != (ssize_t)sizeof bytes) {
        return fail_quietly(KOLO_ERR_PEER_LOST, "%s closed the connection: %s", peer,
                            strerror(errno));
    }
    kolo_status status = read_answer(answer, fd, peer, deadline_ns);
    return status == KOLO_OK ? judge(answer, peer) : status;
}

static kolo_status dial_once(int *fd, char *peer, const char *host, int port,
                             const struct link_hello *hello, uint64_t deadline_ns)
{
    int made = -1;
    kolo_status status = connect_any(&made, host, port, deadline_ns);
    if (status != KOLO_OK) {
        return status;
    }
    status = greet(made, peer, hello, deadline_ns);
    if (status != KOLO_OK) {
        close(made);
        return status;
    }
    *fd = made;
    return KOLO_OK;
}

kolo_status link_hello_dial(int *fd, char *peer, const char *host, int port,
                            const struct link_hello *hello, uint64_t deadline_ns)
{
    uint64_t patience_ns = clock_after(clock_now_ns(), BUSY_PATIENCE_NS);
    uint64_t until_ns = patience_ns < deadline_ns ? patience_ns : deadline_ns;
    kolo_status status = dial_once(fd, peer, host, port, hello, deadline_ns);
    while (status == KOLO_ERR_STATE && clock_now_ns() < until_ns) {
        poll(NULL, 0, BUSY_RETRY_MS);
        status = dial_once(fd, peer, host, port, hello, deadline_ns);
    }
    return status;
}
