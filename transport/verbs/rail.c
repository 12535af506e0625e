#include "transport/verbs/rail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/verbs/link.h"
#include "transport/verbs/resolver.h"

/* ---- receives ----------------------------------------------------------------------------------------------------- */

/* They take no bytes, only immediates; on iWARP, the words in their place. */
static void post_receives(struct rail *rail, unsigned first, unsigned count)
{
    struct ibv_recv_wr requests[RAIL_REPOST];
    struct ibv_sge words[RAIL_REPOST];
    struct ibv_recv_wr *bad = NULL;
    const struct slots *slots = &rail->link->slots;
    assert(count <= RAIL_REPOST);
    for (unsigned i = 0; i < count; i++) {
        uint32_t *word = slots_words(slots, rail->index) + (first + i) % RAIL_RECEIVES;
        words[i] = (struct ibv_sge){.addr = (uint64_t)(uintptr_t)word,
                                    .length = sizeof *word,
                                    .lkey = slots->regions[rail->index]->lkey};
        requests[i] = (struct ibv_recv_wr){.wr_id = completion_receive_id(rail->id),
                                           .next = i + 1 < count ? &requests[i + 1] : NULL,
                                           .sg_list = rail->iwarp ? &words[i] : NULL,
                                           .num_sge = rail->iwarp};
    }
    int error = ibv_post_recv(rail->pair->qp, requests, &bad);
    if (error != 0) {
        rail_break(rail, KOLO_ERR_SYSTEM, "cannot post receives: %s", strerror(abs(error)));
    }
}

/* One has been used. */
static void repost(struct rail *rail)
{
    rail->heard_word = (rail->heard_word + 1) % RAIL_RECEIVES;
    if (++rail->owed >= RAIL_REPOST) {
        rail->owed = 0;
        post_receives(rail, rail->heard_word + RAIL_RECEIVES - RAIL_REPOST, RAIL_REPOST);
    }
}

/* ---- making ------------------------------------------------------------------------------------------------------- */

struct pair_shape rail_shape(const struct rail *rail)
{
    return (struct pair_shape){.send_cq = rail->cq,
                               .receive_cq = rail->cq,
                               .sends = RAIL_SENDS,
                               .receives = RAIL_RECEIVES,
                               .send_sges = 2,
                               .inline_bytes = RAIL_INLINE_BYTES};
}

void rail_equip(struct rail *rail, struct pair *pair)
{
    rail->pair = pair;
    if (rail->iwarp && pair->inline_bytes < sizeof(uint32_t)) {
        rail_break(rail, KOLO_ERR_SYSTEM, "the device sends nothing inline, and has no immediates");
        return;
    }
    for (unsigned i = 0; i < RAIL_RECEIVES / RAIL_REPOST; i++) {
        post_receives(rail, i * RAIL_REPOST, RAIL_REPOST);
    }
}

kolo_status rail_open(struct rail *rail, struct verbs_link *link, unsigned index)
{
    struct verbs *verbs = link->verbs;
    const struct device_port *port = &verbs->devices.port[index];
    *rail = (struct rail){.link = link,
                          .index = index,
                          .by_cm = meeting_is_needed(&verbs->meeting, port),
                          .iwarp = port->iwarp};
    kolo_status status = completion_join(&rail->cq, &verbs->completion, index);
    if (status != KOLO_OK) {
        return status;
    }
    status = completion_enlist(&rail->id, &verbs->completion, rail);
    if (status != KOLO_OK) {
        goto err_leave_queue;
    }
    if (!rail->by_cm) {
        struct pair_shape shape = rail_shape(rail);
        status = pair_create(&rail->own, port, &shape);
        if (status != KOLO_OK) {
            goto err_delist;
        }
    }
    rail->state = RAIL_MADE;
    if (!rail->by_cm) {
        rail_equip(rail, &rail->own);
    }
    return KOLO_OK;
err_delist:
    completion_delist(&verbs->completion, rail->id);
err_leave_queue:
    completion_leave(&verbs->completion, rail->cq);
    return status;
}

static void stop_looking(struct rail *rail)
{
    rail->link->verbs->looking -= rail->resolution != NULL;
    resolution_end(rail->resolution);
    rail->resolution = NULL;
}

void rail_close(struct rail *rail)
{
    if (rail->state == RAIL_OFF) {
        return;
    }
    struct completion *completion = &rail->link->verbs->completion;
    rail->state = RAIL_OFF;
    rail->pair = NULL;
    cm_connection_close(rail->connection);
    rail->connection = NULL;
    stop_looking(rail);
    pair_destroy(&rail->own);
    completion_delist(completion, rail->id);
    completion_leave(completion, rail->cq);
}

void rail_flush(struct rail *rail)
{
    if (rail->pair != NULL) {
        pair_flush(rail->pair);
    }
}

void rail_aim(struct rail *rail, uint64_t base, uint32_t key, uint32_t hello)
{
    rail->remote = base;
    rail->remote_key = key;
    rail->hello = hello;
}

void rail_greet(struct rail *rail)
{
    rail->state = RAIL_TRYING;
    struct rail_write write = {.remote = rail->remote,
                               .key = rail->remote_key,
                               .announced = true,
                               .immediate = rail->hello,
                               .channel = RAIL_NO_CHANNEL};
    rail_write(rail, &write);
    rail_ring(rail, true);
}

struct pair_settings rail_settings(const struct rail *rail)
{
    return (struct pair_settings){.timeout = rail->link->verbs->ack_timeout,
                                  .retries = LINK_RETRIES};
}

static kolo_status connect_now(struct rail *rail)
{
    struct pair_settings settings = rail_settings(rail);
    kolo_status status = pair_connect(rail->pair, &rail->to, &settings);
    if (status == KOLO_OK) {
        rail_greet(rail);
    }
    return status;
}

kolo_status rail_connect(struct rail *rail, const struct pair_address *remote)
{
    struct verbs *verbs = rail->link->verbs;
    struct pair_settings settings = rail_settings(rail);
    struct ibv_ah_attr route;
    rail->to = *remote;
    kolo_status status = pair_route(&route, rail->pair, remote, &settings);
    if (status != KOLO_OK) {
        return status;
    }
    if (!rail->pair->port->ethernet ||
        resolver_ask(&rail->resolution, verbs->resolver, rail->pair->port->pd, &route) != KOLO_OK) {
        return connect_now(rail); /* at worst it takes a while */
    }
    verbs->looking++;
    rail->state = RAIL_MEETING;
    return KOLO_OK;
}

bool rail_connect_on(struct rail *rail)
{
    int error;
    if (!resolution_is_done(rail->resolution, &error)) {
        return false;
    }
    stop_looking(rail);
    if (rail->state == RAIL_MEETING) {
        kolo_status status =
            error != 0 ? pair_route_failed(rail->pair, &rail->to, error) : connect_now(rail);
        if (status != KOLO_OK) {
            rail_break(rail, status, "%s", kolo_last_error());
        }
    }
    return true;
}

/* From any state to the one that pair_create() leaves it in; the number stays. */
static kolo_status reset(const struct rail *rail)
{
    struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_RESET,
                                     .port_num = rail->pair->port->number,
                                     .qp_access_flags = IBV_ACCESS_LOCAL_WRITE |
                                                        IBV_ACCESS_REMOTE_WRITE |
                                                        IBV_ACCESS_REMOTE_READ};
    int error = ibv_modify_qp(rail->pair->qp, &attributes, IBV_QP_STATE);
    if (error == 0) {
        attributes.qp_state = IBV_QPS_INIT;
        error = ibv_modify_qp(rail->pair->qp, &attributes,
                              IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
    }
    return error == 0 ? KOLO_OK
                      : fail_quietly(KOLO_ERR_SYSTEM, "a queue pair cannot be reset: %s",
                                     strerror(abs(error)));
}

kolo_status rail_connect_again(struct rail *rail)
{
    struct completion *completion = &rail->link->verbs->completion;
    assert(!rail->by_cm && !rail->acked && !rail->heard && rail->pair != NULL);
    completion_delist(completion, rail->id); /* so that completions of before find nobody */
    kolo_status status = completion_enlist(&rail->id, completion, rail);
    assert(status == KOLO_OK); /* there is room: it has just been made */
    status = reset(rail);
    if (status != KOLO_OK) {
        return status;
    }
    rail->state = RAIL_MADE;
    rail->late = false;
    rail->posted = rail->completed = rail->unsignalled = rail->signals = 0;
    rail->chained = rail->owed = rail->heard_word = 0;
    rail->load = 0;
    rail_equip(rail, rail->pair);
    status = connect_now(rail);
    if (status != KOLO_OK) {
        rail->state = RAIL_BROKEN;
    }
    return status;
}

void rail_break(struct rail *rail, kolo_status why, const char *format, ...)
{
    if (rail->state == RAIL_BROKEN || rail->state == RAIL_OFF) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(rail->text, sizeof rail->text, format, arguments);
    va_end(arguments);
    rail->state = RAIL_BROKEN;
    rail->why = why;
    verbs_link_settle_soon(rail->link);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static struct ibv_send_wr *append(struct rail *rail, uint32_t bytes, uint8_t channel,
                                  uint32_t sequence)
{
    if (rail->chained == RAIL_CHAIN) {
        rail_ring(rail, false);
    }
    assert(rail_room(rail) > 0);
    struct rail_work *work = &rail->works[rail->posted++ % RAIL_SENDS];
    *work = (struct rail_work){.sequence = sequence, .bytes = bytes, .channel = channel};
    rail->load += bytes;
    struct ibv_send_wr *request = &rail->chain[rail->chained];
    request->wr_id = rail->id;
    request->next = NULL;
    request->send_flags = 0;
    request->sg_list = rail->parts[rail->chained];
    if (rail->chained > 0) {
        rail->chain[rail->chained - 1].next = request;
    }
    rail->chained++;
    if (++rail->unsignalled == RAIL_SIGNAL_EVERY) {
        work->signalled = true;
        request->send_flags = IBV_SEND_SIGNALED;
        rail->unsignalled = 0;
        rail->signals++;
    }
    return request;
}

/* The message that stands for an immediate. The peer's receives are as many as there are slots: it never waits for one. */
static void announce(struct rail *rail, const struct rail_write *write)
{
    struct ibv_send_wr *request = append(rail, sizeof(uint32_t), write->channel, write->sequence);
    uint32_t *word = &rail->words[rail->chained - 1];
    *word = htonl(write->immediate);
    request->sg_list[0] =
        (struct ibv_sge){.addr = (uint64_t)(uintptr_t)word, .length = sizeof *word};
    request->num_sge = 1;
    request->opcode = IBV_WR_SEND;
    request->send_flags |= IBV_SEND_INLINE;
}

void rail_write(struct rail *rail, const struct rail_write *write)
{
    uint32_t bytes = 0;
    for (int i = 0; i < write->count; i++) {
        bytes += write->parts[i].length;
    }
    bool by_message = write->announced && rail->iwarp;
    if (by_message && bytes == 0) {
        announce(rail, write);
        return;
    }
    struct ibv_send_wr *request =
        append(rail, bytes, by_message ? RAIL_NO_CHANNEL : write->channel, write->sequence);
    request->sg_list[0] = write->parts[0];
    request->sg_list[1] = write->parts[1];
    request->num_sge = write->count;
    request->opcode =
        write->announced && !by_message ? IBV_WR_RDMA_WRITE_WITH_IMM : IBV_WR_RDMA_WRITE;
    request->imm_data = htonl(write->immediate);
    request->wr.rdma.remote_addr = write->remote;
    request->wr.rdma.rkey = write->key;
    if (write->host && bytes <= rail->pair->inline_bytes) {
        request->send_flags |= IBV_SEND_INLINE;
    }
    if (by_message) {
        announce(rail, write);
    }
}

/* Make the last of the chain signalled. */
static void signal_last(struct rail *rail)
{
    struct rail_work *work = &rail->works[(rail->posted - 1) % RAIL_SENDS];
    if (!work->signalled) {
        work->signalled = true;
        rail->chain[rail->chained - 1].send_flags |= IBV_SEND_SIGNALED;
        rail->unsignalled = 0;
        rail->signals++;
    }
}

void rail_ring(struct rail *rail, bool signal)
{
    if (rail->chained == 0) {
        return;
    }
    if (signal) {
        signal_last(rail);
    }
    rail->chained = 0;
    if (rail->state == RAIL_BROKEN) {
        return;
    }
    struct ibv_send_wr *bad = NULL;
    int error = ibv_post_send(rail->pair->qp, rail->chain, &bad);
    if (error != 0) {
        rail_break(rail, KOLO_ERR_SYSTEM, "cannot post sends: %s", strerror(abs(error)));
    }
}

/* On iWARP an answer takes a read, and TCP may wait for one for a quarter of an hour: so we look at the clock. */
static void probe_iwarp(struct rail *rail)
{
    const struct slots *slots = &rail->link->slots;
    uint32_t *words = slots_words(slots, rail->index) + RAIL_RECEIVES;
    struct ibv_send_wr *request = append(rail, 0, RAIL_NO_CHANNEL, 0);
    request->sg_list[0] = (struct ibv_sge){.addr = (uint64_t)(uintptr_t)words,
                                           .length = 2 * sizeof *words,
                                           .lkey = slots->regions[rail->index]->lkey};
    request->num_sge = 1;
    request->opcode = IBV_WR_RDMA_READ;
    request->wr.rdma.remote_addr = rail->remote;
    request->wr.rdma.rkey = rail->remote_key;
    rail->asked_ns = clock_now_ns();
    rail->asked_work = rail->posted - 1;
}

void rail_probe(struct rail *rail)
{
    if (rail->iwarp && rail->asked_ns != 0) {
        if (clock_now_ns() > rail->asked_ns + rail->link->verbs->answer_ns) {
            rail_break(rail, KOLO_ERR_PEER_LOST, "no answer within %.3g s",
                       (double)rail->link->verbs->answer_ns / NS_PER_S);
        }
        return;
    }
    if ((rail->signals > 0 && !rail->iwarp) || rail_room(rail) == 0) {
        return;
    }
    if (rail->iwarp) {
        probe_iwarp(rail);
    } else {
        struct rail_write write = {
            .remote = rail->remote, .key = rail->remote_key, .channel = RAIL_NO_CHANNEL};
        rail_write(rail, &write);
    }
    rail_ring(rail, true);
}

/* ---- completions -------------------------------------------------------------------------------------------------- */

/* A signalled write is done, and so are those before it. */
static bool sent(struct rail *rail)
{
    bool awaited = false;
    for (;;) {
        if (rail->completed == rail->posted) {
            rail_break(rail, KOLO_ERR_INTERNAL, "more completions than work requests");
            return true;
        }
        if (rail->completed == rail->asked_work) {
            rail->asked_ns = 0;
        }
        const struct rail_work *work = &rail->works[rail->completed++ % RAIL_SENDS];
        rail->load -= work->bytes;
        if (work->channel != RAIL_NO_CHANNEL) {
            verbs_link_sent(rail->link, work->channel, work->sequence);
            awaited = true;
        }
        if (work->signalled) {
            rail->signals--;
            break;
        }
    }
    if (!rail->acked) {
        rail->acked = awaited = true;
        verbs_link_settle_soon(rail->link);
    }
    return awaited;
}

bool rail_completed(struct rail *rail, const struct ibv_wc *done, bool receive)
{
    if (rail->state == RAIL_BROKEN && done->status != IBV_WC_SUCCESS) {
        return false;
    }
    if (done->status != IBV_WC_SUCCESS) {
        bool ours = done->status == IBV_WC_LOC_PROT_ERR || done->status == IBV_WC_LOC_LEN_ERR ||
                    done->status == IBV_WC_LOC_QP_OP_ERR;
        rail_break(rail, ours ? KOLO_ERR_SYSTEM : KOLO_ERR_PEER_LOST, "%s (vendor code 0x%x)",
                   pair_explain(done->status), done->vendor_err);
        rail->late = done->status == IBV_WC_RETRY_EXC_ERR;
        return true;
    }
    if (!receive) {
        return sent(rail);
    }
    uint32_t word = done->imm_data;
    if (rail->iwarp) {
        word = slots_words(&rail->link->slots, rail->index)[rail->heard_word];
    }
    if (rail->iwarp ? done->byte_len != sizeof word : (done->wc_flags & IBV_WC_WITH_IMM) == 0) {
        rail_break(rail, KOLO_ERR_PROTOCOL, "the peer sent what is no announcement");
        return true;
    }
    repost(rail);
    verbs_link_arrived(rail->link, rail, ntohl(word));
    return true;
}
