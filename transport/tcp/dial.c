#include "transport/tcp/dial.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/tcp/address.h"

static const uint8_t nobody[TRANSPORT_ID_BYTES];

static int bind_source(int fd, const struct port_address *source)
{
    struct port_address from = *source;
    int on = 1;
    address_set_port(&from, 0);
    /* The port is chosen at connect(), so that many connections may share one: without it, ports run out early. */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(fd, &from.as.any, address_length(&from));
}

void dial_start(struct port_dial *dial, const struct port_address *address,
                const struct port_address *source)
{
    dial->error = 0;
    dial->fd =
        socket(address->as.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (dial->fd < 0) {
        dial->error = errno;
        return;
    }
    if ((source == NULL || bind_source(dial->fd, source) == 0) &&
        (connect(dial->fd, &address->as.any, address_length(address)) == 0 ||
         errno == EINPROGRESS)) {
        return;
    }
    int error = errno;
    dial_drop(dial);
    dial->error = error;
}

void dial_drop(struct port_dial *dial)
{
    if (dial->fd >= 0) {
        close(dial->fd);
        dial->fd = -1;
    }
}

static bool ended_with_error(struct port_dial *dial, struct port_answer *answer, int error)
{
    dial_drop(dial);
    *answer = (struct port_answer){.fd = -1, .why = KOLO_ERR_SYSTEM, .error = error};
    return true;
}

/* A dial to a local port where nobody listens can meet itself: the kernel may choose the very same port to dial from. */
static bool met_itself(int fd)
{
    struct port_address here = {0};
    struct port_address there = {0};
    socklen_t length = sizeof here.as;
    if (getsockname(fd, &here.as.any, &length) != 0) {
        return false;
    }
    length = sizeof there.as;
    return getpeername(fd, &there.as.any, &length) == 0 && port_address_equal(&here, &there);
}

/* Returns true if the dial has ended. */
static bool say_hello(struct port_dial *dial, struct port_answer *answer)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
        error = errno;
    }
    if (error == 0 && met_itself(dial->fd)) {
        error = ECONNREFUSED;
    }
    if (error != 0) {
        return ended_with_error(dial, answer, error);
    }
    ssize_t sent = send(dial->fd, dial->hello_frame + dial->done, HELLO_BYTES - dial->done,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        return later ? false : ended_with_error(dial, answer, errno);
    }
    dial->done = (uint16_t)(dial->done + sent);
    if (dial->done == HELLO_BYTES) {
        dial->spoken = true;
        dial->done = 0;
    }
    return false;
}

static bool ended_with_answer(struct port_dial *dial, struct port_answer *answer)
{
    *answer = (struct port_answer){.fd = -1, .why = KOLO_ERR_PROTOCOL};
    answer->verdict = hello_decode_answer(answer->who, dial->answer_frame);
    bool meant_somebody = memcmp(dial->hello.to, nobody, sizeof nobody) != 0;
    if (answer->verdict == PORT_WELCOME && meant_somebody &&
        memcmp(dial->hello.to, answer->who, sizeof nobody) != 0) {
        answer->verdict = PORT_REFUSED_IDENTITY;
    }
    if (answer->verdict == PORT_WELCOME) {
        answer->why = KOLO_OK;
        answer->fd = dial->fd;
        dial->fd = -1;
    }
    dial_drop(dial);
    return true;
}

/* Reads the answer and not one byte more: what follows is its receiver's. Returns true if the dial has ended. */
static bool read_answer(struct port_dial *dial, struct port_answer *answer)
{
    ssize_t got = recv(dial->fd, dial->answer_frame + dial->done, HELLO_ANSWER_BYTES - dial->done,
                       MSG_DONTWAIT);
    if (got < 0) {
        bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        return later ? false : ended_with_error(dial, answer, errno);
    }
    if (got == 0) {
        return ended_with_error(dial, answer, ECONNRESET);
    }
    dial->done = (uint16_t)(dial->done + got);
    if (!hello_answer_plausible(dial->answer_frame, dial->done)) {
        dial_drop(dial);
        *answer = (struct port_answer){
            .fd = -1, .why = KOLO_ERR_PROTOCOL, .verdict = PORT_REFUSED_GARBAGE};
        return true;
    }
    return dial->done == HELLO_ANSWER_BYTES ? ended_with_answer(dial, answer) : false;
}

bool dial_advance(struct port_dial *dial, struct port_answer *answer)
{
    assert(dial->fd >= 0);
    return dial->spoken ? read_answer(dial, answer) : say_hello(dial, answer);
}
