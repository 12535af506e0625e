/* offer: what one end of a link must know of the other before they meet: where it lives, the name of its door, and which link
 * is meant. Carried by the caller, so it is checked like everything from outside. */
#ifndef KOLO_TRANSPORT_SHM_OFFER_H
#define KOLO_TRANSPORT_SHM_OFFER_H

#include "transport/shm/host.h"
#include "transport/transport.h"

#define SHM_NAME_BYTES 16 /* of a door: random */

struct shm_offer {
    struct shm_host host;
    uint8_t name[SHM_NAME_BYTES];
    uint8_t self[TRANSPORT_ID_BYTES]; /* who offers */
    uint64_t token;                   /* the link's */
};

/** Returns its length, <= TRANSPORT_OFFER_BYTES. */
size_t shm_offer_write(uint8_t *bytes, const struct shm_offer *offer);

/** KOLO_ERR_PROTOCOL if the bytes are no offer of this version. */
kolo_status shm_offer_read(struct shm_offer *offer, const uint8_t *bytes, size_t length);

#endif
