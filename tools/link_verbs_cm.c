/* Queue pairs of the RDMA tests through rdma_cm: the server listens on a port of the device, the client dials once for each pair. */
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "tools/link_verbs_bench.h"

#define ADDRESS_BYTES 16

/* What goes with a dial: whose it is, and which pair. */
struct ticket {
    uint64_t token;
    uint32_t index;
};
#define TICKET_BYTES 12

static bool shape(void *owner, struct pair_shape *made, struct pair_settings *settings,
                  const struct device_port *port)
{
    struct link_verbs_lane *lane = owner;
    (void)port;
    link_verbs_shape(made, settings, lane->bench);
    return true;
}

static void created(void *owner, struct pair *pair)
{
    struct link_verbs_lane *lane = owner;
    lane->pair = pair;
}

static const struct cm_events events = {.shape = shape, .created = created};

static void *accept_pair(void *context, struct cm_connection *connection,
                         const struct cm_events **handlers, const uint8_t *data, size_t data_bytes)
{
    struct link_verbs_bench *bench = context;
    struct wire_reader reader = {.bytes = data, .length = data_bytes};
    struct ticket ticket = {.token = wire_get_u64(&reader)};
    ticket.index = wire_get_u32(&reader);
    if (reader.failed || ticket.token != bench->bench.place->token ||
        ticket.index >= bench->bench.place->request->pairs ||
        bench->lanes[ticket.index].connection != NULL) {
        return NULL;
    }
    bench->lanes[ticket.index].connection = connection;
    *handlers = &events;
    return &bench->lanes[ticket.index];
}

kolo_status link_verbs_cm_listen(struct link_verbs_bench *bench)
{
    struct sockaddr_storage address;
    for (unsigned i = 0; i < LINK_PAIRS_MAX; i++) {
        bench->lanes[i].bench = bench;
    }
    if (!cm_address(&address, bench->port)) {
        return fail_quietly(KOLO_ERR_SYSTEM,
                            "%s:%u has no IP address that rdma_cm could listen on: give its "
                            "interface one",
                            bench->port->name, bench->port->number);
    }
    return cm_listen(bench->cm, &bench->listening, (const struct sockaddr *)&address, accept_pair,
                     bench);
}

void link_verbs_cm_put(struct wire_writer *writer, const struct link_verbs_bench *bench)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&bench->listening;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&bench->listening;
    bool is_v6 = bench->listening.ss_family == AF_INET6;
    uint8_t bytes[ADDRESS_BYTES] = {0};
    memcpy(bytes, is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr,
           is_v6 ? sizeof v6->sin6_addr : sizeof v4->sin_addr);
    wire_put_u8(writer, is_v6 ? 6 : 4);
    wire_put_bytes(writer, bytes, sizeof bytes);
    wire_put_u16(writer, ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}

static void get_listening(struct sockaddr_storage *address, struct wire_reader *reader)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    uint8_t bytes[ADDRESS_BYTES];
    *address = (struct sockaddr_storage){0};
    bool is_v6 = wire_get_u8(reader) == 6;
    wire_get_bytes(reader, bytes, sizeof bytes);
    uint16_t port = htons(wire_get_u16(reader));
    if (is_v6) {
        *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
        memcpy(&v6->sin6_addr, bytes, sizeof v6->sin6_addr);
    } else {
        *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        memcpy(&v4->sin_addr, bytes, sizeof v4->sin_addr);
    }
}

static kolo_status dial_all(struct link_verbs_bench *bench, const struct sockaddr_storage *to,
                            uint64_t deadline_ns)
{
    const struct link_place *place = bench->bench.place;
    for (unsigned i = 0; i < place->request->pairs; i++) {
        uint8_t data[TICKET_BYTES];
        struct wire_writer writer = {.bytes = data, .capacity = sizeof data};
        uint64_t now_ns = clock_now_ns();
        bench->lanes[i].bench = bench;
        wire_put_u64(&writer, place->token);
        wire_put_u32(&writer, i);
        kolo_status status = cm_dial(
            &bench->lanes[i].connection, bench->cm, (const struct sockaddr *)to, data, sizeof data,
            deadline_ns > now_ns ? deadline_ns - now_ns : 1, &events, &bench->lanes[i]);
        if (status != KOLO_OK) {
            return status;
        }
    }
    return KOLO_OK;
}

/* How many pairs are connected; a failure if one is lost. */
static kolo_status count_up(unsigned *up, const struct link_verbs_bench *bench)
{
    *up = 0;
    for (unsigned i = 0; i < bench->bench.place->request->pairs; i++) {
        struct cm_connection *connection = bench->lanes[i].connection;
        kolo_status why = KOLO_OK;
        const char *text = NULL;
        enum cm_state state =
            connection != NULL ? cm_state(connection, &why, &text) : CM_CONNECTING;
        if (state == CM_LOST) {
            return fail_quietly(why, "rdma_cm: %s", text != NULL ? text : "no reason is known");
        }
        *up += state == CM_UP;
    }
    return KOLO_OK;
}

kolo_status link_verbs_cm_connect(struct link_verbs_bench *bench, struct wire_reader *address,
                                  uint64_t deadline_ns)
{
    struct sockaddr_storage to;
    unsigned up = 0, pairs = bench->bench.place->request->pairs;
    kolo_status status = KOLO_OK;
    get_listening(&to, address);
    if (bench->bench.place->side == LINK_CLIENT) {
        status = address->failed ? fail_quietly(KOLO_ERR_PROTOCOL, "%s has no rdma_cm address",
                                                bench->bench.place->control->peer)
                                 : dial_all(bench, &to, deadline_ns);
    }
    while (status == KOLO_OK && (status = count_up(&up, bench)) == KOLO_OK && up < pairs) {
        struct pollfd poller = {.fd = cm_fd(bench->cm), .events = POLLIN};
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= deadline_ns) {
            return fail_quietly(KOLO_ERR_TIMEOUT, "rdma_cm has connected %u of %u pairs in time",
                                up, pairs);
        }
        (void)poll(&poller, 1, clock_ms_until(deadline_ns, now_ns, INT_MAX));
        (void)cm_progress(bench->cm);
    }
    return status;
}
