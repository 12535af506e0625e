/* Queues of receives: a queue pair's own, and shared ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/transport/verbs/fake/world.h"

bool receives_open(struct receives *receives, uint32_t slots, uint32_t sges_max)
{
    memset(receives, 0, sizeof *receives);
    receives->slots = slots;
    receives->sges_max = sges_max;
    receives->slot = calloc((size_t)slots + 1, sizeof *receives->slot);
    receives->sge = calloc((size_t)slots * sges_max + 1, sizeof *receives->sge);
    if (receives->slot == NULL || receives->sge == NULL) {
        receives_close(receives);
        return false;
    }
    return true;
}

void receives_close(struct receives *receives)
{
    free(receives->slot);
    free(receives->sge);
    receives->slot = NULL;
    receives->sge = NULL;
}

int receives_post(struct receives *receives, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    for (; wr != NULL; wr = wr->next) {
        *bad = wr;
        if (wr->num_sge < 0 || (uint32_t)wr->num_sge > receives->sges_max) {
            return EINVAL;
        }
        if (receives->posted - receives->freed == receives->slots) {
            return ENOMEM;
        }
        uint64_t index = receives->posted++ % receives->slots;
        struct receive *slot = &receives->slot[index];
        slot->id = wr->wr_id;
        slot->sges = (unsigned)wr->num_sge;
        slot->sge = receives->sge + index * receives->sges_max;
        for (unsigned i = 0; i < slot->sges; i++) {
            slot->sge[i] = wr->sg_list[i];
        }
    }
    return 0;
}

static struct shared_receives *shared_of(const struct ibv_srq *srq)
{
    return WORLD_OWNER(srq, struct shared_receives, srq);
}

static int shared_make(struct shared_receives *shared, struct ibv_pd *pd,
                       const struct ibv_srq_init_attr *init)
{
    struct hca *hca = context_of(pd->context)->hca;
    const struct ibv_device_attr *limits = &hca->shape.limits;
    if (init->attr.max_wr < 1 || init->attr.max_wr > (uint32_t)limits->max_srq_wr ||
        init->attr.max_sge > (uint32_t)limits->max_srq_sge) {
        return EINVAL;
    }
    if (hca->counted_srqs >= (unsigned)limits->max_srq ||
        !receives_open(&shared->receives, init->attr.max_wr, init->attr.max_sge)) {
        return ENOMEM;
    }
    shared->srq.context = pd->context;
    shared->srq.srq_context = init->srq_context;
    shared->srq.pd = pd;
    shared->srq.handle = hca->counted_srqs++;
    object_open(&shared->object, "shared receive queue of device", hca->index);
    object_needs(&shared->object, &WORLD_OWNER(pd, struct domain, pd)->object);
    return 0;
}

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *init)
{
    struct shared_receives *shared = calloc(1, sizeof *shared);
    world_lock();
    int error =
        shared == NULL ? ENOMEM : world_verb(FAKE_VERB_CREATE_SRQ, context_of(pd->context)->hca);
    if (error == 0) {
        error = shared_make(shared, pd, init);
    }
    world_unlock();
    if (error != 0) {
        free(shared);
        errno = error;
        return NULL;
    }
    return &shared->srq;
}

int ibv_modify_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr, int mask)
{
    if ((mask & ~IBV_SRQ_LIMIT) != 0) {
        return EOPNOTSUPP;
    }
    world_lock();
    shared_of(srq)->limit = attr->srq_limit;
    world_unlock();
    return 0;
}

int ibv_query_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr)
{
    world_lock();
    const struct shared_receives *shared = shared_of(srq);
    *attr = (struct ibv_srq_attr){shared->receives.slots, shared->receives.sges_max, shared->limit};
    world_unlock();
    return 0;
}

int ibv_destroy_srq(struct ibv_srq *srq)
{
    struct shared_receives *shared = shared_of(srq);
    world_lock();
    int error = object_close(&shared->object);
    if (error == 0) {
        event_demand_acknowledged(shared->unacknowledged, "ibv_destroy_srq()");
        events_drop(&context_of(srq->context)->events, srq);
        context_of(srq->context)->hca->counted_srqs--;
    }
    world_unlock();
    if (error == 0) {
        receives_close(&shared->receives);
        free(shared);
    }
    return error;
}

int shared_post(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    world_lock();
    *bad = wr;
    int error = world_verb(FAKE_VERB_POST_SRQ_RECV, context_of(srq->context)->hca);
    if (error == 0) {
        error = receives_post(&shared_of(srq)->receives, wr, bad);
        fabric_wake();
    }
    world_unlock();
    return error;
}
