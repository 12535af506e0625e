#include "transport/verbs/cm_connection.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/log.h"

#define DEFAULT_RETRIES 6
#define RNR_FOR_EVER 7
#define RNR_TIMER_640_US 12 /* as pair.c has it */

/* ---- a connection's life ------------------------------------------------------------------------------------------ */

struct cm_connection *cm_connection_add(struct cm *cm)
{
    struct cm_connection *connection = calloc(1, sizeof *connection);
    if (connection != NULL) {
        connection->cm = cm;
        connection->link = &cm->connections;
        connection->next = cm->connections;
        cm->connections = connection;
        if (connection->next != NULL) {
            connection->next->link = &connection->next;
        }
    }
    return connection;
}

void cm_connection_close(struct cm_connection *connection)
{
    if (connection == NULL) {
        return;
    }
    assert(!connection->cm->stepping);
    if (connection->asked) {
        rdma_disconnect(connection->id); /* fails harmlessly when it is over already */
    }
    pair_flush(&connection->pair);
    pair_destroy(&connection->pair);
    if (connection->id != NULL) {
        rdma_destroy_id(connection->id);
    }
    *connection->link = connection->next;
    if (connection->next != NULL) {
        connection->next->link = connection->link;
    }
    free(connection);
}

void cm_connection_lose(struct cm_connection *connection, kolo_status why, const char *format, ...)
{
    if (connection->state == CM_LOST) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(connection->text, sizeof connection->text, format, arguments);
    va_end(arguments);
    connection->state = CM_LOST;
    connection->why = why;
    pair_flush(&connection->pair);
    log_line(LOG_DEBUG, "rdma_cm: connection with %s lost: %s", connection->peer, connection->text);
}

/* The error of a function that has explained itself. */
static void lose_as_said(struct cm_connection *connection, kolo_status why)
{
    cm_connection_lose(connection, why, "%s", kolo_last_error());
}

enum cm_state cm_state(const struct cm_connection *connection, kolo_status *why, const char **text)
{
    if (why != NULL) {
        *why = connection->why;
    }
    if (text != NULL) {
        *text = connection->text;
    }
    return connection->state;
}

struct pair *cm_pair(struct cm_connection *connection)
{
    return connection->pair.qp != NULL ? &connection->pair : NULL;
}

/* ---- the queue pair ----------------------------------------------------------------------------------------------- */

static const struct device_port *port_of(const struct cm *cm, const struct rdma_cm_id *id)
{
    for (unsigned i = 0; id->verbs != NULL && i < cm->devices->ports; i++) {
        const struct device_port *port = &cm->devices->port[i];
        if (port->number == id->port_num &&
            strcmp(port->name, ibv_get_device_name(id->verbs->device)) == 0) {
            return port;
        }
    }
    return NULL;
}

/* rdma_cm knows the path; what the owner has set stands over it. */
static bool move_pair(struct cm_connection *connection, enum ibv_qp_state state, uint8_t reads)
{
    const struct pair_settings *settings = &connection->settings;
    struct ibv_qp_attr attributes = {.qp_state = state};
    int mask = 0;
    if (rdma_init_qp_attr(connection->id, &attributes, &mask) != 0) {
        cm_connection_lose(connection, KOLO_ERR_SYSTEM, "rdma_init_qp_attr for %s: %s",
                           connection->peer, strerror(errno));
        return false;
    }
    if (state == IBV_QPS_INIT) { /* rdma_cm allows nothing before it knows the peer */
        attributes.qp_access_flags |= pair_access(connection->pair.port);
    }
    if (state == IBV_QPS_RTR) {
        attributes.max_dest_rd_atomic = reads;
        attributes.min_rnr_timer = RNR_TIMER_640_US; /* rdma_cm's is 655 ms */
        if (settings->mtu != 0 && settings->mtu < attributes.path_mtu) {
            attributes.path_mtu = settings->mtu;
        }
        attributes.ah_attr.sl =
            settings->service_level != 0 ? settings->service_level : attributes.ah_attr.sl;
        attributes.ah_attr.grh.traffic_class = settings->traffic_class != 0
                                                   ? settings->traffic_class
                                                   : attributes.ah_attr.grh.traffic_class;
    }
    if (state == IBV_QPS_RTS) {
        attributes.max_rd_atomic = reads;
        attributes.timeout = settings->timeout != 0 ? settings->timeout : attributes.timeout;
    }
    int error = ibv_modify_qp(connection->pair.qp, &attributes, mask);
    if (error != 0) {
        cm_connection_lose(connection, KOLO_ERR_SYSTEM, "cannot connect a queue pair with %s: %s",
                           connection->peer, strerror(error));
    }
    return error == 0;
}

static uint8_t lesser(int a, int b)
{
    int least = a < b ? a : b;
    return (uint8_t)(least < 0 ? 0 : least > UINT8_MAX ? UINT8_MAX : least);
}

/* Out: answered, sent: RDMA reads at once in each direction. */
static void count_reads(const struct cm_connection *connection, uint8_t *answered, uint8_t *sent)
{
    const struct ibv_device_attr *limits = &connection->pair.port->limits;
    int wished = connection->settings.reads != 0 ? connection->settings.reads : PAIR_READS_MAX;
    *answered = lesser(limits->max_qp_rd_atom, PAIR_READS_MAX);
    *sent = lesser(limits->max_qp_init_rd_atom, lesser(wished, PAIR_READS_MAX));
}

/* Ask the owner for the shape and make it. False: lost. */
static bool make_pair(struct cm_connection *connection)
{
    struct pair_shape shape = {0};
    const struct device_port *port = port_of(connection->cm, connection->id);
    if (port == NULL) {
        cm_connection_lose(
            connection, KOLO_ERR_STATE,
            "rdma_cm reaches %s by %s, which is not among the RDMA ports used", connection->peer,
            connection->id->verbs != NULL ? ibv_get_device_name(connection->id->verbs->device)
                                          : "no device");
        return false;
    }
    if (!connection->events->shape(connection->owner, &shape, &connection->settings, port)) {
        cm_connection_lose(connection, KOLO_ERR_ABORTED, "refused");
        return false;
    }
    kolo_status status = pair_create(&connection->pair, port, &shape);
    if (status != KOLO_OK) {
        lose_as_said(connection, status);
        return false;
    }
    if (!port->iwarp && !move_pair(connection, IBV_QPS_INIT, 0)) {
        return false; /* the partition may be another one */
    }
    connection->events->created(connection->owner, &connection->pair);
    return true;
}

static bool pair_up(struct cm_connection *connection, uint8_t answered, uint8_t sent)
{
    return connection->pair.port->iwarp || /* the driver does it, as the connection comes up */
           (move_pair(connection, IBV_QPS_RTR, answered) &&
            move_pair(connection, IBV_QPS_RTS, sent));
}

/* ---- its steps ---------------------------------------------------------------------------------------------------- */

void cm_connection_ask(struct cm_connection *connection)
{
    if (!make_pair(connection)) {
        return;
    }
    struct rdma_conn_param parameters = {.private_data = connection->frame,
                                         .private_data_len = connection->frame_bytes,
                                         .retry_count = connection->settings.retries != 0
                                                            ? connection->settings.retries
                                                            : DEFAULT_RETRIES,
                                         .rnr_retry_count = RNR_FOR_EVER,
                                         .qp_num = connection->pair.qp->qp_num};
    count_reads(connection, &parameters.responder_resources, &parameters.initiator_depth);
    if (rdma_connect(connection->id, &parameters) != 0) {
        bool refused = errno == ECONNREFUSED; /* iWARP's TCP connection is made right here */
        cm_connection_lose(connection, refused ? KOLO_ERR_PEER_LOST : KOLO_ERR_SYSTEM,
                           "rdma_connect to %s: %s", connection->peer, strerror(errno));
        return;
    }
    connection->asked = true;
}

void cm_connection_finish(struct cm_connection *connection, const struct cm_happening *happening)
{
    uint8_t answered, sent;
    count_reads(connection, &answered, &sent);
    if (!pair_up(connection, lesser(answered, happening->responder_resources),
                 lesser(sent, happening->initiator_depth))) {
        return;
    }
    if (rdma_establish(connection->id) != 0) {
        cm_connection_lose(connection, KOLO_ERR_SYSTEM, "rdma_establish with %s: %s",
                           connection->peer, strerror(errno));
        return;
    }
    connection->state = CM_UP;
}

void cm_connection_answer(struct cm_connection *connection, const struct cm_happening *happening)
{
    uint8_t answered, sent;
    if (!make_pair(connection)) {
        return;
    }
    count_reads(connection, &answered, &sent);
    struct rdma_conn_param parameters = {
        .responder_resources = lesser(answered, happening->responder_resources),
        .initiator_depth = lesser(sent, happening->initiator_depth),
        .rnr_retry_count = RNR_FOR_EVER,
        .qp_num = connection->pair.qp->qp_num};
    if (!pair_up(connection, parameters.responder_resources, parameters.initiator_depth)) {
        return;
    }
    if (rdma_accept(connection->id, &parameters) != 0) {
        cm_connection_lose(connection, KOLO_ERR_SYSTEM, "rdma_accept of %s: %s", connection->peer,
                           strerror(errno));
        return;
    }
    connection->asked = true;
}

void cm_connection_fail(struct cm_connection *connection, const struct cm_happening *happening)
{
    int error = happening->status < 0 ? -happening->status : happening->status;
    switch (happening->type) {
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
        cm_connection_lose(connection, KOLO_ERR_STATE,
                           "rdma_cm finds no way to %s by an RDMA device: %s", connection->peer,
                           strerror(error));
        return;
    case RDMA_CM_EVENT_REJECTED:
        cm_connection_lose(
            connection, KOLO_ERR_PEER_LOST,
            "%s refused the connection (rdma_cm reason %d): nobody listens there, or not for this",
            connection->peer, error);
        return;
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_CONNECT_ERROR:
        cm_connection_lose(connection, KOLO_ERR_PEER_LOST, "%s does not answer rdma_cm: %s",
                           connection->peer, strerror(error));
        return;
    case RDMA_CM_EVENT_DEVICE_REMOVAL:
        cm_connection_lose(connection, KOLO_ERR_SYSTEM,
                           "the RDMA device of the connection with %s was removed",
                           connection->peer);
        return;
    case RDMA_CM_EVENT_DISCONNECTED:
        cm_connection_lose(connection, KOLO_ERR_PEER_LOST, "%s closed the connection",
                           connection->peer);
        return;
    default: /* an address that changed does not end a connection; time-wait is over */
        return;
    }
}
