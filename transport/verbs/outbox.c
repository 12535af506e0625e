#include "transport/verbs/outbox.h"

#include "transport/verbs/link.h"

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

/* What of the head's message may go out now and has not. */
static size_t sendable(const struct transfer *transfer)
{
    return least(transfer->ready, transfer->length) - transfer->scratch;
}

/* The head's bytes from..from+bytes, of that kind, are the next frame: write down its header and what it is made of. */
static struct flight *compose(struct outbox *box, struct transfer *transfer, enum frame_kind kind,
                              size_t bytes)
{
    struct credit_out *out = box->out;
    struct flight *flight = credit_flight(out, out->next);
    struct frame frame = {.sequence = out->next,
                          .bytes = (uint32_t)bytes,
                          .offset = transfer->scratch,
                          .length = transfer->length,
                          .kind = kind};
    memcpy(frame.header, transfer->header, sizeof frame.header);
    verbs_link_credits(box->link, &frame);
    frame_encode(slots_out(&box->link->slots, box->lane, out->next), &frame);
    *flight = (struct flight){.bytes = (uint32_t)bytes,
                              .pad = (uint16_t)(transfer->scratch % FRAME_ALIGN),
                              .kind = (uint8_t)kind};
    return flight;
}

/* The frame is on its way. */
static void account(struct outbox *box, struct transfer *transfer, struct flight *flight,
                    const struct rail *rail)
{
    size_t bytes = flight->bytes;
    flight->rail = (uint8_t)rail->index;
    box->begun = true;
    box->out->next++;
    box->sent_bytes += bytes;
    transfer->scratch += bytes;
    if (box->tracked) {
        flight->transfer = transfer;
    } else {
        transfer->moved += bytes;
    }
    if (transfer->scratch == transfer->length) {
        queue_pop(&box->queue);
        box->number++;
        box->begun = false;
        if (!box->tracked) {
            transfer->state = TRANSFER_DONE;
        }
    }
}

static const struct outbox_grant *granted(const struct outbox *box, const struct transfer *transfer)
{
    const struct outbox_grant *grant = &box->grants[box->number % OUTBOX_GRANTS];
    bool good = grant->valid && grant->number == box->number && grant->length == transfer->length &&
                memcmp(grant->header, transfer->header, sizeof grant->header) == 0;
    return good ? grant : NULL;
}

/* Can the rail send from the transfer's memory? The spare need not. */
static bool registered(const struct outbox *box, const struct transfer *transfer,
                       const struct rail *rail)
{
    return rail->index != SPARE_RAIL &&
           registrations_find(box->link->verbs->registrations, rail->index, transfer->data,
                              transfer->length) != NULL;
}

/* A tracked message: straight from its memory, to its destination if that is known. False: its memory is not registered. */
static bool send_tracked(struct outbox *box, struct transfer *transfer, struct rail *rail,
                         size_t limit)
{
    const struct outbox_grant *grant = granted(box, transfer);
    const uint8_t *data = transfer->data + transfer->scratch;
    if (!registered(box, transfer, rail)) {
        return false;
    }
    size_t room = grant != NULL ? FRAME_PUT_BYTES : frame_room(transfer->scratch);
    struct flight *flight =
        compose(box, transfer, grant != NULL ? FRAME_PUT : FRAME_COPY, least(limit, room));
    flight->data = data;
    if (grant != NULL) {
        flight->remote = grant->address + transfer->scratch;
        memcpy(flight->keys, grant->keys, sizeof flight->keys);
    }
    verbs_link_post(box->link, rail, box->lane, box->out->next);
    account(box, transfer, flight, rail);
    return true;
}

static void send_copied(struct outbox *box, struct transfer *transfer, struct rail *rail,
                        size_t limit)
{
    size_t offset = transfer->scratch;
    struct flight *flight = compose(box, transfer, FRAME_COPY, least(limit, frame_room(offset)));
    uint8_t *slot = slots_out(&box->link->slots, box->lane, box->out->next);
    if (flight->bytes > 0) {
        memcpy(slot + frame_payload(offset), transfer->data + offset, flight->bytes);
    }
    verbs_link_post(box->link, rail, box->lane, box->out->next);
    account(box, transfer, flight, rail);
}

/* A little of a long message waits for more of it, as long as something is under way that will have us called again. */
static bool holds_back(const struct outbox *box, const struct transfer *transfer, size_t limit)
{
    return limit < OUTBOX_TINY_BYTES && transfer->scratch + limit < transfer->length &&
           verbs_link_is_busy(box->link);
}

/* The poster fills the room: tell it once when there is some again. */
static bool relieve(struct outbox *box)
{
    if (!box->starved || verbs_link_room(box->link, box->lane) == 0 ||
        verbs_link_rail(box->link, RAIL_FRAME_WORKS + RAIL_KEPT_WORKS) == NULL) {
        return false;
    }
    box->starved = false;
    return true;
}

static void begin(struct outbox *box, const struct transfer *transfer, const struct rail *rail)
{
    box->tracked = transfer->data != NULL && transfer->length >= OUTBOX_GATHER_BYTES &&
                   registered(box, transfer, rail);
}

static bool step_head(struct outbox *box, struct transfer *transfer)
{
    if (transfer->data == NULL && transfer->length > 0) {
        return relieve(box);
    }
    size_t limit = sendable(transfer);
    if ((limit == 0 && transfer->length > 0) || holds_back(box, transfer, limit) ||
        verbs_link_room(box->link, box->lane) == 0) {
        return false;
    }
    struct rail *rail = verbs_link_rail(box->link, RAIL_FRAME_WORKS + RAIL_KEPT_WORKS);
    if (rail == NULL) {
        return false;
    }
    if (rail->index == SPARE_RAIL) {
        box->tracked = true; /* to be done when it has left: no device sees to that later */
    } else if (!box->begun) {
        begin(box, transfer, rail);
    }
    if (!box->tracked || !send_tracked(box, transfer, rail, limit)) {
        send_copied(box, transfer, rail, limit);
    }
    return true;
}

bool outbox_step(struct outbox *box)
{
    bool any = false;
    while (box->queue.head != NULL && step_head(box, box->queue.head)) {
        any = true;
        if (box->queue.head != NULL && box->queue.head->data == NULL) {
            break; /* relieved: the poster's turn */
        }
    }
    return any;
}

/* ---- reserved room ------------------------------------------------------------------------------------------------ */

size_t outbox_reserve(struct outbox *box, struct transfer *transfer, uint8_t **place)
{
    assert(transfer->data == NULL);
    if (box->queue.head != transfer || transfer->length == 0) {
        return 0;
    }
    if (box->place == NULL) {
        box->starved = verbs_link_room(box->link, box->lane) == 0 ||
                       verbs_link_rail(box->link, RAIL_FRAME_WORKS + RAIL_KEPT_WORKS) == NULL;
        if (box->starved) {
            return 0;
        }
        box->place = slots_out(&box->link->slots, box->lane, box->out->next) +
                     frame_payload(transfer->scratch);
        box->place_bytes =
            least(frame_room(transfer->scratch), transfer->length - transfer->scratch);
    }
    *place = box->place;
    return box->place_bytes;
}

void outbox_commit(struct outbox *box, struct transfer *transfer, size_t bytes)
{
    assert(box->queue.head == transfer && box->place != NULL && bytes <= box->place_bytes);
    struct rail *rail = verbs_link_rail(box->link, RAIL_FRAME_WORKS);
    bool later =
        rail == NULL; /* all rails are lost: the spare sends what it finds, or the link is lost */
    rail = later ? spare_to_come(box->link) : rail;
    if (bytes == 0 || rail == NULL) {
        return;
    }
    box->place = NULL;
    box->tracked = false;
    struct flight *flight = compose(box, transfer, FRAME_COPY, bytes);
    if (!later) {
        verbs_link_post(box->link, rail, box->lane, box->out->next);
    }
    account(box, transfer, flight, rail);
}

/* ---- ends --------------------------------------------------------------------------------------------------------- */

void outbox_sent(struct outbox *box, struct flight *flight)
{
    struct transfer *transfer = flight->transfer;
    (void)box;
    if (transfer == NULL) {
        return;
    }
    flight->transfer = NULL;
    transfer->moved += flight->bytes;
    if (transfer->moved == transfer->length) {
        transfer->state = TRANSFER_DONE;
    }
}

bool outbox_cancel(struct outbox *box, struct transfer *transfer)
{
    if (transfer->next != NULL || transfer->scratch > 0) {
        return false;
    }
    if (box->queue.head != transfer) {
        return queue_remove(&box->queue, transfer);
    }
    box->place = NULL;
    queue_pop(&box->queue);
    return true;
}

bool outbox_grant(struct outbox *box, const struct frame *frame, const struct frame_notice *notice)
{
    uint32_t ahead = frame->bytes - box->number;
    if (ahead > UINT32_MAX / 2) {
        return true; /* too late: that message has gone another way */
    }
    if (ahead >= OUTBOX_GRANTS) {
        return false;
    }
    struct outbox_grant *grant = &box->grants[frame->bytes % OUTBOX_GRANTS];
    *grant = (struct outbox_grant){
        .valid = true, .number = frame->bytes, .address = frame->offset, .length = frame->length};
    memcpy(grant->keys, notice->keys, sizeof grant->keys);
    memcpy(grant->header, frame->header, sizeof grant->header);
    return true;
}

bool outbox_borrows(const struct outbox *box)
{
    for (uint32_t i = box->out->completed; i != box->out->next; i++) {
        if (credit_flight(box->out, i)->transfer != NULL) {
            return true;
        }
    }
    return false;
}

bool outbox_waits(const struct outbox *box)
{
    return box->queue.head != NULL || outbox_borrows(box);
}

void outbox_fail(struct outbox *box, kolo_status status)
{
    for (uint32_t i = box->out->completed; i != box->out->next; i++) {
        struct flight *flight = credit_flight(box->out, i);
        struct transfer *transfer = flight->transfer;
        flight->transfer = NULL;
        if (transfer != NULL && transfer->state == TRANSFER_POSTED &&
            transfer->scratch == transfer->length) { /* not in the queue any more */
            transfer->status = status;
            transfer->state = TRANSFER_FAILED;
        }
    }
    box->place = NULL;
    queue_fail(&box->queue, status);
}
