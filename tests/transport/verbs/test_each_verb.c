/* Every verb fails once at each of its calls, while two peers are opened, linked, exchange messages and are closed: whatever
 * happens is either nothing, or an error with an explanation; it takes no longer than it may, and leaves nothing open. */
#include <errno.h>
#include <stdlib.h>

#include "tests/transport/verbs/stand.h"

#define SHORT 200
#define LONG 200000
#define ROUNDS 8     /* of messages: receives are posted again, and channels are read */
#define CALLS_MAX 40 /* of one verb: later ones are like earlier ones */
#define STEPS_MAX 200000

struct run {
    struct mesh mesh;
    uint8_t offers[2][TRANSPORT_OFFER_BYTES];
    size_t bytes[2];
    struct message out[4], in[4];
};

static const struct conformance_wire *wire;

static kolo_status open_peer(struct run *run, unsigned index)
{
    struct mesh_peer *peer = &run->mesh.peers[index];
    memset(peer->id, 0xa0 + (int)index, sizeof peer->id);
    struct transport_config config = {.peer_timeout_ns = MESH_PEER_TIMEOUT_NS,
                                      .wire = wire->port_open(NULL, peer->id)};
    memcpy(config.self, peer->id, sizeof config.self);
    return wire->ops->create(&peer->transport, &config);
}

static kolo_status create_link(struct run *run, unsigned index)
{
    struct mesh_peer *peer = &run->mesh.peers[index];
    struct link_config config = {.dials = index == 0, .token = 5, .peer_name = "the other"};
    memset(config.peer, 0xa0 + (int)(1 - index), sizeof config.peer);
    return wire->ops->link_create(&peer->links[1 - index], run->offers[index], &run->bytes[index],
                                  peer->transport, &config);
}

static kolo_status connect_link(struct run *run, unsigned index)
{
    return wire->ops->link_connect(run->mesh.peers[index].links[1 - index], run->offers[1 - index],
                                   run->bytes[1 - index]);
}

/* Each of the three for both peers. */
static kolo_status bring_up(struct run *run)
{
    kolo_status (*const stage[])(struct run *, unsigned) = {open_peer, create_link, connect_link};
    kolo_status status = KOLO_OK;
    for (unsigned i = 0; i < 6 && status == KOLO_OK; i++) {
        status = stage[i / 2](run, i % 2);
    }
    return status;
}

/* Until both links are in `state`, or one is lost. True if none is. */
static bool step_until(struct run *run, enum link_state state)
{
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        enum link_state a = mesh_state(&run->mesh, 0, 1), b = mesh_state(&run->mesh, 1, 0);
        if (a == LINK_LOST || b == LINK_LOST) {
            return false;
        }
        if (a == state && b == state) {
            return true;
        }
        mesh_step(&run->mesh);
    }
    return false; /* one end knows, and the other one is still patient */
}

static bool all_over(const struct run *run)
{
    bool posted = false;
    for (unsigned i = 0; i < 4; i++) {
        posted |= run->out[i].transfer.state == TRANSFER_POSTED ||
                  run->in[i].transfer.state == TRANSFER_POSTED;
    }
    return !posted;
}

/* Two messages in each direction, a short and a long one. */
static void post_messages(struct run *run)
{
    for (unsigned i = 0; i < 4; i++) {
        size_t length = i % 2 == 0 ? SHORT : LONG;
        stand_outgoing(&run->out[i], i, length);
        stand_incoming(&run->in[i], i, length);
        message_receive(&run->in[i], &run->mesh, 1 - i / 2, i / 2, i % 2);
        message_send(&run->out[i], &run->mesh, i / 2, 1 - i / 2, i % 2);
    }
}

static void free_messages(struct run *run)
{
    for (unsigned i = 0; i < 4; i++) {
        assert_int_not_equal(run->in[i].transfer.state, TRANSFER_POSTED);
        if (message_done(&run->in[i])) {
            message_check(&run->in[i]); /* what is said to have come has come */
        }
        stand_free(&run->out[i]);
        stand_free(&run->in[i]);
    }
}

static void sleep_once(const struct run *run)
{
    for (unsigned i = 0; i < 2; i++) {
        struct transport *transport = run->mesh.peers[i].transport;
        transport->ops->arm(transport);
        transport->ops->disarm(transport);
        transport->ops->progress(transport);
    }
}

/* True if all of them arrived. If not, the last ones are still to be freed, after the links are closed. */
static bool exchange(struct run *run)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        post_messages(run);
        sleep_once(run);
        while (!all_over(run) && step_until(run, LINK_UP)) {
            mesh_step(&run->mesh);
        }
        for (unsigned i = 0; i < 4; i++) {
            if (!message_done(&run->in[i]) || !message_done(&run->out[i])) {
                return false;
            }
        }
        free_messages(run);
    }
    return true;
}

static void close_links(struct run *run)
{
    for (unsigned i = 0; i < 2; i++) {
        if (run->mesh.peers[i].links[1 - i] != NULL) {
            mesh_link_close(&run->mesh, i, 1 - i);
        }
    }
}

static void close_peers(struct run *run)
{
    for (unsigned i = 0; i < 2; i++) {
        struct transport *transport = run->mesh.peers[i].transport;
        if (transport != NULL) {
            transport->ops->destroy(transport);
        }
    }
}

/* True if nothing failed. */
static bool run_once(void)
{
    static struct run run;
    run = (struct run){.mesh = {.wire = wire, .size = 2}};
    kolo_status status = bring_up(&run);
    bool good = status == KOLO_OK;
    if (!good) {
        assert_true(strlen(kolo_last_error()) > 10);
    }
    bool up = good && step_until(&run, LINK_UP);
    good = up && exchange(&run);
    close_links(&run);
    if (up && !good) {
        free_messages(&run);
    }
    close_peers(&run);
    assert_int_equal(fake_leaks(), 0);
    return good;
}

static void each_verb_fails_in_turn(void **state)
{
    (void)state;
    unsigned failed = 0;
    wire = stand_wire(1, NULL);
    message_init();
    for (unsigned verb = 0; verb < FAKE_VERB_COUNT; verb++) {
        wire->world_open();
        assert_true(run_once());
        unsigned calls = fake_calls(verb);
        for (unsigned nth = 1; nth <= calls && nth <= CALLS_MAX; nth++) {
            wire->world_open();
            fake_fail(verb, nth, ENOMEM);
            uint64_t since_ns = clock_now_ns();
            bool good = run_once();
            failed += !good;
            if (clock_now_ns() - since_ns > MESH_PEER_TIMEOUT_NS) {
                fail_msg("%s failed at call %u, and it took too long", fake_verb_name(verb), nth);
            }
        }
    }
    assert_true(failed > 20); /* at each of the verbs that make something, for both peers */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_verb_fails_in_turn),
    };
    setenv("KOLO_LOG", "none", 0); /* hundreds of errors are wanted here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
