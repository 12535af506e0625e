#include "transport/shm/offer.h"

#include <assert.h>

#include "runtime/base/status.h"

#define OFFER_MAGIC UINT32_C(0x6b736f31) /* also the version: "kso1" */

size_t shm_offer_write(uint8_t *bytes, const struct shm_offer *offer)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = TRANSPORT_OFFER_BYTES};
    wire_put_u32(&writer, OFFER_MAGIC);
    shm_host_put(&writer, &offer->host);
    wire_put_bytes(&writer, offer->name, SHM_NAME_BYTES);
    wire_put_bytes(&writer, offer->self, TRANSPORT_ID_BYTES);
    wire_put_u64(&writer, offer->token);
    assert(!writer.failed);
    return writer.length;
}

kolo_status shm_offer_read(struct shm_offer *offer, const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    uint32_t magic = wire_get_u32(&reader);
    shm_host_get(&reader, &offer->host);
    wire_get_bytes(&reader, offer->name, SHM_NAME_BYTES);
    wire_get_bytes(&reader, offer->self, TRANSPORT_ID_BYTES);
    offer->token = wire_get_u64(&reader);
    if (reader.failed || magic != OFFER_MAGIC || reader.offset != length) {
        return fail_quietly(KOLO_ERR_PROTOCOL,
                            "the offer (%zu bytes) is not one of shared memory, or of another "
                            "version of kolo",
                            length);
    }
    return KOLO_OK;
}
