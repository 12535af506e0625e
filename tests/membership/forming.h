/* forming: peers that start with settings of their own, one by one different, and what they find out about the group they form. For
 * tests of the start in real processes. */
#ifndef KOLO_TESTS_MEMBERSHIP_FORMING_H
#define KOLO_TESTS_MEMBERSHIP_FORMING_H

#include "tests/lib/peers.h"

/** A port that nobody listens on, kept from others until this process ends. */
int forming_free_port(void);

/** Set an environment variable of this process from a format. */
void forming_set(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** In a peer: open, check that all members see the same list and have distinct ranks, and close. Returns the rank. */
int forming_join(unsigned size);

/** In a peer: kolo_open must fail with `status`, and its explanation contain `what`. */
void forming_fails(kolo_status status, const char *what);

/** Wait this long: for peers that are to be late. */
void forming_be_late(unsigned ms);

#endif
