/* comm: the communicator behind the public header. Calls become work items; one thread at a time drives them, in the order of the
 * calls: the caller that waits, or, for queued work that nobody waits for, the communicator's background thread. */
#ifndef KOLO_API_COMM_H
#define KOLO_API_COMM_H

#include <kolo/kolo.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/execute/engine.h"
#include "runtime/execute/wires.h"
#include "runtime/membership/genesis.h"
#include "runtime/plan/plan.h"

/** One call that waits for its turn. Owned by the queue's list, or on the stack of a caller that waits. */
struct work {
    struct request request;
    kolo_queue *queue; /* NULL: a blocking call */
    struct work *next;
    kolo_status status;
    bool done;
};

struct kolo_comm {
    struct tcp_port *port;
    struct group group;
    struct wires wires;
    struct plans *plans;
    struct engine engine;

    pthread_mutex_t lock;   /* of what follows; never held while an operation runs */
    pthread_cond_t changed; /* work has come, or is done */
    struct work *first, *last;
    unsigned waiting;           /* queued operations that are not done */
    struct work *spare;         /* work items to be used again */
    kolo_statistics statistics; /* as of the end of the last operation */
    bool driving;               /* some thread is inside the engine */
    bool closing;
    bool thread_started;
    pthread_t thread;
};

#define QUEUED_OPERATIONS_MAX 65536 /* of a communicator; more are refused with KOLO_ERR_LIMIT */

struct kolo_queue {
    kolo_comm *comm;
    uint64_t given, done; /* operations; under comm->lock */
    kolo_status status;   /* of the first that failed */
    char text[STATUS_TEXT_MAX];
};

/** Do a checked request: at once and in this thread if `queue` is NULL and nothing is before it, else in its turn. */
kolo_status comm_submit(kolo_comm *comm, const struct request *request, kolo_queue *queue);

/** With comm->lock held and nobody driving: take the first work and do it (the lock is released meanwhile). */
void comm_drive_first(kolo_comm *comm);

/** With comm->lock held, after an operation: bring comm->statistics up to date. */
void comm_count(kolo_comm *comm);

/** End all work that waits with KOLO_ERR_ABORTED, stop the background thread. */
void comm_stop(kolo_comm *comm);

#endif
