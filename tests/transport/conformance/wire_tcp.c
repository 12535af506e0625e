#include "runtime/base/clock.h"
#include "tests/transport/conformance/wire.h"
#include "transport/tcp/port.h"

static void *port_open(void *world, const uint8_t *id)
{
    (void)world;
    struct port_config config = {
        .run = {'c', 'o', 'n', 'f', 'o', 'r', 'm'},
        .peer_timeout_ns = 10 * NS_PER_S,
    };
    memcpy(config.self, id, sizeof config.self);
    struct tcp_port *port = NULL;
    return tcp_port_open(&port, &config) == KOLO_OK ? port : NULL;
}

static void port_close(void *port)
{
    tcp_port_close(port);
}

static const struct conformance_wire tcp = {
    .name = "tcp",
    .ops = &transport_tcp,
    .stress_messages = 3000,
    .huge_bytes = (64u << 20) + 1,
    .large_bytes = 32u << 20, /* more than the kernel's largest buffers on both sides */
    .forks = true,
    .port_open = port_open,
    .port_close = port_close,
};

const struct conformance_wire *conformance_wire(const char *variant)
{
    return variant[0] == '\0' ? &tcp : NULL;
}
