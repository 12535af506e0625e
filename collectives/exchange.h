/* exchange: schedules of one step in which every rank gives its whole input to all others at once. Where the wire lets a rank
 * show a message to all peers (shared memory), such a schedule needs no messages from rank to rank: each shows its input, and
 * looks at what the others show. What the proof says of the messages holds for what is shown: every rank reads of each other
 * rank's input what that rank would have sent to it, and does the rest in the order of the list. */
#ifndef KOLO_COLLECTIVES_EXCHANGE_H
#define KOLO_COLLECTIVES_EXCHANGE_H

#include "collectives/schedule.h"

/** Is this one rank's part of an exchange? Every other rank is sent one message, from INPUT and before anything else, and is heard
 *  once; what is received goes to a SLOT or to OUTPUT. False for a group of one. */
bool exchange_is(const struct schedule *schedule);

/** Does a rank show one block of the vector, its own, and not all of it? */
bool exchange_shows_block(enum collective collective);

/** Elements of INPUT, when each block has `count`: what a rank shows. */
uint64_t exchange_elements(const struct schedule *schedule, uint64_t count);

/** Where, in the elements that `peer` shows, the one lies that is element `first` of the vector. */
uint64_t exchange_offset(const struct schedule *schedule, uint32_t peer, uint64_t first,
                         uint64_t count);

#endif
