/* Queue pairs: made, destroyed, failed, and what they complete. Their states are in modify.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/transport/verbs/fake/world.h"

#define PAIR_NUMBER_BITS 24

struct queue_pair *pair_find(uint32_t number)
{
    struct queue_pair *pair = world.pair[number % WORLD_PAIRS_MAX];
    return pair != NULL && pair->qp.qp_num == number ? pair : NULL;
}

struct completions *pair_send_cq(const struct queue_pair *pair)
{
    return WORLD_OWNER(pair->qp.send_cq, struct completions, cq);
}

struct completions *pair_receive_cq(const struct queue_pair *pair)
{
    return WORLD_OWNER(pair->qp.recv_cq, struct completions, cq);
}

/* Numbers are not used again soon, and 0 and 1 never: they are the management's. */
static bool pair_enter(struct queue_pair *pair)
{
    for (uint32_t i = 0; i < WORLD_PAIRS_MAX && world.pairs < WORLD_PAIRS_MAX; i++) {
        uint32_t number = ++world.pair_serial & ((1u << PAIR_NUMBER_BITS) - 1);
        if (number > 1 && world.pair[number % WORLD_PAIRS_MAX] == NULL) {
            world.pair[number % WORLD_PAIRS_MAX] = pair;
            world.made[world.pairs++] = pair;
            pair->qp.qp_num = number;
            return true;
        }
    }
    return false;
}

static void pair_leave(const struct queue_pair *pair)
{
    unsigned i = 0;
    while (world.made[i] != pair) {
        i++;
    }
    memmove(&world.made[i], &world.made[i + 1], (--world.pairs - i) * sizeof(world.made[0]));
    world.pair[pair->qp.qp_num % WORLD_PAIRS_MAX] = NULL;
}

static int init_refused(const struct hca *hca, const struct ibv_pd *pd,
                        const struct ibv_qp_init_attr *init)
{
    const struct ibv_device_attr *limits = &hca->shape.limits;
    const struct ibv_qp_cap *cap = &init->cap;
    if (init->qp_type != IBV_QPT_RC) {
        return EOPNOTSUPP;
    }
    if (init->send_cq == NULL || init->recv_cq == NULL || init->send_cq->context != pd->context ||
        init->recv_cq->context != pd->context) {
        return EINVAL;
    }
    if (cap->max_send_wr > (uint32_t)limits->max_qp_wr ||
        cap->max_recv_wr > (uint32_t)limits->max_qp_wr ||
        cap->max_send_sge > (uint32_t)limits->max_sge ||
        cap->max_recv_sge > (uint32_t)limits->max_sge ||
        cap->max_inline_data > hca->shape.inline_bytes_max) {
        return EINVAL;
    }
    return hca->counted_qps >= (unsigned)limits->max_qp ? ENOMEM : 0;
}

static void pair_free(struct queue_pair *pair)
{
    if (pair != NULL) {
        receives_close(&pair->own);
        free(pair->work);
        free(pair->work_sge);
        free(pair->work_inline);
        free(pair);
    }
}

static bool pair_allocate(struct queue_pair *pair, const struct ibv_qp_init_attr *init)
{
    const struct ibv_qp_cap *cap = &init->cap;
    size_t sends = cap->max_send_wr;
    pair->work = calloc(sends + 1, sizeof *pair->work);
    pair->work_sge = calloc(sends * cap->max_send_sge + 1, sizeof *pair->work_sge);
    pair->work_inline = calloc(sends * cap->max_inline_data + 1, 1);
    pair->receives = init->srq != NULL
                         ? &WORLD_OWNER(init->srq, struct shared_receives, srq)->receives
                         : &pair->own;
    return pair->work != NULL && pair->work_sge != NULL && pair->work_inline != NULL &&
           receives_open(&pair->own, init->srq != NULL ? 0 : cap->max_recv_wr, cap->max_recv_sge);
}

static int pair_make(struct queue_pair *pair, struct ibv_pd *pd, struct ibv_qp_init_attr *init)
{
    struct hca *hca = context_of(pd->context)->hca;
    int error = init_refused(hca, pd, init);
    if (error != 0) {
        return error;
    }
    if (!pair_allocate(pair, init) || !pair_enter(pair)) {
        return ENOMEM;
    }
    hca->counted_qps++;
    pair->hca = hca;
    pair->made = *init;
    pair->attr.qp_state = IBV_QPS_RESET;
    pair->qp.context = pd->context;
    pair->qp.qp_context = init->qp_context;
    pair->qp.pd = pd;
    pair->qp.send_cq = init->send_cq;
    pair->qp.recv_cq = init->recv_cq;
    pair->qp.srq = init->srq;
    pair->qp.handle = pair->qp.qp_num;
    pair->qp.state = IBV_QPS_RESET;
    pair->qp.qp_type = init->qp_type;
    object_open(&pair->object, "queue pair", pair->qp.qp_num);
    object_needs(&pair->object, &WORLD_OWNER(pd, struct domain, pd)->object);
    object_needs(&pair->object, &pair_send_cq(pair)->object);
    object_needs(&pair->object, &pair_receive_cq(pair)->object);
    if (init->srq != NULL) {
        object_needs(&pair->object, &WORLD_OWNER(init->srq, struct shared_receives, srq)->object);
    }
    return 0;
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *init)
{
    struct queue_pair *pair = calloc(1, sizeof *pair);
    world_lock();
    int error =
        pair == NULL ? ENOMEM : world_verb(FAKE_VERB_CREATE_QP, context_of(pd->context)->hca);
    if (error == 0) {
        error = pair_make(pair, pd, init);
    }
    world_unlock();
    if (error != 0) {
        pair_free(pair);
        errno = error;
        return NULL;
    }
    return &pair->qp;
}

int ibv_destroy_qp(struct ibv_qp *qp)
{
    struct queue_pair *pair = WORLD_OWNER(qp, struct queue_pair, qp);
    world_lock();
    event_demand_acknowledged(pair->unacknowledged, "ibv_destroy_qp()");
    int error = object_close(&pair->object);
    if (error == 0) {
        events_drop(&context_of(qp->context)->events, qp);
        completions_forget(pair_send_cq(pair), pair);
        completions_forget(pair_receive_cq(pair), pair);
        if (pair->is_matched && pair->receives != &pair->own) {
            pair->receives->freed++;
        }
        pair_leave(pair);
        pair->hca->counted_qps--;
    }
    world_unlock();
    if (error == 0) {
        pair_free(pair);
    }
    return error;
}

static enum ibv_wc_opcode sent_opcode(enum ibv_wr_opcode opcode)
{
    switch (opcode) {
    case IBV_WR_RDMA_WRITE:
    case IBV_WR_RDMA_WRITE_WITH_IMM:
        return IBV_WC_RDMA_WRITE;
    case IBV_WR_RDMA_READ:
        return IBV_WC_RDMA_READ;
    case IBV_WR_ATOMIC_CMP_AND_SWP:
        return IBV_WC_COMP_SWAP;
    case IBV_WR_ATOMIC_FETCH_AND_ADD:
        return IBV_WC_FETCH_ADD;
    default:
        return IBV_WC_SEND;
    }
}

void pair_complete_send(struct queue_pair *pair, enum ibv_wc_status status)
{
    const struct work *work = &pair->work[pair->acknowledged++ % pair->made.cap.max_send_wr];
    if (pair->delivered < pair->acknowledged) {
        pair->delivered = pair->acknowledged;
    }
    if (status == IBV_WC_SUCCESS && !work->signalled) {
        return;
    }
    struct completion completion = {.pair = pair, .send_position = pair->acknowledged};
    completion.wc.wr_id = work->id;
    completion.wc.status = status;
    completion.wc.qp_num = pair->qp.qp_num;
    if (status == IBV_WC_SUCCESS) {
        completion.wc.opcode = sent_opcode(work->opcode);
        bool fetches = completion.wc.opcode == IBV_WC_RDMA_READ;
        bool atomic = work->opcode == IBV_WR_ATOMIC_CMP_AND_SWP ||
                      work->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;
        completion.wc.byte_len = atomic ? 8 : fetches ? (uint32_t)work->length : 0;
    } else { /* these fields are not set: ibv_poll_cq(3) */
        completion.wc.opcode = (enum ibv_wc_opcode)0x7f;
        completion.wc.byte_len = 0xdeadbeef;
        completion.wc.vendor_err = 0x80 + (uint32_t)status;
    }
    completion_push(pair_send_cq(pair), &completion, status != IBV_WC_SUCCESS);
}

void pair_complete_receive(struct queue_pair *pair, const struct receive *receive,
                           enum ibv_wc_status status, const struct work *work)
{
    struct completion completion = {.pair = pair, .receives = pair->receives};
    struct ibv_wc *wc = &completion.wc;
    wc->wr_id = receive->id;
    wc->status = status;
    wc->qp_num = pair->qp.qp_num;
    wc->opcode = (enum ibv_wc_opcode)0x7f;
    if (status == IBV_WC_SUCCESS) {
        bool write = work->opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
        wc->opcode = write ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV;
        wc->byte_len = (uint32_t)work->length;
        wc->src_qp = pair->attr.dest_qp_num;
        if (write || work->opcode == IBV_WR_SEND_WITH_IMM) {
            wc->wc_flags = IBV_WC_WITH_IMM;
            wc->imm_data = work->immediate;
        }
    }
    bool solicited = status != IBV_WC_SUCCESS || (work->flags & IBV_SEND_SOLICITED) != 0;
    completion_push(pair_receive_cq(pair), &completion, solicited);
}

static void flush_receives(struct queue_pair *pair)
{
    if (pair->is_matched) {
        pair->is_matched = false;
        pair_complete_receive(pair, &pair->matched, IBV_WC_WR_FLUSH_ERR, NULL);
    }
    if (pair->receives != &pair->own) {
        return; /* shared ones serve the others */
    }
    while (pair->own.taken != pair->own.posted) {
        const struct receive *receive = &pair->own.slot[pair->own.taken++ % pair->own.slots];
        pair_complete_receive(pair, receive, IBV_WC_WR_FLUSH_ERR, NULL);
    }
}

void pair_fail(struct queue_pair *pair)
{
    bool first = pair->attr.qp_state != IBV_QPS_ERR;
    pair->attr.qp_state = IBV_QPS_ERR;
    pair->qp.state = IBV_QPS_ERR;
    while (pair->acknowledged != pair->posted) {
        pair_complete_send(pair, IBV_WC_WR_FLUSH_ERR);
    }
    flush_receives(pair);
    if (first && pair->receives != &pair->own) {
        event_raise(pair->qp.context, IBV_EVENT_QP_LAST_WQE_REACHED, &pair->qp, 0);
    }
}
