/* far: half of the peers of a case live in a program on another host, the agent, to which their calls go as requests over a TCP
 * connection, one at a time: so that every case runs between two hosts, though it is one program that sees both ends.
 *
 * An answer says what the call returned, and of all transfers of the agent's transports how they have changed: their state, and
 * the bytes that have come. So a transfer here is a mirror of one there. Both ends are the same program on like machines. */
#ifndef KOLO_TESTS_CONFORMANCE_FAR_H
#define KOLO_TESTS_CONFORMANCE_FAR_H

#include <stdio.h>

#include "transport/transport.h"

#define FAR_PORT 4712
#define FAR_TRANSPORTS_MAX 16
#define FAR_LINKS_MAX 64
#define FAR_TRANSFERS_MAX 8192

enum far_call {
    FAR_CREATE = 1, /* payload: far_peer. number: peer_timeout_ns */
    FAR_DESTROY,
    FAR_LINK_CREATE,  /* payload: far_peer. number: token, flag: dials. Answers the offer */
    FAR_LINK_CONNECT, /* payload: the offer */
    FAR_LINK_STATE,   /* answers: value: state, number: status; the text */
    FAR_LINK_CLOSE,
    FAR_SEND,    /* number: length, flag: has data. payload: header, then what is ready */
    FAR_RECEIVE, /* number: length, flag: has data, ready. payload: header */
    FAR_RELEASE, /* number: bytes */
    FAR_RESERVE, /* answers: value: bytes */
    FAR_COMMIT,  /* payload: the bytes */
    FAR_CANCEL,
    FAR_PROGRESS, /* number: how many transfers are more ready; payload: of each a far_raise, and a send's bytes */
    FAR_ARM,
    FAR_DISARM,
    FAR_COUNT, /* answers: value: sent, number: received */
};

/** Numbers of transports, links and transfers are chosen by who asks. */
struct far_request {
    uint32_t call, transport, link, lane, transfer, flag;
    uint64_t number, ready;
    uint64_t bytes; /* of payload, which follows */
};

struct far_peer {
    uint8_t id[TRANSPORT_ID_BYTES];
    char name[32];
};

struct far_raise {
    uint64_t transfer, ready;
};

struct far_answer {
    int64_t value;
    uint64_t number;
    uint64_t bytes;   /* of payload, which follows */
    uint64_t updates; /* so many far_update after it */
};

/** How a transfer stands. A receive's bytes from offset `from` on follow. */
struct far_update {
    uint32_t transfer, state;
    int64_t status;
    uint64_t moved, span_bytes, length_sent, from, bytes;
    uint8_t header[TRANSPORT_HEADER_BYTES];
};

/** A connection between the two. Whatever goes wrong with it ends the program. */
struct far_stream {
    FILE *in, *out;
};
void far_stream_open(struct far_stream *stream, int socket);
void far_put(struct far_stream *stream, const void *bytes, size_t length);
void far_get(struct far_stream *stream, void *bytes, size_t length);
void far_flush(struct far_stream *stream);
_Noreturn void far_fail(const char *what);

/** Serve one near end at FAR_PORT with that transport, until it leaves; prints "ready" first. */
void far_serve(const struct transport_ops *ops, void *wire);

/** Near: connect to the agent at `address`, and wrap the transport. Peers whose identity is odd live there. */
const struct transport_ops *far_join(const char *address, const struct transport_ops *ops);

#endif
