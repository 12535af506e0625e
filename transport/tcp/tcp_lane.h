/* tcp_lane: one lane of a TCP link: the transfers posted on it, and how they become bytes of one connection and back.
 *
 * A message is a frame of TCP_FRAME_BYTES (magic, number, length, the poster's header; little-endian) and its payload, nothing
 * else. Small messages are read ahead together with their frames, one system call for many; the bytes of large ones go straight
 * to their destination, or into the lane's bounce buffer when they are shown as spans. With no receive posted, nothing more than
 * the read-ahead buffer is taken from the kernel: TCP itself holds the sender back.
 *
 * A lane knows neither epoll nor its link: both look at its flags and at `end`. Not thread-safe. */
#ifndef KOLO_TRANSPORT_TCP_LANE_H
#define KOLO_TRANSPORT_TCP_LANE_H

#include "transport/transport.h"

#define TCP_FRAME_BYTES 48
#define TCP_FRAME_MAGIC 0x4d4f4c4bu /* "KLOM" */

/* Sizes, measured on loopback. Chunk and bounce buffer are equal on purpose: where one side moves more in a call than the
 * other, a queue builds up between them and falls out of the caches, at half the speed. */
#define TCP_LANE_AHEAD_BYTES 8192u           /* read-ahead buffer */
#define TCP_LANE_BOUNCE_BYTES (512u * 1024u) /* for spans: fits into an L2 cache */
#define TCP_LANE_CHUNK_BYTES (512u * 1024u)  /* payload moved by one call in one direction */
#define TCP_LANE_BATCH 16u                   /* messages in one system call */

/** How the connection stands. It only gets worse. */
enum tcp_lane_end {
    TCP_LANE_OPEN,
    TCP_LANE_CLOSED, /* the peer has closed it, and all that it sent has been read */
    TCP_LANE_BROKEN, /* see `error` */
    TCP_LANE_HOSTILE /* the peer sent what is no frame */
};

struct tcp_lane {
    int fd;        /* -1: not connected (yet, any more) */
    bool readable; /* there may be bytes: set by epoll, cleared when the kernel has no more */
    bool writable; /* there may be room, likewise */
    bool hung_up;  /* epoll says that the peer has closed or the connection broke */
    bool framed;   /* the frame of the first receive's message has been taken */
    bool active;   /* in its transport's list of lanes with work */
    uint8_t index; /* of this lane in its link */
    enum tcp_lane_end end;
    int error;      /* errno of `end` */
    int send_error; /* errno of a failed send: what the peer sent before can still be read */

    struct transfer *sends; /* first posted first */
    struct transfer *last_send;
    struct transfer *receives;
    struct transfer *last_receive;
    uint32_t send_number;    /* of the first of `sends`; counts messages */
    uint32_t receive_number; /* of the next frame */

    uint32_t ahead_start; /* the unused bytes of the read-ahead buffer */
    uint32_t ahead_end;
    uint32_t bounce_end; /* the first receive's span ends here in the bounce buffer */
    uint8_t *ahead;
    uint8_t *bounce;

    uint64_t sent_bytes; /* payload */
    uint64_t received_bytes;

    /* The owner's, not looked at here. */
    struct tcp_lane *next; /* in its transport's list */
    struct tcp_lane *previous;
    void *link;
    unsigned silent_ticks; /* how often in a row the peer's host owed an answer for too long */
};

/** Prepare a lane without a connection. KOLO_ERR_MEMORY. Freed by tcp_lane_fini(). */
kolo_status tcp_lane_init(struct tcp_lane *lane, unsigned index);
void tcp_lane_fini(struct tcp_lane *lane);

/** Post, at the end of the line. */
void tcp_lane_post_send(struct tcp_lane *lane, struct transfer *transfer);
void tcp_lane_post_receive(struct tcp_lane *lane, struct transfer *transfer);

/** Take a transfer back, failed with KOLO_ERR_ABORTED. Returns false if the lane cannot go on after that: a part of the message
 *  has moved, or others were posted behind it. */
bool tcp_lane_cancel(struct tcp_lane *lane, struct transfer *transfer);

/** Fail all that is posted. */
void tcp_lane_fail(struct tcp_lane *lane, kolo_status status);

/** Send what is posted and ready, about TCP_LANE_CHUNK_BYTES at most. Returns true if any byte moved. Does not block. */
bool tcp_lane_send(struct tcp_lane *lane);

/** Receive for what is posted, about TCP_LANE_CHUNK_BYTES at most; asks the kernel also when the lane is not known to be
 *  readable. Returns true if anything moved. Does not block. */
bool tcp_lane_receive(struct tcp_lane *lane);

/** Could tcp_lane_send() and tcp_lane_receive() do something now, as far as is known without asking the kernel? */
bool tcp_lane_can_send(const struct tcp_lane *lane);
bool tcp_lane_can_receive(const struct tcp_lane *lane);

/** Is a receive posted that has room for bytes? */
bool tcp_lane_wants(const struct tcp_lane *lane);

/** With nothing posted: has everything that the peer sent been read, and is the connection at its end? Then `end` says so. */
bool tcp_lane_probe_end(struct tcp_lane *lane);

/** The poster gives back the front of the first receive's span. */
void tcp_lane_release(struct tcp_lane *lane, struct transfer *transfer, size_t bytes);

#endif
