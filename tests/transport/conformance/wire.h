/* wire: what the conformance suite must know of a transport to be stamped onto it. Each wire_*.c defines one; every case of
 * the suite runs on all of them, and none asks for a name. */
#ifndef KOLO_TESTS_CONFORMANCE_WIRE_H
#define KOLO_TESTS_CONFORMANCE_WIRE_H

#include "transport/transport.h"

struct conformance_wire {
    const char *name;
    const struct transport_ops *ops;
    size_t huge_bytes;        /* a message as long as one may be in a test */
    size_t large_bytes;       /* more than a lane takes in before a receive is posted */
    unsigned stress_messages; /* on each lane in each direction: a few seconds' worth */
    bool forks;               /* peers may live in other processes and threads */
    unsigned slower;          /* calls take so many times as long: as many rounds less. 0: usual */

    /** What all peers of a test share (a network). NULL: nothing. */
    void *(*world_open)(void);
    void (*world_close)(void *world);

    /** What transport_config.wire is to be for that peer. NULL: nothing. */
    void *(*port_open)(void *world, const uint8_t *id);
    void (*port_close)(void *port);

    /** Nothing moves any more: let virtual time pass. False: nothing is left to happen. NULL: time passes by itself. */
    bool (*advance)(void *world);

    /** The peer dies without a word. NULL: its transport is destroyed instead. */
    void (*kill)(void *world, const uint8_t *id);
};

/** How many rounds to make of it where a test would make `rounds`. */
static inline unsigned wire_rounds(const struct conformance_wire *wire, unsigned rounds)
{
    return wire->slower > 0 ? rounds / wire->slower : rounds;
}

/** The wire of this program, in one of its variants (the program's argument, or ""). NULL: no such variant. */
const struct conformance_wire *conformance_wire(const char *variant);

#endif
