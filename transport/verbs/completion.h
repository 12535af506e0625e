/* completion: where all links of a transport hear of their work: completion queues, the channels that wake a sleeper, and the
 * devices' asynchronous events. A queue has room for everything that COMPLETION_PAIRS queue pairs can have outstanding, so that
 * it cannot overrun; a new one is made when they are full. Completions find their rail by a *ticket* in the work request's id:
 * a rail that has gone leaves none, so that its last completions find nobody. */
#ifndef KOLO_VERBS_COMPLETION_H
#define KOLO_VERBS_COMPLETION_H

#include "transport/verbs/device.h"

#define COMPLETION_PAIRS 32       /* of one queue */
#define COMPLETION_QUEUES_MAX 128 /* of a transport */
#define COMPLETION_BATCH 16       /* fetched by one call */
#define COMPLETION_ROUNDS_MAX 8   /* batches of one queue in a row */

struct rail;

struct completion_ticket {
    struct rail *rail; /* NULL: free */
    uint32_t generation;
};

struct completion_queue {
    struct ibv_cq *cq;
    unsigned context; /* index */
    unsigned pairs;   /* using it */
};

/** A device: several ports may share it. */
struct completion_context {
    struct ibv_context *context;
    struct ibv_comp_channel *channel;
};

struct completion {
    const struct devices *devices; /* borrowed */
    int wait_fd; /* epoll over channels and devices; whoever made the transport may add to it */
    unsigned contexts;
    unsigned queues;
    bool armed; /* since the channels were last read */
    struct completion_context context[DEVICE_RAILS_MAX];
    struct completion_queue queue[COMPLETION_QUEUES_MAX];
    struct completion_ticket *tickets;
    uint32_t tickets_max;
};

/** KOLO_ERR_SYSTEM, KOLO_ERR_MEMORY. Undone by completion_close() in any case. */
kolo_status completion_open(struct completion *completion, const struct devices *devices);
void completion_close(
    struct completion *completion); /* after all queue pairs. A zeroed one is allowed */

/** A queue for one more queue pair of that port; given back with completion_leave(). KOLO_ERR_SYSTEM, KOLO_ERR_LIMIT. */
kolo_status completion_join(struct ibv_cq **cq, struct completion *completion, unsigned port);
void completion_leave(struct completion *completion, const struct ibv_cq *cq);

/** A ticket for a rail; out: a work request id for sends; that for receives is completion_receive_id(). KOLO_ERR_MEMORY. */
kolo_status completion_enlist(uint64_t *id, struct completion *completion, struct rail *rail);
void completion_delist(struct completion *completion, uint64_t id);
static inline uint64_t completion_receive_id(uint64_t id)
{
    return id | 1;
}

/** Fetch completions and hand each to its rail (rail_completed). Returns how many were news. */
unsigned completion_poll(struct completion *completion);

/** From now on completions make wait_fd readable. Poll after it. */
void completion_arm(struct completion *completion);

/** Handle the devices' asynchronous events: told(context, event) for each, before it is acknowledged. */
void completion_events(struct completion *completion,
                       void (*told)(void *owner, const struct ibv_context *context,
                                    const struct ibv_async_event *event),
                       void *owner);

#endif
