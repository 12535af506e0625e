/* notice: the small messages that the two ends of a link send each other besides the lanes' frames: credits when nothing else
 * carries them, grants, goodbyes, and what is needed to give up a rail. They have a channel of their own. It cannot lock up:
 * whoever has had half of its slots from the peer says so, and for that grants leave NOTICE_KEPT slots free; credits leave
 * NOTICE_LAST, for what must not fail for want of room. */
#ifndef KOLO_VERBS_NOTICE_H
#define KOLO_VERBS_NOTICE_H

#include "transport/verbs/frame.h"

/* Slots for the GOODBYE, and for a RESUME of every rail but the last, which may have to be said again whenever another fails. */
#define NOTICE_LAST (1 + FRAME_RAILS * (FRAME_RAILS - 1) / 2)
#define NOTICE_KEPT (NOTICE_LAST + 1)

struct verbs_link;

/** Notices that can be sent now. */
unsigned notice_room(struct verbs_link *link);

/** Send one; its sequence number, kind and credits are filled in. False: no room now. Not rung yet. */
bool notice_post(struct verbs_link *link, enum frame_kind kind, struct frame *frame,
                 const struct frame_notice *notice);

/** Tell the peer what has been given back, if it would soon starve. True if it was told. */
bool notice_credits(struct verbs_link *link);

/** A notice has come; those before it may not have. What is about rails cannot wait for its turn: the notices before it may
 *  have been lost with one. False: nonsense. */
bool notice_arrived(struct verbs_link *link, uint32_t sequence);

/** Act on notices that have come, in their order. True if there were any. */
bool notice_step(struct verbs_link *link);

#endif
