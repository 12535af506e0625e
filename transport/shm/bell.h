/* bell: how a process that waits is woken, and how one that does not is spared the price.
 *
 * Every transport has one bell: a word in a segment of its own that all its peers map. The owner (struct shm_sleeper)
 * writes there how it waits; a peer that has published something looks at it and wakes it when it sleeps: by futex, or, when
 * it sleeps on descriptors, by a byte on the link's socket. Who wakes takes the word back, so that one of several does it.
 *
 * The race: "I publish, then look whether you sleep" against "I say that I sleep, then look whether you have published"
 * needs a full barrier on both sides, which would make every small message wait for its own cache line. A process that has
 * not slept for a while is therefore SHM_AWAKE: its peers need no barrier, because before it sleeps it makes all of them
 * execute one (membarrier: many microseconds, once). One that sleeps often is SHM_DROWSY: its peers pay a barrier per
 * message, which is little beside a wake-up, and it sleeps without further ado. */
#ifndef KOLO_TRANSPORT_SHM_BELL_H
#define KOLO_TRANSPORT_SHM_BELL_H

#include <kolo/kolo.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct shm_board;

enum {
    SHM_DROWSY = 0,  /* awake; a barrier goes before looking here */
    SHM_AWAKE,       /* awake; no barrier needed */
    SHM_SLEEPS_POLL, /* to be woken by a byte on the socket */
    SHM_SLEEPS_FUTEX /* to be woken by futex on the word */
};

/** In shared memory, a page of its own. */
struct shm_bell {
    alignas(128) _Atomic uint32_t word;
};

/** The owner's side. */
struct shm_sleeper {
    struct shm_bell *bell; /* shm_segment memory */
    int fd;                /* its descriptor, for peers */
    bool quick;            /* SHM_AWAKE is possible: we and all peers take part in membarriers */
    bool barriers;         /* we do */
    bool slept;            /* since the last shm_sleeper_settle() */
    bool by_futex;         /* since lying down */
};

kolo_status shm_sleeper_open(struct shm_sleeper *sleeper);
void shm_sleeper_close(struct shm_sleeper *sleeper);

/** A peer takes no part in membarriers (an old kernel): never be SHM_AWAKE again. */
void shm_sleeper_be_careful(struct shm_sleeper *sleeper);

/** Say that this process is about to sleep. After this, whatever a peer publishes either is seen by looking now, or wakes. */
void shm_sleeper_lie_down(struct shm_sleeper *sleeper);

/** Sleep by futex, after lying down, until woken or for `timeout_ns`. Returns true if woken (maybe before). */
bool shm_sleeper_sleep(struct shm_sleeper *sleeper, uint64_t timeout_ns);

/** Say that this process is up. Returns true if a peer has sent a byte to wake it. */
bool shm_sleeper_rise(struct shm_sleeper *sleeper);

/** To be called now and then while awake: without sleep since the last time, peers are spared the barrier. */
void shm_sleeper_settle(struct shm_sleeper *sleeper);

/** A peer, as those who wake it see it, and what it shows. */
struct shm_peer {
    struct shm_bell *bell;         /* its own, mapped here */
    const struct shm_board *board; /* the same */
    int socket;                    /* of the link with it; -1: none any more */
};

/** What is not mapped may be NULL. */
void shm_peer_unmap(const struct shm_peer *peer);

/** The rest of shm_peer_wake(). */
void shm_peer_wake_slowly(const struct shm_peer *peer);

/** After publishing something: wake the peer if it sleeps. */
static inline void shm_peer_wake(const struct shm_peer *peer)
{
    if (atomic_load_explicit(&peer->bell->word, memory_order_relaxed) != SHM_AWAKE) {
        shm_peer_wake_slowly(peer);
    }
}

#endif
