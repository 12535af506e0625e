#include "tests/transport/conformance/mesh.h"

#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>

#define SETTLE_NS (10 * NS_PER_MS) /* nothing has happened for so long: nothing will */
#define SETTLE_ROUNDS 500 /* nor in so many rounds, should this process not have run meanwhile */

const char *mesh_waiting_for = "";

static void peer_open(struct mesh *mesh, unsigned index)
{
    struct mesh_peer *peer = &mesh->peers[index];
    const struct conformance_wire *wire = mesh->wire;
    if (wire->port_open != NULL) {
        peer->port = wire->port_open(mesh->world, peer->id);
        assert_non_null(peer->port);
    }
    struct transport_config config = {.peer_timeout_ns = MESH_PEER_TIMEOUT_NS, .wire = peer->port};
    memcpy(config.self, peer->id, sizeof config.self);
    assert_int_equal(wire->ops->create(&peer->transport, &config), KOLO_OK);
    assert_ptr_equal(peer->transport->ops, wire->ops);
}

static void mesh_begin(struct mesh *mesh, const struct conformance_wire *wire, unsigned size)
{
    *mesh = (struct mesh){.wire = wire, .size = size, .next_token = 1000};
    if (wire->world_open != NULL) {
        mesh->world = wire->world_open();
        assert_non_null(mesh->world);
    }
    for (unsigned i = 0; i < size; i++) {
        memset(mesh->peers[i].id, 0xa0 + (int)i, TRANSPORT_ID_BYTES);
    }
}

void mesh_open(struct mesh *mesh, const struct conformance_wire *wire, unsigned size)
{
    assert_in_range(size, 1, MESH_PEERS_MAX);
    mesh_begin(mesh, wire, size);
    for (unsigned i = 0; i < size; i++) {
        peer_open(mesh, i);
    }
}

void mesh_open_half(struct mesh *mesh, const struct conformance_wire *wire, unsigned self)
{
    mesh_begin(mesh, wire, 2);
    peer_open(mesh, self);
}

void mesh_link_create(struct mesh *mesh, unsigned a, unsigned b, uint64_t token, uint8_t *offer,
                      size_t *offer_bytes)
{
    char name[32];
    snprintf(name, sizeof name, "peer %u", b);
    struct link_config config = {.dials = a < b, .token = token, .peer_name = name};
    memcpy(config.peer, mesh->peers[b].id, sizeof config.peer);
    struct transport *transport = mesh->peers[a].transport;
    assert_int_equal(transport->ops->link_create(&mesh->peers[a].links[b], offer, offer_bytes,
                                                 transport, &config),
                     KOLO_OK);
    assert_true(*offer_bytes <= TRANSPORT_OFFER_BYTES);
    assert_int_equal(mesh_state(mesh, a, b), LINK_NEW);
}

static void connect_pair(struct mesh *mesh, unsigned a, unsigned b)
{
    uint8_t offers[2][TRANSPORT_OFFER_BYTES];
    size_t bytes[2];
    uint64_t token = mesh->next_token++;
    mesh_link_create(mesh, a, b, token, offers[0], &bytes[0]);
    mesh_link_create(mesh, b, a, token, offers[1], &bytes[1]);
    const struct transport_ops *ops = mesh->wire->ops;
    assert_int_equal(ops->link_connect(mesh->peers[a].links[b], offers[1], bytes[1]), KOLO_OK);
    assert_int_equal(ops->link_connect(mesh->peers[b].links[a], offers[0], bytes[0]), KOLO_OK);
}

static bool all_up(const struct mesh *mesh)
{
    for (unsigned a = 0; a < mesh->size; a++) {
        for (unsigned b = 0; b < mesh->size; b++) {
            if (a != b && mesh_state(mesh, a, b) != LINK_UP) {
                return false;
            }
        }
    }
    return true;
}

void mesh_connect(struct mesh *mesh)
{
    for (unsigned a = 0; a < mesh->size; a++) {
        for (unsigned b = a + 1; b < mesh->size; b++) {
            connect_pair(mesh, a, b);
        }
    }
    MESH_WAIT(mesh, all_up(mesh));
}

bool mesh_connect_half(struct mesh *mesh, unsigned self, int socket)
{
    uint8_t mine[TRANSPORT_OFFER_BYTES];
    uint8_t theirs[TRANSPORT_OFFER_BYTES];
    size_t mine_bytes;
    mesh_link_create(mesh, self, 1 - self, 77, mine, &mine_bytes);
    if (send(socket, mine, mine_bytes, MSG_NOSIGNAL) != (ssize_t)mine_bytes) {
        return false;
    }
    ssize_t theirs_bytes = recv(socket, theirs, sizeof theirs, 0);
    struct link *link = mesh->peers[self].links[1 - self];
    if (theirs_bytes <= 0 ||
        link->ops->link_connect(link, theirs, (size_t)theirs_bytes) != KOLO_OK) {
        return false;
    }
    uint64_t deadline_ns = clock_now_ns() + MESH_WAIT_S * NS_PER_S;
    while (mesh_state(mesh, self, 1 - self) != LINK_UP) {
        mesh_step(mesh);
        if (clock_now_ns() > deadline_ns || mesh_state(mesh, self, 1 - self) == LINK_LOST) {
            return false;
        }
    }
    return true;
}

static void peer_close(struct mesh *mesh, unsigned index)
{
    struct mesh_peer *peer = &mesh->peers[index];
    if (peer->transport != NULL) {
        peer->transport->ops->destroy(peer->transport);
        peer->transport = NULL;
    }
    if (peer->port != NULL) {
        mesh->wire->port_close(peer->port);
        peer->port = NULL;
    }
    memset(peer->links, 0, sizeof peer->links);
}

void mesh_close(struct mesh *mesh)
{
    for (unsigned i = 0; i < mesh->size; i++) {
        peer_close(mesh, i);
    }
    if (mesh->wire->world_close != NULL) {
        mesh->wire->world_close(mesh->world);
    }
}

void mesh_kill(struct mesh *mesh, unsigned index)
{
    if (mesh->wire->kill != NULL) {
        mesh->wire->kill(mesh->world, mesh->peers[index].id);
    }
    peer_close(mesh, index);
}

void mesh_link_close(struct mesh *mesh, unsigned a, unsigned b)
{
    mesh->wire->ops->link_close(mesh->peers[a].links[b]);
    mesh->peers[a].links[b] = NULL;
}

/* Progress on all transports. True if anything happened. */
static bool progress_all(struct mesh *mesh)
{
    bool happened = false;
    for (unsigned i = 0; i < mesh->size; i++) {
        struct transport *transport = mesh->peers[i].transport;
        if (transport != NULL) {
            happened = transport->ops->progress(transport) || happened;
        }
    }
    return happened;
}

bool mesh_step(struct mesh *mesh)
{
    if (progress_all(mesh)) {
        return true;
    }
    if (mesh->wire->advance != NULL) {
        return mesh->wire->advance(mesh->world);
    }
    sched_yield();
    return true;
}

bool mesh_step_peer(struct mesh *mesh, unsigned index)
{
    struct transport *transport = mesh->peers[index].transport;
    return transport->ops->progress(transport);
}

void mesh_settle(struct mesh *mesh)
{
    if (mesh->wire->advance != NULL) {
        while (mesh_step(mesh)) {
        }
        return;
    }
    uint64_t quiet_since_ns = clock_now_ns();
    uint64_t deadline_ns = quiet_since_ns + MESH_WAIT_S * NS_PER_S;
    mesh_waiting_for = "everything to come to rest";
    unsigned wanted = wire_rounds(mesh->wire, SETTLE_ROUNDS);
    unsigned quiet_rounds = 0;
    while (quiet_rounds < wanted || clock_now_ns() - quiet_since_ns < SETTLE_NS) {
        quiet_rounds++;
        if (progress_all(mesh)) {
            quiet_since_ns = clock_now_ns();
            quiet_rounds = 0;
        }
        if (clock_now_ns() > deadline_ns) {
            fail_msg("progress() still says that things happen after %d s", MESH_WAIT_S);
        }
        sched_yield();
    }
    mesh_waiting_for = "";
}

enum link_state mesh_state(const struct mesh *mesh, unsigned a, unsigned b)
{
    return mesh->wire->ops->link_state(mesh->peers[a].links[b], NULL, NULL);
}

kolo_status mesh_why(const struct mesh *mesh, unsigned a, unsigned b)
{
    kolo_status why = KOLO_OK;
    const char *text = NULL;
    if (mesh->wire->ops->link_state(mesh->peers[a].links[b], &why, &text) == LINK_LOST) {
        assert_non_null(text);
        assert_true(strlen(text) > 0); /* a loss explains itself */
        return why;
    }
    return KOLO_OK;
}
