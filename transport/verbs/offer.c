#include "transport/verbs/offer.h"

#include <arpa/inet.h>
#include <assert.h>

#include "transport/verbs/slots.h"

#define OFFER_MAGIC 0x4f56u /* "VO" */

/* An IP address and port; the scope of a link-local address is each host's own affair. */
static void put_listens(struct wire_writer *writer, const struct sockaddr_storage *listens)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)listens;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)listens;
    bool is_v6 = listens->ss_family == AF_INET6;
    wire_put_u8(writer, is_v6 ? 6 : 4);
    wire_put_u16(writer, ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
    wire_put_bytes(writer, is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr,
                   is_v6 ? sizeof v6->sin6_addr : sizeof v4->sin_addr);
}

static void get_listens(struct wire_reader *reader, struct sockaddr_storage *listens)
{
    uint8_t version = wire_get_u8(reader);
    uint16_t number = wire_get_u16(reader);
    if (version == 6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)listens;
        *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(number)};
        wire_get_bytes(reader, &v6->sin6_addr, sizeof v6->sin6_addr);
    } else {
        struct sockaddr_in *v4 = (struct sockaddr_in *)listens;
        *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(number)};
        wire_get_bytes(reader, &v4->sin_addr, sizeof v4->sin_addr);
    }
    reader->failed |= number == 0 || (version != 4 && version != 6);
}

size_t verbs_offer_encode(uint8_t *bytes, const struct verbs_offer *offer)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = TRANSPORT_OFFER_BYTES};
    wire_put_u16(&writer, OFFER_MAGIC);
    wire_put_u16(&writer, FRAME_VERSION);
    wire_put_u32(&writer, (uint32_t)SLOTS_HALF_BYTES); /* the slots' geometry must be the same */
    wire_put_u16(&writer, FRAME_SLOTS);
    wire_put_bytes(&writer, offer->who, sizeof offer->who);
    wire_put_u64(&writer, offer->token);
    wire_put_u64(&writer, offer->base);
    wire_put_u16(&writer, offer->epoch);
    wire_put_u8(&writer, (uint8_t)offer->rails);
    for (unsigned i = 0; i < offer->rails; i++) {
        wire_put_u8(&writer, (uint8_t)offer->rail[i].reach);
        wire_put_u32(&writer, offer->rail[i].key);
        if (offer->rail[i].reach == VERBS_OFFER_BY_ADDRESS) {
            pair_address_put(&writer, &offer->rail[i].address);
        } else if (offer->rail[i].reach == VERBS_OFFER_BY_CM) {
            put_listens(&writer, &offer->rail[i].listens);
        }
    }
    wire_put_blob(&writer, offer->spare, offer->spare_bytes);
    assert(!writer.failed);
    return writer.length;
}

bool verbs_offer_decode(struct verbs_offer *offer, const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    *offer = (struct verbs_offer){0};
    bool same = wire_get_u16(&reader) == OFFER_MAGIC;
    same &= wire_get_u16(&reader) == FRAME_VERSION;
    same &= wire_get_u32(&reader) == SLOTS_HALF_BYTES;
    same &= wire_get_u16(&reader) == FRAME_SLOTS;
    wire_get_bytes(&reader, offer->who, sizeof offer->who);
    offer->token = wire_get_u64(&reader);
    offer->base = wire_get_u64(&reader);
    offer->epoch = wire_get_u16(&reader);
    offer->rails = wire_get_u8(&reader);
    if (!same || reader.failed || offer->rails == 0 || offer->rails > DEVICE_RAILS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < offer->rails; i++) {
        uint8_t reach = wire_get_u8(&reader);
        reader.failed |= reach >= VERBS_OFFER_REACHES;
        offer->rail[i].reach = reader.failed ? VERBS_OFFER_ABSENT : (enum verbs_offer_reach)reach;
        offer->rail[i].key = wire_get_u32(&reader);
        if (offer->rail[i].reach == VERBS_OFFER_BY_ADDRESS) {
            pair_address_get(&reader, &offer->rail[i].address);
        } else if (offer->rail[i].reach == VERBS_OFFER_BY_CM) {
            get_listens(&reader, &offer->rail[i].listens);
        }
    }
    offer->spare_bytes = wire_get_blob(&reader, offer->spare, sizeof offer->spare);
    return !reader.failed && reader.offset == reader.length &&
           offer->base <= UINT64_MAX - SLOTS_HALF_BYTES;
}
