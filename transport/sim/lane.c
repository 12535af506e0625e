#include "transport/sim/lane.h"

#include <assert.h>
#include <stdlib.h>

static const struct sim_network_config *config_of(const struct lane *lane)
{
    return &lane->cable->network->config;
}

static struct packet_queue *inbox(const struct lane *lane)
{
    return &lane->cable->ends[lane->side].inbox[lane->number];
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void lane_init(struct lane *lane, struct cable *cable, unsigned side, unsigned number)
{
    *lane = (struct lane){.cable = cable, .side = side, .number = number};
    /* Both ends know the first grant without being told. */
    lane->grant_bytes = lane->told_bytes = config_of(lane)->window_bytes;
    lane->grant_messages = lane->told_messages = config_of(lane)->window_messages;
}

void lane_clear(struct lane *lane)
{
    if (lane->reserved != NULL) {
        packet_free(lane->cable->network, lane->reserved);
        lane->reserved = NULL;
    }
    free(lane->span_room);
    lane->span_room = NULL;
}

void lane_post(struct transfer_queue *queue, struct transfer *transfer)
{
    assert(transfer->state != TRANSFER_POSTED);
    assert(transfer->data == NULL || transfer->ready <= transfer->length);
    transfer->state = TRANSFER_POSTED;
    transfer->status = KOLO_OK;
    transfer->moved = 0;
    transfer->span = NULL;
    transfer->span_bytes = 0;
    transfer->next = NULL;
    if (queue->first == NULL) {
        queue->first = transfer;
    } else {
        queue->last->next = transfer;
    }
    queue->last = transfer;
}

static void take_first(struct transfer_queue *queue, enum transfer_state state)
{
    struct transfer *first = queue->first;
    queue->first = first->next;
    first->next = NULL;
    first->state = state;
}

/* ---- out ---- */

/* Make the packet that brings the next `bytes` of the first send. NULL: out of memory. */
static struct packet *data_packet(struct lane *lane, size_t bytes)
{
    struct packet *packet = packet_new(lane->cable->network, PACKET_DATA, bytes);
    if (packet == NULL) {
        lane->broken = KOLO_ERR_MEMORY;
    }
    return packet;
}

static void transmit(struct lane *lane, struct packet *packet)
{
    struct transfer *send = lane->sends.first;
    packet->lane = lane->number;
    packet->length = send->length;
    packet->begins = !lane->begun;
    if (packet->begins) {
        memcpy(packet->header, send->header, TRANSPORT_HEADER_BYTES);
        lane->sent_messages++;
    }
    packet->message = lane->sent_messages - 1;
    lane->begun = true;
    lane->sent_bytes += packet->bytes;
    send->moved += packet->bytes;
    packet->ends = send->moved == send->length;
    if (packet->ends) {
        take_first(&lane->sends, TRANSFER_DONE);
        lane->begun = false;
    }
    cable_transmit(lane->cable, lane->side, lane->number, packet);
}

/* How many payload bytes may leave in one packet. */
static size_t room(const struct lane *lane)
{
    const struct transfer *send = lane->sends.first;
    uint64_t credit = lane->grant_bytes - lane->sent_bytes;
    size_t left = least(send->length - send->moved, config_of(lane)->segment_bytes);
    return credit < left ? (size_t)credit : left;
}

static bool send_step(struct lane *lane)
{
    bool happened = false;
    while (lane->sends.first != NULL && lane->broken == KOLO_OK) {
        const struct transfer *send = lane->sends.first;
        if (!lane->begun && lane->sent_messages >= lane->grant_messages) {
            break;
        }
        size_t bytes = 0;
        if (send->data != NULL) {
            assert(send->ready <= send->length && send->moved <= send->ready);
            bytes = least(room(lane), send->ready - send->moved);
        }
        if (bytes == 0 && lane->begun) {
            break;
        }
        struct packet *packet = data_packet(lane, bytes);
        if (packet == NULL) {
            break;
        }
        if (bytes > 0) {
            memcpy(packet->data, send->data + send->moved, bytes);
        }
        transmit(lane, packet);
        happened = true;
    }
    return happened;
}

size_t lane_reserve(struct lane *lane, struct transfer *transfer, uint8_t **place)
{
    assert(transfer->data == NULL);
    *place = NULL;
    send_step(lane); /* the header goes first */
    if (lane->sends.first != transfer || !lane->begun || lane->broken != KOLO_OK) {
        return 0;
    }
    if (lane->reserved == NULL) {
        size_t bytes = room(lane);
        if (bytes == 0) {
            return 0;
        }
        lane->reserved = data_packet(lane, bytes);
    }
    if (lane->reserved == NULL) {
        return 0;
    }
    *place = lane->reserved->data;
    return lane->reserved->bytes;
}

void lane_commit(struct lane *lane, struct transfer *transfer, size_t bytes)
{
    if (transfer->state != TRANSFER_POSTED || lane->reserved == NULL) {
        return; /* the link was lost between the two calls */
    }
    struct packet *packet = lane->reserved;
    assert(lane->sends.first == transfer && bytes <= packet->bytes);
    lane->reserved = NULL;
    lane->cable->network->held_bytes -= packet->bytes - bytes;
    packet->bytes = bytes;
    if (bytes == 0) {
        packet_free(lane->cable->network, packet);
        return;
    }
    transmit(lane, packet);
    send_step(lane);
}

void lane_credit(struct lane *lane, const struct packet *packet)
{
    assert(packet->credit_bytes >= lane->grant_bytes);
    lane->grant_bytes = packet->credit_bytes;
    lane->grant_messages = packet->credit_messages;
}

/* ---- in ---- */

/* Take up to `bytes` of the open message out of what has arrived. Returns how many. */
static size_t take(struct lane *lane, uint8_t *place, size_t bytes)
{
    size_t done = 0;
    bytes = least(bytes, lane->length - lane->taken);
    while (done < bytes && inbox(lane)->first != NULL) {
        struct packet *packet = inbox(lane)->first;
        size_t part = least(bytes - done, packet->bytes - packet->taken);
        memcpy(place + done, packet->data + packet->taken, part);
        packet->taken += part;
        done += part;
        if (packet->taken == packet->bytes) {
            packet_free(lane->cable->network, packet_queue_take(inbox(lane)));
        }
    }
    lane->taken += done;
    lane->taken_bytes += done;
    return done;
}

/* The next message, if its first packet is there. */
static bool open_message(struct lane *lane)
{
    struct packet *packet = inbox(lane)->first;
    if (lane->open || packet == NULL) {
        return lane->open;
    }
    assert(packet->begins && packet->message == lane->taken_messages);
    memcpy(lane->header, packet->header, TRANSPORT_HEADER_BYTES);
    lane->length = packet->length;
    lane->taken = 0;
    lane->open = true;
    lane->matched = false;
    if (packet->bytes == 0) {
        packet_free(lane->cable->network, packet_queue_take(inbox(lane)));
    }
    return true;
}

static void close_message(struct lane *lane)
{
    assert(lane->taken == lane->length);
    lane->receives.first->span = NULL;
    lane->receives.first->span_bytes = 0;
    take_first(&lane->receives, TRANSFER_DONE);
    lane->taken_messages++;
    lane->open = lane->matched = false;
    lane->span_from = lane->span_to = 0;
}

static size_t take_direct(struct lane *lane, struct transfer *receive)
{
    assert(receive->ready <= receive->length && receive->moved <= receive->ready);
    size_t bytes = take(lane, receive->data + receive->moved, receive->ready - receive->moved);
    receive->moved += bytes;
    return bytes;
}

/* Put what has arrived behind the span. */
static size_t take_span(struct lane *lane, struct transfer *receive)
{
    size_t capacity = config_of(lane)->span_bytes & ~(size_t)(SIM_SPAN_MIN - 1);
    if (lane->span_room == NULL && lane->length > 0) {
        lane->span_room = aligned_alloc(SIM_SPAN_MIN, capacity);
        if (lane->span_room == NULL) {
            lane->broken = KOLO_ERR_MEMORY;
            return 0;
        }
    }
    size_t bytes = take(lane, lane->span_room + lane->span_to, capacity - lane->span_to);
    lane->span_to += bytes;
    receive->span_bytes = lane->span_to - lane->span_from;
    receive->span = receive->span_bytes > 0 ? lane->span_room + lane->span_from : NULL;
    return bytes;
}

void lane_release(struct lane *lane, struct transfer *transfer, size_t bytes)
{
    if (transfer->state != TRANSFER_POSTED) {
        return; /* the link was lost meanwhile */
    }
    assert(lane->receives.first == transfer && transfer->data == NULL &&
           bytes <= transfer->span_bytes);
    size_t capacity = config_of(lane)->span_bytes & ~(size_t)(SIM_SPAN_MIN - 1);
    transfer->moved += bytes;
    lane->span_from += bytes;
    size_t kept = lane->span_to - lane->span_from;
    if (bytes > 0 && (kept == 0 || capacity - lane->span_to < capacity / 2)) {
        /* To the front, where room follows; aligned as the message is. */
        size_t front = transfer->moved % LANE_ALIGNMENT;
        memmove(lane->span_room + front, lane->span_room + lane->span_from, kept);
        lane->span_from = front;
        lane->span_to = front + kept;
    }
    transfer->span_bytes = kept;
    transfer->span = kept > 0 ? lane->span_room + lane->span_from : NULL;
    lane_step(lane);
}

/* How far the peer may go, as things stand. */
static void grant(const struct lane *lane, uint64_t *bytes, uint64_t *messages)
{
    const struct sim_network_config *config = config_of(lane);
    *messages = lane->taken_messages + config->window_messages;
    *bytes = lane->taken_bytes + config->window_bytes;
    if (config->window_bytes == 0 && lane->matched) {
        *bytes += least(config->segment_bytes, lane->length - lane->taken);
    }
    if (*bytes < lane->told_bytes) {
        *bytes = lane->told_bytes; /* told for a receive that was cancelled: said is said */
    }
}

/* Tell the peer how far it may go: when it matters to it, or all that came has been taken. */
static void tell_credit(struct lane *lane)
{
    const struct sim_network_config *config = config_of(lane);
    uint64_t bytes;
    uint64_t messages;
    grant(lane, &bytes, &messages);
    assert(bytes >= lane->told_bytes && messages >= lane->told_messages);
    bool more = bytes > lane->told_bytes || messages > lane->told_messages;
    bool much = (bytes - lane->told_bytes) * 4 >= config->window_bytes ||
                (messages - lane->told_messages) * 4 >= config->window_messages;
    if (!more || (!much && inbox(lane)->first != NULL)) {
        return;
    }
    struct packet *packet = packet_new(lane->cable->network, PACKET_CREDIT, 0);
    if (packet == NULL) {
        lane->broken = KOLO_ERR_MEMORY;
        return;
    }
    packet->lane = lane->number;
    packet->credit_bytes = lane->told_bytes = bytes;
    packet->credit_messages = lane->told_messages = messages;
    cable_transmit(lane->cable, lane->side, CABLE_CONTROL, packet);
}

/* One receive: match, then move. Returns true if anything happened. */
static bool receive_first(struct lane *lane)
{
    struct transfer *receive = lane->receives.first;
    if (!lane->matched) {
        if (!transfer_suits(receive, lane->header, lane->length)) {
            /* The message stays: whoever is posted next is compared with it, too. */
            take_first(&lane->receives, TRANSFER_FAILED);
            return true;
        }
        lane->matched = true;
    }
    size_t bytes = receive->data != NULL ? take_direct(lane, receive) : take_span(lane, receive);
    if (receive->moved == receive->length && lane->broken == KOLO_OK) {
        close_message(lane);
        return true;
    }
    return bytes > 0;
}

static bool receive_step(struct lane *lane)
{
    bool happened = false;
    while (lane->receives.first != NULL && lane->broken == KOLO_OK && open_message(lane) &&
           receive_first(lane)) {
        happened = true;
    }
    tell_credit(lane);
    return happened;
}

bool lane_step(struct lane *lane)
{
    bool received = receive_step(lane);
    return send_step(lane) || received;
}

/* ---- ends ---- */

/* Unlink the last transfer of a queue. */
static void drop_last(struct transfer_queue *queue)
{
    struct transfer *last = queue->last;
    if (queue->first == last) {
        queue->first = NULL;
        return;
    }
    struct transfer *before = queue->first;
    while (before->next != last) {
        before = before->next;
    }
    before->next = NULL;
    queue->last = before;
}

bool lane_cancel(struct lane *lane, struct transfer *transfer)
{
    if (lane->sends.first != NULL && lane->sends.last == transfer) {
        if (lane->sends.first == transfer && lane->begun) {
            return false;
        }
        drop_last(&lane->sends);
        return true;
    }
    if (lane->receives.first != NULL && lane->receives.last == transfer) {
        if (lane->receives.first == transfer && lane->matched && lane->taken > 0) {
            return false;
        }
        if (lane->receives.first == transfer) {
            lane->matched = false;
        }
        drop_last(&lane->receives);
        return true;
    }
    return false;
}

bool lane_drained(const struct lane *lane)
{
    return !lane->open && inbox(lane)->first == NULL;
}

bool lane_stranded(const struct lane *lane)
{
    if (lane->sends.first != NULL) {
        return true;
    }
    bool all_taken = lane->open && lane->taken == lane->length;
    return lane->receives.first != NULL && inbox(lane)->first == NULL && !all_taken;
}

static void fail_queue(struct transfer_queue *queue, kolo_status status)
{
    while (queue->first != NULL) {
        queue->first->status = status;
        queue->first->span = NULL;
        queue->first->span_bytes = 0;
        take_first(queue, TRANSFER_FAILED);
    }
}

void lane_fail(struct lane *lane, kolo_status status)
{
    fail_queue(&lane->sends, status);
    fail_queue(&lane->receives, status);
}
