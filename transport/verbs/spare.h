/* spare: the way of a link by another transport (TCP) when all its rails are lost though the peer lives. It is made with the link and
 * does nothing until then: its end that does not dial only waits. An end that has lost its last rail calls the other one by it;
 * that one notices by its own rails, or by the call. Both say which frames have come (as RESUME does), send again what has not, and
 * go on: a frame is a message of fixed length, its head, and one with its payload. What was to be put is copied from there.
 *
 * A frame is done when the other transport has taken it, and cannot be sent again: if the spare fails, too, the link is lost. */
#ifndef KOLO_VERBS_SPARE_H
#define KOLO_VERBS_SPARE_H

#include "transport/verbs/credit.h"
#include "transport/verbs/rail.h"

#define SPARE_RAIL 0xfeu /* its index, where one of rails is meant */
#define SPARE_OFFER_BYTES 256
#define SPARE_TEXT_BYTES 512
#define SPARE_HEAD_BYTES (32 + FRAME_HEADER_BYTES)
#define SPARE_FRAMES (FRAME_CHANNELS * FRAME_SLOTS) /* under way, at most */
#define SPARE_ORDER 64                              /* a power of two, not less */
#define SPARE_PATIENCE_NS                                                                          \
    (8 * NS_PER_S)     /* for the other end to come, where there is no peer timeout */
#define SPARE_ROUNDS 8 /* of the other transport's progress in one of ours */

struct verbs;
struct verbs_link;

enum spare_state {
    SPARE_READY = 0, /* made; or, until the peer's offer is known, half of it */
    SPARE_CALLING,   /* all rails are lost; the other end's hello is awaited */
    SPARE_UP,        /* it carries everything */
    SPARE_CLOSED     /* broken, refused by the peer, or not needed any more */
};

/** A frame of ours on its way; there is one for each slot, and one for the hello. */
struct spare_frame {
    struct transfer head, body;
    uint32_t sequence;
    uint8_t channel;
    uint8_t bytes[SPARE_HEAD_BYTES];
};

struct spare {
    enum spare_state state;
    struct link *way;       /* the other transport's; NULL when closed */
    struct rail path;       /* stands for this way where a rail is named: has no queue pair */
    const struct rail *why; /* the rail that was lost last */
    bool greeted;           /* our hello is on its way */
    bool taking;            /* the payload of a frame is coming */
    uint64_t deadline_ns;   /* CALLING */
    uint64_t again_ns;      /* CALLING: not tried again before */
    struct spare_frame frame[SPARE_FRAMES + 1];
    uint8_t order[SPARE_ORDER]; /* frames under way, oldest first */
    unsigned first, last;       /* of those; they only grow */
    /* What comes. */
    struct transfer head, body;
    uint8_t bytes[SPARE_HEAD_BYTES];
    struct frame coming; /* its head, decoded, and: */
    unsigned channel;
    uint64_t remote;
    size_t offer_bytes;
    uint8_t offer[SPARE_OFFER_BYTES]; /* ours, then the peer's */
    char text[SPARE_TEXT_BYTES];      /* why it has failed; empty: it has not */
    uint8_t put[FRAME_PUT_BYTES];     /* what is to be put, until all of it has come */
};

/** Make the spare of a link, if its transport has any; without, the link does as well. */
void spare_make(struct verbs_link *link);

/** The peer's offer of one. KOLO_ERR_PROTOCOL if it is nonsense. `bytes` 0: it has none. */
kolo_status spare_aim(struct verbs_link *link, const uint8_t *offer, size_t bytes);

/** Nothing of ours is touched by it any more. What it has taken still goes out. Nothing happens if there is none. */
void spare_close(struct verbs_link *link);
void spare_free(struct verbs_link *link);

/** Could it carry the link, if there were no rails? */
bool spare_stands_by(const struct verbs_link *link);

/** All rails are closed, this one last: call the peer. False: there is no other way. */
bool spare_take_over(struct verbs_link *link, const struct rail *why);

/** Why it has failed; NULL if it has not. */
const char *spare_failure(const struct verbs_link *link);

/** Is it carrying the link, or about to? */
bool spare_is_alive(const struct verbs_link *link);

/** Has nothing to do: no frame is under way, nor is it about to carry any. */
bool spare_is_quiet(const struct verbs_link *link);

/** What stands for it as a rail when it is up; NULL. */
struct rail *spare_path(const struct verbs_link *link);

/** Is it about to carry what cannot be sent now? Then what stands for it as a rail; NULL. */
struct rail *spare_to_come(const struct verbs_link *link);

/** Send a frame, as verbs_link_post(). */
void spare_post(struct verbs_link *link, unsigned channel, uint32_t sequence);

/** Send what has been posted as far as the other transport takes it, now. */
void spare_push(struct verbs_link *link);

/** Bring it on. True if anything happened. What may end the link is left to verbs_link_settle(). */
bool spare_step(struct verbs_link *link);

/** The other transport, and all that links have by it. True if anything happened. */
bool spare_progress(struct verbs *verbs);

/** Now and then: has the other end of any link called? */
void spare_watch(struct verbs *verbs);

/** Time has passed. */
void spare_tick(struct verbs_link *link, uint64_t now_ns);

#endif
