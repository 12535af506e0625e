#include "transport/verbs/spare.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/verbs/parting.h"

#define SPARE_MAGIC 0x31525053u /* "SPR1" */
#define SPARE_TOKEN                                                                                \
    UINT64_C(                                                                                      \
        0x7370617265736172) /* a link of the other transport between the same two has the plain one */
#define SPARE_LANE 0
#define SPARE_TAKEN_MAX 64 /* frames taken in one step */

static_assert(SPARE_ORDER >= SPARE_FRAMES && (SPARE_ORDER & (SPARE_ORDER - 1)) == 0, "a ring");

/* ---- making and freeing ------------------------------------------------------------------------------------------- */

static kolo_status make_way(struct verbs_link *link, uint8_t *offer, size_t *bytes)
{
    struct transport *other = link->verbs->spare;
    struct link_config config = {
        .dials = link->dials, .token = link->token ^ SPARE_TOKEN, .peer_name = link->name};
    memcpy(config.peer, link->peer, sizeof config.peer);
    return other->ops->link_create(&link->spare->way, offer, bytes, other, &config);
}

void spare_make(struct verbs_link *link)
{
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    size_t bytes = 0;
    if (link->verbs->spare == NULL) {
        return;
    }
    link->spare = calloc(1, sizeof *link->spare);
    if (link->spare == NULL) {
        return;
    }
    struct spare *spare = link->spare;
    if (make_way(link, offer, &bytes) != KOLO_OK || bytes > sizeof spare->offer) {
        log_line(LOG_DEBUG, "verbs: no way but RDMA to %s", link->name);
        spare_free(link);
        return;
    }
    spare->path = (struct rail){.link = link, .index = SPARE_RAIL};
    memcpy(spare->offer, offer, bytes);
    spare->offer_bytes = bytes;
}

kolo_status spare_aim(struct verbs_link *link, const uint8_t *offer, size_t bytes)
{
    struct spare *spare = link->spare;
    if (spare == NULL) {
        return KOLO_OK;
    }
    if (bytes == 0 || bytes > sizeof spare->offer) {
        spare_close(link);
        return KOLO_OK;
    }
    memcpy(spare->offer, offer, bytes);
    spare->offer_bytes = bytes;
    return link->dials ? KOLO_OK : spare->way->ops->link_connect(spare->way, offer, bytes);
}

void spare_close(struct verbs_link *link)
{
    struct spare *spare = link->spare;
    if (spare == NULL || spare->state == SPARE_CLOSED) {
        return;
    }
    link->verbs->sparing -= spare->state == SPARE_CALLING || spare->state == SPARE_UP;
    spare->state = SPARE_CLOSED;
    if (spare->way != NULL) {
        spare->way->ops->link_close(spare->way);
        spare->way = NULL;
    }
}

void spare_free(struct verbs_link *link)
{
    spare_close(link);
    free(link->spare);
    link->spare = NULL;
}

/* ---- where it stands ---------------------------------------------------------------------------------------------- */

bool spare_stands_by(const struct verbs_link *link)
{
    return link->spare != NULL && link->spare->state == SPARE_READY && link->state == LINK_UP;
}

bool spare_is_alive(const struct verbs_link *link)
{
    const struct spare *spare = link->spare;
    return spare != NULL && (spare->state == SPARE_CALLING || spare->state == SPARE_UP);
}

bool spare_is_quiet(const struct verbs_link *link)
{
    const struct spare *spare = link->spare;
    return !spare_is_alive(link) || (spare->state == SPARE_UP && spare->first == spare->last);
}

struct rail *spare_path(const struct verbs_link *link)
{
    return link->spare != NULL && link->spare->state == SPARE_UP ? &link->spare->path : NULL;
}

struct rail *spare_to_come(const struct verbs_link *link)
{
    bool comes = spare_stands_by(link) || spare_is_alive(link);
    for (unsigned i = 0; i < link->rails; i++) {
        comes &= link->rail[i].state == RAIL_OFF || link->rail[i].state == RAIL_BROKEN;
    }
    return comes ? &link->spare->path : NULL;
}

const char *spare_failure(const struct verbs_link *link)
{
    return link->spare != NULL && link->spare->text[0] != 0 ? link->spare->text : NULL;
}

static enum link_state way_state(const struct spare *spare, const char **text)
{
    return spare->way->ops->link_state(spare->way, NULL, text);
}

/* It cannot go on: so neither can the link. */
static void give_up(struct verbs_link *link, const char *why)
{
    struct spare *spare = link->spare;
    const struct device_port *port = &link->verbs->devices.port[spare->why->index];
    snprintf(spare->text, sizeof spare->text, "%s, by %s:%u: %s; by %s: %s", link->name, port->name,
             port->number, spare->why->text, link->verbs->spare->ops->name, why);
    spare_close(link);
    verbs_link_settle_soon(link);
}

/* ---- calling ------------------------------------------------------------------------------------------------------ */

bool spare_take_over(struct verbs_link *link, const struct rail *why)
{
    struct spare *spare = link->spare;
    struct verbs *verbs = link->verbs;
    if (!spare_stands_by(link) || why->why == KOLO_ERR_PROTOCOL || why->why == KOLO_ERR_INTERNAL) {
        return false;
    }
    log_line(LOG_DEBUG, "verbs: no rail to %s is left (%s); trying %s", link->name, why->text,
             verbs->spare->ops->name);
    uint64_t now_ns = clock_now_ns();
    spare->state = SPARE_CALLING;
    spare->why = why;
    spare->deadline_ns = clock_after(now_ns, verbs->patience_ns);
    spare->again_ns = clock_after(now_ns, verbs->probe_ns);
    verbs->sparing++;
    if (link->dials &&
        spare->way->ops->link_connect(spare->way, spare->offer, spare->offer_bytes) != KOLO_OK) {
        give_up(link, kolo_last_error());
    }
    verbs->news = true;
    verbs_wind(verbs);
    return true;
}

/* A connection that did not come about may at the next try: an interface is just coming up again. */
static void call_again(struct verbs_link *link)
{
    struct spare *spare = link->spare;
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    size_t bytes;
    spare->way->ops->link_close(spare->way);
    spare->way = NULL;
    kolo_status status = make_way(link, offer, &bytes);
    if (status == KOLO_OK && (!link->dials || spare->state == SPARE_CALLING)) {
        status = spare->way->ops->link_connect(spare->way, spare->offer, spare->offer_bytes);
    }
    if (status != KOLO_OK && spare->state == SPARE_CALLING) {
        give_up(link, kolo_last_error());
    } else if (status != KOLO_OK) {
        spare_close(link);
    }
}

void spare_tick(struct verbs_link *link, uint64_t now_ns)
{
    struct spare *spare = link->spare;
    const char *text = "";
    if (spare == NULL || spare->state != SPARE_CALLING) {
        return;
    }
    enum link_state state = way_state(spare, &text);
    if (now_ns >= spare->deadline_ns) {
        give_up(link, state == LINK_LOST ? text : "it does not come in time");
    } else if (state == LINK_LOST && !spare->greeted && now_ns >= spare->again_ns) {
        spare->again_ns = clock_after(now_ns, link->verbs->probe_ns);
        call_again(link);
    }
}

/* The other end has lost its rails, though ours look well: what we send by them is lost. */
static void follow(struct verbs_link *link)
{
    for (unsigned i = 0; i < link->rails; i++) {
        rail_break(&link->rail[i], KOLO_ERR_PEER_LOST, "the peer has lost its way by RDMA");
    }
}

void spare_watch(struct verbs *verbs)
{
    if (verbs->spare == NULL) {
        return;
    }
    verbs->news |= spare_progress(verbs);
    for (struct verbs_link *link = verbs->links; link != NULL; link = link->next) {
        if (!spare_stands_by(link) || link->dials || link->leaving) {
            continue;
        }
        enum link_state state = way_state(link->spare, NULL);
        if (state == LINK_UP) {
            follow(link);
        } else if (state == LINK_LOST) {
            call_again(link);
        }
    }
}

/* ---- what goes out ------------------------------------------------------------------------------------------------ */

static void post(struct spare *spare, struct transfer *transfer, const uint8_t *data, size_t bytes)
{
    assert(transfer->state != TRANSFER_POSTED);
    /* What is sent is only read. */
    *transfer =
        (struct transfer){.data = (uint8_t *)(uintptr_t)data, .length = bytes, .ready = bytes};
    spare->way->ops->send(spare->way, SPARE_LANE, transfer);
}

/* What leads a frame, but for the frame's own header. */
static void lead(struct spare_frame *frame, uint32_t bytes, uint64_t remote)
{
    memset(frame->bytes, 0, sizeof frame->bytes);
    struct wire_writer writer = {.bytes = frame->bytes, .capacity = sizeof frame->bytes};
    wire_put_u32(&writer, SPARE_MAGIC);
    wire_put_u8(&writer, frame->channel);
    wire_put_u32(&writer, bytes);
    wire_put_u64(&writer, remote);
    assert(!writer.failed && writer.length <= SPARE_HEAD_BYTES - FRAME_HEADER_BYTES);
}

void spare_post(struct verbs_link *link, unsigned channel, uint32_t sequence)
{
    struct spare *spare = link->spare;
    const struct flight *flight = credit_flight(&link->out[channel], sequence);
    const uint8_t *slot = slots_out(&link->slots, channel, sequence);
    unsigned index = channel * FRAME_SLOTS + credit_slot(sequence);
    struct spare_frame *frame = &spare->frame[index];
    frame->channel = (uint8_t)channel;
    frame->sequence = sequence;
    lead(frame, flight->bytes, flight->remote);
    memcpy(frame->bytes + SPARE_HEAD_BYTES - FRAME_HEADER_BYTES, slot, FRAME_HEADER_BYTES);
    post(spare, &frame->head, frame->bytes, SPARE_HEAD_BYTES);
    if (flight->bytes > 0) {
        post(spare, &frame->body,
             flight->data != NULL ? flight->data : slot + FRAME_HEADER_BYTES + flight->pad,
             flight->bytes);
    } else {
        frame->body = (struct transfer){.state = TRANSFER_DONE};
    }
    assert(spare->last - spare->first < SPARE_ORDER);
    spare->order[spare->last++ % SPARE_ORDER] = (uint8_t)index;
}

void spare_push(struct verbs_link *link)
{
    if (spare_path(link) != NULL && !spare_is_quiet(link)) {
        link->verbs->spare->ops->progress(link->verbs->spare);
    }
}

static bool finish_sent(struct verbs_link *link)
{
    struct spare *spare = link->spare;
    bool any = false;
    while (spare->first != spare->last) {
        const struct spare_frame *frame = &spare->frame[spare->order[spare->first % SPARE_ORDER]];
        if (frame->head.state != TRANSFER_DONE || frame->body.state != TRANSFER_DONE) {
            break;
        }
        spare->first++;
        verbs_link_sent(link, frame->channel, frame->sequence);
        any = true;
    }
    return any;
}

/* ---- the hello ---------------------------------------------------------------------------------------------------- */

static void await_head(struct spare *spare)
{
    spare->head = (struct transfer){
        .data = spare->bytes, .length = SPARE_HEAD_BYTES, .ready = SPARE_HEAD_BYTES};
    spare->way->ops->receive(spare->way, SPARE_LANE, &spare->head);
}

/* Nothing comes by RDMA any more: say what has. */
static void greet(struct verbs_link *link)
{
    struct spare *spare = link->spare;
    struct spare_frame *hello = &spare->frame[SPARE_FRAMES];
    hello->channel = FRAME_HELLO;
    lead(hello, 0, 0);
    struct wire_writer writer = {.bytes = hello->bytes,
                                 .length = SPARE_HEAD_BYTES - FRAME_HEADER_BYTES,
                                 .capacity = sizeof hello->bytes};
    for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
        wire_put_u32(&writer, link->in[i].front);
        wire_put_u32(&writer, link->in[i].mask);
        link->in[i].told = link->in[i].front;
    }
    assert(!writer.failed);
    spare->greeted = true;
    post(spare, &hello->head, hello->bytes, SPARE_HEAD_BYTES);
    await_head(spare);
}

/* One frame that the device had, or was to have. False: the peer lacks it, and it is gone here. */
static bool resume_frame(struct verbs_link *link, unsigned channel, uint32_t sequence, bool come)
{
    struct credit_out *out = &link->out[channel];
    struct flight *flight = credit_flight(out, sequence);
    bool completed = sequence - out->completed >= out->next - out->completed;
    if (come) {
        verbs_link_sent(link, channel, sequence);
        return true;
    }
    if ((completed || flight->done) && flight->data != NULL) {
        return false; /* its device said that it had it; the poster has its memory back */
    }
    if (completed) {
        out->completed = sequence; /* those behind it are done, still */
    }
    flight->done = false;
    flight->rail = SPARE_RAIL;
    spare_post(link, channel, sequence);
    return true;
}

/* False: the peer cannot have said that. */
static bool resume_channel(struct verbs_link *link, unsigned channel, uint32_t front, uint32_t mask)
{
    struct credit_out *out = &link->out[channel];
    uint32_t there = out->next - out->credited, here = out->next - out->completed;
    uint32_t next = out->next;
    if (front - out->credited > there) {
        return false;
    }
    out->credited = front;
    for (uint32_t i = next - (there > here ? there : here); i != next; i++) {
        bool come = i - front >= next - front || (mask >> credit_slot(i) & 1) != 0;
        if (!resume_frame(link, channel, i, come)) {
            give_up(link, "messages were lost with the device that had taken them");
            return true;
        }
    }
    return true;
}

/* Once for all links: the user is told that what runs now runs slower. */
static void log_once(struct verbs_link *link)
{
    struct verbs *verbs = link->verbs;
    const struct rail *why = link->spare->why;
    const struct device_port *port = &verbs->devices.port[why->index];
    log_line(verbs->spare_told ? LOG_DEBUG : LOG_WARN,
             "verbs: the link with %s goes on by %s from now on, since RDMA by %s:%u has failed: "
             "%s",
             link->name, verbs->spare->ops->name, port->name, port->number, why->text);
    verbs->spare_told = true;
}

/* The peer's hello: false if it is none. */
static bool resume(struct verbs_link *link, struct wire_reader *reader)
{
    struct spare *spare = link->spare;
    bool sane = spare->state == SPARE_CALLING;
    if (sane) {
        spare->state = SPARE_UP;
        spare->path.state = RAIL_UP;
        reader->offset = SPARE_HEAD_BYTES - FRAME_HEADER_BYTES;
    }
    for (unsigned i = 0; sane && i < FRAME_CHANNELS && spare->state == SPARE_UP; i++) {
        uint32_t front = wire_get_u32(reader);
        sane = resume_channel(link, i, front, wire_get_u32(reader));
    }
    if (!sane || spare->state != SPARE_UP) {
        return sane;
    }
    log_once(link);
    link->verbs->news = true;
    if (link->parting) {
        parting_say(link);
    }
    verbs_link_enlist(link);
    verbs_wind(link->verbs);
    return true;
}

/* ---- what comes --------------------------------------------------------------------------------------------------- */

/* Where the payload goes until all of it is there; NULL: the head is nonsense. */
static uint8_t *place_of(struct verbs_link *link, uint32_t bytes)
{
    struct spare *spare = link->spare;
    const struct frame *frame = &spare->coming;
    const struct credit_in *in = &link->in[spare->channel];
    bool sane = frame->sequence - in->front < FRAME_SLOTS && !credit_has(in, frame->sequence);
    uint8_t *slot = slots_in(&link->slots, spare->channel, frame->sequence);
    if (spare->channel == FRAME_NOTICES) {
        return sane && bytes == sizeof(struct frame_notice) ? slot + FRAME_HEADER_BYTES : NULL;
    }
    sane = sane && bytes == frame->bytes;
    if (frame->kind == FRAME_PUT) {
        return sane && bytes > 0 && bytes <= FRAME_PUT_BYTES ? spare->put : NULL;
    }
    return sane && frame->kind == FRAME_COPY && bytes <= frame_room(frame->offset)
               ? slot + frame_payload(frame->offset)
               : NULL;
}

/* All of a frame has come. False: nonsense. */
static bool frame_came(struct verbs_link *link)
{
    struct spare *spare = link->spare;
    const struct frame *frame = &spare->coming;
    spare->taking = false;
    if (spare->channel != FRAME_NOTICES && frame->kind == FRAME_PUT) {
        uint8_t *to = inbox_granted(&link->inbox[spare->channel], spare->remote, frame->bytes);
        if (to == NULL) {
            return false;
        }
        memcpy(to, spare->put, frame->bytes);
    }
    memcpy(slots_in(&link->slots, spare->channel, frame->sequence),
           spare->bytes + SPARE_HEAD_BYTES - FRAME_HEADER_BYTES, FRAME_HEADER_BYTES);
    await_head(spare);
    verbs_link_take(link, spare->channel, credit_slot(frame->sequence));
    return true;
}

static bool head_came(struct verbs_link *link)
{
    struct spare *spare = link->spare;
    struct wire_reader reader = {.bytes = spare->bytes, .length = sizeof spare->bytes};
    bool sane = wire_get_u32(&reader) == SPARE_MAGIC;
    spare->channel = wire_get_u8(&reader);
    uint32_t bytes = wire_get_u32(&reader);
    spare->remote = wire_get_u64(&reader);
    if (sane && spare->channel == FRAME_HELLO) {
        sane = resume(link, &reader);
        if (sane && spare->state == SPARE_UP) {
            await_head(spare);
        }
        return sane;
    }
    if (!sane || spare->state != SPARE_UP || spare->channel >= FRAME_CHANNELS) {
        return false;
    }
    frame_decode(&spare->coming, spare->bytes + SPARE_HEAD_BYTES - FRAME_HEADER_BYTES);
    uint8_t *place = place_of(link, bytes);
    if (place == NULL) {
        return false;
    }
    if (bytes == 0) {
        return frame_came(link);
    }
    spare->taking = true;
    spare->body = (struct transfer){.data = place, .length = bytes, .ready = bytes};
    spare->way->ops->receive(spare->way, SPARE_LANE, &spare->body);
    return true;
}

static bool take_frames(struct verbs_link *link)
{
    struct spare *spare = link->spare;
    bool any = false;
    for (unsigned i = 0; i < SPARE_TAKEN_MAX && spare_is_alive(link) && !link->hostile; i++) {
        const struct transfer *awaited = spare->taking ? &spare->body : &spare->head;
        bool wrong = awaited->state == TRANSFER_FAILED && awaited->status == KOLO_ERR_MISMATCH;
        if (awaited->state != TRANSFER_DONE && !wrong) {
            break;
        }
        any = true;
        if (wrong || !(spare->taking ? frame_came(link) : head_came(link))) {
            link->hostile = true;
            verbs_link_settle_soon(link);
        }
    }
    return any;
}

/* ---- moving ------------------------------------------------------------------------------------------------------- */

bool spare_step(struct verbs_link *link)
{
    struct spare *spare = link->spare;
    const char *text = "";
    if (!spare_is_alive(link)) {
        return false;
    }
    enum link_state state = way_state(spare, &text);
    bool any = !spare->greeted && state == LINK_UP;
    if (any) {
        greet(link);
    }
    if (!spare->greeted) {
        return false;
    }
    any |= finish_sent(link);
    any |= take_frames(link);
    if (spare_is_alive(link) && state == LINK_LOST && !link->hostile) {
        give_up(link, text);
        any = true;
    }
    return any;
}

bool spare_progress(struct verbs *verbs)
{
    bool any = false, more = true;
    for (unsigned i = 0; i < SPARE_ROUNDS && more; i++) {
        more = verbs->spare->ops->progress(verbs->spare);
        for (struct verbs_link *link = verbs->links; link != NULL; link = link->next) {
            more |= spare_step(link);
        }
        any |= more;
    }
    return any;
}
