/* rail: one queue pair of a link, on one port, as its link uses it: writes into the peer's memory, gathered into a chain and
 * rung with one doorbell; announcements by immediate; which of them are signalled; and what completions say. Knows sequence
 * numbers only as what comes back when a write is done. iWARP has no immediates: there a small message follows the write; and
 * its writes are done when they are handed to TCP, so that only a read proves anything. */
#ifndef KOLO_VERBS_RAIL_H
#define KOLO_VERBS_RAIL_H

#include "transport/verbs/frame.h"
#include "transport/verbs/pair.h"

#define RAIL_SENDS 128      /* work requests outstanding */
#define RAIL_CHAIN 32       /* rung with one doorbell */
#define RAIL_FRAME_WORKS 4  /* work requests of one frame, at most */
#define RAIL_KEPT_WORKS 8   /* kept free of lanes' frames, for notices */
#define RAIL_SIGNAL_EVERY 8 /* at least: notices must not run out unsignalled (link.c) */
#define RAIL_REPOST 16      /* receives posted at a time */
#define RAIL_RECEIVES                                                                              \
    (FRAME_CHANNELS * FRAME_SLOTS + 2 * RAIL_REPOST) /* all that a peer can use up */
#define RAIL_INLINE_BYTES 220                        /* wished for */
#define RAIL_NO_CHANNEL 0xffu
#define RAIL_TEXT_BYTES 256

struct cm_connection;
struct resolution;
struct verbs_link;

enum rail_state {
    RAIL_OFF = 0, /* no queue pair, and never again */
    RAIL_MADE,    /* or, by rdma_cm, to be made */
    RAIL_MEETING, /* rdma_cm is connecting it, or the way is looked for */
    RAIL_TRYING,  /* connected; hellos are under way */
    RAIL_UP,
    RAIL_BROKEN /* failed; its link has yet to see to it */
};

struct rail_work {
    uint32_t sequence;
    uint32_t bytes;
    uint8_t channel; /* RAIL_NO_CHANNEL: nobody waits for it */
    bool signalled;
};

/** A write into the peer's memory. */
struct rail_write {
    struct ibv_sge parts[2]; /* in our memory */
    int count;               /* of parts: 0 is possible */
    uint64_t remote;
    uint32_t key;
    bool announced; /* to the peer, by `immediate` */
    bool host;      /* all parts can be read by this process: small ones go inline */
    uint32_t immediate;
    uint8_t channel; /* whose frame is done with this write: verbs_link_sent() */
    uint32_t sequence;
};

struct rail {
    struct verbs_link *link;
    unsigned index;
    enum rail_state state;
    struct pair *pair; /* `own`, or the connection's; NULL: not there yet */
    struct pair own;
    struct cm_connection *connection; /* by rdma_cm only */
    struct resolution *resolution;    /* not by rdma_cm: while the way is looked for */
    bool by_cm;
    bool iwarp;
    struct ibv_cq *cq;
    uint64_t id;     /* of its work requests */
    uint64_t remote; /* where the peer's slots begin */
    uint32_t remote_key;
    bool awaited;               /* somebody waits for what is in the chain */
    bool heard;                 /* the peer's hello */
    bool acked;                 /* our first write has been acknowledged */
    uint64_t load;              /* bytes under way */
    uint32_t posted, completed; /* work requests, ever */
    uint32_t unsignalled;       /* since the last signalled one */
    uint32_t signals;           /* outstanding */
    uint32_t owed;              /* receives to be posted */
    uint32_t heard_word;        /* of the next receive to complete */
    uint32_t hello;             /* immediate of the first write */
    struct pair_address to;     /* the peer's; not by rdma_cm */
    uint32_t asked_work;        /* iwarp: the probe's */
    uint64_t asked_ns; /* iwarp: when the probe was sent that has not been answered; 0: none */
    unsigned chained;
    kolo_status why; /* RAIL_BROKEN */
    bool late;       /* RAIL_BROKEN: because nobody answered */
    char text[RAIL_TEXT_BYTES];
    struct rail_work works[RAIL_SENDS];
    struct ibv_send_wr chain[RAIL_CHAIN];
    struct ibv_sge parts[RAIL_CHAIN][2];
    uint32_t words[RAIL_CHAIN]; /* iwarp: in place of immediates */
};

/** Make the queue pair on port `index` of the link's transport. Errors as pair_create(). */
kolo_status rail_open(struct rail *rail, struct verbs_link *link, unsigned index);
void rail_close(
    struct rail *rail); /* once it returns the device touches no memory of ours for it */

/** What its queue pair is like. */
struct pair_shape rail_shape(const struct rail *rail);

/** It has a queue pair now: post receives. */
void rail_equip(struct rail *rail, struct pair *pair);

/** It is connected: say hello. */
void rail_greet(struct rail *rail);

/** Where the peer's slots are, and what to say first. */
void rail_aim(struct rail *rail, uint64_t base, uint32_t key, uint32_t hello);

/** Fail all that is posted on the device: nothing comes by it any more. */
void rail_flush(struct rail *rail);

/** How its queue pair is connected. */
struct pair_settings rail_settings(const struct rail *rail);

/** Begin to bring it, aimed, towards the peer's: at once, or on Ethernet after the kernel has found the neighbour. Then it says hello.
 *  Not by rdma_cm. Errors as pair_connect(). */
kolo_status rail_connect(struct rail *rail, const struct pair_address *remote);

/** While it has a resolution: go on if that is done. True if it was. */
bool rail_connect_on(struct rail *rail);

/** It has failed before anything was heard of the peer, which may not have come as far: begin again with the same queue pair.
 *  Not by rdma_cm, which waits for the peer. Errors as pair_connect(). */
kolo_status rail_connect_again(struct rail *rail);

/** Work requests that may still be posted. */
static inline unsigned rail_room(const struct rail *rail)
{
    return RAIL_SENDS - (rail->posted - rail->completed);
}

/** Add a write to the chain. There must be room for it: two work requests. */
void rail_write(struct rail *rail, const struct rail_write *write);

/** Ring the doorbell for the chain; `signal`: the last of it is signalled, since somebody waits. */
void rail_ring(struct rail *rail, bool signal);

/** Have the peer's device answer, if nothing else makes it: an empty write that its process does not notice. */
void rail_probe(struct rail *rail);

/** Declare it broken. */
void rail_break(struct rail *rail, kolo_status why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** From completion_poll(). Returns true if somebody waits for what has happened. */
bool rail_completed(struct rail *rail, const struct ibv_wc *done, bool receive);

#endif
