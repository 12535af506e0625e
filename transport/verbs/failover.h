/* failover: what happens to the frames of a rail that fails while the link has others. The end that notices gives the rail up:
 * it ends its queue pair, so that nothing can come by it any more, and tells the other end by another rail which frames have come
 * (RESUME; said again where the rail that carried it fails as well). The other end gives the rail up, too, and sends again what
 * has not. A put that is sent again writes what it has written before: its receive is still posted, because its frame has not
 * come. */
#ifndef KOLO_VERBS_FAILOVER_H
#define KOLO_VERBS_FAILOVER_H

#include "transport/verbs/frame.h"

struct rail;
struct verbs_link;

/** What the peer has said about a rail. */
struct failover {
    bool due;  /* we have given the rail up, and the peer has not been told */
    bool news; /* the peer has given it up: what follows has not been acted on */
    uint32_t fronts[FRAME_CHANNELS]; /* the peer has all frames before this one */
    uint32_t masks[FRAME_CHANNELS];  /* and those in these slots */
};

/** Give up a broken rail. `others`: the link has more, and the user is told. */
void failover_begin(struct verbs_link *link, struct rail *rail, bool others);

/** Nothing is due of any rail: there is none left, or all has come from a peer that has left. */
void failover_forget(struct verbs_link *link);

/** The peer's RESUME has come. Only noted: acted on by failover_step(). False: it makes no sense. */
bool failover_told(struct verbs_link *link, const struct frame_notice *notice);

/** Tell the peer, and send again. From verbs_link_settle(). */
void failover_step(struct verbs_link *link);

/** Has the peer still to be told of a rail, or what it said of one to be acted on? */
bool failover_due(const struct verbs_link *link);

#endif
