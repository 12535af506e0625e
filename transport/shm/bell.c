#include "transport/shm/bell.h"

#include <assert.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "transport/shm/board.h"
#include "transport/shm/segment.h"

/* Everything before is seen by all before anything after is done. (On x86 any locked instruction is a cheaper barrier than
 * the one that atomic_thread_fence() uses.) */
static inline void full_barrier(void)
{
#if defined(__x86_64__)
    __asm__ volatile("lock; addl $0, -4(%%rsp)" ::: "memory", "cc");
#else
    __sync_synchronize();
#endif
}

static bool membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

/* FUTEX_WAIT and FUTEX_WAKE without FUTEX_PRIVATE_FLAG: the word is shared between processes. */
static void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    struct timespec limit = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                             .tv_nsec = (long)(timeout_ns % NS_PER_S)};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

kolo_status shm_sleeper_open(struct shm_sleeper *sleeper)
{
    void *memory;
    int fd;
    kolo_status status = shm_segment_create(&fd, &memory, sizeof(struct shm_bell));
    if (status != KOLO_OK) {
        return status;
    }
    bool barriers = membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
    *sleeper =
        (struct shm_sleeper){.bell = memory, .fd = fd, .quick = barriers, .barriers = barriers};
    return KOLO_OK;
}

void shm_sleeper_close(struct shm_sleeper *sleeper)
{
    shm_segment_unmap(sleeper->bell, sizeof(struct shm_bell));
    close(sleeper->fd);
}

void shm_sleeper_be_careful(struct shm_sleeper *sleeper)
{
    sleeper->quick = false;
    shm_sleeper_rise(sleeper);
}

void shm_sleeper_lie_down(struct shm_sleeper *sleeper)
{
    _Atomic uint32_t *word = &sleeper->bell->word;
    sleeper->slept = true;
    sleeper->by_futex = false;
    uint32_t before = atomic_exchange_explicit(word, SHM_SLEEPS_POLL, memory_order_seq_cst);
    if (before == SHM_AWAKE) {
        membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
    }
    full_barrier();
}

bool shm_sleeper_sleep(struct shm_sleeper *sleeper, uint64_t timeout_ns)
{
    _Atomic uint32_t *word = &sleeper->bell->word;
    uint32_t expected = SHM_SLEEPS_POLL;
    if (!sleeper->by_futex) {
        if (!atomic_compare_exchange_strong(word, &expected, SHM_SLEEPS_FUTEX)) {
            return true;
        }
        sleeper->by_futex = true;
    }
    futex_wait(word, SHM_SLEEPS_FUTEX, timeout_ns);
    return atomic_load_explicit(word, memory_order_acquire) != SHM_SLEEPS_FUTEX;
}

bool shm_sleeper_rise(struct shm_sleeper *sleeper)
{
    uint32_t before = atomic_exchange(&sleeper->bell->word, SHM_DROWSY);
    return before == SHM_DROWSY && !sleeper->by_futex;
}

void shm_sleeper_settle(struct shm_sleeper *sleeper)
{
    if (!sleeper->slept && sleeper->quick) {
        atomic_store_explicit(&sleeper->bell->word, SHM_AWAKE, memory_order_relaxed);
    }
    sleeper->slept = false;
}

void shm_peer_wake_slowly(const struct shm_peer *peer)
{
    _Atomic uint32_t *word = &peer->bell->word;
    full_barrier();
    uint32_t state = atomic_load_explicit(word, memory_order_relaxed);
    if (state != SHM_SLEEPS_POLL && state != SHM_SLEEPS_FUTEX) {
        return;
    }
    state = atomic_exchange_explicit(word, SHM_DROWSY, memory_order_seq_cst);
    if (state == SHM_SLEEPS_FUTEX) {
        futex_wake(word);
    } else if (state == SHM_SLEEPS_POLL) {
        /* If the socket is full of unread bytes, those wake it. */
        (void)!send(peer->socket, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

void shm_peer_unmap(const struct shm_peer *peer)
{
    shm_segment_unmap(peer->bell, sizeof *peer->bell);
    shm_board_unmap(peer->board);
}
