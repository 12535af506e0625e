/* link_tcp_stream: one TCP connection of a measurement, and what runs on it: a sending thread, a receiving thread, or a ping-pong in
 * the thread of the caller. */
#ifndef KOLO_TOOLS_LINK_TCP_STREAM_H
#define KOLO_TOOLS_LINK_TCP_STREAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "tools/link_bench.h"
#include "tools/link_buffer.h"

#define LINK_TCP_UNKNOWN UINT64_MAX

struct link_tcp_stream {
    int fd; /* blocking, with limits on how long a call may take */
    const struct link_place *place;
    struct link_buffer out, in;  /* a message; what arrives */
    struct link_buffer expected; /* what must arrive; empty: not looked at */

    /* of a run */
    const struct link_run *run;
    uint64_t sent; /* bytes; the sender's until it is joined */
    _Atomic uint64_t
        promised;        /* bytes that the peer says it has sent; LINK_TCP_UNKNOWN while it sends */
    atomic_bool abandon; /* stop, whatever has come */
    uint64_t received;
    uint64_t wrong;
    struct link_meter meter; /* of what is received */
    kolo_status send_status, receive_status;
    char send_text[256], receive_text[256]; /* why */
    pthread_t sender, receiver;
};

/** Start or end (join) the threads of a run. KOLO_ERR_SYSTEM: there is no thread to be had. */
kolo_status link_tcp_stream_send(struct link_tcp_stream *stream);
kolo_status link_tcp_stream_receive(struct link_tcp_stream *stream);

/** Ping-pong: this side begins, and keeps the round trips. Then it says that it is done. */
kolo_status link_tcp_stream_ping(struct link_tcp_stream *stream, struct link_sample *sample);
/** The other side: sends back what comes, until the peer is done. */
kolo_status link_tcp_stream_pong(struct link_tcp_stream *stream);

#endif
