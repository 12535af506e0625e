/* queue: for implementations: the transfers posted on one lane in one direction, oldest first. They are the poster's structures, linked through
 * `next`; the queue owns nothing. */
#ifndef KOLO_TRANSPORT_QUEUE_H
#define KOLO_TRANSPORT_QUEUE_H

#include <assert.h>

#include "transport/transport.h"

struct queue {
    struct transfer *head;
    struct transfer *tail; /* valid when head is not NULL */
};

/** Take a transfer in: it is posted now. */
static inline void queue_push(struct queue *queue, struct transfer *transfer)
{
    transfer->state = TRANSFER_POSTED;
    transfer->next = NULL;
    if (queue->head) {
        queue->tail->next = transfer;
    } else {
        queue->head = transfer;
    }
    queue->tail = transfer;
}

/** Let the first one go. */
static inline struct transfer *queue_pop(struct queue *queue)
{
    assert(queue->head);
    struct transfer *transfer = queue->head;
    queue->head = transfer->next;
    return transfer;
}

/** Take one out that is not the first. Returns false if it is not in the queue. */
static inline bool queue_remove(struct queue *queue, const struct transfer *transfer)
{
    for (struct transfer *before = queue->head; before && before->next; before = before->next) {
        if (before->next == transfer) {
            before->next = transfer->next;
            if (queue->tail == transfer) {
                queue->tail = before;
            }
            return true;
        }
    }
    return false;
}

/** Fail all of them. */
static inline void queue_fail(struct queue *queue, kolo_status status)
{
    while (queue->head) {
        struct transfer *transfer = queue_pop(queue);
        transfer->span = NULL;
        transfer->span_bytes = 0;
        transfer->status = status;
        transfer->state = TRANSFER_FAILED;
    }
}

#endif
