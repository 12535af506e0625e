/* Posting: requests are checked as far as a driver does at once, and queued. */
#include <errno.h>
#include <string.h>

#include "tests/transport/verbs/fake/world.h"

static bool opcode_is_known(enum ibv_wr_opcode opcode)
{
    return opcode <= IBV_WR_ATOMIC_FETCH_AND_ADD;
}

static bool opcode_fetches(enum ibv_wr_opcode opcode)
{
    return opcode == IBV_WR_RDMA_READ || opcode == IBV_WR_ATOMIC_CMP_AND_SWP ||
           opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;
}

/* Out: length of the message. */
static int send_refused(uint64_t *length, const struct queue_pair *pair,
                        const struct ibv_send_wr *wr)
{
    const struct ibv_qp_cap *cap = &pair->made.cap;
    if (!opcode_is_known(wr->opcode) || wr->num_sge < 0 ||
        (uint32_t)wr->num_sge > cap->max_send_sge) {
        return EINVAL;
    }
    *length = 0;
    for (int i = 0; i < wr->num_sge; i++) {
        *length += wr->sg_list[i].length;
    }
    if ((wr->send_flags & IBV_SEND_INLINE) != 0 &&
        (*length > cap->max_inline_data || opcode_fetches(wr->opcode))) {
        return EINVAL;
    }
    return pair->posted - pair->freed >= cap->max_send_wr ? ENOMEM : 0;
}

static void copy_inline(struct work *work, const struct ibv_send_wr *wr)
{
    size_t at = 0;
    for (int i = 0; i < wr->num_sge; i++) {
        if (wr->sg_list[i].length > 0) {
            memcpy(work->inlined + at, (const void *)(uintptr_t)wr->sg_list[i].addr,
                   wr->sg_list[i].length);
        }
        at += wr->sg_list[i].length;
    }
}

static void send_queue(struct queue_pair *pair, const struct ibv_send_wr *wr, uint64_t length)
{
    const struct ibv_qp_cap *cap = &pair->made.cap;
    uint64_t index = pair->posted % cap->max_send_wr;
    bool atomic =
        wr->opcode == IBV_WR_ATOMIC_CMP_AND_SWP || wr->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;
    struct work *work = &pair->work[index];
    *work = (struct work){
        .id = wr->wr_id,
        .opcode = wr->opcode,
        .flags = wr->send_flags,
        .signalled = pair->made.sq_sig_all != 0 || (wr->send_flags & IBV_SEND_SIGNALED) != 0,
        .immediate = wr->imm_data,
        .remote_address = atomic ? wr->wr.atomic.remote_addr : wr->wr.rdma.remote_addr,
        .rkey = atomic ? wr->wr.atomic.rkey : wr->wr.rdma.rkey,
        .compare_add = atomic ? wr->wr.atomic.compare_add : 0,
        .swap = atomic ? wr->wr.atomic.swap : 0,
        .sges = (unsigned)wr->num_sge,
        .sge = pair->work_sge + index * cap->max_send_sge,
        .inlined = pair->work_inline + index * cap->max_inline_data,
        .length = length,
        .posted_ns = world_now_ns(),
    };
    if (wr->num_sge > 0) {
        memcpy(work->sge, wr->sg_list, work->sges * sizeof *work->sge);
    }
    if ((wr->send_flags & IBV_SEND_INLINE) != 0) {
        copy_inline(work, wr);
    }
    pair->posted++;
}

static int send_post_all(struct queue_pair *pair, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    enum ibv_qp_state state = pair->attr.qp_state;
    *bad = wr;
    if (state != IBV_QPS_RTS && state != IBV_QPS_ERR) {
        return EINVAL;
    }
    int error = 0;
    for (; wr != NULL && error == 0; wr = wr->next) {
        uint64_t length;
        *bad = wr;
        error = send_refused(&length, pair, wr);
        if (error == 0) {
            send_queue(pair, wr, length);
        }
    }
    if (state == IBV_QPS_ERR) {
        pair_fail(pair); /* flushes what has come */
    }
    return error;
}

int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    struct queue_pair *pair = WORLD_OWNER(qp, struct queue_pair, qp);
    world_lock();
    *bad = wr;
    int error = world_verb(FAKE_VERB_POST_SEND, pair->hca);
    if (error == 0) {
        error = send_post_all(pair, wr, bad);
        fabric_wake();
    }
    world_unlock();
    return error;
}

int post_receive(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    struct queue_pair *pair = WORLD_OWNER(qp, struct queue_pair, qp);
    world_lock();
    *bad = wr;
    int error = world_verb(FAKE_VERB_POST_RECV, pair->hca);
    if (error == 0 && (pair->attr.qp_state == IBV_QPS_RESET || pair->receives != &pair->own)) {
        error = EINVAL;
    }
    if (error == 0) {
        error = receives_post(&pair->own, wr, bad);
        if (pair->attr.qp_state == IBV_QPS_ERR) {
            pair_fail(pair);
        }
        fabric_wake();
    }
    world_unlock();
    return error;
}
