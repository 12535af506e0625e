/* inbox: the receives posted on one lane, and the reading end of its ring. One thread. When it has been moved the
 * owner looks at reader.broken: if that is set, the peer has written nonsense, and the link is to be given up. */
#ifndef KOLO_TRANSPORT_SHM_INBOX_H
#define KOLO_TRANSPORT_SHM_INBOX_H

#include "transport/queue.h"
#include "transport/shm/bell.h"
#include "transport/shm/reader.h"

#define SHM_RECEIVE_STEP_BYTES (64u << 10) /* the most that one step copies */

struct shm_inbox {
    struct queue queue;
    const struct shm_peer *peer; /* to be woken when there is room again */
    uint64_t *bytes;             /* received by the transport: counted there */
    struct shm_reader reader;
};

/** Move what can be moved. Returns true if anything happened: bytes in place, more to see in a span, a mismatch. */
bool shm_inbox_step(struct shm_inbox *box);

/** Would shm_inbox_step() do anything? */
bool shm_inbox_ready(struct shm_inbox *box);

/** transport_ops.release. */
void shm_inbox_release(struct shm_inbox *box, struct transfer *transfer, size_t bytes);

/** Take back a receive, if none of it has moved and none was posted after it. The transfer is then the caller's. */
bool shm_inbox_cancel(struct shm_inbox *box, struct transfer *transfer);

/** The writer is dead: is there still a whole message at the front, for the first posted receive or a later one? */
bool shm_inbox_lives_on(struct shm_inbox *box);

#endif
