/* offer: what the other end must know of this one: the slots that it may write, and for each rail their key and the queue pair's
 * address. Decoding checks everything that can be checked: an offer comes from outside. */
#ifndef KOLO_VERBS_OFFER_H
#define KOLO_VERBS_OFFER_H

#include <netinet/in.h>

#include "transport/transport.h"
#include "transport/verbs/pair.h"
#include "transport/verbs/spare.h"

/** How a rail's queue pair is reached. */
enum verbs_offer_reach {
    VERBS_OFFER_ABSENT = 0,
    VERBS_OFFER_BY_ADDRESS,
    VERBS_OFFER_BY_CM,
    VERBS_OFFER_REACHES
};

struct verbs_offer_rail {
    enum verbs_offer_reach reach;
    uint32_t key; /* of the slots */
    struct pair_address address;
    struct sockaddr_storage listens; /* BY_CM */
};

struct verbs_offer {
    uint8_t who[TRANSPORT_ID_BYTES];
    uint64_t token;
    uint64_t base;  /* address of the slots */
    uint16_t epoch; /* of immediates towards this end */
    unsigned rails;
    struct verbs_offer_rail rail[DEVICE_RAILS_MAX];
    size_t spare_bytes; /* 0: there is no spare */
    uint8_t spare[SPARE_OFFER_BYTES];
};

/** Into TRANSPORT_OFFER_BYTES. Returns how many bytes. */
size_t verbs_offer_encode(uint8_t *bytes, const struct verbs_offer *offer);

/** False: nonsense, or of another version. */
bool verbs_offer_decode(struct verbs_offer *offer, const uint8_t *bytes, size_t length);

#endif
