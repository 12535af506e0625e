#include <assert.h>

#include "tests/transport/conformance/wire.h"
#include "transport/sim/network.h"

static struct sim_network_config network_config;
static struct conformance_wire sim;

static void *world_open(void)
{
    struct sim_network *network = NULL;
    kolo_status status = sim_network_create(&network, &network_config);
    return status == KOLO_OK ? network : NULL;
}

static void world_close(void *world)
{
    sim_network_destroy(world);
}

static void *port_open(void *world, const uint8_t *id)
{
    (void)id;
    return world;
}

static void port_close(void *port)
{
    (void)port;
}

static bool advance(void *world)
{
    return sim_network_advance(world);
}

static void kill_endpoint(void *world, const uint8_t *id)
{
    bool killed = sim_network_kill(world, id);
    assert(killed);
    (void)killed;
}

/* One byte of window, one message begun: every schedule meets all the back-pressure there is. */
static void use_tiny(void)
{
    network_config.window_bytes = 1;
    network_config.window_messages = 1;
    network_config.span_bytes = SIM_SPAN_MIN;
    sim.stress_messages = 25;
    sim.huge_bytes = 30001;
    sim.large_bytes = 20000;
}

static void use_rendezvous(void)
{
    network_config.window_bytes = 0;
    network_config.window_messages = 1;
}

/* Jitter, and lanes that overtake each other; odd packets. */
static void use_rough(void)
{
    network_config.jitter_ns = 50000;
    network_config.reorder = true;
    network_config.segment_bytes = 4099;
    network_config.span_bytes = 5003;
}

const struct conformance_wire *conformance_wire(const char *variant)
{
    static const struct {
        const char *name;
        void (*use)(void);
    } variants[] = {
        {"", NULL}, {"tiny", use_tiny}, {"rendezvous", use_rendezvous}, {"rough", use_rough}};

    network_config = sim_network_defaults();
    sim = (struct conformance_wire){
        .name = "sim",
        .ops = &transport_sim,
        .stress_messages = 3000,
        .huge_bytes = (64u << 20) + 1,
        .large_bytes = 16u << 20,
        .world_open = world_open,
        .world_close = world_close,
        .port_open = port_open,
        .port_close = port_close,
        .advance = advance,
        .kill = kill_endpoint,
    };
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        if (strcmp(variant, variants[i].name) == 0) {
            if (variants[i].use != NULL) {
                variants[i].use();
            }
            return &sim;
        }
    }
    return NULL;
}
