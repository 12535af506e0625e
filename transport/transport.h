/* transport: moves messages between this process and its peers. It knows links and bytes, not collectives.
 *
 * A *transport* is one wire of one communicator (TCP, shared memory, the simulated one; later verbs). A *link* joins it with
 * one peer and has LANES, ordered and independent of each other, in both directions. On a lane, the k-th message sent is
 * the k-th received. Messages are posted as *transfers*: structures of the poster, lent to the transport until they are
 * done or failed. Everything moves in progress(); nothing blocks; nothing is allocated after link_connect() but by TCP for
 * strangers. A message that finds no room simply stays posted: that is the back-pressure.
 *
 * Streaming. A transfer moves byte by byte from its start: `ready` says how far the poster lets it go (only the poster
 * raises it), `moved` how far it has come (only the transport raises it). So the bytes of a chunk can go out while its end
 * is still being computed. After raising `ready` the poster calls progress(); it need not post again.
 *
 * Receiving. With `data`, bytes land there without another copy where the wire allows it. Without, the transport shows
 * what has arrived as a *span*: `span_bytes` readable bytes at `span`, the message's bytes from offset `moved` on, borrowed
 * until release(). The poster releases from the front; releasing raises `moved` and shows what follows (`span` and
 * `span_bytes` are brought up to date by release() and by progress()).
 *
 * Headers. Every message carries a header of TRANSPORT_HEADER_BYTES that means nothing to the transport. A receive names the
 * header and length that it expects; a message that differs fails the receive with KOLO_ERR_MISMATCH before a byte of
 * payload is placed, and `header` and `length_sent` then hold what came.
 *
 * Threads. The caller serialises all calls on a transport and its links. Two transports are independent.
 * Errors. A link that fails is LINK_LOST: all its transfers, posted now or later, fail with the link's status. A hostile or
 * broken peer can make its link fail (KOLO_ERR_PROTOCOL), never the process or another link. */
#ifndef KOLO_TRANSPORT_TRANSPORT_H
#define KOLO_TRANSPORT_TRANSPORT_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TRANSPORT_LANES 2          /* lanes of a link, each direction */
#define TRANSPORT_HEADER_BYTES 32  /* what a message carries for its poster */
#define TRANSPORT_OFFER_BYTES 1024 /* the longest offer (see link_create) */
#define TRANSPORT_ID_BYTES 16      /* a process's random identity, new in every kolo_open */

enum transfer_state {
    TRANSFER_IDLE = 0, /* the poster's */
    TRANSFER_POSTED,   /* lent to the transport */
    TRANSFER_DONE,     /* all bytes moved; the poster's again */
    TRANSFER_FAILED    /* see status; the poster's again */
};

/** One message on its way, out or in. Zero-initialise, fill the first block, post. Not moved in memory while posted. */
struct transfer {
    /* The poster's, before posting. */
    uint8_t *
        data; /* send: what to send (only read), NULL: the poster fills slots (reserve). receive: where to; NULL: spans */
    size_t length; /* bytes of the message; 0 is a message, too */
    size_t
        ready; /* how far data may be read (send) or written (receive); raised at any time; not used with slots, spans */
    uint8_t header
        [TRANSPORT_HEADER_BYTES]; /* send: to be sent. receive: expected; what came, after a mismatch */

    /* The transport's, for the poster to read. */
    enum transfer_state state;
    kolo_status status; /* why it failed */
    size_t moved; /* send: bytes of data that may be reused. receive: bytes in place, or released */
    const uint8_t *span; /* receive without data: what has arrived from offset `moved` on */
    size_t span_bytes;
    size_t length_sent; /* receive: what the sender says the length is, after a mismatch */

    /* The transport's own. */
    struct transfer *next;
    size_t scratch; /* free for the transport: for example bytes handed to the wire */
};

enum link_state {
    LINK_NEW = 0,    /* created, not connected */
    LINK_CONNECTING, /* link_connect() called; progress() brings it on */
    LINK_UP,         /* transfers move */
    LINK_LOST        /* failed, or the peer is gone */
};

/** What a transport is told when it is made. Borrowed until create() returns. */
struct transport_config {
    uint8_t self[TRANSPORT_ID_BYTES]; /* this process in this communicator */
    uint64_t peer_timeout_ns;         /* a peer whose host is silent for this long is lost */
    bool
        sleeps_alone; /* hint: no other transport will be waited for (futex instead of descriptors) */
    void
        *wire; /* tcp: struct tcp_port *; sim: struct sim_network *; shm: NULL. Borrowed for life */
};

/** What a link is told. Copied. */
struct link_config {
    uint8_t peer[TRANSPORT_ID_BYTES]; /* the other process */
    bool dials;                       /* exactly one of the two ends is told to dial */
    uint64_t token;        /* the same on both ends, different for every link of a communicator */
    const char *peer_name; /* for messages: "rank 3 (10.0.0.7:4242)" */
};

struct transport;
struct link;

#define TRANSPORT_RESERVES                                                                         \
    1u                     /* feature: sends without data, filled through reserve() and commit() */
#define TRANSPORT_SHOWS 2u /* feature: show(), look() and withdraw() */

#define TRANSPORT_SHOWN_BYTES (1u << 20) /* the longest message that can be shown */

/** A message that a peer shows. Its bytes are the peer's memory: read only, and whatever a hostile peer likes from one moment to
 *  the next (the length is not). */
struct shown {
    const uint8_t *header; /* [TRANSPORT_HEADER_BYTES] */
    const uint8_t *data;   /* [length], at a multiple of 8 bytes */
    size_t length;
};

enum look {
    LOOK_NOT_YET = 0,
    LOOK_HERE, /* the message is there */
    LOOK_NEVER /* the link is lost, and the message was not shown before; or the link has just been lost for nonsense */
};

/** A wire. Every implementation exports one const object of this type, and nothing else. */
struct transport_ops {
    const char *name;  /* "tcp", "shm", "sim" */
    unsigned features; /* TRANSPORT_RESERVES, TRANSPORT_SHOWS */

    /** Make a transport. Does not block. KOLO_ERR_SYSTEM, KOLO_ERR_MEMORY. The caller destroys it. */
    kolo_status (*create)(struct transport **transport, const struct transport_config *config);

    /** Free it and its links (posted transfers are dropped: nobody may look at them). Does not block. */
    void (*destroy)(struct transport *transport);

    /** Make one end of a link, and the offer: opaque bytes that the other end needs. The caller carries offers between the
     *  two ends, however it likes. Out: offer_bytes <= TRANSPORT_OFFER_BYTES. Does not block. Destroyed by link_close() or
     *  destroy(). KOLO_ERR_SYSTEM, KOLO_ERR_MEMORY. */
    kolo_status (*link_create)(struct link **link, uint8_t *offer, size_t *offer_bytes,
                               struct transport *transport, const struct link_config *config);

    /** Begin to connect to the end that made `offer`: LINK_CONNECTING, then LINK_UP or LINK_LOST through progress(), within
     *  the caller's patience (it may link_close() at any time). KOLO_ERR_PROTOCOL if the offer is nonsense, and
     *  KOLO_ERR_STATE if the ends cannot reach each other by this wire (another host, another namespace): not logged as an
     *  error, since the caller then tries another transport. */
    kolo_status (*link_connect)(struct link *link, const uint8_t *offer, size_t offer_bytes);

    /** Where the link stands. Out: why: its status and explanation when LINK_LOST (text borrowed until the next call on the
     *  link); either may be NULL. */
    enum link_state (*link_state)(const struct link *link, kolo_status *why, const char **text);

    /** Close this end and free it. Messages whose transfers are DONE still reach the peer if it lives; posted transfers fail
     *  with KOLO_ERR_ABORTED. The peer's end becomes LINK_LOST (KOLO_ERR_PEER_LOST). Does not block. */
    void (*link_close)(struct link *link);

    /** Post a message to be sent, after those posted before on this lane. May move bytes at once. Never fails: see state. */
    void (*send)(struct link *link, unsigned lane, struct transfer *transfer);

    /** Post a receive, after those posted before on this lane. May move bytes at once. Never fails: see state. */
    void (*receive)(struct link *link, unsigned lane, struct transfer *transfer);

    /** Give back the first `bytes` (<= span_bytes) of a span; shows the next one if there is any. */
    void (*release)(struct link *link, unsigned lane, struct transfer *transfer, size_t bytes);

    /** For a posted send without data that is the first on its lane: room for its next bytes (from offset `moved` on) in the
     *  wire's own memory. Returns how many bytes fit at *place: 0 if none now. The same room until commit(). NULL if the
     *  feature is missing. */
    size_t (*reserve)(struct link *link, unsigned lane, struct transfer *transfer, uint8_t **place);

    /** Send `bytes` written to the place of the last reserve(); raises `moved`. */
    void (*commit)(struct link *link, unsigned lane, struct transfer *transfer, size_t bytes);

    /** Take back a posted transfer; its state is then TRANSFER_FAILED with KOLO_ERR_ABORTED. If a part of the message has
     *  moved already, or others were posted after it, the lane cannot go on and the link becomes LINK_LOST. */
    void (*cancel)(struct link *link, unsigned lane, struct transfer *transfer);

    /** Show a message to the peers of all links at once: it lies where they can read it, and need not be sent to each. Messages that
     *  are shown have nothing to do with lanes; each process numbers its own 1, 2, ... It may show `number` only after it has found
     *  (LOOK_HERE) `number` - 1 of every peer whose link is not lost. length <= TRANSPORT_SHOWN_BYTES. Copies: header and data are
     *  the caller's again. Does not block. NULL if the feature is missing. */
    void (*show)(struct transport *transport, uint64_t number, const uint8_t *header,
                 const void *data, size_t length);

    /** Look at message `number` of those that the peer of this link shows. Out, if LOOK_HERE: shown, good until this process shows
     *  number + 1 itself. After LOOK_NOT_YET the caller is taken to wait for it: arm(), sleep() and the descriptor heed it
     *  until a look finds it. Does not block. NULL if the feature is missing. */
    enum look (*look)(struct shown *shown, struct link *link, uint64_t number);

    /** Take back message `number`, the last one shown: a peer that has not found it never will. (Closing a link leaves what was shown
     *  before.) NULL if the feature is missing. */
    void (*withdraw)(struct transport *transport, uint64_t number);

    /** Move what can be moved, on all links; bring connecting links on. Returns true if anything happened. Cheap when there
     *  is nothing to do: it is called in a spin loop. */
    bool (*progress)(struct transport *transport);

    /** A descriptor that polls readable when progress() has something to do, between arm() and disarm(). -1: none. Constant. */
    int (*wait_fd)(const struct transport *transport);

    /** Announce sleep: from now on whatever happens makes wait_fd readable (and ends sleep()). Returns false if something
     *  has happened meanwhile: then call progress() instead of sleeping. Paired with disarm() either way. */
    bool (*arm)(struct transport *transport);
    void (*disarm)(struct transport *transport);

    /** Sleep until something happens or `timeout_ns` has passed, without descriptors: cheaper where there is no other
     *  transport. Between arm() and disarm(). NULL if the wire has no such way. */
    void (*sleep)(struct transport *transport, uint64_t timeout_ns);

    /** Payload bytes of all messages so far. */
    void (*count)(const struct transport *transport, uint64_t *sent, uint64_t *received);
};

/* What every transport begins with, so that callers need only the pointer. */
struct transport {
    const struct transport_ops *ops;
};
struct link {
    const struct transport_ops *ops;
    struct transport *transport;
};

extern const struct transport_ops transport_tcp;
extern const struct transport_ops transport_shm;
extern const struct transport_ops transport_sim;
/* Only where it is built (KOLO_HAVE_VERBS). */
extern const struct transport_ops transport_verbs;

/** For implementations: does the message that came suit the posted receive? If not, fail the receive as the contract says. */
static inline bool transfer_suits(struct transfer *receive, const uint8_t *header, size_t length)
{
    if (length == receive->length && memcmp(header, receive->header, TRANSPORT_HEADER_BYTES) == 0) {
        return true;
    }
    memcpy(receive->header, header, TRANSPORT_HEADER_BYTES);
    receive->length_sent = length;
    receive->status = KOLO_ERR_MISMATCH;
    receive->state = TRANSFER_FAILED;
    return false;
}

#endif
