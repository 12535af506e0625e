/* door: the listening UNIX socket of a transport, with a random abstract name, where peers of this host knock. Whoever comes
 * is a stranger until a valid hello: of those at most SHM_STRANGERS_MAX are kept, the oldest going first, none for longer than
 * SHM_STRANGER_NS, and processes of other users not at all. The door does not know links: it hands a hello to `welcome`. */
#ifndef KOLO_TRANSPORT_SHM_DOOR_H
#define KOLO_TRANSPORT_SHM_DOOR_H

#include "runtime/base/clock.h"
#include "transport/shm/hello.h"
#include "transport/shm/offer.h"

#define SHM_STRANGERS_MAX 64
#define SHM_STRANGER_NS (3 * NS_PER_S)
#define SHM_BACKLOG 1024

/** What an epoll event is about: its data.ptr. Embedded in what is watched. */
struct shm_watch {
    enum { SHM_WATCH_DOOR, SHM_WATCH_STRANGER, SHM_WATCH_LINK, SHM_WATCH_PROCESS } kind;
    int fd; /* -1: nothing */
};

/** Watch `fd` for input in `poller`, which is an epoll descriptor. KOLO_ERR_SYSTEM. */
kolo_status shm_watch_begin(struct shm_watch *watch, int poller, int fd);

/** Close the descriptor, if any; epoll forgets it. */
void shm_watch_end(struct shm_watch *watch, int poller);

struct shm_stranger {
    struct shm_watch watch;
    uint64_t deadline_ns;
};

struct shm_door {
    struct shm_watch watch;
    int poller; /* borrowed */
    uint8_t name[SHM_NAME_BYTES];
    struct shm_stranger strangers[SHM_STRANGERS_MAX];
    unsigned strangers_count;

    /** Decide about a hello. The socket and the hello's descriptors become the callee's if it returns true. */
    bool (*welcome)(void *context, int socket, const struct shm_hello *hello);
    void *context;
};

/** Open a door, watched in `poller`. The caller has set welcome and context. KOLO_ERR_SYSTEM. */
kolo_status shm_door_open(struct shm_door *door, int poller);
void shm_door_close(struct shm_door *door);

/** The door's socket is readable: let strangers in. */
void shm_door_answer(struct shm_door *door, uint64_t now_ns);

/** A stranger's socket is readable. */
void shm_door_hear(struct shm_door *door, struct shm_stranger *stranger);

/** Send away strangers who have been silent for too long. */
void shm_door_tidy(struct shm_door *door, uint64_t now_ns);

/** Knock at a door. Out: fd: a connected socket, the caller's. KOLO_ERR_STATE, quietly: there is no such door on this host, or
 *  another user's; KOLO_ERR_TIMEOUT, quietly: too many are waiting there, knock again; KOLO_ERR_SYSTEM. */
kolo_status shm_door_knock(int *fd, const uint8_t name[SHM_NAME_BYTES]);

#endif
