#include "transport/verbs/link.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/verbs/offer.h"
#include "transport/verbs/parting.h"

/* ---- making and freeing ------------------------------------------------------------------------------------------- */

static void init(struct verbs_link *link, struct verbs *verbs, const struct link_config *config)
{
    link->base = (struct link){.ops = verbs->base.ops, .transport = &verbs->base};
    link->verbs = verbs;
    memcpy(link->peer, config->peer, sizeof link->peer);
    link->token = config->token;
    link->dials = config->dials;
    snprintf(link->name, sizeof link->name, "%s",
             config->peer_name != NULL ? config->peer_name : "a peer");
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        link->inbox[i] = (struct inbox){.link = link, .in = &link->in[i], .lane = i};
        link->outbox[i] = (struct outbox){.link = link, .out = &link->out[i], .lane = i};
    }
    if (getrandom(&link->epoch_in, sizeof link->epoch_in, GRND_NONBLOCK) < 0) {
        link->epoch_in = (uint16_t)clock_now_ns(); /* it only tells this link from earlier ones */
    }
}

static void put_into_list(struct verbs_link *link)
{
    link->next = link->verbs->links;
    if (link->next != NULL) {
        link->next->previous = link;
    }
    link->verbs->links = link;
}

static void take_from_list(struct verbs_link *link)
{
    struct verbs *verbs = link->verbs;
    if (link->previous != NULL) {
        link->previous->next = link->next;
    } else {
        verbs->links = link->next;
    }
    if (link->next != NULL) {
        link->next->previous = link->previous;
    }
    for (struct verbs_link **at = &verbs->busy; *at != NULL; at = &(*at)->next_busy) {
        if (*at == link) {
            *at = link->next_busy;
            break;
        }
    }
}

/* A port that cannot is left out, as long as there is another. */
static kolo_status open_rails(struct verbs_link *link)
{
    kolo_status status = fail_quietly(KOLO_ERR_SYSTEM, "all ports are down");
    unsigned open = 0;
    link->rails = link->verbs->devices.ports;
    for (unsigned i = 0; i < link->rails; i++) {
        kolo_status opened = KOLO_ERR_SYSTEM;
        if ((link->verbs->down >> i & 1) == 0 && link->slots.regions[i] != NULL) {
            opened = rail_open(&link->rail[i], link, i);
            status = opened != KOLO_OK ? opened : status;
        }
        open += opened == KOLO_OK;
    }
    return open > 0 ? KOLO_OK : status;
}

kolo_status verbs_link_make(struct verbs_link **link, struct verbs *verbs,
                            const struct link_config *config)
{
    struct verbs_link *made = calloc(1, sizeof *made);
    struct rail *rails = calloc(verbs->devices.ports, sizeof *rails);
    kolo_status status = KOLO_OK;
    if (made == NULL || rails == NULL) {
        status = fail(KOLO_ERR_MEMORY, "out of memory for a verbs link");
        goto err_free;
    }
    init(made, verbs, config);
    made->rail = rails;
    status = slots_open(&made->slots, &verbs->devices);
    if (status != KOLO_OK) {
        goto err_free;
    }
    status = open_rails(made);
    if (status != KOLO_OK) {
        goto err_close_slots;
    }
    spare_make(made);
    put_into_list(made);
    *link = made;
    return KOLO_OK;
err_close_slots:
    slots_close(&made->slots);
err_free:
    free(rails);
    free(made);
    return status;
}

void verbs_link_free(struct verbs_link *link)
{
    struct verbs *verbs = link->verbs;
    take_from_list(link);
    for (unsigned i = 0; i < link->rails; i++) {
        rail_close(&link->rail[i]);
    }
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        verbs->sent_bytes += link->outbox[i].sent_bytes;
        verbs->received_bytes += link->inbox[i].received_bytes;
    }
    spare_free(link);
    verbs->parting -= link->parting;
    slots_close(&link->slots);
    free(link->rail);
    free(link);
    verbs_wind(verbs);
}

/* ---- connecting --------------------------------------------------------------------------------------------------- */

size_t verbs_link_offer(const struct verbs_link *link, uint8_t *offer)
{
    struct verbs_offer mine = {.token = link->token,
                               .base = (uint64_t)(uintptr_t)link->slots.memory,
                               .epoch = link->epoch_in,
                               .rails = link->rails};
    memcpy(mine.who, link->verbs->self, sizeof mine.who);
    for (unsigned i = 0; i < link->rails; i++) {
        if (link->rail[i].state == RAIL_OFF) {
            continue;
        }
        mine.rail[i].key = link->slots.regions[i]->rkey;
        if (link->rail[i].by_cm) {
            mine.rail[i].reach = VERBS_OFFER_BY_CM;
            mine.rail[i].listens = link->verbs->meeting.bound[i];
        } else {
            mine.rail[i].reach = VERBS_OFFER_BY_ADDRESS;
            pair_address(&mine.rail[i].address, link->rail[i].pair);
        }
    }
    if (link->spare != NULL) {
        mine.spare_bytes = link->spare->offer_bytes;
        memcpy(mine.spare, link->spare->offer, mine.spare_bytes);
    }
    return verbs_offer_encode(offer, &mine);
}

/* Both ends must want to be reached in the same way. */
static kolo_status connect_rail(struct rail *rail, const struct verbs_offer *theirs)
{
    const struct verbs_offer_rail *to = &theirs->rail[rail->index];
    enum verbs_offer_reach reach = rail->by_cm ? VERBS_OFFER_BY_CM : VERBS_OFFER_BY_ADDRESS;
    if (rail->state == RAIL_BROKEN) {
        return fail_quietly(rail->why, "%s", rail->text);
    }
    if (rail->index >= theirs->rails || to->reach != reach || rail->state != RAIL_MADE) {
        return fail_quietly(KOLO_ERR_STATE, "it has no rail %u to be reached %s", rail->index,
                            rail->by_cm ? "by rdma_cm" : "by its address");
    }
    rail_aim(rail, theirs->base, to->key, frame_immediate(theirs->epoch, FRAME_HELLO, 0));
    return rail->by_cm ? meeting_begin(rail, &to->listens) : rail_connect(rail, &to->address);
}

/* Rail i goes to the peer's rail i: both list their ports in the order of their names, or as they were told to. */
static unsigned connect_rails(struct verbs_link *link, const struct verbs_offer *theirs)
{
    unsigned trying = 0;
    for (unsigned i = 0; i < link->rails; i++) {
        kolo_status status = connect_rail(&link->rail[i], theirs);
        if (status != KOLO_OK) {
            rail_close(&link->rail[i]);
        }
        trying += status == KOLO_OK;
    }
    return trying;
}

kolo_status verbs_link_connect(struct verbs_link *link, const uint8_t *offer, size_t bytes)
{
    struct verbs_offer theirs;
    assert(link->state == LINK_NEW);
    if (!verbs_offer_decode(&theirs, offer, bytes) || theirs.token != link->token ||
        memcmp(theirs.who, link->peer, sizeof theirs.who) != 0) {
        return fail(KOLO_ERR_PROTOCOL, "the verbs offer of %s is not one for this link",
                    link->name);
    }
    kolo_status status = spare_aim(link, theirs.spare, theirs.spare_bytes);
    if (status != KOLO_OK) {
        return status;
    }
    link->epoch_out = theirs.epoch;
    if (connect_rails(link, &theirs) == 0) {
        return fail_more(KOLO_ERR_STATE, "no common fabric with %s", link->name);
    }
    link->state = LINK_CONNECTING;
    link->deadline_ns = clock_after(clock_now_ns(), LINK_TRYING_NS);
    verbs_wind(link->verbs);
    return KOLO_OK;
}

/* ---- what happens ------------------------------------------------------------------------------------------------- */

void verbs_link_settle_soon(struct verbs_link *link)
{
    link->due = true;
    link->verbs->due = true;
}

void verbs_link_arrived(struct verbs_link *link, struct rail *rail, uint32_t immediate)
{
    unsigned channel = immediate >> 8 & 0xff;
    unsigned slot = immediate & 0xff;
    bool ours = immediate >> 16 == link->epoch_in;
    if (ours && channel == FRAME_HELLO && slot == 0) {
        rail->heard = true;
        meeting_heard(rail);
        verbs_link_settle_soon(link);
    } else if (ours && channel < FRAME_CHANNELS && slot < FRAME_SLOTS) {
        verbs_link_take(link, channel, slot);
    } else {
        link->hostile = true;
        verbs_link_settle_soon(link);
    }
}

void verbs_link_take(struct verbs_link *link, unsigned channel, unsigned slot)
{
    uint32_t sequence;
    uint32_t credits[FRAME_CHANNELS];
    bool sane = credit_arrive(&link->in[channel], slot, &sequence);
    if (sane) {
        frame_decode_credits(credits, slots_in(&link->slots, channel, sequence));
        for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
            sane &= credit_take(&link->out[i], credits[i]);
        }
    }
    if (!sane || (channel == FRAME_NOTICES && !notice_arrived(link, sequence))) {
        link->hostile = true;
    }
    if (link->hostile || link->leaving) {
        verbs_link_settle_soon(link);
    }
}

void verbs_link_sent(struct verbs_link *link, unsigned channel, uint32_t sequence)
{
    struct credit_out *out = &link->out[channel];
    if (sequence - out->completed >= out->next - out->completed) {
        return; /* it has been sent again by another rail, and is done */
    }
    credit_flight(out, sequence)->done = true;
    while (out->completed != out->next && credit_flight(out, out->completed)->done) {
        if (channel < TRANSPORT_LANES) {
            outbox_sent(&link->outbox[channel], credit_flight(out, out->completed));
        }
        out->completed++;
    }
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

struct rail *verbs_link_rail(struct verbs_link *link, unsigned works)
{
    struct rail *best = NULL;
    for (unsigned i = 0; i < link->rails; i++) {
        struct rail *rail = &link->rail[i];
        if (rail->state == RAIL_UP && rail_room(rail) >= works &&
            (best == NULL || rail->load < best->load)) {
            best = rail;
        }
    }
    return best != NULL ? best : spare_path(link);
}

/* Every RAIL_SIGNAL_EVERY-th write of a rail is signalled: over several rails, the window may fill before one of them is. */
static void hasten(struct verbs_link *link)
{
    for (unsigned i = 0; i < link->rails; i++) {
        struct rail *rail = &link->rail[i];
        if (rail->state == RAIL_UP && rail->posted != rail->completed) {
            rail_ring(rail, true);
            rail_probe(rail);
        }
    }
}

unsigned verbs_link_room(struct verbs_link *link, unsigned channel)
{
    const struct credit_out *out = &link->out[channel];
    unsigned room = credit_room(out);
    unsigned kept = channel == FRAME_NOTICES ? NOTICE_KEPT : 0;
    if (room <= kept && out->next - out->completed > out->next - out->credited) {
        hasten(link);
    }
    return room;
}

bool verbs_link_is_busy(const struct verbs_link *link)
{
    bool busy = spare_is_alive(link) && !spare_is_quiet(link);
    for (unsigned i = 0; i < link->rails; i++) {
        busy |= link->rail[i].state == RAIL_UP && link->rail[i].signals > 0;
    }
    return busy;
}

void verbs_link_credits(struct verbs_link *link, struct frame *frame)
{
    for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
        frame->credits[i] = link->in[i].front;
        link->in[i].told = link->in[i].front;
    }
}

static struct ibv_sge part(const void *bytes, size_t length, uint32_t key)
{
    return (struct ibv_sge){
        .addr = (uint64_t)(uintptr_t)bytes, .length = (uint32_t)length, .lkey = key};
}

void verbs_link_post(struct verbs_link *link, struct rail *rail, unsigned channel,
                     uint32_t sequence)
{
    if (rail->index == SPARE_RAIL) {
        spare_post(link, channel, sequence);
        return;
    }
    const struct flight *flight = credit_flight(&link->out[channel], sequence);
    const uint8_t *slot = slots_out(&link->slots, channel, sequence);
    uint32_t key = link->slots.regions[rail->index]->lkey;
    size_t head = FRAME_HEADER_BYTES + flight->pad;
    struct rail_write write = {.parts = {part(slot, head + flight->bytes, key)},
                               .count = 1,
                               .host = flight->data == NULL,
                               .remote = rail->remote + slots_place(channel, sequence),
                               .key = rail->remote_key,
                               .announced = true,
                               .immediate =
                                   frame_immediate(link->epoch_out, channel, credit_slot(sequence)),
                               .channel = (uint8_t)channel,
                               .sequence = sequence};
    if (flight->data != NULL) {
        const struct ibv_mr *region = registrations_find(link->verbs->registrations, rail->index,
                                                         flight->data, flight->bytes);
        if (region == NULL) { /* it went by another rail before, and is to be sent again */
            rail_break(rail, KOLO_ERR_SYSTEM,
                       "the device cannot register what is to be sent again");
            return;
        }
        struct ibv_sge payload = part(flight->data, flight->bytes, region->lkey);
        rail->awaited = true;
        write.parts[0].length = (uint32_t)head;
        if (flight->kind == FRAME_PUT) {
            struct rail_write put = {.parts = {payload},
                                     .count = 1,
                                     .remote = flight->remote,
                                     .key = flight->keys[rail->index],
                                     .channel = RAIL_NO_CHANNEL};
            rail_write(rail, &put);
            write.host = true;
        } else {
            write.parts[1] = payload;
            write.count = 2;
        }
    }
    rail_write(rail, &write);
}

void verbs_link_ring(struct verbs_link *link)
{
    for (unsigned i = 0; i < link->rails; i++) {
        rail_ring(&link->rail[i], link->rail[i].awaited);
        link->rail[i].awaited = false;
    }
    spare_push(link);
}

/* ---- moving ------------------------------------------------------------------------------------------------------- */

bool verbs_link_has_work(const struct verbs_link *link)
{
    bool work = false;
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        work |= link->inbox[i].queue.head != NULL || link->outbox[i].queue.head != NULL;
    }
    for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
        work |= credit_due(&link->in[i]);
    }
    work |= failover_due(link);
    return work && link->state == LINK_UP && !link->parting;
}

void verbs_link_enlist(struct verbs_link *link)
{
    if (!link->listed && verbs_link_has_work(link)) {
        link->listed = true;
        link->next_busy = link->verbs->busy;
        link->verbs->busy = link;
    }
}

bool verbs_link_step(struct verbs_link *link)
{
    bool any = false, broken = link->hostile;
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        any |= inbox_step(&link->inbox[i]);
        broken |= link->inbox[i].broken || link->inbox[i].crossed;
        if (!link->leaving) {
            inbox_grant(&link->inbox[i]);
            any |= outbox_step(&link->outbox[i]);
        }
    }
    any |= notice_credits(link);
    verbs_link_ring(link);
    if (broken || (link->leaving && any) || failover_due(link)) {
        verbs_link_settle_soon(link);
    }
    return any;
}

/* ---- states ------------------------------------------------------------------------------------------------------- */

void verbs_link_lose(struct verbs_link *link, kolo_status status, const char *format, ...)
{
    if (link->state == LINK_LOST) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(link->text, sizeof link->text, format, arguments);
    va_end(arguments);
    if (link->state == LINK_UP && !link->leaving && status != KOLO_ERR_PEER_LOST) {
        parting_say(link); /* it is we who leave */
        parting_flush(link, clock_after(clock_now_ns(), PARTING_FLUSH_NS));
    }
    if (link->state == LINK_LOST) {
        return; /* meanwhile, of something else */
    }
    enum log_level level = status == KOLO_ERR_STATE       ? LOG_DEBUG
                           : status == KOLO_ERR_PEER_LOST ? LOG_INFO
                                                          : LOG_WARN;
    log_line(level, "verbs: link lost: %s", link->text);
    link->state = LINK_LOST;
    link->status = status;
    for (unsigned i = 0; i < link->rails; i++) {
        rail_close(&link->rail[i]); /* before the posters have their memory back */
    }
    spare_close(link);
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        queue_fail(&link->inbox[i].queue, status);
        outbox_fail(&link->outbox[i], status);
    }
    verbs_wind(link->verbs);
}

static void come_up(struct verbs_link *link)
{
    link->state = LINK_UP;
    link->verbs->news = true;
    char text[256];
    for (unsigned i = 0; i < link->rails; i++) {
        if (log_shows(LOG_DEBUG) && link->rail[i].state == RAIL_UP) {
            log_line(LOG_DEBUG, "verbs: link with %s: rail %u by %s", link->name, i,
                     device_describe(text, sizeof text, &link->verbs->devices.port[i]));
        }
    }
    verbs_link_enlist(link);
    verbs_wind(link->verbs);
}

/* Until the time is up, a rail that fails before the peer was heard of is tried again: the peer may be behind. */
static bool try_again(struct rail *rail)
{
    const struct verbs_link *link = rail->link;
    return link->state == LINK_CONNECTING && rail->late && !rail->by_cm && !rail->acked &&
           !rail->heard && clock_now_ns() < link->deadline_ns &&
           rail_connect_again(rail) == KOLO_OK;
}

static unsigned count_rails(const struct verbs_link *link)
{
    unsigned rails = 0;
    for (unsigned i = 0; i < link->rails; i++) {
        rails += link->rail[i].state != RAIL_OFF;
    }
    return rails;
}

/* Is there a way on for a link whose rail has failed? After the peer's goodbye it is worth going as long as frames are missing: the peer is
 * still there to send them again. */
static bool goes_on(const struct verbs_link *link, unsigned alive)
{
    return link->leaving ? alive > 0 && !parting_has_all(link) : alive > 0 || spare_stands_by(link);
}

/* Rails that work, and rails that do not. Returns how many there may still be; out: why, the last that broke. Giving one up brings news
 * of the others: one that breaks thereby is given up in the same round, or in the next if it stands before. */
static unsigned sort_rails(struct verbs_link *link, const struct rail **why)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < link->rails; i++) {
        struct rail *rail = &link->rail[i];
        if (rail->state == RAIL_TRYING && rail->heard && rail->acked) {
            rail->state = RAIL_UP;
            if (link->state == LINK_CONNECTING) {
                come_up(link);
            }
        }
        bool broken = rail->state == RAIL_BROKEN && !try_again(rail);
        alive += rail->state != RAIL_OFF && !broken;
    }
    for (unsigned i = 0; i < link->rails; i++) {
        struct rail *rail = &link->rail[i];
        if (rail->state == RAIL_BROKEN) {
            *why = rail;
            if (goes_on(link, alive)) {
                failover_begin(link, rail, alive > 0);
            } else {
                rail_close(rail);
            }
        }
    }
    return count_rails(link);
}

static void lose_rails(struct verbs_link *link, const struct rail *why)
{
    const struct device_port *port = &link->verbs->devices.port[why->index];
    if (link->state == LINK_CONNECTING && why->why != KOLO_ERR_PROTOCOL) {
        verbs_link_lose(link, KOLO_ERR_STATE, "%s cannot be reached by verbs from %s:%u: %s",
                        link->name, port->name, port->number, why->text);
    } else {
        verbs_link_lose(link, why->why, "%s, by %s:%u: %s", link->name, port->name, port->number,
                        why->text);
    }
}

static void settle_leaving(struct verbs_link *link, unsigned alive)
{
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        inbox_step(&link->inbox[i]);
    }
    if (!parting_lives_on(link, alive > 0)) {
        verbs_link_lose(link, KOLO_ERR_PEER_LOST, "%s has closed its end of the verbs link",
                        link->name);
    }
}

static void lose_broken(struct verbs_link *link)
{
    bool crossed = false;
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        crossed |= link->inbox[i].crossed;
        link->hostile |= link->inbox[i].broken;
    }
    if (link->hostile) {
        verbs_link_lose(link, KOLO_ERR_PROTOCOL, "%s sent what is no message of kolo's",
                        link->name);
    } else if (crossed) {
        verbs_link_lose(link, KOLO_ERR_MISMATCH,
                        "%s sent another message than was expected, and others were to be put into "
                        "place behind it",
                        link->name);
    }
}

/* Once all has come that a peer sent which has left, there is nothing to go on for. */
static void fail_over(struct verbs_link *link)
{
    if (link->leaving && parting_has_all(link)) {
        failover_forget(link);
    } else if (link->state == LINK_UP) {
        failover_step(link);
    }
}

void verbs_link_mend(struct verbs_link *link)
{
    const struct rail *why = NULL;
    link->due = false;
    (void)sort_rails(link, &why);
    fail_over(link);
}

void verbs_link_settle(struct verbs_link *link)
{
    const struct rail *why = NULL;
    link->due = false;
    if (link->state == LINK_NEW || link->state == LINK_LOST) {
        return;
    }
    unsigned alive = sort_rails(link, &why);
    if (alive == 0 && why != NULL && link->state == LINK_UP) {
        failover_forget(link);
        (void)(!link->leaving && spare_take_over(link, why));
    }
    alive += spare_is_alive(link);
    fail_over(link);
    if (link->parting) {
        if (alive == 0 || parting_is_over(link)) {
            verbs_link_free(link);
        }
        return;
    }
    lose_broken(link);
    if (link->state != LINK_LOST && link->leaving) {
        settle_leaving(link, alive);
    }
    if (link->state == LINK_LOST || alive > 0 || link->leaving) {
        return;
    }
    if (spare_failure(link) != NULL) {
        verbs_link_lose(link, KOLO_ERR_PEER_LOST, "%s", spare_failure(link));
    } else if (why != NULL) {
        lose_rails(link, why);
    }
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

static void tick_trying(struct verbs_link *link, uint64_t now_ns)
{
    for (unsigned i = 0; i < link->rails && now_ns >= link->deadline_ns; i++) {
        bool looking = link->rail[i].resolution != NULL; /* the kernel sees to its end */
        if (!looking &&
            (link->rail[i].state == RAIL_TRYING || link->rail[i].state == RAIL_MEETING)) {
            rail_break(&link->rail[i], KOLO_ERR_PEER_LOST, "no answer within %.3g s",
                       (double)LINK_TRYING_NS / NS_PER_S);
        }
    }
}

static void probe(struct verbs_link *link)
{
    for (unsigned i = 0; i < link->rails; i++) {
        const struct rail *rail = &link->rail[i];
        bool nudges = rail->state == RAIL_TRYING && rail->iwarp; /* see meeting_heard() */
        if (rail->state == RAIL_UP || nudges) {
            rail_probe(&link->rail[i]);
        }
    }
}

bool verbs_link_look_on(struct verbs_link *link)
{
    bool any = false;
    for (unsigned i = 0; i < link->rails; i++) {
        any |= link->rail[i].resolution != NULL && rail_connect_on(&link->rail[i]);
    }
    if (any && !link->parting) {
        link->deadline_ns = clock_after(clock_now_ns(), LINK_TRYING_NS);
    }
    return any;
}

void verbs_link_tick(struct verbs_link *link, uint64_t now_ns)
{
    if (link->parting) {
        if (now_ns >= link->deadline_ns || (!link->due && parting_is_over(link))) {
            verbs_link_free(link);
        } else {
            if (failover_due(link)) {
                verbs_link_settle_soon(link); /* what found no room is tried again */
            }
            spare_tick(link, now_ns);
            probe(link);
        }
        return;
    }
    tick_trying(link, now_ns);
    spare_tick(link, now_ns);
    probe(link);
}
