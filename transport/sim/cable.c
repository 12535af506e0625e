#include "transport/sim/cable.h"

#include <assert.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "transport/sim/faults.h"

#define CABLE_EVENTS (2 * CABLE_CHANNELS + 2) /* a due packet per channel, a loss per end */

/* ---- packets ---- */

struct packet *packet_new(struct sim_network *network, enum packet_kind kind, size_t bytes)
{
    struct packet *packet = malloc(sizeof *packet + bytes);
    if (packet == NULL) {
        return NULL;
    }
    *packet = (struct packet){.kind = kind, .bytes = bytes};
    network->held_bytes += bytes;
    return packet;
}

void packet_free(struct sim_network *network, struct packet *packet)
{
    if (packet == NULL) {
        return;
    }
    assert(network->held_bytes >= packet->bytes);
    network->held_bytes -= packet->bytes;
    free(packet);
}

static void packet_queue_add(struct packet_queue *queue, struct packet *packet)
{
    packet->next = NULL;
    if (queue->first == NULL) {
        queue->first = packet;
    } else {
        queue->last->next = packet;
    }
    queue->last = packet;
}

struct packet *packet_queue_take(struct packet_queue *queue)
{
    struct packet *packet = queue->first;
    if (packet != NULL) {
        queue->first = packet->next;
    }
    return packet;
}

static void packet_queue_clear(struct sim_network *network, struct packet_queue *queue)
{
    struct packet *packet;
    while ((packet = packet_queue_take(queue)) != NULL) {
        packet_free(network, packet);
    }
}

/* ---- transmission ---- */

/* How long `bytes` take at a rate, rounded up; no time where there is no limit. */
static uint64_t duration_ns(size_t bytes, uint64_t rate_Bps)
{
    return rate_Bps == 0 ? 0 : (bytes * NS_PER_S + rate_Bps - 1) / rate_Bps;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Let the packet pass the sender's port and the link, each of which sends one thing at a time: when it departs, how long it takes
 * to be written, and when its last byte arrives. */
static void schedule(struct cable *cable, unsigned side, unsigned channel, struct packet *packet)
{
    struct sim_network *network = cable->network;
    struct sim_endpoint *sender = cable->ends[side].endpoint;
    uint64_t on_port_ns = duration_ns(packet->bytes, sender->port_Bps);
    uint64_t on_link_ns = duration_ns(packet->bytes, cable->link_Bps);
    uint64_t start = network->now_ns;
    uint64_t end = start;
    if (packet->bytes > 0) {
        start = most(start, sender->out_free_ns);
        sender->out_free_ns = start + on_port_ns;
        uint64_t on_link_from = most(start, cable->free_ns[side]);
        cable->free_ns[side] = on_link_from + on_link_ns;
        end = most(sender->out_free_ns, cable->free_ns[side]);
    }
    packet->written_in_ns = most(on_port_ns, on_link_ns);
    packet->departure_ns = end - packet->written_in_ns;
    uint64_t arrival = end + cable->latency_ns;
    arrival += sim_network_random(network, network->config.jitter_ns);
    arrival = most(arrival, cable->channels[side][channel].last_arrival_ns);
    if (!network->config.reorder) {
        arrival = most(arrival, cable->last_arrival_ns[side]);
    }
    packet->arrival_ns = arrival;
}

void cable_transmit(struct cable *cable, unsigned side, unsigned channel, struct packet *packet)
{
    struct channel *way = &cable->channels[side][channel];
    assert(cable->ends[side].endpoint != NULL && !cable->ends[side].endpoint->dead);
    schedule(cable, side, channel, packet);
    way->last_arrival_ns = packet->arrival_ns;
    cable->last_arrival_ns[side] = most(cable->last_arrival_ns[side], packet->arrival_ns);
    cable->ends[side].endpoint->sent += packet->bytes;
    bool first = way->under_way.first == NULL;
    packet_queue_add(&way->under_way, packet);
    if (first) {
        agenda_set(&cable->network->agenda, &way->due, packet->arrival_ns);
    }
}

/* ---- arrival ---- */

static void trace_message(const struct cable *cable, unsigned from, const struct packet *packet)
{
    if (cable->network->config.trace != NULL && packet->ends) {
        const struct sim_endpoint *sender = sim_network_find(cable->network, cable->ends[from].id);
        sim_network_trace(cable->network, "%u>%u lane %u message %llu: %zu bytes", sender->number,
                          cable->ends[1 - from].endpoint->number, packet->lane,
                          (unsigned long long)packet->message, packet->length);
    }
}

/* A cut that the packet met: it is sent again when that is over. Returns when it arrives then, or 0: it met none. */
static uint64_t late_from_cuts_ns(const struct cable *cable, struct packet *packet)
{
    uint64_t now = cable->network->now_ns;
    uint64_t healed;
    while ((healed = faults_cut_until_ns(cable, packet->departure_ns, now)) != 0) {
        packet->departure_ns = healed;
        if (clock_after(healed, cable->latency_ns) > now) {
            return clock_after(healed, cable->latency_ns);
        }
    }
    return 0;
}

/* The receiver's port takes one packet at a time, in step with the wire. Returns when it is done if that is later; else 0. */
static uint64_t late_from_port_ns(struct cable *cable, unsigned side, struct packet *packet)
{
    struct sim_endpoint *receiver = cable->ends[side].endpoint;
    uint64_t now = cable->network->now_ns;
    if (packet->bytes == 0 || packet->port_passed || receiver == NULL) {
        return 0;
    }
    packet->port_passed = true;
    uint64_t start = most(receiver->in_free_ns, now - packet->written_in_ns);
    receiver->in_free_ns = start + duration_ns(packet->bytes, receiver->port_Bps);
    return receiver->in_free_ns > now ? receiver->in_free_ns : 0;
}

/* The end of a direction comes behind its data. Returns when to look again; 0: it is the end. */
static uint64_t late_from_data_ns(const struct channel *way, const struct packet *packet)
{
    if (packet->kind != PACKET_CLOSE) {
        return 0;
    }
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        const struct channel *data = &way->cable->channels[way->from][lane];
        if (data->under_way.first != NULL) {
            return data->due.time_ns;
        }
    }
    return 0;
}

/* If the first packet of a channel is not to be delivered now: when to look again; else 0. */
static uint64_t held_back_until_ns(struct channel *way, struct packet *packet)
{
    uint64_t until = late_from_cuts_ns(way->cable, packet);
    if (until == 0) {
        until = late_from_port_ns(way->cable, 1 - way->from, packet);
    }
    return until != 0 ? until : late_from_data_ns(way, packet);
}

static void deliver(struct channel *way, struct packet *packet, unsigned channel)
{
    struct cable *cable = way->cable;
    struct cable_end *end = &cable->ends[1 - way->from];
    if (end->gone) {
        packet_free(cable->network, packet);
        return;
    }
    if (end->endpoint != NULL) {
        end->endpoint->received += packet->bytes;
        end->endpoint->woken = true;
        trace_message(cable, way->from, packet);
    }
    packet_queue_add(&end->inbox[channel], packet);
}

static void packet_due(struct agenda_event *event)
{
    struct channel *way = (struct channel *)((char *)event - offsetof(struct channel, due));
    struct agenda *agenda = &way->cable->network->agenda;
    struct packet *packet = way->under_way.first;
    assert(packet != NULL);
    uint64_t later = held_back_until_ns(way, packet);
    if (later != 0) {
        packet->arrival_ns = later;
        agenda_set(agenda, &way->due, later);
        return;
    }
    packet_queue_take(&way->under_way);
    if (way->under_way.first != NULL) {
        agenda_set(agenda, &way->due,
                   most(way->under_way.first->arrival_ns, way->cable->network->now_ns));
    }
    deliver(way, packet, (unsigned)(way - way->cable->channels[way->from]));
}

/* ---- loss ---- */

static void loss_due(struct agenda_event *event)
{
    struct cable_end *end = (struct cable_end *)((char *)event - offsetof(struct cable_end, loss));
    end->loss_seen = end->loss_planned;
    if (end->endpoint != NULL) {
        end->endpoint->woken = true;
    }
}

void cable_plan_loss(struct cable *cable, unsigned side, enum cable_loss loss, uint64_t time_ns)
{
    struct cable_end *end = &cable->ends[side];
    if (time_ns == CLOCK_FOREVER || end->loss_seen != CABLE_SOUND ||
        (end->loss.place != 0 && end->loss.time_ns <= time_ns)) {
        return;
    }
    end->loss_planned = loss;
    agenda_set(&cable->network->agenda, &end->loss, most(time_ns, cable->network->now_ns));
}

void cable_discard(struct cable *cable, unsigned side)
{
    for (unsigned channel = 0; channel < CABLE_CHANNELS; channel++) {
        packet_queue_clear(cable->network, &cable->ends[side].inbox[channel]);
    }
}

/* ---- attaching ---- */

static struct cable *cable_find(const struct sim_network *network, const uint8_t *low,
                                const uint8_t *high, uint64_t token)
{
    for (struct cable *cable = network->cables; cable != NULL; cable = cable->next) {
        if (cable->token == token && memcmp(cable->ends[0].id, low, TRANSPORT_ID_BYTES) == 0 &&
            memcmp(cable->ends[1].id, high, TRANSPORT_ID_BYTES) == 0) {
            return cable;
        }
    }
    return NULL;
}

static void cable_shape(struct cable *cable)
{
    const struct sim_network *network = cable->network;
    cable->latency_ns = network->config.latency_ns;
    cable->link_Bps = network->config.link_Bps;
    for (size_t i = 0; i < network->shape_count; i++) {
        const struct sim_shape *shape = &network->shapes[i];
        if (memcmp(shape->a, cable->ends[0].id, TRANSPORT_ID_BYTES) == 0 &&
            memcmp(shape->b, cable->ends[1].id, TRANSPORT_ID_BYTES) == 0) {
            cable->latency_ns = shape->latency_ns;
            cable->link_Bps = shape->link_Bps;
        }
    }
}

static struct cable *cable_new(struct sim_network *network, const uint8_t *low, const uint8_t *high,
                               uint64_t token)
{
    struct cable *cable = calloc(1, sizeof *cable);
    if (cable == NULL || !agenda_reserve(&network->agenda, CABLE_EVENTS)) {
        free(cable);
        return NULL;
    }
    cable->network = network;
    cable->token = token;
    memcpy(cable->ends[0].id, low, TRANSPORT_ID_BYTES);
    memcpy(cable->ends[1].id, high, TRANSPORT_ID_BYTES);
    for (unsigned side = 0; side < 2; side++) {
        cable->ends[side].cable = cable;
        cable->ends[side].loss.happen = loss_due;
        for (unsigned channel = 0; channel < CABLE_CHANNELS; channel++) {
            cable->channels[side][channel].due.happen = packet_due;
            cable->channels[side][channel].cable = cable;
            cable->channels[side][channel].from = side;
        }
    }
    cable_shape(cable);
    *network->cables_end = cable;
    network->cables_end = &cable->next;
    return cable;
}

kolo_status cable_attach(struct cable **cable, unsigned *side, struct sim_endpoint *endpoint,
                         const uint8_t *peer, uint64_t token)
{
    struct sim_network *network = endpoint->network;
    bool high = memcmp(endpoint->id, peer, TRANSPORT_ID_BYTES) > 0;
    const uint8_t *first = high ? peer : endpoint->id;
    const uint8_t *second = high ? endpoint->id : peer;
    struct cable *found = cable_find(network, first, second, token);
    if (found == NULL) {
        found = cable_new(network, first, second, token);
    }
    if (found == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a simulated link");
    }
    if (found->ends[high].endpoint != NULL || found->ends[high].gone) {
        return fail(KOLO_ERR_STATE, "endpoint %u has a link with token %llu to that peer already",
                    endpoint->number, (unsigned long long)token);
    }
    found->ends[high].endpoint = endpoint;
    faults_attached(found, high);
    *cable = found;
    *side = high;
    return KOLO_OK;
}

static void cable_free(struct cable *cable)
{
    struct sim_network *network = cable->network;
    for (unsigned side = 0; side < 2; side++) {
        agenda_remove(&network->agenda, &cable->ends[side].loss);
        cable_discard(cable, side);
        for (unsigned channel = 0; channel < CABLE_CHANNELS; channel++) {
            agenda_remove(&network->agenda, &cable->channels[side][channel].due);
            packet_queue_clear(network, &cable->channels[side][channel].under_way);
        }
    }
    agenda_unreserve(&network->agenda, CABLE_EVENTS);
    struct cable **place = &network->cables;
    while (*place != cable) {
        place = &(*place)->next;
    }
    *place = cable->next;
    if (cable->next == NULL) {
        network->cables_end = place;
    }
    free(cable);
}

void cable_detach(struct cable *cable, unsigned side)
{
    cable->ends[side].endpoint = NULL;
    cable->ends[side].gone = true;
    cable_discard(cable, side);
    if (cable->ends[1 - side].endpoint == NULL) {
        cable_free(cable);
    }
}
