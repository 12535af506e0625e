/* dial: one connection on its way to somebody else's port: connect, say hello, read the answer. Steps when its descriptor is
 * ready; knows neither epoll nor time-outs, which are the port's. */
#ifndef KOLO_TRANSPORT_TCP_DIAL_H
#define KOLO_TRANSPORT_TCP_DIAL_H

#include "transport/tcp/hello.h"
#include "transport/tcp/port.h"

struct port_dial {
    int fd;        /* -1 when the dial failed at once, see error */
    int error;     /* errno of the failure */
    bool spoken;   /* the hello is out: waiting for the answer */
    uint16_t done; /* bytes of the hello sent, or of the answer read */
    uint64_t deadline_ns;
    struct port_hello hello;
    uint8_t hello_frame[HELLO_BYTES];
    uint8_t answer_frame[HELLO_ANSWER_BYTES];
    struct port_dial *next; /* in the port's list, oldest first */
    struct port_dial *previous;
    void *context;
    void (*answered)(void *context, const struct port_answer *answer);
};

/** Open the socket and begin to connect, from `source` if that is not NULL. Never fails: a failure is kept in `error`.
 *  dial->hello_frame must be filled. Does not block. */
void dial_start(struct port_dial *dial, const struct port_address *address,
                const struct port_address *source);

/** Go on, when the descriptor is ready. Returns true when the dial has ended; then `answer` tells how (its descriptor passes
 *  to the caller, dial->fd is -1). Otherwise dial->spoken tells what to wait for: writable (false) or readable (true). */
bool dial_advance(struct port_dial *dial, struct port_answer *answer);

/** Give up: close the descriptor, if any. */
void dial_drop(struct port_dial *dial);

#endif
