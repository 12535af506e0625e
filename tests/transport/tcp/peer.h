/* peer: one process of the tests of the port: a port, and what its handler saw; and raw connections to it. */
#ifndef KOLO_TESTS_TRANSPORT_TCP_PEER_H
#define KOLO_TESTS_TRANSPORT_TCP_PEER_H

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

#define PEER_PATIENCE_NS                                                                           \
    (10 * NS_PER_S) /* for what must happen: only a failing test waits this long */

extern const uint8_t peer_run_a[PORT_RUN_BYTES];
extern const uint8_t peer_run_b[PORT_RUN_BYTES];

struct peer {
    struct tcp_port *port;
    uint8_t id[TRANSPORT_ID_BYTES];
    enum port_verdict verdict; /* what `arrived` says */
    unsigned arrived;
    unsigned opened;
    int fd; /* the last connection */
    struct port_hello hello;
    struct port_address from;
};

/** How a dial ended; count is how often that was told. */
struct outcome {
    unsigned count;
    struct port_answer answer;
};

void peer_open(struct peer *peer, const char *id, const uint8_t *run, const char *interfaces);
void peer_close(struct peer *peer);

/** 127.0.0.1 or ::1 with a port. */
struct port_address peer_loopback(int family, int number);

/** Dial from `from` to `address`, where `to` (NULL: whoever) is meant. */
void peer_dial(struct peer *from, const struct peer *to, const struct port_address *address,
               struct outcome *outcome);

/** For tcp_port_dial(): puts the answer into the outcome that is its context. */
void peer_answered(void *context, const struct port_answer *answer);

/** Step both ports until the dial has ended. `b` may be NULL. */
void peer_await(struct peer *a, struct peer *b, const struct outcome *outcome);

/** Step as long as there is something to do. */
void peer_settle(struct peer *peer);

/** A raw connection to the peer's port: what a stranger has. */
int peer_raw(const struct peer *peer);

/** Step until the other side has closed the raw connection; what it says before goes to `answer`. Returns its length. */
size_t peer_await_close(struct peer *peer, int fd, uint8_t *answer, size_t capacity);

/** Descriptors of this process. */
unsigned peer_descriptors(void);

/** A peer of this run still gets in: the proof that nothing was disturbed. */
void peer_assert_undisturbed(struct peer *peer);

#endif
