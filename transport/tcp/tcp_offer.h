/* tcp_offer: what one end of a TCP link tells the other so that it can be dialled, as bytes. */
#ifndef KOLO_TRANSPORT_TCP_OFFER_H
#define KOLO_TRANSPORT_TCP_OFFER_H

#include "transport/tcp/port.h"

struct tcp_offer {
    uint8_t who[TRANSPORT_ID_BYTES];
    uint64_t token;
    unsigned count;
    struct port_address addresses[PORT_ADDRESSES_MAX]; /* best first */
};

/** Encode into `bytes` (TRANSPORT_OFFER_BYTES long). Returns the length. */
size_t tcp_offer_encode(uint8_t *bytes, const struct tcp_offer *offer);

/** Decode; checks everything but who it is from. Returns false for nonsense. */
bool tcp_offer_decode(struct tcp_offer *offer, const uint8_t *bytes, size_t length);

#endif
