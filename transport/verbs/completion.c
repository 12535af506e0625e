#include "transport/verbs/completion.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "runtime/base/status.h"
#include "transport/verbs/rail.h"

#define TICKETS_FIRST 64
#define ASYNC_EVENTS_MAX 32 /* handled in one round */

/* ---- making ------------------------------------------------------------------------------------------------------- */

/* Reading from it must not block. And have the sleeper watch it. */
static kolo_status watch(const struct completion *completion, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        epoll_ctl(completion->wait_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return fail(KOLO_ERR_SYSTEM, "cannot watch a verbs device: %s", strerror(errno));
    }
    return KOLO_OK;
}

static kolo_status add_context(struct completion *completion, struct ibv_context *context)
{
    struct ibv_comp_channel *channel = ibv_create_comp_channel(context);
    if (channel == NULL) {
        return fail(KOLO_ERR_SYSTEM, "no completion channel on %s: %s",
                    ibv_get_device_name(context->device), strerror(errno));
    }
    completion->context[completion->contexts++] =
        (struct completion_context){.context = context, .channel = channel};
    kolo_status status = watch(completion, channel->fd);
    return status == KOLO_OK ? watch(completion, context->async_fd) : status;
}

static unsigned context_of(const struct completion *completion, const struct ibv_context *context)
{
    unsigned i = 0;
    while (i < completion->contexts && completion->context[i].context != context) {
        i++;
    }
    return i;
}

kolo_status completion_open(struct completion *completion, const struct devices *devices)
{
    *completion = (struct completion){.devices = devices};
    completion->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    if (completion->wait_fd < 0) {
        return fail(KOLO_ERR_SYSTEM, "no epoll descriptor for the verbs transport: %s",
                    strerror(errno));
    }
    kolo_status status = KOLO_OK;
    for (unsigned i = 0; i < devices->ports && status == KOLO_OK; i++) {
        struct ibv_context *context = devices->port[i].context;
        if (context_of(completion, context) == completion->contexts) {
            status = add_context(completion, context);
        }
    }
    return status;
}

void completion_close(struct completion *completion)
{
    if (completion->devices == NULL) {
        return;
    }
    for (unsigned i = 0; i < completion->queues; i++) {
        ibv_destroy_cq(completion->queue[i].cq);
    }
    for (unsigned i = 0; i < completion->contexts; i++) {
        ibv_destroy_comp_channel(completion->context[i].channel);
    }
    if (completion->wait_fd >= 0) {
        close(completion->wait_fd);
    }
    free(completion->tickets);
    *completion = (struct completion){0};
}

/* ---- queues ------------------------------------------------------------------------------------------------------- */

static kolo_status add_queue(struct completion *completion, unsigned context)
{
    if (completion->queues == COMPLETION_QUEUES_MAX) {
        return fail(KOLO_ERR_LIMIT, "more than %u verbs queue pairs in one communicator",
                    COMPLETION_QUEUES_MAX * COMPLETION_PAIRS);
    }
    const struct completion_context *of = &completion->context[context];
    int entries = COMPLETION_PAIRS * (RAIL_SENDS + RAIL_RECEIVES);
    struct ibv_cq *cq = ibv_create_cq(of->context, entries, NULL, of->channel, 0);
    if (cq == NULL) {
        return fail(KOLO_ERR_SYSTEM,
                    "%s: cannot create a completion queue of %d entries: %s (look at the device's "
                    "max_cq and max_cqe, and at RLIMIT_MEMLOCK)",
                    ibv_get_device_name(of->context->device), entries, strerror(errno));
    }
    completion->queue[completion->queues++] =
        (struct completion_queue){.cq = cq, .context = context};
    return KOLO_OK;
}

kolo_status completion_join(struct ibv_cq **cq, struct completion *completion, unsigned port)
{
    unsigned context = context_of(completion, completion->devices->port[port].context);
    assert(context < completion->contexts);
    unsigned i = 0;
    while (i < completion->queues && (completion->queue[i].context != context ||
                                      completion->queue[i].pairs == COMPLETION_PAIRS)) {
        i++;
    }
    kolo_status status = i == completion->queues ? add_queue(completion, context) : KOLO_OK;
    if (status == KOLO_OK) {
        completion->queue[i].pairs++;
        *cq = completion->queue[i].cq;
    }
    return status;
}

void completion_leave(struct completion *completion, const struct ibv_cq *cq)
{
    for (unsigned i = 0; i < completion->queues; i++) {
        if (completion->queue[i].cq == cq) {
            assert(completion->queue[i].pairs > 0);
            completion->queue[i].pairs--;
        }
    }
}

/* ---- tickets ------------------------------------------------------------------------------------------------------ */

static uint64_t id_of(uint32_t index, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint64_t)index << 1;
}

static uint32_t index_of(uint64_t id)
{
    return (uint32_t)id >> 1;
}

kolo_status completion_enlist(uint64_t *id, struct completion *completion, struct rail *rail)
{
    uint32_t i = 0;
    while (i < completion->tickets_max && completion->tickets[i].rail != NULL) {
        i++;
    }
    if (i == completion->tickets_max) {
        uint32_t max = i == 0 ? TICKETS_FIRST : 2 * i;
        struct completion_ticket *more = realloc(completion->tickets, max * sizeof *more);
        if (more == NULL) {
            return fail(KOLO_ERR_MEMORY, "out of memory for %u verbs rails", max);
        }
        memset(more + i, 0, (max - i) * sizeof *more);
        completion->tickets = more;
        completion->tickets_max = max;
    }
    completion->tickets[i].rail = rail;
    *id = id_of(i, completion->tickets[i].generation);
    return KOLO_OK;
}

void completion_delist(struct completion *completion, uint64_t id)
{
    struct completion_ticket *ticket = &completion->tickets[index_of(id)];
    assert(ticket->rail != NULL && id_of(index_of(id), ticket->generation) == (id & ~UINT64_C(1)));
    ticket->rail = NULL;
    ticket->generation++;
}

static struct rail *find(const struct completion *completion, uint64_t id)
{
    uint32_t index = index_of(id);
    if (index >= completion->tickets_max ||
        completion->tickets[index].generation != (uint32_t)(id >> 32)) {
        return NULL;
    }
    return completion->tickets[index].rail;
}

/* ---- what happens ------------------------------------------------------------------------------------------------- */

/* A completion queue that cannot be read: whatever uses it waits in vain. Returns how many rails that broke. */
static unsigned break_all(struct completion *completion, const struct ibv_cq *cq)
{
    unsigned broken = 0;
    for (uint32_t i = 0; i < completion->tickets_max; i++) {
        struct rail *rail = completion->tickets[i].rail;
        if (rail != NULL && rail->cq == cq && rail->state != RAIL_BROKEN &&
            rail->state != RAIL_OFF) {
            rail_break(rail, KOLO_ERR_SYSTEM, "its completion queue cannot be read any more");
            broken++;
        }
    }
    return broken;
}

static unsigned poll_queue(struct completion *completion, struct ibv_cq *cq)
{
    struct ibv_wc done[COMPLETION_BATCH];
    unsigned news = 0, round = 0;
    for (; round < COMPLETION_ROUNDS_MAX; round++) {
        int count = ibv_poll_cq(cq, COMPLETION_BATCH, done);
        if (count < 0) {
            return news + break_all(completion, cq);
        }
        for (int i = 0; i < count; i++) {
            struct rail *rail = find(completion, done[i].wr_id);
            if (rail != NULL) {
                news += rail_completed(rail, &done[i], (done[i].wr_id & 1) != 0);
            }
        }
        if (count < COMPLETION_BATCH) {
            break;
        }
    }
    return news + (round == COMPLETION_ROUNDS_MAX); /* there may be more: nobody may sleep now */
}

unsigned completion_poll(struct completion *completion)
{
    unsigned news = 0;
    for (unsigned i = 0; i < completion->queues; i++) {
        news += poll_queue(completion, completion->queue[i].cq);
    }
    return news;
}

static void drain(const struct completion_context *context)
{
    struct ibv_cq *cq;
    void *about;
    while (ibv_get_cq_event(context->channel, &cq, &about) == 0) {
        ibv_ack_cq_events(cq, 1);
    }
}

void completion_arm(struct completion *completion)
{
    for (unsigned i = 0; completion->armed && i < completion->contexts; i++) {
        drain(&completion->context[i]);
    }
    for (unsigned i = 0; i < completion->queues; i++) {
        (void)ibv_req_notify_cq(completion->queue[i].cq, 0);
    }
    completion->armed = true;
}

void completion_events(struct completion *completion,
                       void (*told)(void *owner, const struct ibv_context *context,
                                    const struct ibv_async_event *event),
                       void *owner)
{
    for (unsigned i = 0; i < completion->contexts; i++) {
        struct ibv_context *context = completion->context[i].context;
        struct ibv_async_event event;
        for (unsigned n = 0; n < ASYNC_EVENTS_MAX && ibv_get_async_event(context, &event) == 0;
             n++) {
            told(owner, context, &event);
            ibv_ack_async_event(&event);
        }
    }
}
