/* sim: the transport over a simulated network (network.h). A link is one end of a cable with its lanes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/base/wire.h"
#include "transport/sim/lane.h"

#define SIM_MAGIC 0x6d69736f6c6f6bULL /* "kolosim" */
#define SIM_VERSION 1
#define SIM_NAME_MAX 96 /* bytes of a peer's name that are kept */
#define SIM_WHY_MAX 256 /* bytes of the text that explains a loss */
#define SIM_SHOWN 2u    /* messages that a peer shows at a time: see transport_ops.show */

struct sim_link {
    struct link base;
    struct sim_link *next;
    struct cable *cable;
    unsigned side;
    struct link_config config;
    char name[SIM_NAME_MAX];
    enum link_state state;
    bool opened_by_peer; /* the other end has been connected, too */
    bool closed_by_peer; /* nothing more will come than has come */
    kolo_status status;  /* why it is lost */
    char why[SIM_WHY_MAX];
    struct lane lanes[TRANSPORT_LANES];
    struct packet *shown[SIM_SHOWN]; /* by number; NULL: none yet */
    bool awaits_look;                /* what the peer shows is waited for, and was not there */
};

struct sim_transport {
    struct transport base;
    struct sim_endpoint *endpoint;
    struct sim_link *links, **links_end; /* in the order of creation */
};

static struct sim_link *sim_link(const struct link *link)
{
    assert(link->ops == &transport_sim);
    return (struct sim_link *)link;
}

static struct sim_transport *sim_transport(const struct transport *transport)
{
    assert(transport->ops == &transport_sim);
    return (struct sim_transport *)transport;
}

static struct sim_endpoint *endpoint_of(const struct sim_link *link)
{
    return sim_transport(link->base.transport)->endpoint;
}

/* ---- loss ---- */

/* Send a packet that is nothing but its kind. False: out of memory. */
static bool signal_peer(struct sim_link *link, enum packet_kind kind)
{
    struct packet *packet = packet_new(link->cable->network, kind, 0);
    if (packet == NULL) {
        return false;
    }
    cable_transmit(link->cable, link->side, CABLE_CONTROL, packet);
    return true;
}

static void lose(struct sim_link *link, kolo_status status, const char *why)
{
    assert(link->state != LINK_LOST);
    bool tell = link->state != LINK_NEW && !link->closed_by_peer;
    link->state = LINK_LOST;
    link->status = status;
    snprintf(link->why, sizeof link->why, "%s %s", link->name, why);
    log_line(LOG_DEBUG, "sim: link lost: %s", link->why);
    sim_network_trace(link->cable->network, "%u loses %s", endpoint_of(link)->number, link->why);
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        lane_fail(&link->lanes[lane], status);
    }
    cable_discard(link->cable, link->side);
    if (tell && !endpoint_of(link)->dead) {
        (void)signal_peer(link, PACKET_RESET); /* else the peer finds out by silence */
    }
}

/* ---- transport ---- */

static kolo_status sim_create(struct transport **transport, const struct transport_config *config)
{
    struct sim_network *network = config->wire;
    assert(network != NULL);
    struct sim_transport *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a simulated transport");
    }
    made->endpoint = sim_network_add(network, config);
    if (made->endpoint == NULL) {
        free(made);
        return fail(KOLO_ERR_MEMORY, "out of memory for a simulated endpoint");
    }
    made->base.ops = &transport_sim;
    made->links_end = &made->links;
    *transport = &made->base;
    return KOLO_OK;
}

/* Leave the cable and free the link; the transport's list is the caller's matter. */
static void link_free(struct sim_link *link)
{
    if ((link->state == LINK_CONNECTING || link->state == LINK_UP) && !endpoint_of(link)->dead) {
        (void)signal_peer(link, PACKET_CLOSE); /* else the peer finds out by silence */
    }
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        lane_clear(&link->lanes[lane]);
    }
    for (unsigned i = 0; i < SIM_SHOWN; i++) {
        packet_free(link->cable->network, link->shown[i]);
    }
    cable_detach(link->cable, link->side);
    free(link);
}

static void sim_destroy(struct transport *base)
{
    struct sim_transport *transport = sim_transport(base);
    while (transport->links != NULL) {
        struct sim_link *link = transport->links;
        transport->links = link->next;
        link_free(link);
    }
    free(transport);
}

static void sim_count(const struct transport *transport, uint64_t *sent, uint64_t *received)
{
    *sent = sim_transport(transport)->endpoint->sent;
    *received = sim_transport(transport)->endpoint->received;
}

/* ---- links ---- */

struct offer {
    uint64_t magic;
    uint16_t version;
    uint64_t network; /* tells the networks of a process apart */
    uint8_t self[TRANSPORT_ID_BYTES];
    uint64_t token;
    uint8_t dials;
};

static size_t offer_write(uint8_t *bytes, const struct sim_link *link)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = TRANSPORT_OFFER_BYTES};
    wire_put_u64(&writer, SIM_MAGIC);
    wire_put_u16(&writer, SIM_VERSION);
    wire_put_u64(&writer, (uint64_t)(uintptr_t)link->cable->network);
    wire_put_bytes(&writer, endpoint_of(link)->id, TRANSPORT_ID_BYTES);
    wire_put_u64(&writer, link->config.token);
    wire_put_u8(&writer, link->config.dials);
    assert(!writer.failed);
    return writer.length;
}

static bool offer_read(struct offer *offer, const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    offer->magic = wire_get_u64(&reader);
    offer->version = wire_get_u16(&reader);
    offer->network = wire_get_u64(&reader);
    wire_get_bytes(&reader, offer->self, TRANSPORT_ID_BYTES);
    offer->token = wire_get_u64(&reader);
    offer->dials = wire_get_u8(&reader);
    return !reader.failed && reader.offset == length;
}

static kolo_status sim_link_create(struct link **link, uint8_t *offer, size_t *offer_bytes,
                                   struct transport *base, const struct link_config *config)
{
    struct sim_transport *transport = sim_transport(base);
    if (memcmp(config->peer, transport->endpoint->id, TRANSPORT_ID_BYTES) == 0) {
        return fail(KOLO_ERR_ARGUMENT, "a simulated link of an endpoint to itself");
    }
    struct sim_link *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a simulated link");
    }
    kolo_status status =
        cable_attach(&made->cable, &made->side, transport->endpoint, config->peer, config->token);
    if (status != KOLO_OK) {
        free(made);
        return status;
    }
    made->base = (struct link){.ops = &transport_sim, .transport = base};
    made->config = *config;
    snprintf(made->name, sizeof made->name, "%s", config->peer_name ? config->peer_name : "peer");
    made->config.peer_name = made->name;
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        lane_init(&made->lanes[lane], made->cable, made->side, lane);
    }
    *transport->links_end = made;
    transport->links_end = &made->next;
    *offer_bytes = offer_write(offer, made);
    *link = &made->base;
    return KOLO_OK;
}

static kolo_status offer_check(const struct sim_link *link, const struct offer *offer)
{
    if (offer->magic != SIM_MAGIC) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "%s sent an offer that is not this transport's",
                            link->name);
    }
    if (offer->version != SIM_VERSION) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "%s speaks version %u of this transport, not %u",
                            link->name, offer->version, SIM_VERSION);
    }
    if (offer->network != (uint64_t)(uintptr_t)link->cable->network) {
        return fail_quietly(KOLO_ERR_STATE, "%s is on another simulated network", link->name);
    }
    if (offer->token != link->config.token || offer->dials == link->config.dials ||
        memcmp(offer->self, link->config.peer, TRANSPORT_ID_BYTES) != 0) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "%s sent the offer of another link", link->name);
    }
    return KOLO_OK;
}

static kolo_status sim_link_connect(struct link *base, const uint8_t *bytes, size_t length)
{
    struct sim_link *link = sim_link(base);
    if (link->state != LINK_NEW) {
        return fail(KOLO_ERR_STATE, "the link to %s has been connected already", link->name);
    }
    struct offer offer;
    if (!offer_read(&offer, bytes, length)) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "%s sent an offer of %zu bytes, which is none",
                            link->name, length);
    }
    kolo_status status = offer_check(link, &offer);
    if (status != KOLO_OK || endpoint_of(link)->dead) {
        return status;
    }
    if (!signal_peer(link, PACKET_OPEN)) {
        return fail(KOLO_ERR_MEMORY, "out of memory to connect to %s", link->name);
    }
    link->state = LINK_CONNECTING;
    return KOLO_OK;
}

static enum link_state sim_link_state(const struct link *base, kolo_status *why, const char **text)
{
    const struct sim_link *link = sim_link(base);
    if (why != NULL) {
        *why = link->status;
    }
    if (text != NULL) {
        *text = link->why;
    }
    return link->state;
}

static void sim_link_close(struct link *base)
{
    struct sim_link *link = sim_link(base);
    struct sim_transport *transport = sim_transport(base->transport);
    struct sim_link **place = &transport->links;
    while (*place != link) {
        place = &(*place)->next;
    }
    *place = link->next;
    if (link->next == NULL) {
        transport->links_end = place;
    }
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        lane_fail(&link->lanes[lane], KOLO_ERR_ABORTED);
    }
    link_free(link);
}

/* ---- progress ---- */

/* Something broke while a lane was stepped. */
static void lose_if_broken(struct sim_link *link, unsigned lane)
{
    if (link->lanes[lane].broken != KOLO_OK && link->state != LINK_LOST) {
        lose(link, link->lanes[lane].broken, "was cut off: out of memory");
    }
}

static bool step_lane(struct sim_link *link, unsigned lane)
{
    if (link->state != LINK_UP || endpoint_of(link)->dead) {
        return false;
    }
    bool happened = lane_step(&link->lanes[lane]);
    lose_if_broken(link, lane);
    return happened;
}

static void control(struct sim_link *link, const struct packet *packet)
{
    switch (packet->kind) {
    case PACKET_OPEN:
        link->opened_by_peer = true;
        break;
    case PACKET_CREDIT:
        lane_credit(&link->lanes[packet->lane], packet);
        break;
    case PACKET_CLOSE:
        link->closed_by_peer = true;
        break;
    case PACKET_RESET:
        lose(link, KOLO_ERR_PEER_LOST, "gave the link up");
        break;
    case PACKET_WITHDRAWN:
        packet_free(link->cable->network, link->shown[packet->message % SIM_SHOWN]);
        link->shown[packet->message % SIM_SHOWN] = NULL;
        break;
    case PACKET_SHOWN: /* is kept */
    case PACKET_DATA:  /* has channels of its own */
        assert(false);
        break;
    }
}

static void take_shown(struct sim_link *link, struct packet *packet)
{
    struct packet **place = &link->shown[packet->message % SIM_SHOWN];
    packet_free(link->cable->network, *place);
    *place = packet;
}

static bool step_control(struct sim_link *link)
{
    struct packet_queue *inbox = &link->cable->ends[link->side].inbox[CABLE_CONTROL];
    bool happened = false;
    struct packet *packet;
    while (link->state != LINK_LOST && (packet = packet_queue_take(inbox)) != NULL) {
        happened = true;
        if (packet->kind == PACKET_SHOWN) {
            take_shown(link, packet);
            continue;
        }
        control(link, packet);
        packet_free(link->cable->network, packet);
    }
    if (link->state == LINK_CONNECTING && link->opened_by_peer) {
        link->state = LINK_UP;
        sim_network_trace(link->cable->network, "%u is linked with %s", endpoint_of(link)->number,
                          link->name);
    }
    return happened;
}

/* What the network knows of the peer's death or silence. */
static bool step_loss(struct sim_link *link)
{
    enum cable_loss *loss = &link->cable->ends[link->side].loss_seen;
    if (*loss == CABLE_SOUND) {
        return false;
    }
    if (*loss == CABLE_DIED) {
        lose(link, KOLO_ERR_PEER_LOST, "died");
    } else if (link->state == LINK_UP) {
        lose(link, KOLO_ERR_PEER_LOST, "was silent for too long");
    }
    *loss = CABLE_SOUND;
    return true;
}

/* The peer has closed: the link is lost when all that came is received, or when a transfer waits for what cannot come. */
static bool step_close(struct sim_link *link)
{
    if (!link->closed_by_peer) {
        return false;
    }
    bool drained = true;
    bool stranded = false;
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        drained = drained && lane_drained(&link->lanes[lane]);
        stranded = stranded || lane_stranded(&link->lanes[lane]);
    }
    stranded = stranded || link->awaits_look;
    if (drained || stranded || link->state != LINK_UP) {
        lose(link, KOLO_ERR_PEER_LOST, "closed its end");
        return true;
    }
    return false;
}

static bool step_link(struct sim_link *link)
{
    if (link->state == LINK_NEW || link->state == LINK_LOST) {
        return false;
    }
    bool happened = step_control(link);
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        happened = step_lane(link, lane) || happened;
    }
    if (link->state != LINK_LOST) {
        happened = step_loss(link) || happened;
    }
    if (link->state != LINK_LOST) {
        happened = step_close(link) || happened;
    }
    return happened;
}

static bool sim_progress(struct transport *base)
{
    struct sim_transport *transport = sim_transport(base);
    if (transport->endpoint->dead) {
        return false;
    }
    transport->endpoint->woken = false;
    bool happened = false;
    for (struct sim_link *link = transport->links; link != NULL; link = link->next) {
        happened = step_link(link) || happened;
    }
    return happened;
}

/* ---- transfers ---- */

static void post(struct sim_link *link, unsigned lane, struct transfer_queue *queue,
                 struct transfer *transfer)
{
    if (link->state == LINK_LOST) {
        transfer->state = TRANSFER_FAILED;
        transfer->status = link->status;
        return;
    }
    lane_post(queue, transfer);
    step_lane(link, lane);
}

static void sim_send(struct link *base, unsigned lane, struct transfer *transfer)
{
    assert(lane < TRANSPORT_LANES);
    struct sim_link *link = sim_link(base);
    post(link, lane, &link->lanes[lane].sends, transfer);
}

static void sim_receive(struct link *base, unsigned lane, struct transfer *transfer)
{
    assert(lane < TRANSPORT_LANES);
    struct sim_link *link = sim_link(base);
    post(link, lane, &link->lanes[lane].receives, transfer);
}

static void sim_release(struct link *base, unsigned lane, struct transfer *transfer, size_t bytes)
{
    struct sim_link *link = sim_link(base);
    if (endpoint_of(link)->dead) {
        return;
    }
    lane_release(&link->lanes[lane], transfer, bytes);
    lose_if_broken(link, lane);
}

static size_t sim_reserve(struct link *base, unsigned lane, struct transfer *transfer,
                          uint8_t **place)
{
    struct sim_link *link = sim_link(base);
    if (link->state != LINK_UP || endpoint_of(link)->dead) {
        *place = NULL;
        return 0;
    }
    size_t room = lane_reserve(&link->lanes[lane], transfer, place);
    lose_if_broken(link, lane);
    return room;
}

static void sim_commit(struct link *base, unsigned lane, struct transfer *transfer, size_t bytes)
{
    struct sim_link *link = sim_link(base);
    if (endpoint_of(link)->dead) {
        return;
    }
    lane_commit(&link->lanes[lane], transfer, bytes);
    lose_if_broken(link, lane);
}

static void sim_cancel(struct link *base, unsigned lane, struct transfer *transfer)
{
    struct sim_link *link = sim_link(base);
    if (transfer->state != TRANSFER_POSTED) {
        return;
    }
    if (!lane_cancel(&link->lanes[lane], transfer)) {
        lose(link, KOLO_ERR_ABORTED, "was given up: a message was cancelled in its middle");
    }
    transfer->state = TRANSFER_FAILED;
    transfer->status = KOLO_ERR_ABORTED;
}

/* ---- showing: what is shown goes to each peer as a packet, and is kept there ---- */

static void show_to(struct sim_link *link, uint64_t number, const uint8_t *header, const void *data,
                    size_t length)
{
    struct packet *packet = packet_new(link->cable->network, PACKET_SHOWN, length);
    if (packet == NULL) {
        lose(link, KOLO_ERR_MEMORY, "was cut off: out of memory");
        return;
    }
    packet->message = number;
    memcpy(packet->header, header, TRANSPORT_HEADER_BYTES);
    if (length > 0) {
        memcpy(packet->data, data, length);
    }
    cable_transmit(link->cable, link->side, CABLE_CONTROL, packet);
}

static void sim_show(struct transport *base, uint64_t number, const uint8_t *header,
                     const void *data, size_t length)
{
    struct sim_transport *transport = sim_transport(base);
    assert(length <= TRANSPORT_SHOWN_BYTES);
    for (struct sim_link *link = transport->links; link != NULL; link = link->next) {
        if (link->state == LINK_UP && !transport->endpoint->dead) {
            show_to(link, number, header, data, length);
        }
    }
}

static void withdraw_from(struct sim_link *link, uint64_t number)
{
    struct packet *packet = packet_new(link->cable->network, PACKET_WITHDRAWN, 0);
    if (packet == NULL) {
        lose(link, KOLO_ERR_MEMORY, "was cut off: out of memory");
        return;
    }
    packet->message = number;
    cable_transmit(link->cable, link->side, CABLE_CONTROL, packet);
}

static void sim_withdraw(struct transport *base, uint64_t number)
{
    struct sim_transport *transport = sim_transport(base);
    for (struct sim_link *link = transport->links; link != NULL; link = link->next) {
        if (link->state == LINK_UP && !transport->endpoint->dead) {
            withdraw_from(link, number);
        }
    }
}

static bool find_shown(const struct sim_link *link, struct shown *shown, uint64_t number)
{
    const struct packet *packet = link->shown[number % SIM_SHOWN];
    if (packet == NULL || packet->message != number) {
        return false;
    }
    *shown =
        (struct shown){.header = packet->header, .data = packet->data, .length = packet->bytes};
    return true;
}

static enum look sim_look(struct shown *shown, struct link *base, uint64_t number)
{
    struct sim_link *link = sim_link(base);
    link->awaits_look = !find_shown(link, shown, number);
    if (link->awaits_look) {
        step_link(link);
        link->awaits_look = !find_shown(link, shown, number);
    }
    return !link->awaits_look ? LOOK_HERE : link->state == LINK_LOST ? LOOK_NEVER : LOOK_NOT_YET;
}

/* ---- sleep: virtual time has no descriptor, and stands still while its owner sleeps ---- */

static int sim_wait_fd(const struct transport *transport)
{
    (void)transport;
    return -1;
}

static bool sim_arm(struct transport *transport)
{
    return !sim_transport(transport)->endpoint->woken;
}

static void sim_disarm(struct transport *transport)
{
    (void)transport;
}

const struct transport_ops transport_sim = {
    .name = "sim",
    .features = TRANSPORT_RESERVES | TRANSPORT_SHOWS,
    .create = sim_create,
    .destroy = sim_destroy,
    .link_create = sim_link_create,
    .link_connect = sim_link_connect,
    .link_state = sim_link_state,
    .link_close = sim_link_close,
    .send = sim_send,
    .receive = sim_receive,
    .release = sim_release,
    .reserve = sim_reserve,
    .commit = sim_commit,
    .show = sim_show,
    .look = sim_look,
    .withdraw = sim_withdraw,
    .cancel = sim_cancel,
    .progress = sim_progress,
    .wait_fd = sim_wait_fd,
    .arm = sim_arm,
    .disarm = sim_disarm,
    .sleep = NULL,
    .count = sim_count,
};
