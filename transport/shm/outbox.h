/* outbox: the sends posted on one lane, and the writing end of its ring. One thread. When it has been moved the
 * owner looks at writer.broken: if that is set, the peer has written nonsense, and the link is to be given up. */
#ifndef KOLO_TRANSPORT_SHM_OUTBOX_H
#define KOLO_TRANSPORT_SHM_OUTBOX_H

#include "transport/queue.h"
#include "transport/shm/bell.h"
#include "transport/shm/writer.h"

/* The most that one step copies, so that other lanes have their turn. */
#define SHM_SEND_STEP_BYTES (64u << 10)

struct shm_outbox {
    struct queue queue;
    const struct shm_peer *peer; /* to be woken */
    uint64_t *bytes;             /* sent by the transport: counted there */
    bool starved;                /* reserve() found no room */
    uint8_t *place; /* what reserve() said last; NULL: nothing since the last commit() */
    size_t place_bytes;
    struct shm_writer writer;

    /* What is filled in by the poster goes here first when there is much of it: see copy.h. */
    alignas(SHM_ALIGN) uint8_t stage[SHM_PIECE_BYTES];
};

/** Move what can be moved. Returns true if anything happened, room for a starved reserve() included. */
bool shm_outbox_step(struct shm_outbox *box);

/** Would shm_outbox_step() do anything? */
bool shm_outbox_ready(struct shm_outbox *box);

/** transport_ops.reserve and .commit. */
size_t shm_outbox_reserve(struct shm_outbox *box, struct transfer *transfer, uint8_t **place);
void shm_outbox_commit(struct shm_outbox *box, struct transfer *transfer, size_t bytes);

/** Take back a send, if none of it has moved and none was posted after it. The transfer is then the caller's. */
bool shm_outbox_cancel(struct shm_outbox *box, struct transfer *transfer);

#endif
