#include "transport/tcp/tcp_offer.h"

#include <assert.h>
#include <string.h>

#include "runtime/base/wire.h"
#include "transport/tcp/address.h"

#define OFFER_MAGIC 0x4f54u /* "TO" */

size_t tcp_offer_encode(uint8_t *bytes, const struct tcp_offer *offer)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = TRANSPORT_OFFER_BYTES};
    assert(offer->count <= PORT_ADDRESSES_MAX);
    wire_put_u16(&writer, OFFER_MAGIC);
    wire_put_bytes(&writer, offer->who, sizeof offer->who);
    wire_put_u64(&writer, offer->token);
    wire_put_u8(&writer, (uint8_t)offer->count);
    for (unsigned i = 0; i < offer->count; i++) {
        const uint8_t *ip;
        unsigned length = address_bytes(&offer->addresses[i], &ip);
        wire_put_u16(&writer, address_port(&offer->addresses[i]));
        wire_put_u8(&writer, (uint8_t)length);
        wire_put_bytes(&writer, ip, length);
    }
    assert(!writer.failed);
    return writer.length;
}

static bool decode_address(struct port_address *address, struct wire_reader *reader)
{
    memset(address, 0, sizeof *address);
    uint16_t number = wire_get_u16(reader);
    uint8_t length = wire_get_u8(reader);
    if (length == 4) {
        address->as.v4.sin_family = AF_INET;
        wire_get_bytes(reader, &address->as.v4.sin_addr, 4);
    } else if (length == 16) {
        address->as.v6.sin6_family = AF_INET6;
        wire_get_bytes(reader, &address->as.v6.sin6_addr, 16);
    } else {
        return false;
    }
    address_set_port(address, number);
    return !reader->failed && number != 0;
}

bool tcp_offer_decode(struct tcp_offer *offer, const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    if (wire_get_u16(&reader) != OFFER_MAGIC) {
        return false;
    }
    wire_get_bytes(&reader, offer->who, sizeof offer->who);
    offer->token = wire_get_u64(&reader);
    offer->count = wire_get_u8(&reader);
    if (reader.failed || offer->count > PORT_ADDRESSES_MAX) {
        return false;
    }
    for (unsigned i = 0; i < offer->count; i++) {
        if (!decode_address(&offer->addresses[i], &reader)) {
            return false;
        }
    }
    return reader.offset == reader.length;
}
