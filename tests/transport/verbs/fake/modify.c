/* The states of a queue pair: which moves there are, what each demands, and querying them. After volume 1, 10.3.1 and table 91. */
#include <errno.h>
#include <string.h>

#include "tests/transport/verbs/fake/world.h"

#define PSN_MASK 0xffffffu

struct move {
    enum ibv_qp_state from, to;
    int needs, allows; /* besides IBV_QP_STATE */
};

/* Reliable connected ones. To RESET and to ERR there is a way from everywhere. */
static const struct move moves[] = {
    {IBV_QPS_RESET, IBV_QPS_INIT, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS, 0},
    {IBV_QPS_INIT, IBV_QPS_INIT, 0, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS},
    {IBV_QPS_INIT, IBV_QPS_RTR,
     IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
         IBV_QP_MIN_RNR_TIMER,
     IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX},
    {IBV_QPS_RTR, IBV_QPS_RTS,
     IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_TIMEOUT,
     IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS | IBV_QP_MIN_RNR_TIMER},
    {IBV_QPS_RTS, IBV_QPS_RTS, 0, IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS | IBV_QP_MIN_RNR_TIMER},
};

static bool move_is_legal(enum ibv_qp_state from, enum ibv_qp_state to, int mask)
{
    mask &= ~IBV_QP_STATE;
    if (to == IBV_QPS_RESET || to == IBV_QPS_ERR) {
        return (mask & ~IBV_QP_CUR_STATE) == 0;
    }
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        const struct move *move = &moves[i];
        if (move->from == from && move->to == to) {
            return (mask & move->needs) == move->needs &&
                   (mask & ~(move->needs | move->allows)) == 0;
        }
    }
    return false;
}

/* What an address must have to be one. Routes are looked up for Ethernet only, as the kernel does; on InfiniBand packets are just lost. */
static int address_refused(const struct queue_pair *pair, const struct ibv_qp_attr *attr)
{
    const struct ibv_ah_attr *to = &attr->ah_attr;
    unsigned number = pair->attr.port_num, device, other;
    if (to->port_num != 0 && to->port_num != number) {
        return EINVAL;
    }
    const struct fake_port *port = &pair->hca->shape.port[number - 1];
    if (attr->path_mtu < IBV_MTU_256 || attr->path_mtu > port->mtu) {
        return EINVAL;
    }
    if (to->is_global &&
        (to->grh.sgid_index >= FAKE_GIDS_MAX || port->gid[to->grh.sgid_index].address == NULL)) {
        return EINVAL;
    }
    if (port->infiniband) {
        return 0;
    }
    if (!to->is_global) {
        return EINVAL;
    }
    return route_find(&device, &other, pair->hca, number - 1, to) ? 0 : ENETUNREACH;
}

static int attributes_refused(const struct queue_pair *pair, const struct ibv_qp_attr *attr,
                              int mask)
{
    const struct ibv_device_attr *limits = &pair->hca->shape.limits;
    if ((mask & IBV_QP_PORT) != 0 &&
        (attr->port_num < 1 || attr->port_num > pair->hca->shape.ports)) {
        return EINVAL;
    }
    if ((mask & IBV_QP_PKEY_INDEX) != 0 && attr->pkey_index != 0) {
        return EINVAL;
    }
    if (((mask & IBV_QP_MAX_QP_RD_ATOMIC) != 0 &&
         attr->max_rd_atomic > limits->max_qp_init_rd_atom) ||
        ((mask & IBV_QP_MAX_DEST_RD_ATOMIC) != 0 &&
         attr->max_dest_rd_atomic > limits->max_qp_rd_atom)) {
        return EINVAL;
    }
    if (((mask & IBV_QP_TIMEOUT) != 0 && attr->timeout > 31) ||
        ((mask & IBV_QP_RETRY_CNT) != 0 && attr->retry_cnt > 7) ||
        ((mask & IBV_QP_RNR_RETRY) != 0 && attr->rnr_retry > 7) ||
        ((mask & IBV_QP_MIN_RNR_TIMER) != 0 && attr->min_rnr_timer > 31)) {
        return EINVAL;
    }
    return (mask & IBV_QP_AV) != 0 ? address_refused(pair, attr) : 0;
}

#define TAKE(bit, field)                                                                           \
    do {                                                                                           \
        if ((mask & (bit)) != 0) {                                                                 \
            pair->attr.field = attr->field;                                                        \
        }                                                                                          \
    } while (0)

static void attributes_take(struct queue_pair *pair, const struct ibv_qp_attr *attr, int mask)
{
    TAKE(IBV_QP_PKEY_INDEX, pkey_index);
    TAKE(IBV_QP_PORT, port_num);
    TAKE(IBV_QP_ACCESS_FLAGS, qp_access_flags);
    TAKE(IBV_QP_AV, ah_attr);
    TAKE(IBV_QP_PATH_MTU, path_mtu);
    TAKE(IBV_QP_DEST_QPN, dest_qp_num);
    TAKE(IBV_QP_RQ_PSN, rq_psn);
    TAKE(IBV_QP_SQ_PSN, sq_psn);
    TAKE(IBV_QP_MAX_DEST_RD_ATOMIC, max_dest_rd_atomic);
    TAKE(IBV_QP_MAX_QP_RD_ATOMIC, max_rd_atomic);
    TAKE(IBV_QP_MIN_RNR_TIMER, min_rnr_timer);
    TAKE(IBV_QP_RETRY_CNT, retry_cnt);
    TAKE(IBV_QP_RNR_RETRY, rnr_retry);
    TAKE(IBV_QP_TIMEOUT, timeout);
    pair->attr.rq_psn &= PSN_MASK;
    pair->attr.sq_psn &= PSN_MASK;
}

/* Everything posted is forgotten, with its completions. */
static void pair_reset(struct queue_pair *pair)
{
    completions_forget(pair_send_cq(pair), pair);
    completions_forget(pair_receive_cq(pair), pair);
    if (pair->is_matched && pair->receives != &pair->own) {
        pair->receives->freed++;
    }
    pair->is_matched = false;
    pair->posted = pair->delivered = pair->acknowledged = pair->freed = 0;
    pair->own.posted = pair->own.taken = pair->own.freed = 0;
    pair->silent_since_ns = pair->not_ready_since_ns = 0;
    pair->not_ready_tries = 0;
    memset(&pair->attr, 0, sizeof pair->attr);
}

static int pair_modify(struct queue_pair *pair, const struct ibv_qp_attr *attr, int mask)
{
    enum ibv_qp_state from = pair->attr.qp_state;
    enum ibv_qp_state to = (mask & IBV_QP_STATE) != 0 ? attr->qp_state : from;
    if (((mask & IBV_QP_CUR_STATE) != 0 && attr->cur_qp_state != from) ||
        !move_is_legal(from, to, mask)) {
        return EINVAL;
    }
    int error = attributes_refused(pair, attr, mask);
    if (error != 0) {
        return error;
    }
    attributes_take(pair, attr, mask);
    if (to == IBV_QPS_RESET) {
        pair_reset(pair);
    } else if (to == IBV_QPS_ERR) {
        pair_fail(pair);
    }
    pair->attr.qp_state = to;
    pair->qp.state = to;
    return 0;
}

int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int attr_mask)
{
    struct queue_pair *pair = WORLD_OWNER(qp, struct queue_pair, qp);
    world_lock();
    int error = world_verb(FAKE_VERB_MODIFY_QP, pair->hca);
    if (error == 0) {
        error = pair_modify(pair, attr, attr_mask);
        fabric_wake();
    }
    world_unlock();
    return error;
}

int ibv_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int attr_mask,
                 struct ibv_qp_init_attr *init_attr)
{
    (void)attr_mask;
    struct queue_pair *pair = WORLD_OWNER(qp, struct queue_pair, qp);
    world_lock();
    int error = world_verb(FAKE_VERB_QUERY_QP, pair->hca);
    if (error == 0) {
        *attr = pair->attr;
        attr->cur_qp_state = pair->attr.qp_state;
        attr->cap = pair->made.cap;
        *init_attr = pair->made;
    }
    world_unlock();
    return error;
}

int ibv_query_ece(struct ibv_qp *qp, struct ibv_ece *ece)
{
    (void)qp;
    memset(ece, 0, sizeof *ece);
    return 0;
}

int ibv_set_ece(struct ibv_qp *qp, struct ibv_ece *ece)
{
    (void)qp;
    return ece->vendor_id == 0 ? 0 : EOPNOTSUPP;
}
