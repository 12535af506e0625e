#include "tests/transport/conformance/wire.h"

static const struct conformance_wire shm = {
    .name = "shm",
    .ops = &transport_shm,
    .stress_messages = 3000,
    .huge_bytes = (64u << 20) + 1,
    .large_bytes = 16u << 20,
    .forks = true,
};

const struct conformance_wire *conformance_wire(const char *variant)
{
    return variant[0] == '\0' ? &shm : NULL;
}
