#include "tests/transport/verbs/stand.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/region.h"
#include "transport/verbs/link.h"
#include "transport/verbs/verbs.h"

#define NAMES_BYTES 64

static unsigned stand_rails;
static const struct fake_device *stand_shape;
static unsigned stand_regions;
static unsigned stand_pairs = 1;

static void *world_open(void)
{
    static struct fake_device devices[2 * STAND_RAILS_MAX];
    for (unsigned i = 0; i < 2 * stand_rails; i++) {
        devices[i] = stand_shape != NULL ? *stand_shape : (struct fake_device){0};
    }
    fake_start(2 * stand_rails, devices);
    return devices;
}

static void world_close(void *world)
{
    (void)world;
    assert_int_equal(fake_leaks(), 0);
    assert_int_equal(stand_regions, 0);
}

/* Peers' identities end in their number: mesh.c. */
static void *port_open(void *world, const uint8_t *id)
{
    static struct verbs_wire wires[2];
    static char names[2][NAMES_BYTES];
    (void)world;
    unsigned peer = id[0] & 1;
    size_t used = 0;
    for (unsigned i = 0; i < stand_rails; i++) {
        int more = snprintf(names[peer] + used, NAMES_BYTES - used, "%sfake%u", i > 0 ? "," : "",
                            peer * stand_rails + i);
        assert_true(more > 0);
        used += (size_t)more;
        assert_true(used < NAMES_BYTES);
    }
    wires[peer] = (struct verbs_wire){
        .wish = {.names = names[peer], .gid_index = -1, .queue_pairs = stand_pairs}};
    return &wires[peer];
}

static void port_close(void *port)
{
    (void)port;
}

const struct conformance_wire *stand_wire(unsigned rails, const struct fake_device *shape)
{
    static struct conformance_wire wire;
    assert_in_range(rails, 1, STAND_RAILS_MAX);
    stand_rails = rails;
    stand_shape = shape;
    wire = (struct conformance_wire){.name = "verbs",
                                     .ops = &transport_verbs,
                                     .world_open = world_open,
                                     .world_close = world_close,
                                     .port_open = port_open,
                                     .port_close = port_close};
    return &wire;
}

void stand_open(struct mesh *mesh, unsigned rails, const struct fake_device *shape)
{
    message_init();
    mesh_open(mesh, stand_wire(rails, shape), 2);
}

void stand_queue_pairs(unsigned pairs)
{
    stand_pairs = pairs;
}

/* A link is up with its first rail: others may still look for their way. */
static bool all_rails_are_up(const struct mesh *mesh)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct verbs_link *link = (const struct verbs_link *)mesh->peers[i].links[1 - i];
        for (unsigned k = 0; k < link->rails; k++) {
            if (link->rail[k].state != RAIL_UP) {
                return false;
            }
        }
    }
    return true;
}

void stand_link(struct mesh *mesh)
{
    mesh_connect(mesh);
    MESH_WAIT(mesh, all_rails_are_up(mesh));
}

void stand_close(struct mesh *mesh)
{
    mesh_close(mesh);
}

static void make_region(const struct message *message)
{
    struct region region = {
        .base = message->memory, .bytes = message->transfer.length, .dmabuf_fd = -1};
    assert_int_equal(region_add(&region), KOLO_OK);
    stand_regions++;
}

void stand_outgoing(struct message *message, uint64_t seed, size_t length)
{
    message_outgoing(message, seed, length);
    make_region(message);
}

void stand_incoming(struct message *message, uint64_t seed, size_t length)
{
    message_incoming(message, seed, length);
    make_region(message);
}

void stand_free(struct message *message)
{
    assert_true(region_remove(message->memory, REGION_ALLOCATED));
    stand_regions--;
    message_free(message);
}

void stand_exchange(struct mesh *mesh, unsigned a, unsigned lane, uint64_t seed, size_t length)
{
    struct message out, in;
    stand_outgoing(&out, seed, length);
    stand_incoming(&in, seed, length);
    message_receive(&in, mesh, 1 - a, a, lane);
    message_send(&out, mesh, a, 1 - a, lane);
    MESH_WAIT(mesh, message_done(&out) && message_done(&in));
    message_check(&out);
    message_check(&in);
    stand_free(&out);
    stand_free(&in);
}

/* ---- the log ------------------------------------------------------------------------------------------------------ */

static char log_path[] = "/tmp/kolo-stand-XXXXXX";

bool stand_log_begin(const char *name)
{
    const char *given = getenv("KOLO_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    fprintf(stderr, "%s: KOLO_SEED=%u\n", name, seed);
    srandom(seed);
    cmocka_set_test_filter(getenv("CMOCKA_TEST_FILTER"));
    int fd = mkstemp(log_path);
    if (fd < 0) {
        return false;
    }
    close(fd);
    return setenv("KOLO_LOG_FILE", log_path, 1) == 0 && setenv("KOLO_LOG", "warn", 1) == 0;
}

void stand_log_end(void)
{
    unlink(log_path);
}

unsigned stand_log_count(const char *words)
{
    char line[1024];
    unsigned lines = 0;
    FILE *file = fopen(log_path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        lines += strstr(line, " warn: ") != NULL && strstr(line, words) != NULL;
    }
    fclose(file);
    return lines;
}
