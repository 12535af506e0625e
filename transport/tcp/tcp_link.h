/* tcp_link: one end of a TCP link: its lanes, how it comes up, and how it ends. The state of the transport that links share is
 * declared here, too. (Bringing a link up: tcp_connect. The table of the contract, epoll and progress: tcp.) */
#ifndef KOLO_TRANSPORT_TCP_TCP_LINK_H
#define KOLO_TRANSPORT_TCP_TCP_LINK_H

#include "transport/tcp/port.h"
#include "transport/tcp/tcp_lane.h"
#include "transport/transport.h"

#define TCP_NAME_BYTES 128 /* of a peer, in messages */
#define TCP_TEXT_BYTES 384 /* why a link is lost */
#define TCP_TRIES_MAX 3    /* dials to one address that fail for a reason that may pass */
#define TCP_LINGER_MAX 64  /* closed connections whose last bytes are still on their way */
#define TCP_LINGER_NS 2000000000ULL
#define TCP_CLOSE_NS                                                                               \
    1000000000ULL /* between the ends of the first and the last lane of a link that its peer closes */

struct tcp_link;

/** One dial under way. */
struct tcp_attempt {
    struct port_dial *dial; /* NULL: none */
    struct tcp_link *link;
    uint8_t lane;
    uint8_t address;
};

/** The dialling end's way to LINK_UP. */
struct tcp_connect {
    struct port_address addresses[PORT_ADDRESSES_MAX];
    unsigned count;   /* of addresses */
    unsigned next;    /* address that lane 0 has not tried yet */
    unsigned chosen;  /* the address that answered; the other lanes dial this one */
    uint64_t next_ns; /* when lane 0 stops waiting for an answer and tries the next one, too */
    uint8_t tries[TRANSPORT_LANES][PORT_ADDRESSES_MAX];
    struct tcp_attempt attempts[TRANSPORT_LANES][PORT_ADDRESSES_MAX];
    char failures[TCP_TEXT_BYTES / 2]; /* "10.0.0.7:4242: Connection refused; ..." */
};

struct tcp_transport {
    struct transport base;
    struct tcp_port *port; /* borrowed */
    uint8_t self[TRANSPORT_ID_BYTES];
    uint64_t peer_timeout_ns;
    int epoll_fd;
    int timer_fd;
    uint64_t tick_ns; /* the timer's period now; 0: off */
    struct tcp_link *links;
    struct tcp_lane *active; /* lanes with posted transfers */
    unsigned waiting;        /* lanes that wanted bytes in the last round */
    unsigned unpolled;       /* rounds since epoll was asked */
    bool blocked;            /* a send waits for room in the kernel */
    bool settle_due;         /* a link that ends has news */
    bool port_due;
    bool tick_due;
    uint64_t sent_bytes; /* of links that are closed */
    uint64_t received_bytes;
    unsigned lingering;
    struct {
        int fd;
        uint64_t deadline_ns;
    } linger[TCP_LINGER_MAX];
};

struct tcp_link {
    struct link base;
    struct tcp_transport *transport;
    struct tcp_link *next;
    struct tcp_link *previous;
    uint8_t peer[TRANSPORT_ID_BYTES];
    bool dials;
    bool ending; /* a lane is at its end, or nearly: see tcp_link_settle() */
    uint64_t token;
    enum link_state state;
    kolo_status status;
    uint64_t ending_ns; /* since when a lane is at its end; 0: not */
    struct tcp_lane lanes[TRANSPORT_LANES];
    struct tcp_connect connect;
    char name[TCP_NAME_BYTES];
    char text[TCP_TEXT_BYTES];
};

/** Make a link of `transport`. KOLO_ERR_MEMORY. */
kolo_status tcp_link_make(struct tcp_link **link, struct tcp_transport *transport,
                          const struct link_config *config);

/** Free a link whose posted transfers are nobody's any more. Bytes that the kernel has taken still go out. */
void tcp_link_free(struct tcp_link *link);

/** A connection for a lane has come. The descriptor is the link's from now on. LINK_UP when it was the last one. */
void tcp_link_open_lane(struct tcp_link *link, unsigned lane, int fd);

/** LINK_UP, if it is connecting and all lanes are there. */
void tcp_link_try_up(struct tcp_link *link);

/** LINK_LOST: fail all transfers, close all connections, cancel all dials. Nothing happens if it is lost already. */
void tcp_link_lose(struct tcp_link *link, kolo_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** A lane is at its end: deliver what has come, and decide whether the link is lost. A peer that closes may have sent messages
 *  for receives that are not posted yet: as long as such bytes are unread, the link stays up. */
void tcp_link_settle(struct tcp_link *link, uint64_t now_ns);

/** Once in a while: is the peer's host silent although it owes an answer? */
void tcp_link_watch(struct tcp_link *link);

/** Set the transport's timer to what its links need. */
void tcp_transport_wind(struct tcp_transport *transport);

/** A lane has work (posted transfers); or has none any more. */
void tcp_lane_activate(struct tcp_transport *transport, struct tcp_lane *lane);
void tcp_lane_deactivate(struct tcp_transport *transport, struct tcp_lane *lane);

/** Drain and close connections whose last bytes have arrived, or all of them that have had their time. */
void tcp_transport_linger(struct tcp_transport *transport, uint64_t now_ns);

#endif
