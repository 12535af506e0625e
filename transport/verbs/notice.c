#include "transport/verbs/notice.h"

#include "transport/verbs/link.h"

unsigned notice_room(struct verbs_link *link)
{
    return verbs_link_room(link, FRAME_NOTICES);
}

bool notice_post(struct verbs_link *link, enum frame_kind kind, struct frame *frame,
                 const struct frame_notice *notice)
{
    struct credit_out *out = &link->out[FRAME_NOTICES];
    struct rail *rail = verbs_link_rail(link, RAIL_FRAME_WORKS);
    if (notice_room(link) == 0 || rail == NULL) {
        return false;
    }
    uint8_t *slot = slots_out(&link->slots, FRAME_NOTICES, out->next);
    frame->sequence = out->next;
    frame->kind = kind;
    verbs_link_credits(link, frame);
    frame_encode(slot, frame);
    frame_notice_encode(slot, notice);
    *credit_flight(out, out->next) = (struct flight){.kind = (uint8_t)kind,
                                                     .bytes = (uint32_t)sizeof *notice,
                                                     .rail = (uint8_t)rail->index,
                                                     .about = (uint8_t)notice->rail};
    verbs_link_post(link, rail, FRAME_NOTICES, out->next);
    out->next++;
    return true;
}

bool notice_credits(struct verbs_link *link)
{
    bool due = credit_due(&link->in[FRAME_NOTICES]); /* worth one of the last slots, too */
    bool others = false;
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        others |= credit_due(&link->in[i]);
    }
    due |= others && notice_room(link) > NOTICE_LAST;
    if (!due || link->leaving) {
        return false;
    }
    struct frame frame = {0};
    struct frame_notice notice = {0};
    return notice_post(link, FRAME_CREDIT, &frame, &notice);
}

static bool take(struct verbs_link *link, const struct frame *frame,
                 const struct frame_notice *notice)
{
    switch (frame->kind) {
    case FRAME_CREDIT:
    case FRAME_RESUME:
        return true; /* taken on arrival */
    case FRAME_GRANT:
        return notice->lane < TRANSPORT_LANES &&
               outbox_grant(&link->outbox[notice->lane], frame, notice);
    case FRAME_GOODBYE:
        link->leaving = true;
        memcpy(link->last, notice->fronts, sizeof link->last);
        verbs_link_settle_soon(link);
        return true;
    default:
        return false;
    }
}

bool notice_arrived(struct verbs_link *link, uint32_t sequence)
{
    struct frame frame;
    struct frame_notice notice;
    const uint8_t *slot = slots_in(&link->slots, FRAME_NOTICES, sequence);
    frame_decode(&frame, slot);
    if (frame.kind == FRAME_RESUME) {
        frame_notice_decode(&notice, slot);
        if (!failover_told(link, &notice)) {
            return false;
        }
    }
    notice_step(link);
    return true;
}

bool notice_step(struct verbs_link *link)
{
    struct credit_in *in = &link->in[FRAME_NOTICES];
    bool any = false;
    while (credit_has(in, in->front)) {
        struct frame frame;
        struct frame_notice notice;
        const uint8_t *slot = slots_in(&link->slots, FRAME_NOTICES, in->front);
        frame_decode(&frame, slot);
        frame_notice_decode(&notice, slot);
        if (frame.sequence != in->front || !take(link, &frame, &notice)) {
            link->hostile = true;
            verbs_link_settle_soon(link);
            return true;
        }
        credit_give(in);
        any = true;
    }
    return any;
}
