/* control: the framed connection with one peer on which everything but payload travels: who is there, link offers, notices of
 * failure, good-byes. One TCP connection a peer, made in genesis, kept until the communicator closes; its end is the
 * death of the peer. Single-threaded: the caller serialises. */
#ifndef KOLO_MEMBERSHIP_CONTROL_H
#define KOLO_MEMBERSHIP_CONTROL_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_PAYLOAD_MAX 1536 /* bytes of a frame's payload */
#define CONTROL_BACKLOG_MAX                                                                        \
    (8u << 20) /* bytes that may wait to be written; a peer that reads none is lost beyond it */

/** Kinds of frame; they travel, so the numbers are fixed. */
enum control_kind {
    CONTROL_MEMBER = 1,  /* a struct member: the sender itself, or one that it knows */
    CONTROL_READY = 2,   /* u64: the hash of the list; the sender is connected with all on it */
    CONTROL_OFFER = 3,   /* u8 transport, blob: the sender's end of a link */
    CONTROL_VERDICT = 4, /* u8 transport, u8 up: how the sender's end of that link came out */
    CONTROL_SETTLE = 5,  /* network parameters: the sender is ready to work */
    CONTROL_NOTICE = 6,  /* a struct notice: the sender has failed, or gives up the start */
    CONTROL_PROBE = 7,   /* fingerprint of the operation in which the sender waits */
    CONTROL_ANSWER = 8,  /* fingerprint of the operation in which the sender is, or was last */
    CONTROL_BYE = 9      /* the sender closes in good order */
};

struct control_frame {
    enum control_kind kind;
    size_t length;
    uint8_t payload[CONTROL_PAYLOAD_MAX];
};

struct control;

/** Take over a connected, non-blocking descriptor. KOLO_ERR_MEMORY (the descriptor is closed then, too). */
kolo_status control_open(struct control **control, int fd);

/** Write out what can be written without waiting, close, free. NULL is allowed. */
void control_close(struct control *control);

/** Send a frame: written at once as far as possible, the rest with later calls of control_flush().
 *  Returns KOLO_OK, or KOLO_ERR_PEER_LOST (quietly). */
kolo_status control_send(struct control *control, enum control_kind kind, const void *payload,
                         size_t length);

/** Write what waits. Returns true if nothing waits any more. */
bool control_flush(struct control *control);

/** Take the next frame that has arrived. Does not block.
 *  Returns: 1 and the frame; 0 if there is none now; -1 if the connection has ended (control_cause() tells why) and all frames
 *           before its end have been taken. */
int control_receive(struct control *control, struct control_frame *frame);

/** The kind of the frame that control_receive() would take, without taking it; 0 if there is none now; -1 if it has ended. */
int control_peek(struct control *control);

/** Why the connection has ended: "it closed the connection", "connection reset by peer", ... Borrowed. */
const char *control_cause(const struct control *control);

/** For poll: the descriptor, and whether it should be polled for writing. */
int control_fd(const struct control *control);
bool control_wants_write(const struct control *control);

#endif
