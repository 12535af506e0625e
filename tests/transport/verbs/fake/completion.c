/* Completion queues and the channels that wake who waits for them. */
#include <errno.h>
#include <stdlib.h>

#include "tests/transport/verbs/fake/world.h"

static struct completions *completions_of(const struct ibv_cq *cq)
{
    return WORLD_OWNER(cq, struct completions, cq);
}

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *ibv)
{
    struct context *context = context_of(ibv);
    struct channel *channel = calloc(1, sizeof *channel);
    world_lock();
    int error = channel == NULL ? ENOMEM : world_verb(FAKE_VERB_CREATE_COMP_CHANNEL, context->hca);
    if (error == 0) {
        error = events_open(&channel->events);
    }
    if (error == 0) {
        channel->channel.context = ibv;
        channel->channel.fd = channel->events.fd;
        object_open(&channel->object, "completion channel of device", context->hca->index);
        object_needs(&channel->object, &context->object);
    }
    world_unlock();
    if (error != 0) {
        free(channel);
        errno = error;
        return NULL;
    }
    return &channel->channel;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *ibv)
{
    struct channel *channel = WORLD_OWNER(ibv, struct channel, channel);
    world_lock();
    int error = object_close(&channel->object);
    if (error == 0) {
        events_close(&channel->events);
    }
    world_unlock();
    if (error == 0) {
        free(channel);
    }
    return error;
}

static int completions_make(struct completions *cq, struct context *context, int slots,
                            struct ibv_comp_channel *channel, int vector)
{
    struct hca *hca = context->hca;
    if (slots < 1 || slots > hca->shape.limits.max_cqe || vector < 0 ||
        vector >= context->verbs.context.num_comp_vectors) {
        return EINVAL;
    }
    if (hca->counted_cqs >= (unsigned)hca->shape.limits.max_cq) {
        return ENOMEM;
    }
    cq->slot = calloc((size_t)slots, sizeof *cq->slot);
    if (cq->slot == NULL) {
        return ENOMEM;
    }
    cq->slots = (uint32_t)slots;
    cq->channel = channel != NULL ? WORLD_OWNER(channel, struct channel, channel) : NULL;
    cq->cq.context = &context->verbs.context;
    cq->cq.channel = channel;
    cq->cq.cqe = slots;
    cq->cq.handle = hca->counted_cqs++;
    object_open(&cq->object, "completion queue of device", hca->index);
    object_needs(&cq->object, &context->object);
    if (cq->channel != NULL) {
        object_needs(&cq->object, &cq->channel->object);
    }
    return 0;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *ibv, int cqe, void *cq_context,
                             struct ibv_comp_channel *channel, int comp_vector)
{
    struct context *context = context_of(ibv);
    struct completions *cq = calloc(1, sizeof *cq);
    world_lock();
    int error = cq == NULL ? ENOMEM : world_verb(FAKE_VERB_CREATE_CQ, context->hca);
    if (error == 0) {
        error = completions_make(cq, context, cqe, channel, comp_vector);
    }
    world_unlock();
    if (error != 0) {
        free(cq);
        errno = error;
        return NULL;
    }
    cq->cq.cq_context = cq_context;
    return &cq->cq;
}

int ibv_resize_cq(struct ibv_cq *ibv, int cqe)
{
    struct completions *cq = completions_of(ibv);
    world_lock();
    const struct hca *hca = context_of(ibv->context)->hca;
    int error = world_verb(FAKE_VERB_RESIZE_CQ, hca);
    uint64_t waiting = cq->pushed - cq->polled;
    if (error == 0 && (cqe < 1 || cqe > hca->shape.limits.max_cqe || (uint64_t)cqe < waiting)) {
        error = EINVAL;
    }
    struct completion *slot = error == 0 ? calloc((size_t)cqe, sizeof *slot) : NULL;
    if (error == 0 && slot == NULL) {
        error = ENOMEM;
    }
    if (error == 0) {
        for (uint64_t i = 0; i < waiting; i++) {
            slot[i] = cq->slot[(cq->polled + i) % cq->slots];
        }
        free(cq->slot);
        cq->slot = slot;
        cq->slots = (uint32_t)cqe;
        cq->cq.cqe = cqe;
        cq->polled = 0;
        cq->pushed = waiting;
    }
    world_unlock();
    return error;
}

int ibv_destroy_cq(struct ibv_cq *ibv)
{
    struct completions *cq = completions_of(ibv);
    world_lock();
    int error = object_close(&cq->object);
    if (error == 0) {
        event_demand_acknowledged(cq->unacknowledged, "ibv_destroy_cq()");
        if (cq->channel != NULL) {
            events_drop(&cq->channel->events, ibv);
        }
        events_drop(&context_of(ibv->context)->events, ibv);
        context_of(ibv->context)->hca->counted_cqs--;
    }
    world_unlock();
    if (error == 0) {
        free(cq->slot);
        free(cq);
    }
    return error;
}

/* It cannot be used any more, and takes its pairs along: volume 1, 11.6.3.2. */
static void completions_overrun(struct completions *cq)
{
    cq->overrun = true;
    event_raise(cq->cq.context, IBV_EVENT_CQ_ERR, &cq->cq, 0);
    for (unsigned i = 0; i < world.pairs; i++) {
        struct queue_pair *pair = world.made[i];
        if (pair_send_cq(pair) == cq || pair_receive_cq(pair) == cq) {
            event_raise(pair->qp.context, IBV_EVENT_QP_FATAL, &pair->qp, 0);
            pair_fail(pair);
        }
    }
}

void completion_push(struct completions *cq, const struct completion *completion, bool solicited)
{
    if (cq->overrun) {
        return;
    }
    if (cq->pushed - cq->polled == cq->slots) {
        completions_overrun(cq);
        return;
    }
    cq->slot[cq->pushed++ % cq->slots] = *completion;
    bool wakes = cq->armed == ARMED_NEXT || (cq->armed == ARMED_SOLICITED && solicited);
    if (wakes && cq->channel != NULL) {
        cq->armed = ARMED_NOT;
        events_push(&cq->channel->events, &(struct event){.cq = cq});
    }
}

void completions_forget(struct completions *cq, const struct queue_pair *pair)
{
    uint64_t kept = cq->polled;
    for (uint64_t i = cq->polled; i != cq->pushed; i++) {
        struct completion *completion = &cq->slot[i % cq->slots];
        if (completion->pair != pair) {
            cq->slot[kept++ % cq->slots] = *completion;
        } else if (completion->receives != NULL) {
            completion->receives->freed++;
        }
    }
    cq->pushed = kept;
}

/* Polling is what gives queue slots back, as the user-space drivers have it: send slots up to the completed one at once. */
static void completion_retire(const struct completion *completion)
{
    if (completion->receives != NULL) {
        completion->receives->freed++;
    } else if (completion->pair->freed < completion->send_position) {
        completion->pair->freed = completion->send_position;
    }
}

int completions_poll(struct ibv_cq *ibv, int entries, struct ibv_wc *wc)
{
    struct completions *cq = completions_of(ibv);
    int polled = 0;
    world_lock();
    if (world_verb(FAKE_VERB_POLL_CQ, NULL) != 0 || cq->overrun) {
        polled = -1;
    } else {
        fabric_poll();
    }
    while (polled >= 0 && polled < entries && cq->polled != cq->pushed) {
        const struct completion *completion = &cq->slot[cq->polled++ % cq->slots];
        completion_retire(completion);
        wc[polled++] = completion->wc;
    }
    world_unlock();
    return polled;
}

int completions_notify(struct ibv_cq *ibv, int solicited_only)
{
    struct completions *cq = completions_of(ibv);
    world_lock();
    int error = world_verb(FAKE_VERB_REQ_NOTIFY_CQ, context_of(ibv->context)->hca);
    if (error == 0 && cq->armed != ARMED_NEXT) {
        cq->armed = solicited_only ? ARMED_SOLICITED : ARMED_NEXT;
    }
    world_unlock();
    return error;
}
