/* engine: drives one operation at a time to its end, in the thread that waits: steps it, moves bytes, spins for a measured while,
 * then sleeps; watches over the peers; and makes one failure out of whatever goes wrong, told to all peers in the same words.
 *
 * Threads: engine_run(), engine_settle() and engine_close() by one thread at a time (the caller serialises). engine_abort() by
 * any thread, at any time between engine_open() and engine_close(). */
#ifndef KOLO_EXECUTE_ENGINE_H
#define KOLO_EXECUTE_ENGINE_H

#include <kolo/kolo.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/execute/operation.h"
#include "runtime/execute/wires.h"
#include "runtime/membership/genesis.h"
#include "runtime/plan/plan.h"

#define ENGINE_HISTORY                                                                             \
    64 /* fingerprints kept, to answer peers that ask what became of an earlier operation */

struct engine_config {
    uint64_t spin_ns;    /* before sleeping; 0: there are more peers than processors */
    uint64_t timeout_ns; /* for an operation in which nothing moves */
};

/** What is known of another member's progress. */
struct peer_watch {
    bool left;  /* it said good-bye */
    bool ended; /* its control connection has ended */
    bool asked; /* in the current stall; and */
    bool answered;
    struct fingerprint latest; /* what it answered */
};

struct engine {
    struct group *group; /* borrowed */
    struct wires *wires; /* borrowed */
    struct plans
        *plans; /* borrowed; NULL until engine_settle() is done and the caller has made it */
    struct engine_config config;
    struct operation operation;
    struct peer_watch *peer; /* [size] */
    struct fingerprint history[ENGINE_HISTORY];
    uint32_t sequence; /* of the latest operation */
    uint64_t chain;    /* all operations up to the latest (fingerprint_chain) */
    int epoll_fd;      /* control connections, transports, wake_fd */
    int wake_fd;       /* an eventfd: engine_abort() */
    const struct transport_ops
        *sleeps; /* the only transport in use that can sleep by itself; NULL */
    struct transport *sleeper;
    uint64_t sleepy_until_ns; /* a stranger wants the processor: sleep rather than give way */
    atomic_bool abort_wanted;
    atomic_bool failed; /* for good; set after the two below */
    kolo_status status;
    char text[STATUS_TEXT_MAX];
    uint64_t operations, busy_ns;
};

/** Prepare. KOLO_ERR_SYSTEM, KOLO_ERR_MEMORY. */
kolo_status engine_open(struct engine *engine, struct group *group, struct wires *wires,
                        const struct engine_config *config);

/** Exchange figures of the network with all peers and take the worst of all: afterwards everyone is ready to work.
 *  In/out: network: this rank's on entry. KOLO_ERR_TIMEOUT, KOLO_ERR_PEER_LOST, KOLO_ERR_PROTOCOL. */
kolo_status engine_settle(struct engine *engine, struct network_uniform *network,
                          uint64_t deadline_ns);

/** Do one operation. Blocks until it is done or has failed. After a failure every later call returns the same error at once. */
kolo_status engine_run(struct engine *engine, const struct request *request);

/** End the operation under way and all later ones with KOLO_ERR_ABORTED, here and on all peers. Does not block. If nobody is in
 *  engine_run() the peers are told by the next call of engine_run(), engine_fail() or engine_close(). */
void engine_abort(struct engine *engine);

/** If engine_abort() was called and nobody has acted on it yet, do so: fail, and tell the peers. */
void engine_heed_abort(struct engine *engine);

/** Fail for good: remember, tell all peers, cut the links. `culprit`: a rank or OPERATION_NO_PEER. Returns status. */
kolo_status engine_fail(struct engine *engine, kolo_status status, uint32_t culprit,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/** Say good-bye to the peers, free. Does not wait for anyone. */
void engine_close(struct engine *engine);

#endif
