/* stranger: an accepted connection that has not said a valid hello yet. It reads exactly the hello and not one byte more, and
 * gives its verdict; who keeps how many of them, and for how long, is the port's business. */
#ifndef KOLO_TRANSPORT_TCP_STRANGER_H
#define KOLO_TRANSPORT_TCP_STRANGER_H

#include "transport/tcp/hello.h"
#include "transport/tcp/port.h"

struct stranger {
    int fd;               /* -1: this place is free */
    uint16_t length;      /* bytes of frame so far */
    uint64_t deadline_ns; /* when it must have said its hello */
    uint64_t number;      /* counts accepted connections: the lowest is the oldest */
    struct port_address from;
    uint8_t frame[HELLO_BYTES_MAX];
};

enum stranger_state {
    STRANGER_WAITING, /* more bytes have to come */
    STRANGER_SPOKEN,  /* the whole hello is in `frame` */
    STRANGER_GARBAGE, /* what it says is no hello */
    STRANGER_GONE     /* it has left, or the connection broke */
};

/** Read what is there. Does not block. STRANGER_SPOKEN only while the other side still listens. */
enum stranger_state stranger_read(struct stranger *stranger);

/** Send the verdict. `who`: this process, or NULL to keep that to itself. Does not block: the answer is the first thing that is
 *  sent on a connection, so there is room for it unless the connection is dead; then its owner will find out. */
void stranger_answer(const struct stranger *stranger, enum port_verdict verdict,
                     const uint8_t *who);

#endif
