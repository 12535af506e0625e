/* Showing messages to all peers at once, where the wire can. */
#include <poll.h>
#include <pthread.h>

#include "tests/transport/conformance/cases.h"

static const struct transport_ops *ops_of(const struct mesh *mesh)
{
    return mesh->wire->ops;
}

/* A full mesh. Skips the case where the wire cannot show; says so in its features. */
static void showers_open(struct mesh *mesh, void **state, unsigned size)
{
    mesh_open(mesh, *state, size);
    mesh_connect(mesh);
    bool shows = (ops_of(mesh)->features & TRANSPORT_SHOWS) != 0;
    assert_int_equal(ops_of(mesh)->show != NULL, shows);
    assert_int_equal(ops_of(mesh)->look != NULL, shows);
    assert_int_equal(ops_of(mesh)->withdraw != NULL, shows);
    if (!shows) {
        mesh_close(mesh);
        skip();
    }
}

static uint64_t seed_of(unsigned peer, uint64_t number)
{
    return number * 100 + peer;
}

static void show(struct mesh *mesh, unsigned peer, uint64_t number, size_t length)
{
    struct message message;
    message_outgoing(&message, seed_of(peer, number), length);
    ops_of(mesh)->show(mesh->peers[peer].transport, number, message.transfer.header, message.memory,
                       length);
    message_free(&message); /* it has been copied */
}

static enum look look(const struct mesh *mesh, struct shown *shown, unsigned a, unsigned b,
                      uint64_t number)
{
    return ops_of(mesh)->look(shown, mesh->peers[a].links[b], number);
}

static void check(const struct shown *shown, unsigned peer, uint64_t number, size_t length)
{
    struct message expected;
    message_outgoing(&expected, seed_of(peer, number), length);
    assert_int_equal(shown->length, length);
    assert_int_equal((uintptr_t)shown->data % 8, 0);
    assert_memory_equal(shown->header, expected.transfer.header, TRANSPORT_HEADER_BYTES);
    if (length > 0) {
        assert_memory_equal(shown->data, expected.memory, length);
    }
    message_free(&expected);
}

/* Peer a finds what peer b shows. */
static void find(struct mesh *mesh, unsigned a, unsigned b, uint64_t number, size_t length)
{
    struct shown shown;
    MESH_WAIT(mesh, look(mesh, &shown, a, b, number) == LOOK_HERE);
    check(&shown, b, number, length);
}

static size_t length_of(uint64_t number)
{
    static const size_t lengths[] = {0, 1, 8, 24, 25, 4096, TRANSPORT_SHOWN_BYTES};
    size_t count = sizeof lengths / sizeof lengths[0];
    return number <= count ? lengths[number - 1] : number * 37 % TRANSPORT_SHOWN_BYTES;
}

/* Everyone shows number `number`, and finds everyone's. */
static void round_of(struct mesh *mesh, uint64_t number)
{
    for (unsigned peer = 0; peer < mesh->size; peer++) {
        show(mesh, peer, number, length_of(number));
    }
    for (unsigned a = 0; a < mesh->size; a++) {
        for (unsigned b = 0; b < mesh->size; b++) {
            if (a != b) {
                find(mesh, a, b, number, length_of(number));
            }
        }
    }
}

void showing_goes_to_all_peers(void **state)
{
    struct mesh mesh;
    showers_open(&mesh, state, 5);
    for (uint64_t number = 1; number <= 200; number++) {
        round_of(&mesh, number);
    }
    mesh_close(&mesh);
}

void showing_beside_messages(void **state)
{
    struct mesh mesh;
    showers_open(&mesh, state, 3);
    for (uint64_t number = 1; number <= 20; number++) {
        struct message in, out;
        message_incoming(&in, number, number * 1000);
        message_outgoing(&out, number, number * 1000);
        message_receive(&in, &mesh, 0, 1, number % 2);
        message_send(&out, &mesh, 1, 0, number % 2);
        round_of(&mesh, number);
        MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
        message_check(&in);
        message_free(&in);
        message_free(&out);
    }
    mesh_close(&mesh);
}

/* One peer is a message ahead, as far as one can be: what it showed before is still there. */
void showing_nothing_of_another_number(void **state)
{
    struct mesh mesh;
    struct shown shown;
    showers_open(&mesh, state, 2);
    assert_int_equal(look(&mesh, &shown, 1, 0, 1), LOOK_NOT_YET);
    for (uint64_t number = 1; number <= 40; number += 2) {
        show(&mesh, 0, number, length_of(number)); /* has found number - 1 */
        find(&mesh, 1, 0, number, length_of(number));
        show(&mesh, 1, number, length_of(number));
        find(&mesh, 0, 1, number, length_of(number));
        show(&mesh, 0, number + 1, length_of(number + 1));
        find(&mesh, 1, 0, number, length_of(number));
        assert_int_equal(look(&mesh, &shown, 0, 1, number + 1), LOOK_NOT_YET);
        find(&mesh, 1, 0, number + 1, length_of(number + 1));
        show(&mesh, 1, number + 1, length_of(number + 1));
        find(&mesh, 0, 1, number + 1, length_of(number + 1));
    }
    mesh_close(&mesh);
}

void showing_outlives_its_link(void **state)
{
    struct mesh mesh;
    struct shown shown;
    showers_open(&mesh, state, 2);
    show(&mesh, 0, 1, 1000);
    mesh_link_close(&mesh, 0, 1);
    MESH_WAIT(&mesh, mesh_state(&mesh, 1, 0) == LINK_LOST);
    assert_int_equal(look(&mesh, &shown, 1, 0, 1), LOOK_HERE);
    check(&shown, 0, 1, 1000);
    mesh_close(&mesh);
}

/* A peer that has not looked yet finds nothing any more. */
void showing_is_withdrawn(void **state)
{
    struct mesh mesh;
    struct shown shown;
    showers_open(&mesh, state, 3);
    round_of(&mesh, 1);
    show(&mesh, 0, 2, 100);
    MESH_WAIT(&mesh, look(&mesh, &shown, 1, 0, 2) == LOOK_HERE);
    ops_of(&mesh)->withdraw(mesh.peers[0].transport, 2);
    mesh_settle(&mesh);
    find(&mesh, 2, 0, 1, length_of(1)); /* the one before stays */
    assert_int_equal(look(&mesh, &shown, 2, 0, 2), LOOK_NOT_YET);
    mesh_link_close(&mesh, 0, 2);
    MESH_WAIT(&mesh, look(&mesh, &shown, 2, 0, 2) == LOOK_NEVER);
    mesh_close(&mesh);
}

void showing_of_the_dead_never_comes(void **state)
{
    struct mesh mesh;
    struct shown shown;
    showers_open(&mesh, state, 3);
    round_of(&mesh, 1);
    assert_int_equal(look(&mesh, &shown, 1, 0, 2), LOOK_NOT_YET);
    mesh_kill(&mesh, 0);
    MESH_WAIT(&mesh, look(&mesh, &shown, 1, 0, 2) == LOOK_NEVER);
    assert_int_equal(mesh_state(&mesh, 1, 0), LINK_LOST);
    assert_int_equal(mesh_why(&mesh, 1, 0), KOLO_ERR_PEER_LOST);
    show(&mesh, 2, 2, 8); /* the others go on */
    find(&mesh, 1, 2, 2, 8);
    mesh_close(&mesh);
}

/* A message that nobody receives does not keep the link of a peer alive that has closed it, when a look is waited for. */
void showing_is_not_awaited_behind_messages(void **state)
{
    struct mesh mesh;
    struct message out;
    struct shown shown;
    showers_open(&mesh, state, 2);
    message_outgoing(&out, 1, 100);
    message_send(&out, &mesh, 0, 1, 0);
    mesh_settle(&mesh);
    assert_int_equal(look(&mesh, &shown, 1, 0, 1), LOOK_NOT_YET);
    mesh_link_close(&mesh, 0, 1);
    MESH_WAIT(&mesh, look(&mesh, &shown, 1, 0, 1) == LOOK_NEVER);
    assert_int_equal(mesh_why(&mesh, 1, 0), KOLO_ERR_PEER_LOST);
    message_free(&out);
    mesh_close(&mesh);
}

void showing_is_counted(void **state)
{
    struct mesh mesh;
    showers_open(&mesh, state, 3);
    round_of(&mesh, 1);
    round_of(&mesh, 2);
    round_of(&mesh, 3);
    for (unsigned peer = 0; peer < 3; peer++) {
        uint64_t sent = 0, received = 0;
        ops_of(&mesh)->count(mesh.peers[peer].transport, &sent, &received);
        size_t shown = length_of(1) + length_of(2) + length_of(3);
        assert_int_equal(sent, 2 * shown); /* as if it had been sent to each */
        assert_int_equal(received, 2 * shown);
    }
    mesh_close(&mesh);
}

/* ---- sleeping ---- */

#define WAKE_MS 5000 /* a wake-up that takes longer is none */

static void come_to_rest(struct mesh *mesh, struct transport *transport)
{
    uint64_t deadline_ns = clock_now_ns() + MESH_WAIT_S * NS_PER_S;
    for (mesh_settle(mesh); !transport->ops->arm(transport); mesh_settle(mesh)) {
        transport->ops->disarm(transport);
        assert_true(clock_now_ns() < deadline_ns);
    }
}

void showing_is_not_slept_on(void **state)
{
    struct mesh mesh;
    struct shown shown;
    showers_open(&mesh, state, 3);
    struct transport *sleeper = mesh.peers[0].transport;
    for (uint64_t number = 1; number <= 20; number++) {
        show(&mesh, 0, number, 8);
        assert_int_equal(look(&mesh, &shown, 0, 1, number), LOOK_NOT_YET);
        come_to_rest(&mesh, sleeper); /* nothing is there */
        sleeper->ops->disarm(sleeper);
        show(&mesh, 1, number, 8);
        show(&mesh, 2, number, 8); /* nobody waits for that one yet */
        while (mesh.wire->advance != NULL && mesh.wire->advance(mesh.world)) {
        }
        bool sleeps = sleeper->ops->arm(sleeper);
        sleeper->ops->disarm(sleeper);
        assert_false(sleeps);
        find(&mesh, 0, 1, number, 8);
        come_to_rest(&mesh, sleeper); /* found: waited for no more */
        sleeper->ops->disarm(sleeper);
        find(&mesh, 0, 2, number, 8);
    }
    mesh_close(&mesh);
}

void showing_wakes_by_descriptor(void **state)
{
    struct mesh mesh;
    struct shown shown;
    showers_open(&mesh, state, 2);
    struct transport *sleeper = mesh.peers[0].transport;
    struct pollfd fd = {.fd = sleeper->ops->wait_fd(sleeper), .events = POLLIN};
    for (uint64_t number = 1; number <= 20 && fd.fd >= 0; number++) {
        show(&mesh, 0, number, 8);
        assert_int_equal(look(&mesh, &shown, 0, 1, number), LOOK_NOT_YET);
        do {
            sleeper->ops->disarm(sleeper);
            come_to_rest(&mesh, sleeper);
        } while (poll(&fd, 1, 0) == 1);
        show(&mesh, 1, number, 8);
        assert_int_equal(poll(&fd, 1, WAKE_MS), 1);
        sleeper->ops->disarm(sleeper);
        find(&mesh, 0, 1, number, 8);
    }
    mesh_close(&mesh);
}

#define ROUNDS 2000

struct player {
    struct mesh *mesh;
    unsigned self;
    unsigned slept;
};

/* Show, then sleep until the other one has shown; a wake-up that is lost takes as long as a sleep may. */
static void *play(void *argument)
{
    struct player *player = argument;
    struct transport *transport = player->mesh->peers[player->self].transport;
    struct shown shown;
    for (uint64_t number = 1; number <= wire_rounds(player->mesh->wire, ROUNDS); number++) {
        show(player->mesh, player->self, number, number % 64);
        while (look(player->mesh, &shown, player->self, 1 - player->self, number) != LOOK_HERE) {
            uint64_t before_ns = clock_now_ns();
            if (!transport->ops->progress(transport) && transport->ops->arm(transport)) {
                transport->ops->sleep(transport, WAKE_MS * NS_PER_MS);
                player->slept++;
            }
            transport->ops->disarm(transport);
            assert_true(clock_now_ns() - before_ns < WAKE_MS * NS_PER_MS);
        }
        check(&shown, 1 - player->self, number, number % 64);
    }
    return NULL;
}

void showing_wakes_without(void **state)
{
    struct mesh mesh;
    showers_open(&mesh, state, 2);
    if (!mesh.wire->forks || ops_of(&mesh)->sleep == NULL) {
        mesh_close(&mesh);
        skip();
    }
    struct player other = {.mesh = &mesh, .self = 1}, self = {.mesh = &mesh, .self = 0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, play, &other), 0);
    play(&self);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(self.slept + other.slept > 0);
    mesh_close(&mesh);
}
