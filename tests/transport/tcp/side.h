/* side: one end of a TCP link for the tests of this folder: its port, transport and link, in this process. Two of them talk to
 * each other in one thread; or one talks to a raw connection, whose bytes the test makes itself. */
#ifndef KOLO_TESTS_TRANSPORT_TCP_SIDE_H
#define KOLO_TESTS_TRANSPORT_TCP_SIDE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "transport/tcp/port.h"
#include "transport/tcp/tcp_lane.h"
#include "transport/transport.h"

#define SIDE_PATIENCE_NS                                                                           \
    (10 * NS_PER_S) /* for what must happen: only a failing test waits this long */
#define SIDE_TOKEN 4711u

struct side {
    uint8_t id[TRANSPORT_ID_BYTES];
    struct tcp_port *port;
    struct transport *transport;
    struct link *link;
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    size_t offer_bytes;
};

/** Open side `name` (its identity), with a link to `peer` that dials or awaits, and its offer. */
void side_open(struct side *side, const char *name, const char *peer, bool dials,
               const char *interfaces, uint64_t peer_timeout_ns);
void side_close(struct side *side);

/** Connect two sides; both are LINK_UP afterwards. */
void side_connect(struct side *a, struct side *b);

/** One round of both; `b` may be NULL. */
void side_step(struct side *a, struct side *b);

enum link_state side_state(const struct side *side);
/** Why the link is lost; "" if it is not. */
const char *side_why(const struct side *side, kolo_status *status);

/** Step until `condition`. */
#define SIDE_WAIT(a, b, condition)                                                                 \
    do {                                                                                           \
        uint64_t limit_ns_ = clock_now_ns() + SIDE_PATIENCE_NS;                                    \
        while (!(condition)) {                                                                     \
            assert_true(clock_now_ns() < limit_ns_);                                               \
            side_step(a, b);                                                                       \
        }                                                                                          \
    } while (0)

/** A message of `length` bytes, all `fill`, that is sent or expected. */
struct transfer side_message(uint8_t *bytes, size_t length, uint8_t fill);

/** The lanes of a link as plain sockets: the peer of `side` (whose link must await) as the test likes it. The side's link is
 *  LINK_UP afterwards. */
struct raw {
    int fds[TRANSPORT_LANES];
};
void raw_connect(struct raw *raw, struct side *side, const char *name);
void raw_close(struct raw *raw);

/** Dial a hello at the side's port and return the answer's verdict; the connection at *fd (to be closed). */
enum port_verdict raw_dial(int *fd, struct side *side, const char *name, unsigned lane,
                           uint64_t token);

/** A frame as the side expects it from its peer: number `number` on its lane, header all `fill`. */
void raw_frame(uint8_t frame[TCP_FRAME_BYTES], uint32_t number, uint64_t length, uint8_t fill);

/** Send all of it; steps the side if the connection is full. */
void raw_send(int fd, struct side *side, const void *bytes, size_t length);

#endif
