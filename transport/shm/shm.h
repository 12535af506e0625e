/* shm: the transport as its parts see it. */
#ifndef KOLO_TRANSPORT_SHM_SHM_H
#define KOLO_TRANSPORT_SHM_SHM_H

#include "transport/shm/link.h"

struct shm {
    struct transport base;
    uint8_t self[TRANSPORT_ID_BYTES];
    struct shm_link **busy; /* links with posted transfers or an awaited look; room for all */
    size_t busy_count;
    unsigned countdown;    /* calls of progress() until the clock is looked at */
    uint64_t next_look_ns; /* when the sockets are looked at */
    bool look;             /* at once */
    bool armed;            /* arm() has said true */
    unsigned connecting;   /* links in LINK_CONNECTING */
    unsigned leaving;      /* links whose peer is gone, not lost yet */
    struct shm_sleeper sleeper;
    struct shm_board *board;
    int board_fd; /* its descriptor, for peers */
    int poller;   /* epoll: wait_fd */
    struct shm_door door;
    struct shm_host host;
    struct shm_link *links;
    size_t links_count;
    uint64_t sent, received; /* payload bytes, of all links */
};

static inline struct shm *shm_of(const struct shm_link *link)
{
    return (struct shm *)link->base.transport;
}

#endif
