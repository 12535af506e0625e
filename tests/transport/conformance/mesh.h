/* mesh: a few peers in this process, each with a transport, and a link between each two of them, driven by one thread. Or, of
 * such a mesh of two, one half: the other one is in another process. */
#ifndef KOLO_TESTS_CONFORMANCE_MESH_H
#define KOLO_TESTS_CONFORMANCE_MESH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "tests/transport/conformance/wire.h"

#define MESH_PEERS_MAX 8
#define MESH_WAIT_S 60 /* no single event takes longer, even with sanitizers on a busy machine */
#define MESH_IDLE_MAX 10000 /* a condition may itself do something, now and then */
#define MESH_PEER_TIMEOUT_NS (3 * NS_PER_S)

struct mesh_peer {
    uint8_t id[TRANSPORT_ID_BYTES];
    void *port;
    struct transport *transport; /* NULL: not here, or gone */
    struct link *links[MESH_PEERS_MAX];
};

struct mesh {
    const struct conformance_wire *wire;
    void *world;
    unsigned size;
    uint64_t next_token;
    struct mesh_peer peers[MESH_PEERS_MAX];
};

/** Make `size` peers with transports; no links. Fails the test if that fails. */
void mesh_open(struct mesh *mesh, const struct conformance_wire *wire, unsigned size);

/** Only peer `self` of a mesh of two. */
void mesh_open_half(struct mesh *mesh, const struct conformance_wire *wire, unsigned self);

/** Link all peers with each other and wait until they are. */
void mesh_connect(struct mesh *mesh);

/** Link the half with the other process's one; offers go over the socket. Returns false if that fails (no test is failed: this
 *  may be the other process). */
bool mesh_connect_half(struct mesh *mesh, unsigned self, int socket);

/** Destroy everything that is left. */
void mesh_close(struct mesh *mesh);

/** Peer `index` dies. */
void mesh_kill(struct mesh *mesh, unsigned index);

/** Create peer a's end of a link to b (not connected) with that token. */
void mesh_link_create(struct mesh *mesh, unsigned a, unsigned b, uint64_t token, uint8_t *offer,
                      size_t *offer_bytes);

/** Close a's end of its link to b. */
void mesh_link_close(struct mesh *mesh, unsigned a, unsigned b);

/** Progress on all transports; when nothing happens, let time pass. False: nothing is left to happen (in virtual time). */
bool mesh_step(struct mesh *mesh);

/** Progress on one transport only, which may be in a thread of its own. */
bool mesh_step_peer(struct mesh *mesh, unsigned index);

/** Step until nothing more happens: what stands then is meant to stand. */
void mesh_settle(struct mesh *mesh);

enum link_state mesh_state(const struct mesh *mesh, unsigned a, unsigned b);

/** Status of a lost link, KOLO_OK otherwise. */
kolo_status mesh_why(const struct mesh *mesh, unsigned a, unsigned b);

/** For the watchdog: what the test waits for. */
extern const char *mesh_waiting_for;

/** Step until `condition` holds; fail the test, saying what was waited for, when it does not in time. */
#define MESH_WAIT(mesh, condition)                                                                 \
    do {                                                                                           \
        uint64_t mesh_deadline_ns = clock_now_ns() + MESH_WAIT_S * NS_PER_S;                       \
        unsigned mesh_idle = 0;                                                                    \
        mesh_waiting_for = #condition;                                                             \
        while (!(condition)) {                                                                     \
            mesh_idle = mesh_step(mesh) ? 0 : mesh_idle + 1;                                       \
            if (mesh_idle > MESH_IDLE_MAX) {                                                       \
                fail_msg("nothing is left to happen, but not yet: %s", #condition);                \
            }                                                                                      \
            if (clock_now_ns() > mesh_deadline_ns) {                                               \
                fail_msg("waited %d s in vain for: %s", MESH_WAIT_S, #condition);                  \
            }                                                                                      \
        }                                                                                          \
        mesh_waiting_for = "";                                                                     \
    } while (0)

#endif
