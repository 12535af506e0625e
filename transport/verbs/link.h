/* link: one end of a verbs link: its rails, its channels, how it comes up and what happens when a rail fails; and the transport
 * that the links share. (How it ends: parting. The table of the contract, progress and sleep: verbs.) Completions only note
 * what has happened; decisions are taken by verbs_link_settle(), called from progress(). */
#ifndef KOLO_VERBS_LINK_H
#define KOLO_VERBS_LINK_H

#include "runtime/base/clock.h"
#include "transport/verbs/completion.h"
#include "transport/verbs/failover.h"
#include "transport/verbs/inbox.h"
#include "transport/verbs/meeting.h"
#include "transport/verbs/notice.h"
#include "transport/verbs/outbox.h"
#include "transport/verbs/rail.h"
#include "transport/verbs/registration.h"
#include "transport/verbs/slots.h"
#include "transport/verbs/spare.h"

#define LINK_NAME_BYTES 128
#define LINK_TEXT_BYTES 512
#define LINK_TRYING_NS (2 * NS_PER_S) /* until a rail on which nothing is heard counts as none */
#define LINK_RETRIES 6 /* of a packet that is not acknowledged; 7 means for ever to soft-RoCE */

struct verbs {
    struct transport base;
    struct devices devices;
    struct registrations *registrations;
    struct completion completion;
    struct meeting meeting;
    uint8_t self[TRANSPORT_ID_BYTES];
    uint8_t ack_timeout; /* of queue pairs: struct pair_settings */
    uint64_t probe_ns;   /* a rail that is silent for so long is asked */
    uint64_t answer_ns;  /* and must answer within this, where the device does not see to it */
    struct verbs_link *links;
    struct verbs_link *busy; /* with transfers or notices to move */
    bool due;                /* a link is to be settled */
    bool news;               /* something has happened in arm() */
    int timer_fd;
    uint64_t period_ns;    /* of the timer; 0: off */
    uint64_t next_tick_ns; /* when it is due */
    unsigned rounds;       /* of progress() since the time was looked at */
    uint32_t warned;       /* bits of ports of which the user has been told that they fail */
    uint32_t down;         /* bits of ports that have said so */
    struct resolver *resolver;
    unsigned looking;        /* rails that wait for it */
    unsigned parting;        /* links that are closed but not gone */
    struct transport *spare; /* borrowed; NULL: none */
    uint64_t patience_ns;    /* with the other end of a link that comes by it */
    unsigned sparing;        /* links that need it now */
    uint64_t next_watch_ns;  /* when it is looked at for others */
    bool spare_told;         /* the user knows */
    uint64_t sent_bytes;     /* of links that are gone */
    uint64_t received_bytes;
};

static_assert(FRAME_RAILS == DEVICE_RAILS_MAX, "a key for each rail");

struct verbs_link {
    struct link base;
    struct verbs *verbs;
    struct verbs_link *next, *previous;
    struct verbs_link *next_busy;
    bool listed;  /* busy */
    bool due;     /* to be settled */
    bool hostile; /* the peer sent what it must not */
    bool leaving; /* the peer has said goodbye */
    bool parting; /* we have, and the poster knows this link no more */
    bool dials;   /* by rdma_cm */
    enum link_state state;
    unsigned rails;
    uint16_t epoch_in, epoch_out;
    struct rail *rail;   /* [rails] */
    struct spare *spare; /* NULL: none */
    struct slots slots;
    struct credit_in in[FRAME_CHANNELS];
    struct credit_out out[FRAME_CHANNELS];
    struct inbox inbox[TRANSPORT_LANES];
    struct outbox outbox[TRANSPORT_LANES];
    struct failover failover[FRAME_RAILS]; /* of each rail */
    uint32_t last[FRAME_CHANNELS];         /* leaving: frames that the peer has sent */
    uint64_t deadline_ns;                  /* of trying, or of parting */
    uint8_t peer[TRANSPORT_ID_BYTES];
    uint64_t token;
    kolo_status status;
    char name[LINK_NAME_BYTES];
    char text[LINK_TEXT_BYTES];
};

/** Make a link of the transport. KOLO_ERR_MEMORY, KOLO_ERR_SYSTEM. Freed by verbs_link_free(). */
kolo_status verbs_link_make(struct verbs_link **link, struct verbs *verbs,
                            const struct link_config *config);

/** Close its rails and free it; transfers are not touched. */
void verbs_link_free(struct verbs_link *link);

size_t verbs_link_offer(const struct verbs_link *link, uint8_t *offer);
kolo_status verbs_link_connect(struct verbs_link *link, const uint8_t *offer, size_t bytes);

/** LINK_LOST: rails are closed, all transfers fail. Nothing happens if it is lost already. Not from within completions. */
void verbs_link_lose(struct verbs_link *link, kolo_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Move what can be moved, and ring. True if anything did. */
bool verbs_link_step(struct verbs_link *link);

/** Have progress() step the link as long as it has something to move. */
void verbs_link_enlist(struct verbs_link *link);
bool verbs_link_has_work(const struct verbs_link *link);

/** Something has happened that may change the link's state: have progress() decide. */
void verbs_link_settle_soon(struct verbs_link *link);
void verbs_link_settle(struct verbs_link *link); /* may free a link that is parting */

/** The part of it that is about rails, for a link that is about to end: gives up those that broke, and goes on by the others. */
void verbs_link_mend(struct verbs_link *link);

/** The ways that are looked for may have been found: go on. True if any was, or is known not to be. */
bool verbs_link_look_on(struct verbs_link *link);

/** Time has passed. May free a link that is parting. */
void verbs_link_tick(struct verbs_link *link, uint64_t now_ns);

/** Set the transport's timer to what its links need. */
void verbs_wind(struct verbs *verbs);

/** Hear what the devices say of themselves: breaks the rails that it is about. */
void verbs_events(struct verbs *verbs);

/* ---- for rails, boxes and notices ---- */

/** An immediate has come. */
void verbs_link_arrived(struct verbs_link *link, struct rail *rail, uint32_t immediate);

/** A frame has come into a slot of a channel, all of it. */
void verbs_link_take(struct verbs_link *link, unsigned channel, unsigned slot);

/** The device has done with a frame of ours. */
void verbs_link_sent(struct verbs_link *link, unsigned channel, uint32_t sequence);

/** The rail with the least to do that has room for so many work requests, or what stands for the spare when all are lost; NULL:
 *  none now. */
struct rail *verbs_link_rail(struct verbs_link *link, unsigned works);

/** Frames that may be sent on a channel now. If there are none because the device has not said that it is done with earlier ones,
 *  it is made to. */
unsigned verbs_link_room(struct verbs_link *link, unsigned channel);

/** Is anything under way whose completion will be seen? */
bool verbs_link_is_busy(const struct verbs_link *link);

/** Write down in a frame what has been given back. */
void verbs_link_credits(struct verbs_link *link, struct frame *frame);

/** Write a frame, whose flight and slot are filled in, to the peer by that rail. */
void verbs_link_post(struct verbs_link *link, struct rail *rail, unsigned channel,
                     uint32_t sequence);

/** Ring the doorbells. */
void verbs_link_ring(struct verbs_link *link);

#endif
