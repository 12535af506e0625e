#include "transport/verbs/parting.h"

#include <sched.h>

void parting_say(struct verbs_link *link)
{
    struct frame frame = {0};
    struct frame_notice notice = {0};
    for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
        notice.fronts[i] = link->out[i].next;
    }
    (void)notice_post(link, FRAME_GOODBYE, &frame, &notice);
    for (unsigned i = 0; i < link->rails; i++) {
        struct rail *rail = &link->rail[i];
        rail_ring(rail, true);
        if (rail->state == RAIL_UP && rail->posted != rail->completed) {
            rail_probe(rail); /* unless one of those under way is signalled: then it is the last */
        }
    }
}

bool parting_is_over(const struct verbs_link *link)
{
    bool over = true, way = false;
    if (link->leaving) {
        return true; /* nobody reads it any more */
    }
    for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
        over &= link->out[i].completed == link->out[i].next;
    }
    for (unsigned i = 0; i < link->rails; i++) {
        bool up = link->rail[i].state == RAIL_UP;
        way |= up;
        over &= !up || link->rail[i].posted == link->rail[i].completed;
    }
    over &= spare_is_quiet(link);
    way |= spare_is_alive(link);
    return over || !way;
}

/* A round for all links. */
static void flush_poll(struct verbs *verbs)
{
    bool any = completion_poll(&verbs->completion) > 0;
    any |= verbs->sparing > 0 && spare_progress(verbs);
    verbs_events(verbs);
    if (any) {
        verbs->news = true;
    } else {
        sched_yield();
    }
}

/* And for one that ends. */
static void flush_step(struct verbs_link *link)
{
    if ((link->due || failover_due(link)) && link->state == LINK_UP) {
        verbs_link_mend(link);
    }
    for (unsigned i = 0; i < link->rails; i++) {
        struct rail *rail = &link->rail[i];
        if (rail->state == RAIL_UP && rail->posted != rail->completed) {
            rail_probe(rail);
        }
    }
}

void parting_flush(struct verbs_link *link, uint64_t deadline_ns)
{
    while (!parting_is_over(link) && clock_now_ns() < deadline_ns) {
        flush_poll(link->verbs);
        flush_step(link);
    }
}

/* The time is for all together: who waits for the word of one peer must not keep the others from theirs. */
static void flush_all(struct verbs *verbs, uint64_t deadline_ns)
{
    for (bool over = false; !over && clock_now_ns() < deadline_ns;) {
        over = true;
        flush_poll(verbs);
        for (struct verbs_link *link = verbs->links; link != NULL; link = link->next) {
            if (link->state == LINK_UP && !parting_is_over(link)) {
                flush_step(link);
                over = false;
            }
        }
    }
}

static bool borrows(const struct verbs_link *link)
{
    bool any = false;
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        any |= inbox_lends(&link->inbox[i]) || outbox_borrows(&link->outbox[i]);
    }
    return any;
}

static void fail_posted(struct verbs_link *link, kolo_status status)
{
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        queue_fail(&link->inbox[i].queue, status);
        outbox_fail(&link->outbox[i], status);
    }
}

void parting_close(struct verbs_link *link)
{
    struct verbs *verbs = link->verbs;
    bool up = link->state == LINK_UP && !link->leaving;
    bool wait = borrows(link) || verbs->parting >= PARTING_MAX;
    if (up) {
        parting_say(link);
    }
    if (up && wait) {
        parting_flush(link, clock_after(clock_now_ns(), PARTING_FLUSH_NS));
    }
    if (!up || wait) {
        for (unsigned i = 0; i < link->rails; i++) {
            rail_close(&link->rail[i]); /* before the poster has its memory back */
        }
        spare_close(link);
        fail_posted(link, KOLO_ERR_ABORTED);
        verbs_link_free(link);
        return;
    }
    fail_posted(link, KOLO_ERR_ABORTED);
    link->parting = true;
    verbs->parting++;
    uint64_t most_ns = verbs->patience_ns > PARTING_NS ? verbs->patience_ns : PARTING_NS;
    link->deadline_ns = clock_after(clock_now_ns(), most_ns);
    verbs_link_settle_soon(link);
    verbs_wind(verbs);
}

/* Posted transfers are nobody's any more: they must not be touched. */
static void forget_posted(struct verbs_link *link)
{
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        link->inbox[i].queue.head = NULL;
        link->outbox[i].queue.head = NULL;
        for (unsigned slot = 0; slot < FRAME_SLOTS; slot++) {
            link->out[i].flight[slot].transfer = NULL;
        }
    }
}

void parting_destroy(struct verbs *verbs)
{
    for (struct verbs_link *link = verbs->links; link != NULL; link = link->next) {
        forget_posted(link);
    }
    completion_poll(&verbs->completion); /* goodbyes that have come need no answer */
    uint64_t deadline_ns = clock_after(clock_now_ns(), PARTING_DESTROY_NS);
    for (struct verbs_link *link = verbs->links; link != NULL; link = link->next) {
        if (link->state == LINK_UP) {
            notice_step(link);
        }
        if (link->state == LINK_UP && !link->parting && !link->leaving) {
            parting_say(link);
        }
    }
    flush_all(verbs, deadline_ns);
    while (verbs->links != NULL) {
        verbs_link_free(verbs->links);
    }
}

/* Have all frames come that the peer sent on that lane? */
static bool has_come(const struct verbs_link *link, unsigned lane)
{
    for (uint32_t i = link->in[lane].front; i != link->last[lane]; i++) {
        if (!credit_has(&link->in[lane], i)) {
            return false;
        }
    }
    return true;
}

bool parting_has_all(const struct verbs_link *link)
{
    bool all = true;
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        all &= has_come(link, i);
    }
    return all;
}

bool parting_lives_on(struct verbs_link *link, bool coming)
{
    bool posted = false, left = false;
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        bool whole = inbox_has_whole(&link->inbox[i]) || (coming && !has_come(link, i));
        bool waits = link->inbox[i].queue.head != NULL;
        if (outbox_waits(&link->outbox[i]) || (waits && !whole)) {
            return false;
        }
        posted |= waits;
        left |= whole;
    }
    return posted || left;
}
