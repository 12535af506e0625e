#include "transport/verbs/pair.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/verbs/gid.h"
#include "transport/verbs/limit.h"

#define BITS_24 0xffffffu
#define QP_NUMBER_LEAST 2        /* 0 and 1 are the fabric's own */
#define LID_UNICAST_LAST 0xbfffu /* above are groups */
#define DEFAULT_TIMEOUT 14       /* 4.096 us x 2^14 = 67 ms */
#define TIMEOUT_LAST 31
#define DEFAULT_RETRIES 6
#define RNR_TIMER_640_US                                                                           \
    12 /* of IBTA's table: wait before a receive that was missing is tried again */
#define RNR_FOR_EVER 7
#define HOP_LIMIT 64
#define INLINE_STEP_LEAST 16

/* ---- making ------------------------------------------------------------------------------------------------------- */

static kolo_status create_failed(const struct device_port *port, const struct pair_shape *shape,
                                 int error)
{
    char memlock[LIMIT_TEXT_BYTES];
    char cgroup[LIMIT_TEXT_BYTES];
    uint32_t requests = shape->sends > shape->receives ? shape->sends : shape->receives;
    uint32_t sges = shape->send_sges > shape->receive_sges ? shape->send_sges : shape->receive_sges;
    if (port->limits.max_qp_wr > 0 && requests > (uint32_t)port->limits.max_qp_wr) {
        return fail(KOLO_ERR_SYSTEM,
                    "%s: a queue pair of %u work requests, but the device's max_qp_wr is %d: use "
                    "smaller queues",
                    port->name, requests, port->limits.max_qp_wr);
    }
    if (port->limits.max_sge > 0 && sges > (uint32_t)port->limits.max_sge) {
        return fail(KOLO_ERR_SYSTEM,
                    "%s: work requests of %u pieces, but the device's max_sge is %d", port->name,
                    sges, port->limits.max_sge);
    }
    limit_memlock(memlock);
    limit_cgroup(cgroup, port->name);
    return fail(KOLO_ERR_SYSTEM,
                "%s: cannot create a queue pair: %s (the device's max_qp is %d)%s%s%s%s",
                port->name, strerror(error), port->limits.max_qp, memlock[0] != 0 ? "; " : "",
                memlock, cgroup[0] != 0 ? "; " : "", cgroup);
}

/* Devices differ in what they can take inline, and say so only by refusing. Returns NULL with errno. */
static struct ibv_qp *create_qp(uint32_t *inline_bytes, const struct device_port *port,
                                const struct pair_shape *shape)
{
    uint32_t wish = shape->inline_bytes;
    for (;;) {
        struct ibv_qp_init_attr attributes = {
            .send_cq = shape->send_cq,
            .recv_cq = shape->receive_cq,
            .srq = shape->srq,
            .qp_type = shape->type != 0 ? shape->type : IBV_QPT_RC,
            .cap = {.max_send_wr = shape->sends,
                    .max_recv_wr = shape->srq != NULL ? 0 : shape->receives,
                    .max_send_sge = shape->send_sges > 0 ? shape->send_sges : 1,
                    .max_recv_sge = shape->receive_sges > 0 ? shape->receive_sges : 1,
                    .max_inline_data = wish}};
        errno = 0;
        struct ibv_qp *qp = ibv_create_qp(port->pd, &attributes);
        if (qp != NULL) {
            *inline_bytes = attributes.cap.max_inline_data;
            return qp;
        }
        if (wish == 0) {
            return NULL;
        }
        wish = wish > INLINE_STEP_LEAST ? wish / 2 : 0;
    }
}

unsigned pair_access(const struct device_port *port)
{
    unsigned access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
    return port->limits.atomic_cap != IBV_ATOMIC_NONE && !port->iwarp
               ? access | IBV_ACCESS_REMOTE_ATOMIC
               : access;
}

static kolo_status to_init(const struct pair *pair)
{
    unsigned access = pair_access(pair->port);
    if (pair->qp->qp_type == IBV_QPT_UC) {
        access &= IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
    }
    struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_INIT,
                                     .pkey_index = 0,
                                     .port_num = pair->port->number,
                                     .qp_access_flags = access};
    int error = ibv_modify_qp(pair->qp, &attributes,
                              IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
    if (error != 0) {
        return fail(KOLO_ERR_SYSTEM, "%s:%u: cannot initialise a queue pair: %s", pair->port->name,
                    pair->port->number, strerror(error));
    }
    return KOLO_OK;
}

static uint32_t random_psn(void)
{
    uint32_t psn = 0;
    if (getrandom(&psn, sizeof psn, GRND_NONBLOCK) != (ssize_t)sizeof psn) {
        psn = (uint32_t)(uintptr_t)&psn >> 4; /* only keeps strays of an earlier pair apart */
    }
    return psn & BITS_24;
}

kolo_status pair_create(struct pair *pair, const struct device_port *port,
                        const struct pair_shape *shape)
{
    assert(shape->send_cq != NULL && shape->receive_cq != NULL && shape->sends > 0);
    assert(shape->type == 0 || shape->type == IBV_QPT_RC || shape->type == IBV_QPT_UC);
    *pair = (struct pair){.port = port, .psn = random_psn()};
    pair->qp = create_qp(&pair->inline_bytes, port, shape);
    if (pair->qp == NULL) {
        int error = errno;
        *pair = (struct pair){0};
        return create_failed(port, shape, error);
    }
    kolo_status status = to_init(pair);
    if (status != KOLO_OK) {
        pair_destroy(pair);
    }
    return status;
}

void pair_flush(struct pair *pair)
{
    struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_ERR};
    int error = pair->qp != NULL ? ibv_modify_qp(pair->qp, &attributes, IBV_QP_STATE) : 0;
    if (error != 0) {
        log_line(LOG_DEBUG, "%s: queue pair %u not flushed: %s", pair->port->name, pair->qp->qp_num,
                 strerror(error));
    }
}

void pair_destroy(struct pair *pair)
{
    int error = pair->qp != NULL ? ibv_destroy_qp(pair->qp) : 0;
    if (error != 0) {
        log_line(LOG_WARN, "%s: queue pair not destroyed: %s", pair->port->name, strerror(error));
    }
    *pair = (struct pair){0};
}

/* ---- addresses ---------------------------------------------------------------------------------------------------- */

static uint8_t reads_of(int limit)
{
    return (uint8_t)(limit < 0 ? 0 : limit < PAIR_READS_MAX ? limit : PAIR_READS_MAX);
}

void pair_address(struct pair_address *address, const struct pair *pair)
{
    const struct device_port *port = pair->port;
    assert(pair->qp != NULL);
    *address = (struct pair_address){.qp_number = pair->qp->qp_num & BITS_24,
                                     .psn = pair->psn,
                                     .gid = port->gid,
                                     .lid = port->lid,
                                     .mtu = (uint8_t)port->mtu,
                                     .reads = reads_of(port->limits.max_qp_rd_atom),
                                     .ethernet = port->ethernet,
                                     .gid_type = port->roce_v2};
}

void pair_address_put(struct wire_writer *writer, const struct pair_address *address)
{
    size_t before = writer->length;
    wire_put_u32(writer, address->qp_number);
    wire_put_u32(writer, address->psn);
    wire_put_bytes(writer, address->gid.raw, sizeof address->gid.raw);
    wire_put_u16(writer, address->lid);
    wire_put_u8(writer, address->mtu);
    wire_put_u8(writer, address->reads);
    wire_put_u8(writer, address->ethernet);
    wire_put_u8(writer, address->gid_type);
    assert(writer->length - before <= PAIR_ADDRESS_BYTES);
    (void)before;
}

/* Whether packets may be sent to it at all: not to groups, nor to nobody. */
static bool plausible(const struct pair_address *address, uint8_t ethernet)
{
    if (address->qp_number < QP_NUMBER_LEAST || address->qp_number > BITS_24 ||
        address->psn > BITS_24 || address->mtu < IBV_MTU_256 || address->mtu > IBV_MTU_4096 ||
        ethernet > 1 || address->gid_type > 1) {
        return false;
    }
    if (gid_is_multicast(&address->gid)) {
        return false;
    }
    bool by_gid = gid_reach(&address->gid) != GID_NOWHERE;
    return ethernet ? by_gid
                    : address->gid_type == 0 && address->lid <= LID_UNICAST_LAST &&
                          (by_gid || address->lid != 0);
}

void pair_address_get(struct wire_reader *reader, struct pair_address *address)
{
    struct pair_address read = {0};
    read.qp_number = wire_get_u32(reader);
    read.psn = wire_get_u32(reader);
    wire_get_bytes(reader, read.gid.raw, sizeof read.gid.raw);
    read.lid = wire_get_u16(reader);
    read.mtu = wire_get_u8(reader);
    read.reads = wire_get_u8(reader);
    uint8_t ethernet = wire_get_u8(reader);
    read.ethernet = ethernet == 1;
    read.gid_type = wire_get_u8(reader);
    reader->failed = reader->failed || !plausible(&read, ethernet);
    if (reader->failed) {
        memset(&read, 0, sizeof read);
    }
    *address = read;
}

/* ---- connecting --------------------------------------------------------------------------------------------------- */

static const char *fabric_name(bool ethernet, bool roce_v2)
{
    return gid_type_name(!ethernet ? IBV_GID_TYPE_IB
                         : roce_v2 ? IBV_GID_TYPE_ROCE_V2
                                   : IBV_GID_TYPE_ROCE_V1);
}

static kolo_status check_fabric(const struct device_port *port, const struct pair_address *remote)
{
    bool roce_v2 = remote->gid_type == 1;
    if (port->ethernet != remote->ethernet || (port->ethernet && port->roce_v2 != roce_v2)) {
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "%s:%u is on %s, the peer's port on %s: no queue pair can join them",
                            port->name, port->number, fabric_name(port->ethernet, port->roce_v2),
                            fabric_name(remote->ethernet, roce_v2));
    }
    if (port->iwarp) {
        return fail_quietly(KOLO_ERR_ARGUMENT, "%s is iWARP: rdma_cm has to connect it",
                            port->name);
    }
    if (port->roce_v2 && gid_is_ipv4(&port->gid) != gid_is_ipv4(&remote->gid)) {
        char here[GID_TEXT_BYTES], there[GID_TEXT_BYTES];
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "%s:%u uses GID %u (%s), the peer %s: choose GIDs of one IP version "
                            "(KOLO_VERBS_GID_INDEX)",
                            port->name, port->number, port->gid_index, gid_text(here, &port->gid),
                            gid_text(there, &remote->gid));
    }
    return KOLO_OK;
}

static kolo_status choose_mtu(enum ibv_mtu *mtu, const struct device_port *port,
                              const struct pair_address *remote, enum ibv_mtu wished)
{
    enum ibv_mtu least = remote->mtu < port->mtu ? remote->mtu : port->mtu;
    if (wished > least) {
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "an MTU of %u is more than the %u that %s:%u has and the %u of the "
                            "peer's port: set the interfaces' MTU higher, or ask for less",
                            128u << wished, 128u << port->mtu, port->name, port->number,
                            128u << remote->mtu);
    }
    *mtu = wished != 0 ? wished : least;
    return KOLO_OK;
}

/* On InfiniBand a route header is only needed beyond the subnet; there, the router's LID is written into a site-local prefix
 * (bytes 4 and 5: "FLID"), and without one the peer's own LID is good where the two prefixes share a fabric. */
static void fill_route(struct ibv_ah_attr *route, const struct device_port *port,
                       const struct pair_address *remote, const struct pair_settings *settings)
{
    bool other_subnet = remote->gid.global.subnet_prefix != port->gid.global.subnet_prefix &&
                        !gid_is_zero(&remote->gid);
    uint16_t router = (uint16_t)(remote->gid.raw[4] << 8 | remote->gid.raw[5]);
    bool site_local = remote->gid.raw[0] == 0xfe && (remote->gid.raw[1] & 0xc0) == 0xc0;
    *route = (struct ibv_ah_attr){.sl = settings->service_level, .port_num = port->number};
    if (!port->ethernet) {
        route->dlid = other_subnet && site_local && router > 0 && router <= LID_UNICAST_LAST
                          ? router
                          : remote->lid;
    }
    if (port->ethernet || port->grh || other_subnet || remote->lid == 0) {
        route->is_global = 1;
        route->grh = (struct ibv_global_route){.dgid = remote->gid,
                                               .sgid_index = port->gid_index,
                                               .hop_limit = HOP_LIMIT,
                                               .traffic_class = settings->traffic_class};
    }
}

kolo_status pair_route(struct ibv_ah_attr *route, const struct pair *pair,
                       const struct pair_address *remote, const struct pair_settings *settings)
{
    kolo_status status = check_fabric(pair->port, remote);
    if (status == KOLO_OK) {
        fill_route(route, pair->port, remote, settings);
    }
    return status;
}

kolo_status pair_route_failed(const struct pair *pair, const struct pair_address *remote, int error)
{
    char here[GID_TEXT_BYTES], there[GID_TEXT_BYTES];
    return fail_quietly(
        KOLO_ERR_SYSTEM,
        "%s:%u: no way from GID %u (%s) to %s%s: %s; try to ping it, and look at the "
        "interface's address and routes",
        pair->port->name, pair->port->number, pair->port->gid_index,
        gid_text(here, &pair->port->gid), remote->ethernet ? "" : "LID and GID ",
        gid_text(there, &remote->gid), strerror(error));
}

static kolo_status to_receive(const struct pair *pair, const struct pair_address *remote,
                              const struct pair_settings *settings)
{
    const struct device_port *port = pair->port;
    struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_RTR,
                                     .dest_qp_num = remote->qp_number,
                                     .rq_psn = remote->psn,
                                     .max_dest_rd_atomic = reads_of(port->limits.max_qp_rd_atom),
                                     .min_rnr_timer = RNR_TIMER_640_US};
    int mask = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
    kolo_status status = choose_mtu(&attributes.path_mtu, port, remote, settings->mtu);
    if (status != KOLO_OK) {
        return status;
    }
    if (pair->qp->qp_type == IBV_QPT_RC) {
        mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
    }
    fill_route(&attributes.ah_attr, port, remote, settings);
    int error = ibv_modify_qp(pair->qp, &attributes, mask);
    return error == 0 ? KOLO_OK : pair_route_failed(pair, remote, error);
}

static uint8_t reads_to_send(const struct device_port *port, const struct pair_address *remote,
                             uint8_t wished)
{
    uint8_t most = reads_of(port->limits.max_qp_init_rd_atom);
    most = remote->reads < most ? remote->reads : most;
    return wished != 0 && wished < most ? wished : most;
}

static kolo_status to_send(const struct pair *pair, const struct pair_address *remote,
                           const struct pair_settings *settings)
{
    struct ibv_qp_attr attributes = {
        .qp_state = IBV_QPS_RTS,
        .sq_psn = pair->psn,
        .timeout = settings->timeout != 0 ? settings->timeout : DEFAULT_TIMEOUT,
        .retry_cnt = settings->retries != 0 ? settings->retries : DEFAULT_RETRIES,
        .rnr_retry = RNR_FOR_EVER,
        .max_rd_atomic = reads_to_send(pair->port, remote, settings->reads)};
    int mask = IBV_QP_STATE | IBV_QP_SQ_PSN;
    if (pair->qp->qp_type == IBV_QPT_RC) {
        mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC;
    }
    int error = ibv_modify_qp(pair->qp, &attributes, mask);
    if (error != 0) {
        return fail(KOLO_ERR_SYSTEM, "%s:%u: cannot make a queue pair ready to send: %s",
                    pair->port->name, pair->port->number, strerror(error));
    }
    return KOLO_OK;
}

kolo_status pair_connect(struct pair *pair, const struct pair_address *remote,
                         const struct pair_settings *settings)
{
    assert(pair->qp != NULL && settings->timeout <= TIMEOUT_LAST && settings->retries <= 7);
    assert(settings->service_level <= 15);
    kolo_status status = check_fabric(pair->port, remote);
    if (status == KOLO_OK) {
        status = to_receive(pair, remote, settings);
    }
    return status == KOLO_OK ? to_send(pair, remote, settings) : status;
}

/* ---- explaining --------------------------------------------------------------------------------------------------- */

static const char *const explanations[] = {
    [IBV_WC_SUCCESS] = "success",
    [IBV_WC_LOC_LEN_ERR] =
        "local length error: a message was longer than the receive posted for it, "
        "or than the port can send",
    [IBV_WC_LOC_QP_OP_ERR] = "local queue pair error: the device could not carry out the request",
    [IBV_WC_LOC_EEC_OP_ERR] = "local end-to-end context error",
    [IBV_WC_LOC_PROT_ERR] =
        "local protection error: the request names memory that is not (any more) "
        "registered on this device",
    [IBV_WC_WR_FLUSH_ERR] = "flushed: the queue pair had failed or was closed before; an earlier "
                            "completion says why",
    [IBV_WC_MW_BIND_ERR] = "memory window bind error",
    [IBV_WC_BAD_RESP_ERR] = "bad response: the peer's device answered against the protocol",
    [IBV_WC_LOC_ACCESS_ERR] = "local access error: the peer wrote to memory that does not allow it",
    [IBV_WC_REM_INV_REQ_ERR] =
        "invalid request: the peer's device refused the kind or the length of "
        "the request",
    [IBV_WC_REM_ACCESS_ERR] =
        "remote access error: the peer's device refused the address or the key; "
        "the peer has given that memory up, or is another process than before",
    [IBV_WC_REM_OP_ERR] =
        "remote operation error: the peer's device could not complete the request; "
        "its own log says why",
    [IBV_WC_RETRY_EXC_ERR] =
        "retry exceeded: the peer does not answer; it died, its port is down, or "
        "packets are lost on the way (look at the port's counters and, on RoCE, "
        "at flow control and the MTU of the switches)",
    [IBV_WC_RNR_RETRY_EXC_ERR] = "receiver not ready: the peer has posted no receive for too long",
    [IBV_WC_LOC_RDD_VIOL_ERR] = "local RDD violation",
    [IBV_WC_REM_INV_RD_REQ_ERR] = "invalid RD request",
    [IBV_WC_REM_ABORT_ERR] = "aborted by the peer's device",
    [IBV_WC_INV_EECN_ERR] = "invalid end-to-end context number",
    [IBV_WC_INV_EEC_STATE_ERR] = "invalid end-to-end context state",
    [IBV_WC_FATAL_ERR] = "fatal: the device has failed or was removed",
    [IBV_WC_RESP_TIMEOUT_ERR] = "response time-out: the peer's device does not answer",
    [IBV_WC_GENERAL_ERR] = "general error of the device: the kernel log may say more",
};

const char *pair_explain(enum ibv_wc_status status)
{
    unsigned index = (unsigned)status;
    const char *text =
        index < sizeof explanations / sizeof explanations[0] ? explanations[index] : NULL;
    return text != NULL ? text : "a completion status that this version does not know";
}
