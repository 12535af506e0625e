#include "transport/tcp/stranger.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

/* A dialler that gave up has closed its end: answering it would leave a dead connection in the hands of the listener. */
static bool still_there(int fd)
{
    uint8_t byte;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

enum stranger_state stranger_read(struct stranger *stranger)
{
    assert(stranger->fd >= 0);
    for (;;) {
        size_t wanted = hello_wants(stranger->frame, stranger->length);
        if (wanted == 0) {
            return STRANGER_GARBAGE;
        }
        if (wanted == stranger->length) {
            return still_there(stranger->fd) ? STRANGER_SPOKEN : STRANGER_GONE;
        }
        assert(wanted <= sizeof stranger->frame && wanted > stranger->length);
        ssize_t got = recv(stranger->fd, stranger->frame + stranger->length,
                           wanted - stranger->length, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return STRANGER_WAITING;
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return STRANGER_GONE;
        }
        stranger->length = (uint16_t)(stranger->length + got);
    }
}

void stranger_answer(const struct stranger *stranger, enum port_verdict verdict, const uint8_t *who)
{
    uint8_t frame[HELLO_ANSWER_BYTES];
    hello_encode_answer(frame, verdict, who);
    ssize_t sent = send(stranger->fd, frame, sizeof frame, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent;
}
