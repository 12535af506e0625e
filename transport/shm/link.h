/* link: one end of a connection with one peer: a segment with a ring for each lane and direction, a UNIX socket over which the
 * ends met, whose end tells of the peer's death, and a descriptor of the peer's process for the case that a forked child
 * keeps the socket open.
 *
 * A peer that is gone may have left whole messages in the rings: the link stays LINK_UP ("leaving") until a posted
 * transfer cannot be satisfied from them, or what it would have shown is awaited, or there are none; then it is lost. */
#ifndef KOLO_TRANSPORT_SHM_LINK_H
#define KOLO_TRANSPORT_SHM_LINK_H

#include "runtime/base/status.h"
#include "transport/shm/board.h"
#include "transport/shm/door.h"
#include "transport/shm/inbox.h"
#include "transport/shm/outbox.h"
#include "transport/shm/segment.h"

#define SHM_PEER_NAME_BYTES 96

struct shm_link {
    struct link base;
    enum link_state state;
    unsigned
        busy; /* lanes with posted transfers: bit l: inbox l, bit TRANSPORT_LANES + l: outbox l; and one bit: a look is awaited */
    uint64_t awaited; /* the message that the peer shall show; with that bit */
    bool listed;      /* in shm->busy */
    bool leaving;     /* the peer is gone */
    struct shm_peer peer;
    struct shm_inbox in[TRANSPORT_LANES];

    struct shm_watch socket;
    struct shm_watch process;
    struct shm_segment *segment; /* NULL: not yet */
    bool attached;               /* both ends have everything */
    bool dials;
    uint64_t token;
    uint8_t peer_id[TRANSPORT_ID_BYTES];
    uint8_t peer_door[SHM_NAME_BYTES];
    char peer_name[SHM_PEER_NAME_BYTES];
    struct shm_link *next, **previous; /* in shm->links */

    kolo_status status; /* when LINK_LOST */
    char text[STATUS_TEXT_MAX];

    struct shm_outbox out[TRANSPORT_LANES]; /* last, since large */
};

struct shm;

/** From LINK_NEW to LINK_CONNECTING. */
void shm_link_start(struct shm_link *link);

/** The socket is readable: the answer, a wake-up, or the end. Returns true if the link's state changed. */
bool shm_link_hear(struct shm_link *link);

/** The peer is gone. Returns true if that is news. */
bool shm_link_leave(struct shm_link *link);

/** Bring a link that is connecting or leaving on. Returns true if its state changed. */
bool shm_link_step(struct shm_link *link);

/** Move the transfers posted on this link. Returns true if anything happened. Only when LINK_UP. */
bool shm_link_move(struct shm_link *link);

/** Would shm_link_move() do anything? */
bool shm_link_ready(struct shm_link *link);

/** Give the link up: LINK_LOST with the status and the explanation; all posted transfers fail. */
void shm_link_lose(struct shm_link *link, kolo_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Post, from transport_ops. */
void shm_link_send(struct shm_link *link, unsigned lane, struct transfer *transfer);
void shm_link_receive(struct shm_link *link, unsigned lane, struct transfer *transfer);

/** Look at what the peer shows, from transport_ops. */
enum look shm_link_look(struct shm_link *link, struct shown *shown, uint64_t number);

/** Give back what the link holds; posted transfers fail with KOLO_ERR_ABORTED. */
void shm_link_end(struct shm_link *link);

#endif
