/* link_control: the connection that carries what the two ends of a measurement say to each other after the hello (link_hello.h):
 * frames (type, length, payload). Either end may be hostile or die at any moment: lengths are bounded, every wait has a
 * deadline, and a loss is an error of this connection only. One thread at a time. */
#ifndef KOLO_TOOLS_LINK_CONTROL_H
#define KOLO_TOOLS_LINK_CONTROL_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/wire.h"
#include "tools/link_hello.h"

#define LINK_FRAME_BYTES 8192 /* payload, at most */
#define LINK_FRAME_HEAD_BYTES 8
#define LINK_SILENCE_NS 10000000000ULL /* a peer that owes an answer has so long */

enum link_frame_type {
    LINK_FRAME_FAILED = 1, /* status (u32), text: the end of the session */
    LINK_FRAME_SESSION,    /* server: token, its host and device */
    LINK_FRAME_REQUEST,    /* client: a link_request */
    LINK_FRAME_ACCEPTED,
    LINK_FRAME_OPEN,      /* client: test */
    LINK_FRAME_READY,     /* server: its address for this test */
    LINK_FRAME_CONNECT,   /* client: its address */
    LINK_FRAME_CONNECTED, /* server, when its end is connected */
    LINK_FRAME_RUN,       /* client: mode, size; its end is prepared */
    LINK_FRAME_STEADY,    /* server: its end is, too */
    LINK_FRAME_DONE,      /* both, within a run: I send no more; bytes of each stream */
    LINK_FRAME_RESULT,    /* both, after it */
    LINK_FRAME_CLOSE,     /* client: this test is over */
    LINK_FRAME_TYPES
};

struct link_frame {
    enum link_frame_type type;
    size_t bytes;
    uint8_t payload[LINK_FRAME_BYTES];
};

struct link_control {
    int fd;                     /* -1: none */
    char peer[LINK_PEER_BYTES]; /* "the server at 10.0.0.7:18516", for messages */
    size_t have;                /* bytes read and not used yet */
    uint8_t buffer[LINK_FRAME_HEAD_BYTES + LINK_FRAME_BYTES];
};

/** Take over a welcomed connection. */
void link_control_init(struct link_control *control, int fd, const char *peer);
void link_control_close(struct link_control *control);

/** Send one frame. Waits for at most LINK_SILENCE_NS. */
kolo_status link_control_send(struct link_control *control, enum link_frame_type type,
                              const void *payload, size_t bytes);
/** Tell the peer why this end gives up: the thread's last error. */
void link_control_send_failure(struct link_control *control, kolo_status status);

/** The next frame if it is here. Out: got. */
kolo_status link_control_try(struct link_control *control, struct link_frame *frame, bool *got);

/** Is the frame of this type? If not, an error: the peer's own if it is LINK_FRAME_FAILED, else KOLO_ERR_PROTOCOL. */
kolo_status link_control_check(const struct link_control *control, const struct link_frame *frame,
                               enum link_frame_type type);

/** Wait for a frame, of any type. KOLO_ERR_PEER_LOST, KOLO_ERR_TIMEOUT, KOLO_ERR_PROTOCOL (not a frame). */
kolo_status link_control_next(struct link_control *control, struct link_frame *frame,
                              uint64_t deadline_ns);

/** Wait for a frame of this type. KOLO_ERR_PEER_LOST, KOLO_ERR_TIMEOUT, KOLO_ERR_PROTOCOL (another one came); LINK_FRAME_FAILED becomes
 *  the error that it tells of. */
kolo_status link_control_expect(struct link_control *control, struct link_frame *frame,
                                enum link_frame_type type, uint64_t deadline_ns);

#endif
