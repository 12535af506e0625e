/* greeting: how the two ends of a link get each other's memory. The dialling end makes the segment, knocks at the other's door
 * and says hello with it; the other end maps it and answers with its bell and its board. From then on the link is `attached`. */
#ifndef KOLO_TRANSPORT_SHM_GREETING_H
#define KOLO_TRANSPORT_SHM_GREETING_H

#include "transport/shm/link.h"

/** The dialling end: knock and say hello. Also KOLO_OK, with link->segment still NULL, when too many stand at the door: dial
 *  again. KOLO_ERR_STATE: there is no such door here; KOLO_ERR_SYSTEM. */
kolo_status shm_greeting_dial(struct shm_link *link);

/** The other end, when told to connect: make sure that the peer's door is under this kernel. (Clones of a virtual machine may
 *  have all identities in common.) KOLO_ERR_STATE, KOLO_ERR_SYSTEM. */
kolo_status shm_greeting_probe(const struct shm_link *link);

/** A hello has come through the door: shm_door.welcome; `context` is the struct shm. */
bool shm_greeting_welcome(void *context, int socket, const struct shm_hello *hello);

/** The dialling end: the answer may have come. Returns true if the link's state changed. */
bool shm_greeting_hear(struct shm_link *link);

#endif
