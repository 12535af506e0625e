/* RDMA devices that exist only in this process. */
#include "tests/transport/conformance/verbs_regions.h"
#include "tests/transport/conformance/wire.h"
#include "tests/transport/conformance/wire_verbs_spare.h"
#include "tests/transport/verbs/fake/fake.h"
#include "transport/verbs/verbs.h"

#define SEED 7

static unsigned devices;
static enum fake_order order;
static struct conformance_wire verbs;

static void *world_open(void)
{
    static int world;
    fake_start(devices, NULL);
    fake_order(order, SEED);
    fake_garbage(true);
    return &world;
}

static void world_close(void *world)
{
    (void)world;
}

/* Payload in any order, receivers' completions before senders', rails that overtake each other. */
static void use_shuffled(void)
{
    order = FAKE_SHUFFLED;
    verbs.stress_messages = 500;
    verbs.huge_bytes = (8u << 20) + 1;
    verbs.large_bytes = 4u << 20;
    verbs_regions_begin();
}

static void use_rails(void)
{
    devices = 2;
    use_shuffled();
}

static void *spare_open(void *world, const uint8_t *id)
{
    struct device_wish wish = {.gid_index = -1};
    (void)world;
    return wire_verbs_spare_open(&wish, id);
}

static void spare_close(void *port)
{
    wire_verbs_spare_close(port);
}

/* A TCP transport beside it, that nobody needs; and that everything goes by. */
static void use_beside(void)
{
    verbs.port_open = spare_open;
    verbs.port_close = spare_close;
    verbs_regions_begin();
}

static void use_spare(void)
{
    use_beside();
    verbs.ops = wire_verbs_spare_ops();
    verbs.stress_messages = 1000;
}

const struct conformance_wire *conformance_wire(const char *variant)
{
    static const struct {
        const char *name;
        void (*use)(void);
    } variants[] = {{"regions", verbs_regions_begin},
                    {"shuffled", use_shuffled},
                    {"rails", use_rails},
                    {"beside", use_beside},
                    {"spare", use_spare}};

    devices = 1;
    verbs = (struct conformance_wire){
        .name = "verbs_fake",
        .ops = &transport_verbs,
        .stress_messages = 3000,
        .huge_bytes = (64u << 20) + 1,
        .large_bytes = 16u << 20,
        .world_open = world_open,
        .world_close = world_close,
    };
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        if (strcmp(variant, variants[i].name) == 0) {
            variants[i].use();
            return &verbs;
        }
    }
    return variant[0] == '\0' ? &verbs : NULL;
}
