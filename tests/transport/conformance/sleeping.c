/* Sleeping until something happens, by descriptor and without. A failed assertion in another thread ends the program. */
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "tests/transport/conformance/cases.h"

#define WAKE_MS 5000 /* a wake-up that takes longer is none */

static bool readable(struct transport *transport, int timeout_ms)
{
    struct pollfd fd = {.fd = transport->ops->wait_fd(transport), .events = POLLIN};
    return poll(&fd, 1, timeout_ms) == 1;
}

/* Two linked peers. Skips the case where the wire has no descriptor. */
static void sleepers_open(struct mesh *mesh, void **state)
{
    pair_open(mesh, state);
    if (mesh->wire->ops->wait_fd(mesh->peers[0].transport) < 0) {
        mesh_close(mesh);
        skip();
    }
}

/* Arm until there is nothing left to do. */
static void lie_down(struct mesh *mesh, unsigned index)
{
    struct transport *transport = mesh->peers[index].transport;
    uint64_t deadline_ns = clock_now_ns() + MESH_WAIT_S * NS_PER_S;
    for (;;) {
        mesh_settle(mesh);
        if (transport->ops->arm(transport) && !readable(transport, 0)) {
            return;
        }
        transport->ops->disarm(transport);
        assert_true(clock_now_ns() < deadline_ns); /* it never comes to rest */
    }
}

/* The other peer has done something: peer `index` must wake, and can then make progress. */
static void assert_wakes(struct mesh *mesh, unsigned index)
{
    struct transport *transport = mesh->peers[index].transport;
    assert_true(readable(transport, WAKE_MS));
    transport->ops->disarm(transport);
}

void sleeping_idle_arms(void **state)
{
    struct mesh mesh;
    sleepers_open(&mesh, state);
    lie_down(&mesh, 0);
    assert_false(readable(mesh.peers[0].transport, 20)); /* and nothing wakes it */
    mesh.wire->ops->disarm(mesh.peers[0].transport);
    message_exchange(&mesh, 0, 1, 0, 1, 1000);
    lie_down(&mesh, 0);
    mesh.wire->ops->disarm(mesh.peers[0].transport);
    mesh_close(&mesh);
}

void sleeping_woken_by_data(void **state)
{
    static const size_t lengths[] = {0, 1, 80, 1000, 100000};
    struct mesh mesh;
    struct message out;
    struct message in;
    sleepers_open(&mesh, state);
    for (unsigned i = 0; i < 2 * sizeof lengths / sizeof lengths[0]; i++) {
        message_outgoing(&out, i, lengths[i / 2]);
        message_incoming(&in, i, lengths[i / 2]);
        message_receive(&in, &mesh, 0, 1, i % 2);
        lie_down(&mesh, 0);
        message_send(&out, &mesh, 1, 0, i % 2);
        mesh.wire->ops->progress(mesh.peers[1].transport);
        assert_wakes(&mesh, 0);
        MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
        message_check(&in);
        message_free(&in);
        message_free(&out);
    }
    mesh_close(&mesh);
}

void sleeping_woken_by_room(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    sleepers_open(&mesh, state);
    message_outgoing(&out, 1, mesh.wire->large_bytes);
    message_incoming(&in, 1, mesh.wire->large_bytes);
    message_send(&out, &mesh, 0, 1, 0);
    lie_down(&mesh, 0);
    message_receive(&in, &mesh, 1, 0, 0);
    struct transport *receiver = mesh.peers[1].transport;
    while (receiver->ops->progress(receiver)) { /* takes in what is there */
    }
    assert_wakes(&mesh, 0);
    MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
    message_check(&in);
    message_free(&in);
    message_free(&out);
    mesh_close(&mesh);
}

void sleeping_woken_by_close(void **state)
{
    struct mesh mesh;
    sleepers_open(&mesh, state);
    lie_down(&mesh, 0);
    mesh_kill(&mesh, 1);
    assert_wakes(&mesh, 0);
    MESH_WAIT(&mesh, mesh_state(&mesh, 0, 1) == LINK_LOST);
    mesh_close(&mesh);
}

void sleeping_pending_data_is_not_slept_on(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    struct transport *sleeper = mesh.peers[0].transport;
    for (unsigned round = 0; round < 20; round++) {
        message_incoming(&in, round, 100);
        message_outgoing(&out, round, 100);
        message_receive(&in, &mesh, 0, 1, 0);
        mesh_settle(&mesh);
        message_send(&out, &mesh, 1, 0, 0);
        /* Let it arrive, but not be received. */
        for (unsigned i = 0; i < 100 && !message_done(&out); i++) {
            mesh.wire->ops->progress(mesh.peers[1].transport);
        }
        if (mesh.wire->advance != NULL) {
            while (mesh.wire->advance(mesh.world)) {
            }
        }
        if (sleeper->ops->arm(sleeper)) { /* only if the descriptor, then, says so */
            assert_true(sleeper->ops->wait_fd(sleeper) >= 0);
            assert_true(readable(sleeper, WAKE_MS));
        }
        sleeper->ops->disarm(sleeper);
        MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
        message_check(&in);
        message_free(&in);
        message_free(&out);
    }
    mesh_close(&mesh);
}

/* ---- without descriptors: peer 1 has a thread of its own ---- */

struct waker {
    struct mesh *mesh;
    struct message out;
    uint64_t sent_ns;
};

static void *send_after_a_while(void *argument)
{
    struct waker *waker = argument;
    struct timespec while_ns = {.tv_nsec = 30 * (long)NS_PER_MS}; /* the other one falls asleep */
    nanosleep(&while_ns, NULL);
    waker->sent_ns = clock_now_ns();
    message_send(&waker->out, waker->mesh, 1, 0, 0);
    uint64_t deadline_ns = waker->sent_ns + MESH_WAIT_S * NS_PER_S;
    struct transport *transport = waker->mesh->peers[1].transport;
    while (!message_done(&waker->out) && clock_now_ns() < deadline_ns) {
        transport->ops->progress(transport);
    }
    return NULL;
}

/* Sleep and progress until the message is there. Returns how often it slept. */
static unsigned sleep_until_done(struct transport *transport, const struct message *in)
{
    unsigned slept = 0;
    uint64_t deadline_ns = clock_now_ns() + MESH_WAIT_S * NS_PER_S;
    while (!message_done(in)) {
        if (transport->ops->progress(transport)) {
            continue;
        }
        if (transport->ops->arm(transport)) {
            transport->ops->sleep(transport, 10 * NS_PER_S);
            slept++;
        }
        transport->ops->disarm(transport);
        assert_true(clock_now_ns() < deadline_ns);
    }
    return slept;
}

void sleeping_without_descriptors(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    if (mesh.wire->ops->sleep == NULL) {
        mesh_close(&mesh);
        skip();
    }
    for (unsigned round = 0; round < 5; round++) {
        struct waker waker = {.mesh = &mesh};
        struct message in;
        pthread_t thread;
        message_incoming(&in, round, 2000 * round);
        message_outgoing(&waker.out, round, 2000 * round);
        message_receive(&in, &mesh, 0, 1, 0);
        assert_int_equal(pthread_create(&thread, NULL, send_after_a_while, &waker), 0);
        unsigned slept = sleep_until_done(mesh.peers[0].transport, &in);
        uint64_t woken_ns = clock_now_ns();
        pthread_join(thread, NULL);
        assert_in_range(slept, 1, 1000);
        assert_true(woken_ns < waker.sent_ns + 5 * NS_PER_S); /* long before the sleep's limit */
        message_check(&in);
        message_free(&in);
        message_free(&waker.out);
    }
    mesh_close(&mesh);
}

void sleeping_ends_in_time(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    struct transport *transport = mesh.peers[0].transport;
    if (transport->ops->sleep == NULL) {
        mesh_close(&mesh);
        skip();
    }
    mesh_settle(&mesh);
    uint64_t before_ns = clock_now_ns();
    if (transport->ops->arm(transport)) {
        transport->ops->sleep(transport, 30 * NS_PER_MS);
    }
    transport->ops->disarm(transport);
    assert_true(clock_now_ns() - before_ns < 5 * NS_PER_S);
    mesh_close(&mesh);
}

/* ---- ping-pong: each end sleeps until the other one has answered; a wake-up that is lost shows ---- */

#define PING_ROUNDS 2000
#define PING_LIMIT_NS (5 * NS_PER_S) /* a sleep that long was not woken */

struct player {
    struct mesh *mesh;
    unsigned self;
    bool by_descriptor;
};

/* Sleep once, if there is nothing to do. Returns false if the limit passed. */
static bool nap(struct transport *transport, bool by_descriptor)
{
    bool woken = true;
    if (transport->ops->arm(transport)) {
        uint64_t before_ns = clock_now_ns();
        if (by_descriptor) {
            readable(transport, (int)(PING_LIMIT_NS / NS_PER_MS));
        } else {
            transport->ops->sleep(transport, PING_LIMIT_NS);
        }
        woken = clock_now_ns() - before_ns < PING_LIMIT_NS;
    }
    transport->ops->disarm(transport);
    return woken;
}

/* Wait for the transfer: spin for a while that differs from round to round, then sleep. */
static void await(const struct player *player, const struct transfer *transfer, unsigned spins)
{
    struct transport *transport = player->mesh->peers[player->self].transport;
    while (transfer->state == TRANSFER_POSTED) {
        bool happened = transport->ops->progress(transport);
        if (!happened && spins > 0) {
            spins--;
        } else if (!happened && !nap(transport, player->by_descriptor)) {
            fail_msg("peer %u was not woken", player->self);
        }
    }
    assert_int_equal(transfer->state, TRANSFER_DONE);
}

static void *play(void *argument)
{
    const struct player *player = argument;
    struct link *link = player->mesh->peers[player->self].links[1 - player->self];
    static uint8_t memory[2][2][4000];
    const unsigned rounds = wire_rounds(player->mesh->wire, PING_ROUNDS);
    for (unsigned round = 0; round < rounds; round++) {
        size_t length = round % 10 == 9 ? 4000 : round % 20;
        struct transfer out = {.data = memory[player->self][0], .length = length, .ready = length};
        struct transfer in = {.data = memory[player->self][1], .length = length, .ready = length};
        link->ops->receive(link, round % TRANSPORT_LANES, &in);
        if (player->self == 1) {
            await(player, &in, round * 7 % 100);
        }
        link->ops->send(link, round % TRANSPORT_LANES, &out);
        await(player, &out, round * 3 % 100);
        await(player, &in, round * 7 % 100);
    }
    return NULL;
}

static void ping_pong(struct mesh *mesh, bool by_descriptor)
{
    struct player players[2] = {{.mesh = mesh, .self = 0, .by_descriptor = by_descriptor},
                                {.mesh = mesh, .self = 1, .by_descriptor = by_descriptor}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, play, &players[1]), 0);
    play(&players[0]);
    pthread_join(thread, NULL);
    mesh_close(mesh);
}

void sleeping_ping_pong_by_descriptor(void **state)
{
    struct mesh mesh;
    sleepers_open(&mesh, state);
    ping_pong(&mesh, true);
}

void sleeping_ping_pong_without(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    if (mesh.wire->ops->sleep == NULL) {
        mesh_close(&mesh);
        skip();
    }
    ping_pong(&mesh, false);
}
