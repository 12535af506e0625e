/* Making and connecting the queue pairs of the RDMA tests, with their completion queues and registered memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"
#include "tools/link_verbs_bench.h"
#include "transport/verbs/registration.h"

#define RECEIVES_LEAST 512 /* of a queue pair, as perftest posts them */
#define INLINE_SEND 236 /* perftest's choices for latency; it sends nothing inline for bandwidth */
#define INLINE_WRITE 220

static uint64_t greatest_size(const struct link_request *request)
{
    uint64_t most = LINK_VERBS_ATOMIC_BYTES;
    for (unsigned i = 0; i < request->size_count; i++) {
        most = request->size_bytes[i] > most ? request->size_bytes[i] : most;
    }
    return most;
}

static uint64_t in_pages(uint64_t bytes)
{
    return (bytes + LINK_VERBS_PAGE_BYTES - 1) / LINK_VERBS_PAGE_BYTES * LINK_VERBS_PAGE_BYTES;
}

static uint32_t capped(uint64_t wish, int limit)
{
    return limit > 0 && wish > (uint64_t)limit ? (uint32_t)limit : (uint32_t)wish;
}

/* `entries`: of a completion queue for each pair. */
static kolo_status check_limits(const struct link_verbs_bench *bench, int entries)
{
    uint32_t pairs = bench->bench.place->request->pairs;
    if (bench->port->limits.max_qp_wr > 0 &&
        bench->send_depth > (uint32_t)bench->port->limits.max_qp_wr) {
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "%s takes %d work requests at a time: use a --depth "
                            "below that",
                            bench->port->name, bench->port->limits.max_qp_wr);
    }
    uint32_t most =
        bench->send_depth > bench->receive_depth ? bench->send_depth : bench->receive_depth;
    if (bench->port->limits.max_cqe > 0 && most > (uint32_t)entries) {
        return fail_quietly(
            KOLO_ERR_ARGUMENT,
            "%s has completion queues of %d entries, which is not enough for %u queue "
            "pairs with %u work requests each: use fewer --pairs or a smaller --depth",
            bench->port->name, bench->port->limits.max_cqe, pairs, most);
    }
    return KOLO_OK;
}

/* How many work requests, how much memory. */
static kolo_status measure_out(struct link_verbs_bench *bench)
{
    const struct link_place *place = bench->bench.place;
    const struct link_request *request = place->request;
    uint64_t size = greatest_size(request);
    bool slots = request->validate && place->test == LINK_SEND;
    uint32_t depth = request->depth > RECEIVES_LEAST / 2 ? 2 * request->depth : RECEIVES_LEAST;
    uint32_t validated = link_request_depth(request, size);
    bench->credited = bench->port->iwarp && place->test == LINK_SEND;
    bench->send_depth = request->depth + 1 + /* one for link_verbs_flush() */
                        (bench->credited ? LINK_VERBS_GRANTS_MAX : 0);
    int entries =
        bench->port->limits.max_cqe / (int)request->pairs; /* of a completion queue for each pair */
    bench->receive_depth =
        slots ? validated : capped(capped(depth, bench->port->limits.max_qp_wr), entries);
    bench->receive_depth = link_verbs_receives(bench) ? bench->receive_depth : 1;
    bench->slots = slots ? bench->receive_depth : 1;
    bench->slot_bytes = size;
    bench->out_stride = in_pages(size);
    bench->in_stride = in_pages(size * bench->slots);
    bench->credit_offset = bench->in_stride * request->pairs; /* never less than the other stride */
    for (unsigned i = 0; i < request->pairs; i++) {
        bench->lanes[i].out_offset = i * bench->out_stride;
        bench->lanes[i].in_offset = i * bench->in_stride;
    }
    return check_limits(bench, entries);
}

static kolo_status make_queues(struct link_verbs_bench *bench)
{
    const struct link_request *request = bench->bench.place->request;
    struct ibv_context *context = bench->port->context;
    int most = bench->port->limits.max_cqe;
    if (request->wait == LINK_WAIT_EVENTS) {
        bench->channel = ibv_create_comp_channel(context);
        if (bench->channel == NULL || fcntl(bench->channel->fd, F_SETFL,
                                            O_NONBLOCK | fcntl(bench->channel->fd, F_GETFL)) != 0) {
            return fail_quietly(KOLO_ERR_SYSTEM, "%s: no completion channel: %s", bench->port->name,
                                strerror(errno));
        }
    }
    uint32_t sends = bench->send_depth * request->pairs;
    uint32_t receives = bench->receive_depth * request->pairs;
    bench->send_cq = ibv_create_cq(context, (int)sends, NULL, bench->channel, 0);
    bench->receive_cq = ibv_create_cq(context, (int)receives, NULL, bench->channel, 0);
    if (bench->send_cq == NULL || bench->receive_cq == NULL) {
        return fail_quietly(
            KOLO_ERR_SYSTEM,
            "%s: no completion queue of %u entries: %s (the device's max_cqe is %d, "
            "max_cq %d)",
            bench->port->name, sends > receives ? sends : receives, strerror(errno), most,
            bench->port->limits.max_cq);
    }
    if (bench->channel != NULL) {
        (void)ibv_req_notify_cq(bench->send_cq, 0);
        (void)ibv_req_notify_cq(bench->receive_cq, 0);
    }
    return KOLO_OK;
}

static kolo_status make_memory(struct link_verbs_bench *bench)
{
    const struct link_place *place = bench->bench.place;
    const struct link_request *request = place->request;
    bool atomics = place->test == LINK_ATOMIC_ADD || place->test == LINK_ATOMIC_CAS;
    unsigned access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
                      (atomics ? IBV_ACCESS_REMOTE_ATOMIC : 0u);
    /* The latency of a write is seen by polling its last byte, which must come last. */
    bool relaxed = place->test != LINK_WRITE || !(request->modes & LINK_LATENCY);
    uint64_t counts = link_verbs_credit_bytes(bench);
    uint64_t out = counts > 0 ? bench->credit_offset + counts : bench->out_stride * request->pairs;
    uint64_t in = bench->in_stride * request->pairs + counts;
    kolo_status status = link_buffer_make(&bench->out, out, request, place->side);
    if (status == KOLO_OK) {
        status = link_buffer_make(&bench->in, in, request, place->side);
    }
    if (status == KOLO_OK && request->validate) {
        status = link_buffer_make(&bench->expected, greatest_size(request), request, place->side);
    }
    if (status == KOLO_OK) {
        status = registration_make(&bench->out_mr, bench->port, bench->out.bytes, bench->out.length,
                                   access, relaxed);
    }
    return status == KOLO_OK ? registration_make(&bench->in_mr, bench->port, bench->in.bytes,
                                                 bench->in.length, access, relaxed)
                             : status;
}

uint32_t link_verbs_inline(const struct link_verbs_bench *bench, unsigned modes)
{
    const struct link_place *place = bench->bench.place;
    if (place->test != LINK_SEND && place->test != LINK_WRITE && place->test != LINK_WRITE_IMM) {
        return 0;
    }
    if (place->request->inline_bytes >= 0) {
        return (uint32_t)place->request->inline_bytes;
    }
    if (!(modes & LINK_LATENCY)) {
        return 0;
    }
    return place->test == LINK_SEND ? INLINE_SEND : INLINE_WRITE;
}

static enum ibv_mtu mtu_of(uint32_t bytes)
{
    enum ibv_mtu mtu = IBV_MTU_256;
    while (bytes != 0 && 128u << mtu < bytes) {
        mtu++;
    }
    return bytes == 0 ? 0 : mtu;
}

void link_verbs_shape(struct pair_shape *shape, struct pair_settings *settings,
                      const struct link_verbs_bench *bench)
{
    const struct link_request *request = bench->bench.place->request;
    *shape = (struct pair_shape){.send_cq = bench->send_cq,
                                 .receive_cq = bench->receive_cq,
                                 .sends = bench->send_depth,
                                 .receives = bench->receive_depth,
                                 .inline_bytes = link_verbs_inline(bench, request->modes)};
    *settings = (struct pair_settings){.mtu = mtu_of(request->mtu),
                                       .service_level = request->service_level,
                                       .traffic_class = request->traffic_class};
}

static kolo_status make_pairs(struct link_verbs_bench *bench)
{
    struct pair_shape shape;
    struct pair_settings settings;
    kolo_status status = KOLO_OK;
    link_verbs_shape(&shape, &settings, bench);
    for (unsigned i = 0; i < bench->bench.place->request->pairs && status == KOLO_OK; i++) {
        struct link_verbs_lane *lane = &bench->lanes[i];
        status = pair_create(&lane->own, bench->port, &shape);
        lane->pair = &lane->own;
    }
    return status;
}

/* What this device or this combination cannot do. */
static kolo_status check(const struct link_verbs_bench *bench)
{
    const struct link_place *place = bench->bench.place;
    const struct link_request *request = place->request;
    bool atomics = place->test == LINK_ATOMIC_ADD || place->test == LINK_ATOMIC_CAS;
    if (bench->port->iwarp && (atomics || place->test == LINK_WRITE_IMM)) {
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "%s is an iWARP device, and iWARP has neither immediate data nor "
                            "atomics: use write, read or send",
                            bench->port->name);
    }
    if (bench->port->iwarp && !request->rdma_cm) {
        return fail_quietly(KOLO_ERR_ARGUMENT, "%s is an iWARP device: use --rdma-cm",
                            bench->port->name);
    }
    if (atomics && bench->port->limits.atomic_cap == IBV_ATOMIC_NONE) {
        return fail_quietly(KOLO_ERR_ARGUMENT, "%s has no atomic operations", bench->port->name);
    }
    if (place->test == LINK_WRITE && request->wait == LINK_WAIT_EVENTS &&
        (request->modes & LINK_LATENCY)) {
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "the arrival of a write makes no event: use --bandwidth with it, or "
                            "send or write-imm for latency with --events");
    }
    return KOLO_OK;
}

kolo_status link_verbs_make(struct link_verbs_bench *bench)
{
    const struct link_place *place = bench->bench.place;
    kolo_status status = check(bench);
    status = status == KOLO_OK ? measure_out(bench) : status;
    status = status == KOLO_OK ? make_queues(bench) : status;
    status = status == KOLO_OK ? make_memory(bench) : status;
    if (status != KOLO_OK) {
        return status;
    }
    if (!place->request->rdma_cm) {
        return make_pairs(bench);
    }
    status = cm_open(&bench->cm, &bench->chosen);
    return status == KOLO_OK && place->side == LINK_SERVER ? link_verbs_cm_listen(bench) : status;
}

void link_verbs_unmake(struct link_verbs_bench *bench)
{
    for (unsigned i = 0; i < LINK_PAIRS_MAX; i++) {
        cm_connection_close(bench->lanes[i].connection);
        pair_destroy(&bench->lanes[i].own);
    }
    cm_close(bench->cm);
    if (bench->out_mr != NULL) {
        ibv_dereg_mr(bench->out_mr);
    }
    if (bench->in_mr != NULL) {
        ibv_dereg_mr(bench->in_mr);
    }
    if (bench->send_cq != NULL) {
        ibv_ack_cq_events(bench->send_cq, bench->send_events);
        ibv_destroy_cq(bench->send_cq);
    }
    if (bench->receive_cq != NULL) {
        ibv_ack_cq_events(bench->receive_cq, bench->receive_events);
        ibv_destroy_cq(bench->receive_cq);
    }
    if (bench->channel != NULL) {
        ibv_destroy_comp_channel(bench->channel);
    }
    link_buffer_free(&bench->out);
    link_buffer_free(&bench->in);
    link_buffer_free(&bench->expected);
}

void link_verbs_put_address(struct wire_writer *address, const struct link_verbs_bench *bench)
{
    const struct link_request *request = bench->bench.place->request;
    wire_put_u64(address, (uintptr_t)bench->out.bytes);
    wire_put_u64(address, (uintptr_t)bench->in.bytes);
    wire_put_u32(address, bench->out_mr->rkey);
    wire_put_u32(address, bench->in_mr->rkey);
    if (request->rdma_cm) {
        link_verbs_cm_put(address, bench);
        return;
    }
    for (unsigned i = 0; i < request->pairs; i++) {
        struct pair_address end;
        pair_address(&end, bench->lanes[i].pair);
        pair_address_put(address, &end);
    }
}

static kolo_status connect_pairs(struct link_verbs_bench *bench, struct wire_reader *address)
{
    struct pair_shape shape;
    struct pair_settings settings;
    link_verbs_shape(&shape, &settings, bench);
    for (unsigned i = 0; i < bench->bench.place->request->pairs; i++) {
        struct pair_address end;
        pair_address_get(address, &end);
        if (address->failed) {
            return fail_quietly(KOLO_ERR_PROTOCOL, "%s has an address that cannot be",
                                bench->bench.place->control->peer);
        }
        kolo_status status = pair_connect(bench->lanes[i].pair, &end, &settings);
        if (status != KOLO_OK) {
            return status;
        }
    }
    return KOLO_OK;
}

static kolo_status check_inline(const struct link_verbs_bench *bench)
{
    int32_t wish = bench->bench.place->request->inline_bytes;
    uint32_t got = bench->lanes[0].pair->inline_bytes;
    return wish > 0 && link_verbs_inline(bench, LINK_BANDWIDTH) > 0 && got < (uint32_t)wish
               ? fail_quietly(KOLO_ERR_ARGUMENT, "%s sends at most %u bytes inline, not %d",
                              bench->port->name, got, wish)
               : KOLO_OK;
}

kolo_status link_verbs_connect(struct link_verbs_bench *bench, struct wire_reader *address,
                               uint64_t deadline_ns)
{
    bench->remote.out_address = wire_get_u64(address);
    bench->remote.in_address = wire_get_u64(address);
    bench->remote.out_key = wire_get_u32(address);
    bench->remote.in_key = wire_get_u32(address);
    kolo_status status = bench->bench.place->request->rdma_cm
                             ? link_verbs_cm_connect(bench, address, deadline_ns)
                             : connect_pairs(bench, address);
    return status == KOLO_OK ? check_inline(bench) : status;
}
