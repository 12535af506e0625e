#include "tools/link_verbs_bench.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

#define SLEEP_MS 20
#define STREAM_POLLS 256        /* in vain, between letting others have the processor */
#define PING_POLLS 4096         /* the same while the time of each answer counts */
#define EVENTS_BETWEEN_LOOKS 64 /* at the clock and at the control connection */
#define CREDITED_SLEEP_MS 1     /* credit makes no event */
#define SMALL_ALIGN 64
#define ACKNOWLEDGE 64 /* events acknowledged together: each time takes a lock */

bool link_verbs_receives(const struct link_verbs_bench *bench)
{
    return bench->bench.place->test == LINK_SEND || bench->bench.place->test == LINK_WRITE_IMM;
}

bool link_verbs_answers(const struct link_verbs_bench *bench)
{
    return link_verbs_receives(bench) || bench->bench.place->test == LINK_WRITE;
}

static kolo_status post_failed(const struct link_verbs_bench *bench, const char *what, int error)
{
    return fail_quietly(KOLO_ERR_SYSTEM, "%s: cannot post a %s: %s", bench->port->name, what,
                        strerror(error < 0 ? -error : error)); /* siw says -22 */
}

static kolo_status post_receives(struct link_verbs_bench *bench, struct link_verbs_lane *lane,
                                 uint32_t count)
{
    assert(count > 0 && count <= LINK_VERBS_BATCH);
    struct ibv_recv_wr requests[LINK_VERBS_BATCH], *bad = NULL;
    struct ibv_sge pieces[LINK_VERBS_BATCH];
    unsigned index = (unsigned)(lane - bench->lanes);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = lane->in_offset + lane->next_slot * bench->slot_bytes;
        pieces[i] = (struct ibv_sge){.addr = (uintptr_t)(bench->in.bytes + offset),
                                     .length = (uint32_t)bench->slot_bytes,
                                     .lkey = bench->in_mr->lkey};
        requests[i] = (struct ibv_recv_wr){.wr_id = (uint64_t)index << 32 | lane->next_slot,
                                           .next = i + 1 < count ? &requests[i + 1] : NULL,
                                           .sg_list = &pieces[i],
                                           .num_sge = 1};
        lane->next_slot = lane->next_slot + 1 == bench->slots ? 0 : lane->next_slot + 1;
    }
    int error = ibv_post_recv(lane->pair->qp, requests, &bad);
    lane->receives += count;
    lane->given += count;
    return error == 0 ? KOLO_OK : post_failed(bench, "receive", error);
}

kolo_status link_verbs_fill(struct link_verbs_bench *bench, struct link_verbs_lane *lane)
{
    kolo_status status = KOLO_OK;
    while (status == KOLO_OK && lane->receives < bench->receive_depth) {
        uint32_t missing = bench->receive_depth - lane->receives;
        status =
            post_receives(bench, lane, missing < LINK_VERBS_BATCH ? missing : LINK_VERBS_BATCH);
    }
    return status;
}

/* Where the next message of a lane is, at both ends. Small ones walk through a page, as perftest's do. */
static uint64_t next_offset(const struct link_verbs_bench *bench, struct link_verbs_lane *lane)
{
    uint64_t size = bench->run->size_bytes, step = (size + SMALL_ALIGN - 1) & ~(SMALL_ALIGN - 1ull);
    uint64_t offset = lane->cycle, next = offset + step;
    if (bench->expected.bytes == NULL && bench->run->mode == LINK_BANDWIDTH) {
        lane->cycle = next + step <= LINK_VERBS_PAGE_BYTES ? next : 0;
    }
    return offset;
}

static void aim(struct ibv_send_wr *request, struct ibv_sge *piece,
                const struct link_verbs_bench *bench, struct link_verbs_lane *lane)
{
    uint64_t offset = next_offset(bench, lane);
    bool reads = bench->opcode == IBV_WR_RDMA_READ;
    *piece = (struct ibv_sge){.addr = (uintptr_t)(reads ? bench->in.bytes + lane->in_offset
                                                        : bench->out.bytes + lane->out_offset) +
                                      offset,
                              .length = (uint32_t)bench->run->size_bytes,
                              .lkey = reads ? bench->in_mr->lkey : bench->out_mr->lkey};
    switch (bench->opcode) {
    case IBV_WR_RDMA_READ:
        request->wr.rdma.remote_addr = bench->remote.out_address + lane->out_offset + offset;
        request->wr.rdma.rkey = bench->remote.out_key;
        break;
    case IBV_WR_RDMA_WRITE:
    case IBV_WR_RDMA_WRITE_WITH_IMM:
        request->wr.rdma.remote_addr = bench->remote.in_address + lane->in_offset + offset;
        request->wr.rdma.rkey = bench->remote.in_key;
        break;
    case IBV_WR_ATOMIC_FETCH_AND_ADD:
    case IBV_WR_ATOMIC_CMP_AND_SWP:
        request->wr.atomic.remote_addr = bench->remote.in_address + lane->in_offset;
        request->wr.atomic.rkey = bench->remote.in_key;
        request->wr.atomic.compare_add = bench->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ? 1 : 0;
        request->wr.atomic.swap = 1;
        break;
    default:
        break;
    }
}

kolo_status link_verbs_post(struct link_verbs_bench *bench, struct link_verbs_lane *lane,
                            uint32_t count, bool last)
{
    assert(count > 0 && count <= LINK_POST_LIST_MAX);
    assert(lane->in_flight + count <= bench->send_depth);
    assert(count <= link_verbs_credit(bench, lane));
    struct ibv_send_wr requests[LINK_POST_LIST_MAX], *bad = NULL;
    struct ibv_sge pieces[LINK_POST_LIST_MAX];
    uint64_t index = (uint64_t)(lane - bench->lanes) << 32;
    for (uint32_t i = 0; i < count; i++) {
        bool ends = last && i + 1 == count;
        bool signals = ++lane->unsignalled >= bench->signal_interval || ends;
        requests[i] = (struct ibv_send_wr){.wr_id = index | lane->unsignalled,
                                           .next = i + 1 < count ? &requests[i + 1] : NULL,
                                           .sg_list = &pieces[i],
                                           .num_sge = 1,
                                           .opcode = bench->opcode,
                                           .send_flags = bench->inline_flag |
                                                         (signals ? IBV_SEND_SIGNALED : 0u)};
        aim(&requests[i], &pieces[i], bench, lane);
        lane->unsignalled = signals ? 0 : lane->unsignalled;
    }
    int error = ibv_post_send(lane->pair->qp, requests, &bad);
    lane->in_flight += count;
    lane->posted += count;
    lane->sent += count;
    lane->left -= count;
    return error == 0 ? KOLO_OK : post_failed(bench, "send", error);
}

kolo_status link_verbs_flush(struct link_verbs_bench *bench, struct link_verbs_lane *lane)
{
    if (lane->unsignalled == 0) {
        return KOLO_OK;
    }
    assert(lane->in_flight < bench->send_depth);
    uint64_t index = (uint64_t)(lane - bench->lanes) << 32;
    struct ibv_send_wr request = {.wr_id = index | (lane->unsignalled + 1),
                                  .opcode = IBV_WR_RDMA_WRITE,
                                  .send_flags = IBV_SEND_SIGNALED,
                                  .wr.rdma.remote_addr = bench->remote.in_address,
                                  .wr.rdma.rkey = bench->remote.in_key};
    struct ibv_send_wr *bad = NULL;
    int error = ibv_post_send(lane->pair->qp, &request, &bad);
    lane->unsignalled = 0;
    lane->in_flight++;
    return error == 0 ? KOLO_OK : post_failed(bench, "write", error);
}

static kolo_status completion_failed(const struct link_verbs_bench *bench,
                                     const struct ibv_wc *completion)
{
    bool lost =
        completion->status == IBV_WC_RETRY_EXC_ERR || completion->status == IBV_WC_WR_FLUSH_ERR;
    return fail_quietly(lost ? KOLO_ERR_PEER_LOST : KOLO_ERR_SYSTEM, "%s: %s: %s",
                        bench->port->name, link_test_name(bench->bench.place->test),
                        pair_explain(completion->status));
}

kolo_status link_verbs_collect(struct link_verbs_bench *bench)
{
    struct ibv_wc completions[LINK_VERBS_BATCH];
    int count = ibv_poll_cq(bench->send_cq, LINK_VERBS_BATCH, completions);
    if (count < 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "%s: cannot poll for completions", bench->port->name);
    }
    for (int i = 0; i < count; i++) {
        if (completions[i].status != IBV_WC_SUCCESS) {
            return completion_failed(bench, &completions[i]);
        }
        struct link_verbs_lane *lane = &bench->lanes[completions[i].wr_id >> 32];
        uint32_t messages = (uint32_t)completions[i].wr_id;
        lane->in_flight -= messages;
        lane->grants -= messages == 0;
        bench->reaped += messages;
    }
    return KOLO_OK;
}

kolo_status link_verbs_reap(struct link_verbs_bench *bench, uint32_t *done)
{
    kolo_status status = link_verbs_collect(bench);
    *done = (uint32_t)bench->reaped;
    bench->reaped = 0;
    return status;
}

/* Look at a message that has come, if that was asked for. */
static void validate(struct link_verbs_bench *bench, const struct ibv_wc *completion)
{
    const struct link_verbs_lane *lane = &bench->lanes[completion->wr_id >> 32];
    uint64_t size = bench->run->size_bytes;
    if (bench->expected.bytes == NULL || bench->bench.place->test != LINK_SEND) {
        return; /* writes go where they like: looked at in the end */
    }
    uint8_t *bytes =
        bench->in.bytes + lane->in_offset + (uint32_t)completion->wr_id * bench->slot_bytes;
    bench->wrong += completion->byte_len != size || memcmp(bytes, bench->expected.bytes, size) != 0;
    memset(bytes, 0, size); /* the next one must write it anew */
}

kolo_status link_verbs_take(struct link_verbs_bench *bench, uint32_t *came)
{
    struct ibv_wc completions[LINK_VERBS_BATCH];
    int count = ibv_poll_cq(bench->receive_cq, LINK_VERBS_BATCH, completions);
    *came = count > 0 ? (uint32_t)count : 0;
    if (count < 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "%s: cannot poll for completions", bench->port->name);
    }
    for (int i = 0; i < count; i++) {
        if (completions[i].status != IBV_WC_SUCCESS) {
            return completion_failed(bench, &completions[i]);
        }
        struct link_verbs_lane *lane = &bench->lanes[completions[i].wr_id >> 32];
        validate(bench, &completions[i]);
        lane->receives--;
        if (bench->receive_depth - lane->receives >= LINK_VERBS_BATCH ||
            lane->receives < bench->receive_depth / 2) {
            kolo_status status = link_verbs_fill(bench, lane);
            if (status != KOLO_OK) {
                return status;
            }
        }
    }
    bench->received += *came;
    return bench->credited ? link_verbs_grant(bench) : KOLO_OK;
}

/* Sleep until a completion or a word of the peer comes. Returns true if it was a completion only. */
static bool sleep_on_channel(struct link_verbs_bench *bench)
{
    struct pollfd fds[2] = {{.fd = bench->channel->fd, .events = POLLIN},
                            {.fd = bench->bench.place->control->fd, .events = POLLIN}};
    struct ibv_cq *cq = NULL;
    void *context = NULL;
    (void)poll(fds, 2, bench->credited ? CREDITED_SLEEP_MS : SLEEP_MS);
    if (fds[0].revents != 0 && /* another one ends the next sleep at once */
        ibv_get_cq_event(bench->channel, &cq, &context) == 0) {
        (void)ibv_req_notify_cq(cq, 0);
        bool sends = cq == bench->send_cq;
        uint32_t *events = sends ? &bench->send_events : &bench->receive_events;
        if (++*events == ACKNOWLEDGE) {
            ibv_ack_cq_events(cq, *events);
            *events = 0;
        }
        return fds[1].revents == 0;
    }
    return false;
}

kolo_status link_verbs_rest(struct link_verbs_bench *bench)
{
    const struct link_place *place = bench->bench.place;
    if (bench->channel != NULL) {
        if (sleep_on_channel(bench) && ++bench->idle_polls % EVENTS_BETWEEN_LOOKS != 0) {
            return KOLO_OK;
        }
    } else {
        uint32_t polls = bench->run->mode == LINK_LATENCY ? PING_POLLS : STREAM_POLLS;
        if (++bench->idle_polls % polls == 0) {
            (void)
                sched_yield(); /* the kernel's network threads may need this processor to receive at all */
        }
        if (bench->idle_polls % LINK_VERBS_POLLS != 0) {
            return KOLO_OK;
        }
    }
    if (clock_now_ns() > bench->run->deadline_ns) {
        return fail_quietly(KOLO_ERR_TIMEOUT, "%s has been silent for too long",
                            place->control->peer);
    }
    return bench->heard_done ? KOLO_OK
                             : link_bench_hear_done(place, &bench->heard_done, bench->promised,
                                                    place->request->pairs);
}
