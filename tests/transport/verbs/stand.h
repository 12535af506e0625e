/* stand: two peers of the verbs transport on the fake's devices, linked, for scenarios in which devices, ports, paths and verbs
 * fail. Peer p has the devices p * rails .. p * rails + rails - 1, and a mesh of the conformance suite around it. */
#ifndef KOLO_TESTS_STAND_H
#define KOLO_TESTS_STAND_H

#include "tests/transport/conformance/message.h"
#include "tests/transport/verbs/fake/fake.h"

#define STAND_RAILS_MAX 4

/** A new world with 2 * rails devices that are like `shape` (NULL: default), and the two peers; not linked yet. */
void stand_open(struct mesh *mesh, unsigned rails, const struct fake_device *shape);

/** The next stand_open() gives links so many queue pairs on each port; 1 at the start. */
void stand_queue_pairs(unsigned pairs);

/** Link them, by all rails. */
void stand_link(struct mesh *mesh);

/** Destroy what is left; assert that no object of any device is open, and no memory a region. */
void stand_close(struct mesh *mesh);

/** The world and the two wires alone: for tests that make their transports themselves. */
const struct conformance_wire *stand_wire(unsigned rails, const struct fake_device *shape);

/** As message_outgoing() and message_incoming(), in memory that is a region: no copies are made of it where they can be avoided.
 *  Freed by stand_free(). */
void stand_outgoing(struct message *message, uint64_t seed, size_t length);
void stand_incoming(struct message *message, uint64_t seed, size_t length);
void stand_free(struct message *message);

/** Post both from peer a to the other, wait until both are done, check, free. */
void stand_exchange(struct mesh *mesh, unsigned a, unsigned lane, uint64_t seed, size_t length);

/** For a program that draws lots and reads its own log: print and honour KOLO_SEED, filter by CMOCKA_TEST_FILTER, and log from warn on
 *  into a file. False: that cannot be made. stand_log_end() removes it. */
bool stand_log_begin(const char *name);
void stand_log_end(void);
/** How many warnings in it so far contain `words`. */
unsigned stand_log_count(const char *words);

#endif
