#include "transport/verbs/inbox.h"

#include "transport/verbs/link.h"

/* In a receive's scratch. */
enum { NOT_GRANTED = 0, GRANTED };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static const uint8_t *slot_of(const struct inbox *box, uint32_t sequence)
{
    return slots_in(&box->link->slots, box->lane, sequence);
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

/* The header of a frame that has come, if it can follow what came before: byte `expected` of a message of `length` bytes, or the
 * first one of any message if `expected` is 0. */
static bool look(struct inbox *box, struct frame *frame, uint32_t sequence, uint64_t expected,
                 uint64_t length)
{
    frame_decode(frame, slot_of(box, sequence));
    size_t room = frame->kind == FRAME_COPY ? frame_room(frame->offset) : FRAME_PUT_BYTES;
    bool sane = (frame->kind == FRAME_COPY || frame->kind == FRAME_PUT) &&
                frame->sequence == sequence && frame->offset == expected &&
                (expected == 0 || frame->length == length) && frame->length <= SIZE_MAX / 2 &&
                frame->offset <= frame->length && frame->bytes <= frame->length - frame->offset &&
                frame->bytes <= room && (frame->bytes > 0 || frame->length == 0);
    box->broken |= !sane;
    return sane;
}

static bool load(struct inbox *box)
{
    if (box->loaded) {
        return true;
    }
    if (!credit_has(box->in, box->in->front) ||
        !look(box, &box->frame, box->in->front, box->expected, box->frame.length)) {
        return false;
    }
    /* Its first bytes have been taken: the header that said so must still be there. A peer can write it anew at any time. */
    if (box->merged_bytes > 0 &&
        (box->frame.kind != FRAME_COPY || box->frame.bytes < box->merged_bytes)) {
        box->broken = true;
        return false;
    }
    box->loaded = true;
    box->end = box->frame.bytes;
    box->taken = box->merged_bytes;
    box->merged = 0;
    box->merged_bytes = 0;
    return true;
}

/* All of the front frame has been taken, and of those that have become part of it. */
static void give_back(struct inbox *box)
{
    box->expected = box->frame.offset + box->end - box->merged_bytes;
    for (uint32_t i = 0; i <= box->merged; i++) {
        credit_give(box->in);
    }
    box->loaded = false;
}

static void finish(struct inbox *box)
{
    struct transfer *receive = queue_pop(&box->queue);
    receive->span = NULL;
    receive->span_bytes = 0;
    receive->state = TRANSFER_DONE;
    box->open = false;
    box->expected = 0;
    box->number++;
    if (box->unasked == receive) {
        box->unasked = receive->next;
        box->unasked_number++;
    }
}

/* Bytes of the front frame are in place, or given back. */
static void take(struct inbox *box, struct transfer *receive, size_t bytes)
{
    box->taken += bytes;
    box->received_bytes += bytes;
    receive->moved += bytes;
    if (box->taken == box->end) {
        give_back(box);
    }
    if (receive->moved == receive->length) {
        finish(box);
    }
}

/* ---- spans -------------------------------------------------------------------------------------------------------- */

/* A span that ends in the middle of an element would not let a poster ahead that takes whole ones. So the bytes up to the next
 * multiple of FRAME_ALIGN are copied to its end from the frames behind it: at most FRAME_ALIGN - 1, for which every slot has room
 * because its size is such a multiple, too. As a frame has at least a byte, FRAME_ALIGN slots are always enough. */
static void extend(struct inbox *box)
{
    for (;;) {
        uint64_t at = box->frame.offset + box->end;
        uint32_t sequence = box->in->front + 1 + box->merged;
        struct frame next;
        if (at % FRAME_ALIGN == 0 || at == box->frame.length || !credit_has(box->in, sequence) ||
            !look(box, &next, sequence, at - box->merged_bytes, box->frame.length)) {
            return;
        }
        if (next.kind != FRAME_COPY) {
            box->broken = true;
            return;
        }
        size_t bytes =
            least(FRAME_ALIGN - (size_t)(at % FRAME_ALIGN), next.bytes - box->merged_bytes);
        uint8_t *to = slots_in(&box->link->slots, box->lane, box->in->front) +
                      frame_payload(box->frame.offset) + box->end;
        memcpy(to, slot_of(box, sequence) + frame_payload(next.offset) + box->merged_bytes, bytes);
        box->end += bytes;
        box->merged_bytes += bytes;
        if (box->merged_bytes == next.bytes) {
            box->merged++;
            box->merged_bytes = 0;
        }
    }
}

static bool show_span(struct inbox *box, struct transfer *receive)
{
    if (!load(box)) {
        return false;
    }
    if (box->frame.kind != FRAME_COPY) {
        box->broken = true;
        return false;
    }
    extend(box);
    size_t bytes = box->end - box->taken;
    if (bytes == receive->span_bytes) {
        return false;
    }
    receive->span = slot_of(box, box->in->front) + frame_payload(box->frame.offset) + box->taken;
    receive->span_bytes = bytes;
    return true;
}

void inbox_release(struct inbox *box, struct transfer *transfer, size_t bytes)
{
    assert(box->queue.head == transfer && bytes <= transfer->span_bytes);
    if (bytes == 0) {
        return;
    }
    transfer->span += bytes;
    transfer->span_bytes -= bytes;
    take(box, transfer, bytes);
    if (transfer->state == TRANSFER_POSTED) {
        show_span(box, transfer);
    }
}

/* ---- receives with memory ----------------------------------------------------------------------------------------- */

static bool copy_out(struct inbox *box, struct transfer *receive, size_t *budget)
{
    if (!load(box)) {
        return false;
    }
    size_t bytes = box->end - box->taken;
    if (box->frame.kind == FRAME_PUT) {
        if (receive->scratch != GRANTED) {
            box->broken = true;
            return false;
        }
        take(box, receive, bytes);
        return true;
    }
    bytes = least(bytes, least(least(receive->ready, receive->length) - receive->moved, *budget));
    if (bytes == 0) {
        return false;
    }
    memcpy(receive->data + receive->moved,
           slot_of(box, box->in->front) + frame_payload(box->frame.offset) + box->taken, bytes);
    *budget -= bytes;
    take(box, receive, bytes);
    return true;
}

/* Match the next message with the receive. Returns true if anything came of it. */
static bool open_message(struct inbox *box, struct transfer *receive)
{
    if (!load(box)) {
        return false;
    }
    if (!transfer_suits(receive, box->frame.header, (size_t)box->frame.length)) {
        if (box->unasked == receive) {
            box->unasked = receive->next;
        } else {
            box->unasked_number--; /* the next one may have this message */
        }
        queue_pop(&box->queue);
        box->crossed |= inbox_lends(box); /* what was granted for the next message is now wrong */
        return true;
    }
    box->open = true;
    if (receive->length == 0) {
        take(box, receive, 0);
    }
    return true;
}

static bool step_head(struct inbox *box, struct transfer *receive, size_t *budget)
{
    if (!box->open) {
        bool opened = open_message(box, receive);
        if (!box->open) {
            return opened;
        }
        if (receive->data == NULL) {
            show_span(box, receive);
        } else {
            copy_out(box, receive, budget);
        }
        return true;
    }
    return receive->data != NULL ? copy_out(box, receive, budget) : show_span(box, receive);
}

bool inbox_step(struct inbox *box)
{
    bool any = false;
    size_t budget = INBOX_STEP_BYTES;
    while (box->queue.head != NULL && !box->broken && step_head(box, box->queue.head, &budget)) {
        any = true;
    }
    return any;
}

/* ---- grants ------------------------------------------------------------------------------------------------------- */

void inbox_posted(struct inbox *box, struct transfer *transfer)
{
    transfer->scratch = NOT_GRANTED;
    if (box->unasked == NULL) {
        box->unasked = transfer;
        uint32_t ahead = 0;
        for (const struct transfer *i = box->queue.head; i != transfer; i = i->next) {
            ahead++;
        }
        box->unasked_number = box->number + ahead;
    }
}

static bool grant(struct inbox *box, struct transfer *receive)
{
    struct verbs_link *link = box->link;
    struct frame frame = {.bytes = box->unasked_number,
                          .offset = (uint64_t)(uintptr_t)receive->data,
                          .length = receive->length};
    struct frame_notice notice = {.lane = box->lane};
    memcpy(frame.header, receive->header, sizeof frame.header);
    for (unsigned i = 0; i < link->rails; i++) {
        if (link->rail[i].state == RAIL_OFF) {
            continue; /* and never will be on again */
        }
        struct ibv_mr *region =
            registrations_find(link->verbs->registrations, i, receive->data, receive->length);
        if (region == NULL) {
            return false;
        }
        notice.keys[i] = region->rkey;
    }
    if (!notice_post(link, FRAME_GRANT, &frame, &notice)) {
        return false;
    }
    receive->scratch = GRANTED;
    return true;
}

bool inbox_grant(struct inbox *box)
{
    bool any = false;
    if (spare_path(box->link) != NULL) {
        return false; /* nobody could use it */
    }
    while (box->unasked != NULL && box->unasked_number - box->number < OUTBOX_GRANTS &&
           notice_room(box->link) > NOTICE_KEPT) {
        struct transfer *receive = box->unasked;
        if (receive->data != NULL && receive->length >= INBOX_PUT_BYTES &&
            receive->ready >= receive->length) {
            any |= grant(box, receive);
        }
        box->unasked = receive->next;
        box->unasked_number++;
    }
    return any;
}

/* ---- ends --------------------------------------------------------------------------------------------------------- */

bool inbox_cancel(struct inbox *box, struct transfer *transfer)
{
    if (transfer->next != NULL || transfer->moved > 0 || transfer->scratch == GRANTED) {
        return false;
    }
    if (box->unasked == transfer) {
        box->unasked = NULL;
    }
    if (box->queue.head != transfer) {
        return queue_remove(&box->queue, transfer);
    }
    box->open = false; /* its message stays where it is */
    transfer->span = NULL;
    transfer->span_bytes = 0;
    queue_pop(&box->queue);
    return true;
}

bool inbox_has_whole(struct inbox *box)
{
    struct frame frame;
    uint32_t sequence = box->in->front;
    uint64_t expected = box->loaded ? box->frame.offset : box->expected;
    uint64_t length = box->frame.length;
    for (; credit_has(box->in, sequence); sequence++) {
        if (!look(box, &frame, sequence, expected, length)) {
            return false;
        }
        length = frame.length;
        expected = frame.offset + frame.bytes;
        if (expected == length) {
            return true;
        }
    }
    return false;
}

bool inbox_lends(const struct inbox *box)
{
    for (const struct transfer *i = box->queue.head; i != NULL; i = i->next) {
        if (i->scratch == GRANTED) {
            return true;
        }
    }
    return false;
}

uint8_t *inbox_granted(const struct inbox *box, uint64_t address, size_t bytes)
{
    for (const struct transfer *i = box->queue.head; i != NULL; i = i->next) {
        uint64_t into = address - (uint64_t)(uintptr_t)i->data;
        if (i->scratch == GRANTED && into <= i->length && bytes <= i->length - into) {
            return i->data + into;
        }
    }
    return NULL;
}
