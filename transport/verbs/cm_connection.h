/* cm_connection: one connection of rdma_cm, its steps from address to queue pair, and its end. Internal to cm (cm.h). */
#ifndef KOLO_VERBS_CM_CONNECTION_H
#define KOLO_VERBS_CM_CONNECTION_H

#include "runtime/base/status.h"
#include "transport/verbs/cm.h"

#define CM_FRAME_BYTES (1 + CM_PRIVATE_BYTES) /* the length before it: InfiniBand pads with zeros */
#define CM_PEER_TEXT_BYTES 64

struct cm_listener {
    struct rdma_cm_id *id;
    cm_accept *accept;
    void *context;
    struct cm_listener *next;
};

struct cm_connection {
    struct cm *cm;
    struct rdma_cm_id *id; /* its context is this connection */
    const struct cm_events *events;
    void *owner;
    struct pair pair; /* pair.qp is NULL before it is made */
    struct pair_settings settings;
    enum cm_state state;
    kolo_status why; /* of CM_LOST */
    char text[STATUS_TEXT_MAX];
    char peer[CM_PEER_TEXT_BYTES];
    uint64_t deadline_ns; /* of CM_CONNECTING */
    bool asked;           /* the other end knows of this connection: it is told of the end */
    uint8_t frame[CM_FRAME_BYTES];
    uint8_t frame_bytes;
    struct cm_connection *next, **link;
};

struct cm {
    const struct devices *devices;
    struct rdma_event_channel *channel;
    int epoll_fd, timer_fd;
    uint64_t timer_ns; /* what the timer is set to */
    bool stepping;     /* inside cm_progress() */
    struct cm_listener *listeners;
    struct cm_connection *connections;
};

/* What an event says, copied, since the event is given back before it is handled. */
struct cm_happening {
    enum rdma_cm_event_type type;
    struct rdma_cm_id *id, *listen_id;
    int status;
    uint8_t responder_resources, initiator_depth;
    uint8_t data[CM_FRAME_BYTES];
    size_t data_bytes;
};

/** A new one among those of `cm`, all zero but for that. NULL: out of memory. */
struct cm_connection *cm_connection_add(struct cm *cm);

/** CM_LOST, with why; the queue pair is flushed. Nothing if it is lost already. */
void cm_connection_lose(struct cm_connection *connection, kolo_status why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The dialler's route is known: make the queue pair and ask the peer. */
void cm_connection_ask(struct cm_connection *connection);

/** The peer has accepted; on InfiniBand and RoCE the queue pair is ours to bring up, and the peer waits to be told. */
void cm_connection_finish(struct cm_connection *connection, const struct cm_happening *happening);

/** A request that the owner took: make the queue pair and accept. */
void cm_connection_answer(struct cm_connection *connection, const struct cm_happening *happening);

/** An event that is no step forward: lost, if it means that. */
void cm_connection_fail(struct cm_connection *connection, const struct cm_happening *happening);

#endif
