/* port: the one listening TCP port of a process, and the hello that tells peers of this run from everybody else.
 *
 * The port accepts and dials. On both sides a connection is handed out only after the hello: magic, version, run key,
 * identities and purpose, and the answer to it. Strangers (silence, garbage, another run, another version) are refused and
 * forgotten; at most PORT_STRANGERS_MAX of them are kept half-open, the oldest going first, so that they cost nothing.
 *
 * Used by membership (control connections) and by the tcp transport (lanes). Single-threaded: the caller serialises. */
#ifndef KOLO_TRANSPORT_TCP_PORT_H
#define KOLO_TRANSPORT_TCP_PORT_H

#include <kolo/kolo.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "transport/transport.h"

#define PORT_STRANGERS_MAX 64 /* accepted connections that have not said a valid hello yet */
#define PORT_HELLO_TIMEOUT_NS 3000000000ULL /* for a hello or its answer */
#define PORT_ADDRESSES_MAX 8                /* of one process */
#define PORT_RUN_BYTES 16                   /* the run key: a hash of the run's id */
#define PORT_ADDRESS_TEXT 72                /* the longest IPv6 address, a scope and a port fit */

/** An IPv4 or IPv6 address with port. `family` is AF_INET or AF_INET6, or 0: none. */
struct port_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } as;
};

/** "10.0.0.7:4242" or "[2001:db8::7]:4242" into `text` (PORT_ADDRESS_TEXT bytes). Returns text. */
const char *port_address_text(char *text, const struct port_address *address);
bool port_address_equal(const struct port_address *a, const struct port_address *b);

enum port_purpose { PORT_CONTROL = 1, PORT_LANE = 2 };

/** What the dialling side says. */
struct port_hello {
    uint8_t from[TRANSPORT_ID_BYTES]; /* the dialling process */
    uint8_t to[TRANSPORT_ID_BYTES];   /* whom it wants; zeros: whoever listens there */
    uint16_t purpose;                 /* enum port_purpose */
    uint16_t lane;                    /* PORT_LANE: which */
    uint64_t token;                   /* PORT_LANE: the link's */
};

/** Verdicts on a hello; they travel, so the numbers are fixed. */
enum port_verdict {
    PORT_WELCOME = 0,
    PORT_REFUSED_RUN = 1,       /* another run id */
    PORT_REFUSED_VERSION = 2,   /* another protocol version */
    PORT_REFUSED_IDENTITY = 3,  /* `to` is not this process */
    PORT_REFUSED_DUPLICATE = 4, /* there is such a connection already, or a better one on its way */
    PORT_REFUSED_CLOSED =
        5, /* nobody here wants that (any more): the run is full, or no such link */
    PORT_REFUSED_GARBAGE = 6, /* not kolo */
    PORT_REFUSED_SELF = 7     /* a process that dialled itself */
};

struct tcp_port;
struct port_dial;

struct port_config {
    uint8_t self[TRANSPORT_ID_BYTES];
    uint8_t run[PORT_RUN_BYTES];
    int number; /* 0: chosen by the kernel */
    const char *
        interfaces; /* NULL: all. Names ("eth0") or prefixes ("10.1.0.0/16", "2001:db8::/32"), comma-separated: the
                             * addresses that are announced and dialled from; unknown names and bad prefixes are
                             * KOLO_ERR_ARGUMENT, and so is a selection that is empty on this machine (both name what exists) */
    uint64_t
        peer_timeout_ns; /* keepalive and TCP_USER_TIMEOUT of every connection that is handed out */
};

/** Listen. KOLO_ERR_SYSTEM (a port in use: says which, and what to do), KOLO_ERR_ARGUMENT. One dual-stack socket where the
 *  kernel allows it, else IPv4. */
kolo_status tcp_port_open(struct tcp_port **port, const struct port_config *config);
void tcp_port_close(struct tcp_port *port);

/** The port number in use. */
int tcp_port_number(const struct tcp_port *port);

/** The addresses at which peers can reach this process, best first: global, then private, then link-local (IPv6 with
 *  scope left out), loopback last. Bridges of containers and of virtual machines (docker0, virbr0, ...) and interfaces that
 *  are down are left out unless selected by name. Returns how many (<= PORT_ADDRESSES_MAX). */
unsigned tcp_port_addresses(const struct tcp_port *port,
                            struct port_address addresses[PORT_ADDRESSES_MAX]);

/** Who answers hellos, one handler a purpose. `arrived` decides (verdict); on PORT_WELCOME the descriptor becomes its own at
 *  the following call of `opened` (after the answer is written), with TCP_NODELAY, non-blocking, close-on-exec. */
struct port_handler {
    void *context;
    enum port_verdict (*arrived)(void *context, const struct port_hello *hello,
                                 const struct port_address *from);
    void (*opened)(void *context, const struct port_hello *hello, const struct port_address *from,
                   int fd);
};
void tcp_port_handle(struct tcp_port *port, enum port_purpose purpose,
                     const struct port_handler *handler);

/** How a dial ended: `fd` >= 0 is the caller's, and `who` is the identity that answered; or fd is -1 and `why` tells:
 *  KOLO_ERR_SYSTEM with errno in `error` (refused, unreachable), KOLO_ERR_TIMEOUT, or KOLO_ERR_PROTOCOL with the verdict. */
struct port_answer {
    int fd;
    kolo_status why;
    int error;
    enum port_verdict verdict;
    uint8_t who[TRANSPORT_ID_BYTES];
};

/** Dial an address. Does not block; `answered` is called once from tcp_port_step() unless the dial is cancelled, and the dial
 *  is gone afterwards. hello->from is filled in by the port. */
kolo_status tcp_port_dial(struct port_dial **dial, struct tcp_port *port,
                          const struct port_address *address, const struct port_hello *hello,
                          void *context,
                          void (*answered)(void *context, const struct port_answer *answer));
void tcp_port_cancel(struct tcp_port *port, struct port_dial *dial);

/** Drive accepts, hellos and dials; calls handlers. Does not block. Returns true if anything happened. */
bool tcp_port_step(struct tcp_port *port, uint64_t now_ns);

/** An epoll descriptor, readable when tcp_port_step() has something to do; and the time of the next time-out. */
int tcp_port_wait_fd(const struct tcp_port *port);
uint64_t tcp_port_deadline_ns(const struct tcp_port *port);

#endif
