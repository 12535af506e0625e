/* One message from a queue pair to its peer: where its bytes come from and go to, its pieces, and the receiver's completion. */
#include <stdlib.h>
#include <string.h>

#include "tests/transport/verbs/fake/world.h"

#define PIECE_BYTES_MIN 16u
#define ATOMIC_BYTES 8u

/* Where all bytes of a message are, on both ends. */
struct flow {
    struct stretch from[WORLD_SGES_MAX], to[WORLD_SGES_MAX];
    unsigned froms, tos;
};

static bool is_send(const struct work *work)
{
    return work->opcode == IBV_WR_SEND || work->opcode == IBV_WR_SEND_WITH_IMM;
}

static bool is_write(const struct work *work)
{
    return work->opcode == IBV_WR_RDMA_WRITE || work->opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
}

/* Bits of IBV_ACCESS that the far end must grant; 0 for sends. */
static unsigned access_needed(const struct work *work)
{
    switch (work->opcode) {
    case IBV_WR_RDMA_WRITE:
    case IBV_WR_RDMA_WRITE_WITH_IMM:
        return IBV_ACCESS_REMOTE_WRITE;
    case IBV_WR_RDMA_READ:
        return IBV_ACCESS_REMOTE_READ;
    case IBV_WR_ATOMIC_CMP_AND_SWP:
    case IBV_WR_ATOMIC_FETCH_AND_ADD:
        return IBV_ACCESS_REMOTE_ATOMIC;
    default:
        return 0;
    }
}

/* The sender's own side of it. */
static bool local_find(struct stretch *stretch, unsigned *count, const struct queue_pair *pair,
                       const struct work *work)
{
    if ((work->flags & IBV_SEND_INLINE) != 0) {
        *stretch = (struct stretch){work->inlined, work->length};
        *count = 1;
        return true;
    }
    *count = work->sges;
    unsigned access = is_send(work) || is_write(work) ? 0 : IBV_ACCESS_LOCAL_WRITE;
    return region_local(stretch, pair->qp.pd, work->sge, work->sges, access);
}

static uint64_t remote_bytes(const struct work *work)
{
    return access_needed(work) == IBV_ACCESS_REMOTE_ATOMIC ? ATOMIC_BYTES : work->length;
}

/* What the far end says to a request that names its memory. */
static enum ibv_wc_status remote_find(struct stretch *stretch, const struct queue_pair *peer,
                                      const struct work *work)
{
    unsigned access = access_needed(work);
    bool fetches = !is_write(work);
    if ((peer->attr.qp_access_flags & access) != access ||
        (fetches && peer->attr.max_dest_rd_atomic == 0) ||
        (access == IBV_ACCESS_REMOTE_ATOMIC && work->remote_address % ATOMIC_BYTES != 0)) {
        return IBV_WC_REM_INV_REQ_ERR;
    }
    return region_remote(stretch, peer->qp.pd, work->rkey, work->remote_address, remote_bytes(work),
                         access)
               ? IBV_WC_SUCCESS
               : IBV_WC_REM_ACCESS_ERR;
}

/* Both sides. Returns what the sender sees; out: receiver: what the receive that was matched sees. */
static enum ibv_wc_status flow_find(struct flow *flow, enum ibv_wc_status *receiver,
                                    struct queue_pair *pair, struct queue_pair *peer,
                                    const struct work *work)
{
    bool outward = is_send(work) || is_write(work);
    struct stretch *local = outward ? flow->from : flow->to;
    struct stretch *remote = outward ? flow->to : flow->from;
    unsigned *locals = outward ? &flow->froms : &flow->tos;
    unsigned *remotes = outward ? &flow->tos : &flow->froms;
    *receiver = IBV_WC_SUCCESS;
    if (!local_find(local, locals, pair, work)) {
        return IBV_WC_LOC_PROT_ERR;
    }
    if (!outward && pair->attr.max_rd_atomic == 0) {
        return IBV_WC_LOC_QP_OP_ERR;
    }
    if (!is_send(work)) {
        *remotes = 1;
        return remote_find(remote, peer, work);
    }
    uint64_t room = 0;
    for (unsigned i = 0; i < peer->matched.sges; i++) {
        room += peer->matched.sge[i].length;
    }
    if (room < work->length) {
        *receiver = IBV_WC_LOC_LEN_ERR;
        return IBV_WC_REM_INV_REQ_ERR;
    }
    *remotes = peer->matched.sges;
    if (!region_local(remote, peer->qp.pd, peer->matched.sge, peer->matched.sges,
                      IBV_ACCESS_LOCAL_WRITE)) {
        *receiver = IBV_WC_LOC_PROT_ERR;
        return IBV_WC_REM_OP_ERR;
    }
    return IBV_WC_SUCCESS;
}

/* The first `bytes` at `offset` that lie in one stretch. Returns how many there are. */
static size_t stretch_at(uint8_t **host, const struct stretch *stretch, unsigned count,
                         uint64_t offset, size_t bytes)
{
    for (unsigned i = 0; i < count; i++) {
        if (offset < stretch[i].bytes) {
            *host = stretch[i].host + offset;
            size_t rest = stretch[i].bytes - offset;
            return rest < bytes ? rest : bytes;
        }
        offset -= stretch[i].bytes;
    }
    abort(); /* a message is longer than its memory */
}

static void flow_copy(const struct flow *flow, uint64_t offset, size_t bytes)
{
    while (bytes > 0) {
        uint8_t *from, *to;
        size_t n = stretch_at(&from, flow->from, flow->froms, offset, bytes);
        n = stretch_at(&to, flow->to, flow->tos, offset, n);
        memmove(to, from, n);
        offset += n;
        bytes -= n;
    }
}

static void flow_fill_noise(const struct flow *flow, uint64_t length)
{
    for (uint64_t offset = 0; offset < length;) {
        uint8_t *to;
        size_t n = stretch_at(&to, flow->to, flow->tos, offset, (size_t)(length - offset));
        memset(to, (int)(1 + world_random(255)), n);
        offset += n;
    }
}

/* Volume 1, 9.9.3: the receiver of a bad request fails, too; if it had taken a receive for it, that one says why. */
static void peer_suffers(struct queue_pair *peer, enum ibv_wc_status sender,
                         enum ibv_wc_status receiver)
{
    if (peer->is_matched && receiver != IBV_WC_SUCCESS) {
        peer->is_matched = false;
        pair_complete_receive(peer, &peer->matched, receiver, NULL);
    } else if (sender == IBV_WC_REM_ACCESS_ERR) {
        event_raise(peer->qp.context, IBV_EVENT_QP_ACCESS_ERR, &peer->qp, 0);
    } else if (sender == IBV_WC_REM_INV_REQ_ERR) {
        event_raise(peer->qp.context, IBV_EVENT_QP_REQ_ERR, &peer->qp, 0);
    }
    pair_fail(peer);
}

/* Take the next receive of `peer` for a message. False: there is none. */
static bool receive_take(struct queue_pair *peer)
{
    struct receives *receives = peer->receives;
    if (peer->feign_not_ready > 0) {
        peer->feign_not_ready--;
        return false;
    }
    if (receives->taken == receives->posted) {
        return false;
    }
    const struct receive *receive = &receives->slot[receives->taken++ % receives->slots];
    peer->matched = *receive;
    peer->matched.sge = peer->matched_sge;
    memcpy(peer->matched_sge, receive->sge, receive->sges * sizeof *receive->sge);
    peer->is_matched = true;
    if (peer->qp.srq != NULL) {
        struct shared_receives *shared = WORLD_OWNER(peer->qp.srq, struct shared_receives, srq);
        if (receives->posted - receives->taken < shared->limit) {
            shared->limit = 0; /* told once: ibv_modify_srq(3) */
            event_raise(peer->qp.context, IBV_EVENT_SRQ_LIMIT_REACHED, peer->qp.srq, 0);
        }
    }
    return true;
}

static enum outcome transfer_refuse(struct queue_pair *peer, enum ibv_wc_status *status,
                                    enum ibv_wc_status sender, enum ibv_wc_status receiver)
{
    *status = sender;
    if (sender != IBV_WC_LOC_PROT_ERR && sender != IBV_WC_LOC_QP_OP_ERR) {
        peer_suffers(peer, sender, receiver);
    }
    return OUTCOME_ERROR;
}

/* Packets of one size on both ends, or long messages do not fit together. */
static bool packets_fit(const struct queue_pair *pair, const struct queue_pair *peer,
                        const struct work *work)
{
    enum ibv_mtu a = pair->attr.path_mtu, b = peer->attr.path_mtu, lesser = a < b ? a : b;
    return a == b || work->length <= 128u << lesser;
}

enum outcome transfer_begin(struct queue_pair *pair, struct queue_pair *peer, struct work *work,
                            bool is_first, enum ibv_wc_status *status)
{
    struct flow flow;
    enum ibv_wc_status receiver = IBV_WC_SUCCESS;
    if (!is_first && !is_write(work)) {
        return OUTCOME_NOT_READY;
    }
    if (is_send(work) && !peer->is_matched && !receive_take(peer)) {
        return OUTCOME_NOT_READY;
    }
    enum ibv_wc_status sender = packets_fit(pair, peer, work)
                                    ? flow_find(&flow, &receiver, pair, peer, work)
                                    : IBV_WC_REM_INV_REQ_ERR;
    if (sender != IBV_WC_SUCCESS) {
        return is_first ? transfer_refuse(peer, status, sender, receiver) : OUTCOME_NOT_READY;
    }
    if (world.garbage && (is_send(work) || is_write(work))) {
        flow_fill_noise(&flow, work->length);
    }
    uint64_t pieces_max = work->length / PIECE_BYTES_MIN + 1;
    pieces_max = pieces_max < WORLD_PIECES_MAX ? pieces_max : WORLD_PIECES_MAX;
    bool atomic = access_needed(work) == IBV_ACCESS_REMOTE_ATOMIC;
    work->pieces =
        world.order == FAKE_PROMPT || atomic ? 1 : 1 + (unsigned)world_random(pieces_max);
    work->placed = 0;
    return OUTCOME_DONE;
}

static void atomic_do(const struct flow *flow, const struct work *work)
{
    uint64_t old, value;
    memcpy(&old, flow->from[0].host, sizeof old);
    if (work->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
        value = old + work->compare_add;
    } else {
        value = old == work->compare_add ? work->swap : old;
    }
    memcpy(flow->from[0].host, &value, sizeof value);
    uint8_t *to;
    for (size_t done = 0; done < sizeof old;) {
        size_t n = stretch_at(&to, flow->to, flow->tos, done, sizeof old - done);
        memcpy(to, (const uint8_t *)&old + done, n);
        done += n;
    }
}

enum outcome transfer_place(struct queue_pair *pair, struct queue_pair *peer, struct work *work,
                            unsigned piece, enum ibv_wc_status *status)
{
    struct flow flow;
    enum ibv_wc_status receiver;
    enum ibv_wc_status sender = flow_find(&flow, &receiver, pair, peer, work);
    if (sender != IBV_WC_SUCCESS) {
        return transfer_refuse(peer, status, sender, receiver);
    }
    if (access_needed(work) == IBV_ACCESS_REMOTE_ATOMIC) {
        if (work->length != ATOMIC_BYTES) {
            return transfer_refuse(peer, status, IBV_WC_LOC_PROT_ERR, receiver);
        }
        atomic_do(&flow, work);
    } else {
        uint64_t from = work->length * piece / work->pieces;
        uint64_t to = work->length * (piece + 1) / work->pieces;
        flow_copy(&flow, from, (size_t)(to - from));
    }
    work->placed |= UINT64_C(1) << piece;
    return OUTCOME_DONE;
}

enum outcome transfer_end(struct queue_pair *pair, struct queue_pair *peer, struct work *work)
{
    if (work->opcode == IBV_WR_RDMA_WRITE_WITH_IMM && !peer->is_matched && !receive_take(peer)) {
        return OUTCOME_NOT_READY;
    }
    if (peer->is_matched) {
        peer->is_matched = false;
        pair_complete_receive(peer, &peer->matched, IBV_WC_SUCCESS, work);
    }
    pair->delivered++;
    return OUTCOME_DONE;
}
