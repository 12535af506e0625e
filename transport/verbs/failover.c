#include "transport/verbs/failover.h"

#include "runtime/base/log.h"
#include "transport/verbs/link.h"

#define DRAIN_ROUNDS 64 /* polls for what has come by a rail that is given up */

/* Once for each rail; for all other links it is no news. */
static void log_once(const struct verbs_link *link, const struct rail *rail)
{
    struct verbs *verbs = link->verbs;
    const struct device_port *port = &verbs->devices.port[rail->index];
    uint32_t bit = UINT32_C(1) << rail->index;
    bool ends = link->leaving || link->parting;
    bool new = link->state == LINK_UP && !ends && (verbs->warned & bit) == 0;
    enum log_level level = new ? LOG_WARN : LOG_DEBUG;
    verbs->warned |= new ? bit : 0;
    log_line(level,
             "verbs: a queue pair on %s:%u is given up for the link with %s, which goes on by its "
             "others: %s",
             port->name, port->number, link->name, rail->text);
}

/* What was said of other rails, and may be lost with this one, cannot wait until the peer has told us so: the peer's word may have
 * gone by one of those. Saying it twice does no harm. */
static void say_again(struct verbs_link *link, unsigned rail)
{
    const struct credit_out *out = &link->out[FRAME_NOTICES];
    for (uint32_t i = out->credited; i != out->next; i++) {
        const struct flight *flight = &out->flight[credit_slot(i)];
        if (flight->kind == FRAME_RESUME && flight->rail == rail) {
            link->failover[flight->about].due = true;
        }
    }
}

void failover_begin(struct verbs_link *link, struct rail *rail, bool others)
{
    if (others) {
        log_once(link, rail);
    }
    rail_flush(rail); /* from here on nothing new comes by it */
    for (unsigned i = 0; i < DRAIN_ROUNDS && completion_poll(&link->verbs->completion) > 0; i++) {
        link->verbs->news = true;
    }
    rail_close(rail);
    link->failover[rail->index].due = true;
    say_again(link, rail->index);
}

void failover_forget(struct verbs_link *link)
{
    memset(link->failover, 0, sizeof link->failover);
}

static bool tell(struct verbs_link *link, unsigned rail)
{
    struct frame frame = {0};
    struct frame_notice notice = {.rail = rail};
    for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
        notice.fronts[i] = link->in[i].front;
        notice.masks[i] = link->in[i].mask;
    }
    return notice_post(link, FRAME_RESUME, &frame, &notice);
}

bool failover_told(struct verbs_link *link, const struct frame_notice *notice)
{
    if (notice->rail >= link->rails) {
        return false;
    }
    struct failover *failover = &link->failover[notice->rail];
    failover->news = true;
    memcpy(failover->fronts, notice->fronts, sizeof failover->fronts);
    memcpy(failover->masks, notice->masks, sizeof failover->masks);
    verbs_link_settle_soon(link);
    return true;
}

static bool has_come(const struct failover *failover, unsigned channel, uint32_t sequence)
{
    uint32_t ahead = sequence - failover->fronts[channel];
    if (ahead > UINT32_MAX / 2) {
        return true; /* before the front */
    }
    /* Beyond the window: sent on credits that came by another rail, after the peer had closed this one. */
    return ahead < FRAME_SLOTS && (failover->masks[channel] >> credit_slot(sequence) & 1) != 0;
}

/* Frames that went by that rail: done, or again by another. False: not all, for want of a rail that is up. */
static bool send_again(struct verbs_link *link, unsigned rail, unsigned channel)
{
    struct credit_out *out = &link->out[channel];
    uint32_t next = out->next;
    for (uint32_t i = out->completed; i != next; i++) {
        struct flight *flight = credit_flight(out, i);
        if (flight->done || flight->rail != rail) {
            continue;
        }
        if (has_come(&link->failover[rail], channel, i)) {
            verbs_link_sent(link, channel, i);
            continue;
        }
        struct rail *other = verbs_link_rail(link, RAIL_FRAME_WORKS);
        if (other == NULL) {
            return false; /* it is still trying, or has just failed as well */
        }
        flight->rail = (uint8_t)other->index;
        verbs_link_post(link, other, channel, i);
    }
    return true;
}

/* Frames that the device took for delivered and that never came there: a device that vanished between the two, or one that
 * completes what it has only handed on (iWARP). What lies in a slot still does, and is to be sent again; where it was sent from the
 * poster's memory, the transfer may be over. Frames that the peer has given back are none of these, whatever the notice says, which
 * may be older: others lie in their slots now. False: a frame is lost. */
static bool take_back(struct verbs_link *link, unsigned rail, unsigned channel)
{
    struct credit_out *out = &link->out[channel];
    for (uint32_t i = out->credited; i != out->next; i++) {
        struct flight *flight = credit_flight(out, i);
        if (!flight->done || flight->rail != rail || has_come(&link->failover[rail], channel, i)) {
            continue;
        }
        if (flight->data != NULL) {
            return false;
        }
        flight->done = false;
        if (out->next - i > out->next - out->completed) {
            out->completed = i;
        }
    }
    return true;
}

static bool take_all_back(struct verbs_link *link, unsigned rail)
{
    bool kept = true;
    for (unsigned channel = 0; channel < FRAME_CHANNELS; channel++) {
        kept &= take_back(link, rail, channel);
    }
    if (!kept) {
        verbs_link_lose(link, KOLO_ERR_PEER_LOST,
                        "a rail to %s failed and took bytes with it that its device had called "
                        "delivered",
                        link->name);
    }
    return kept;
}

void failover_step(struct verbs_link *link)
{
    for (unsigned i = 0; i < link->rails; i++) {
        struct failover *failover = &link->failover[i];
        if (failover->news && link->rail[i].state != RAIL_OFF) {
            rail_break(&link->rail[i], KOLO_ERR_PEER_LOST, "the peer has given it up");
            continue; /* failover_begin() comes first */
        }
        if (failover->due) {
            failover->due = !tell(link, i);
        }
        if (failover->news && !take_all_back(link, i)) {
            return;
        }
        bool all = failover->news;
        for (unsigned channel = 0; all && channel < FRAME_CHANNELS; channel++) {
            all = send_again(link, i, channel);
        }
        failover->news = failover->news && !all;
    }
    verbs_link_ring(link);
    verbs_link_enlist(link); /* what found no room is tried again */
}

bool failover_due(const struct verbs_link *link)
{
    bool due = false;
    for (unsigned i = 0; i < link->rails; i++) {
        due |= link->failover[i].due || link->failover[i].news;
    }
    return due;
}
