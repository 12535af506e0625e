#include "transport/verbs/meeting.h"

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/verbs/link.h"

/* What travels with the request. */
#define ASK_BYTES (TRANSPORT_ID_BYTES + sizeof(uint64_t) + 1)
static_assert(ASK_BYTES <= CM_PRIVATE_BYTES, "it fits");

struct ask {
    uint8_t who[TRANSPORT_ID_BYTES]; /* asks */
    uint64_t token;                  /* of the link */
    uint8_t rail;
};

static void ask_encode(uint8_t bytes[ASK_BYTES], const struct ask *ask)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = ASK_BYTES};
    wire_put_bytes(&writer, ask->who, sizeof ask->who);
    wire_put_u64(&writer, ask->token);
    wire_put_u8(&writer, ask->rail);
    assert(!writer.failed && writer.length == ASK_BYTES);
}

static bool ask_decode(struct ask *ask, const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    wire_get_bytes(&reader, ask->who, sizeof ask->who);
    ask->token = wire_get_u64(&reader);
    ask->rail = wire_get_u8(&reader);
    return !reader.failed && length == ASK_BYTES;
}

/* ---- what rdma_cm asks -------------------------------------------------------------------------------------------- */

static bool shape(void *owner, struct pair_shape *wanted, struct pair_settings *settings,
                  const struct device_port *port)
{
    struct rail *rail = owner;
    *wanted = rail_shape(rail);
    *settings = rail_settings(rail);
    const struct device_port *own = &rail->link->verbs->devices.port[rail->index];
    return port->context == own->context &&
           port->number == own->number; /* its slots are registered there */
}

static void created(void *owner, struct pair *pair)
{
    rail_equip(owner, pair);
}

static const struct cm_events events = {.shape = shape, .created = created};

static void *asked(void *context, struct cm_connection *connection, const struct cm_events **answer,
                   const uint8_t *data, size_t data_bytes)
{
    struct verbs *verbs = context;
    struct ask ask;
    if (!ask_decode(&ask, data, data_bytes)) {
        return NULL;
    }
    for (struct verbs_link *link = verbs->links; link != NULL; link = link->next) {
        if (link->token != ask.token || link->dials || link->parting || ask.rail >= link->rails ||
            memcmp(link->peer, ask.who, sizeof ask.who) != 0) {
            continue;
        }
        struct rail *rail = &link->rail[ask.rail];
        bool free = rail->state == RAIL_MADE || rail->state == RAIL_MEETING;
        if (free && rail->by_cm && rail->connection == NULL) {
            rail->connection = connection;
            *answer = &events;
            return rail;
        }
    }
    return NULL;
}

/* ---- opening and closing ------------------------------------------------------------------------------------------ */

static bool listen_on(struct verbs *verbs, unsigned port)
{
    struct sockaddr_storage address;
    return cm_address(&address, &verbs->devices.port[port]) &&
           cm_listen(verbs->meeting.cm, &verbs->meeting.bound[port],
                     (const struct sockaddr *)&address, asked, verbs) == KOLO_OK;
}

kolo_status meeting_open(struct verbs *verbs, bool everywhere)
{
    struct meeting *meeting = &verbs->meeting;
    unsigned reachable = 0;
    meeting->everywhere = everywhere;
    for (unsigned i = 0; i < verbs->devices.ports; i++) {
        const struct device_port *port = &verbs->devices.port[i];
        if (!meeting_is_needed(meeting, port)) {
            reachable++;
            continue;
        }
        if (meeting->cm == NULL) {
            kolo_status status = cm_open(&meeting->cm, &verbs->devices);
            if (status != KOLO_OK) {
                return status;
            }
        }
        bool listens = listen_on(verbs, i);
        if (!listens) {
            log_line(LOG_INFO,
                     "verbs: %s:%u cannot be reached by rdma_cm: has its interface an IP "
                     "address?",
                     port->name, port->number);
            verbs->down |= UINT32_C(1) << i;
        }
        reachable += listens;
    }
    return reachable > 0 ? KOLO_OK
                         : fail_quietly(KOLO_ERR_SYSTEM, "no RDMA port can be reached by rdma_cm");
}

void meeting_close(struct meeting *meeting)
{
    cm_close(meeting->cm);
    *meeting = (struct meeting){0};
}

/* ---- rails -------------------------------------------------------------------------------------------------------- */

kolo_status meeting_begin(struct rail *rail, const struct sockaddr_storage *to)
{
    struct verbs_link *link = rail->link;
    rail->state = RAIL_MEETING;
    if (!link->dials) {
        return KOLO_OK;
    }
    struct ask ask = {.token = link->token, .rail = (uint8_t)rail->index};
    uint8_t bytes[ASK_BYTES];
    memcpy(ask.who, link->verbs->self, sizeof ask.who);
    ask_encode(bytes, &ask);
    return cm_dial(&rail->connection, link->verbs->meeting.cm, (const struct sockaddr *)to, bytes,
                   sizeof bytes, LINK_TRYING_NS, &events, rail);
}

/* On iWARP the end that has accepted sends nothing before something has come: what follows the acceptance too closely breaks the connection
 * (RFC 5044, 7.1.2). So the end that has dialled greets first. */
static bool may_greet(const struct rail *rail)
{
    return !rail->iwarp || rail->link->dials || rail->heard;
}

static bool step_rail(struct rail *rail)
{
    kolo_status why;
    const char *text;
    if (rail->state != RAIL_MEETING || rail->connection == NULL) {
        return false;
    }
    switch (cm_state(rail->connection, &why, &text)) {
    case CM_UP:
        if (!may_greet(rail)) {
            return false;
        }
        rail_greet(rail);
        return true;
    case CM_LOST:
        rail_break(rail, KOLO_ERR_PEER_LOST, "%s", text);
        return true;
    default:
        return false;
    }
}

void meeting_heard(struct rail *rail)
{
    (void)step_rail(rail);
}

bool meeting_step(struct verbs *verbs)
{
    if (verbs->meeting.cm == NULL) {
        return false;
    }
    bool any = cm_progress(verbs->meeting.cm);
    for (struct verbs_link *link = verbs->links; link != NULL; link = link->next) {
        for (unsigned i = 0; i < link->rails; i++) {
            any |= step_rail(&link->rail[i]);
        }
    }
    return any;
}
