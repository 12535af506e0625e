/* Whatever RDMA devices this host has. Variants: regions, messages lie in registered memory; cm, queue pairs
 * are connected by rdma_cm (as they always are on iWARP); far=ADDRESS, half of the peers live on that host, where the
 * program runs as agent. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/transport/conformance/far.h"
#include "tests/transport/conformance/verbs_regions.h"
#include "tests/transport/conformance/wire.h"
#include "transport/verbs/verbs.h"

#define SKIPPED 77 /* the exit code that ctest takes for it */

static struct verbs_wire config = {.wish = {.gid_index = -1}};

static void *port_open(void *world, const uint8_t *id)
{
    (void)world;
    (void)id;
    return &config;
}

static void port_close(void *port)
{
    (void)port;
}

static const struct conformance_wire verbs = {
    .name = "verbs",
    .ops = &transport_verbs,
    .stress_messages = 600, /* of software devices in an emulated machine, too */
    .huge_bytes = (24u << 20) + 1,
    .large_bytes = 8u << 20,
    .forks = true,
    .port_open = port_open,
    .port_close = port_close,
};

static unsigned count_ports(void)
{
    struct device_wish any = {.gid_index = -1};
    struct devices devices;
    unsigned ports = devices_open(&devices, &any) == KOLO_OK ? devices.ports : 0;
    devices_close(&devices);
    return ports;
}

/* Between two hosts every call of half of the peers takes a while: shorter messages, but no fewer. */
static const struct conformance_wire *far_wire(const char *address)
{
    static struct conformance_wire wire;
    wire = verbs;
    wire.ops = far_join(address, verbs.ops);
    wire.stress_messages = 200;
    wire.huge_bytes = (8u << 20) + 1;
    wire.large_bytes = 4u << 20;
    wire.slower = 10;
    wire.forks = false; /* a process and its copy cannot both ask the agent */
    return &wire;
}

const struct conformance_wire *conformance_wire(const char *variant)
{
    if (count_ports() == 0) {
        fprintf(stderr, "skipped: this host has no RDMA device with a port that is up\n");
        exit(SKIPPED);
    }
    static const char far[] = "far=";
    if (strncmp(variant, far, sizeof far - 1) == 0) {
        return far_wire(variant + sizeof far - 1);
    }
    if (strcmp(variant, "agent") == 0) {
        far_serve(verbs.ops, &config);
        exit(0);
    }
    if (strcmp(variant, "regions") == 0) {
        verbs_regions_begin();
    } else if (strcmp(variant, "cm") == 0) {
        config.by_cm = true;
    } else if (variant[0] != '\0') {
        return NULL;
    }
    return &verbs;
}
