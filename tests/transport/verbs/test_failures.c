/* A link of one rail whose device, port, path or queue pair fails: it is lost on both ends within the configured time, with a
 * reason; its transfers fail; nothing is left open. */
#include "tests/transport/verbs/stand.h"

#define LENGTH 300000
#define MESSAGES 4
/* A dead peer is noticed in MESH_PEER_TIMEOUT_NS; and this machine may be slow. */
#define PATIENCE_NS (MESH_PEER_TIMEOUT_NS + NS_PER_S)

enum what {
    REMOVED_AND_FLUSHED,
    REMOVED_SILENTLY,
    PORT_DOWN,
    PATH_CUT,
    PAIR_BROKEN,
    WHATS,
};

static void strike(enum what what)
{
    switch (what) {
    case REMOVED_AND_FLUSHED:
        fake_remove(1, true);
        break;
    case REMOVED_SILENTLY:
        fake_remove(1, false);
        break;
    case PORT_DOWN:
        fake_port_set(1, 1, false);
        break;
    case PATH_CUT:
        fake_path(0, 1, 1, 1, true, 0);
        break;
    default:
        assert_true(fake_break(fake_pair(1)));
    }
}

static bool both_lost(const struct mesh *mesh)
{
    return mesh_state(mesh, 0, 1) == LINK_LOST && mesh_state(mesh, 1, 0) == LINK_LOST;
}

static void expect_lost_in_time(struct mesh *mesh)
{
    uint64_t since_ns = clock_now_ns();
    MESH_WAIT(mesh, both_lost(mesh));
    assert_in_range(clock_now_ns() - since_ns, 0, PATIENCE_NS);
    for (unsigned i = 0; i < 2; i++) {
        kolo_status why = mesh_why(mesh, i, 1 - i);
        assert_true(why == KOLO_ERR_PEER_LOST || why == KOLO_ERR_SYSTEM);
    }
}

static void an_idle_link_is_lost(void **state)
{
    (void)state;
    for (enum what what = 0; what < WHATS; what++) {
        struct mesh mesh;
        stand_open(&mesh, 1, NULL);
        stand_link(&mesh);
        message_exchange(&mesh, 0, 1, 0, 1, LENGTH);
        fake_speed(4); /* queue pairs give up sooner */
        strike(what);
        expect_lost_in_time(&mesh);
        stand_close(&mesh);
    }
}

/* With messages of every kind under way: all fail, and memory that was lent can be freed at once (address sanitizer looks). */
static void a_link_is_lost_in_mid_message(void **state)
{
    (void)state;
    for (enum what what = 0; what < WHATS; what++) {
        struct mesh mesh;
        struct message out[MESSAGES], in[MESSAGES];
        stand_open(&mesh, 1, NULL);
        stand_link(&mesh);
        fake_order(FAKE_SHUFFLED, what);
        fake_speed(what == PATH_CUT ? 1 : 4); /* that one takes its whole time */
        for (unsigned i = 0; i < MESSAGES; i++) {
            unsigned from = i / 2;
            stand_outgoing(&out[i], i, LENGTH);
            stand_incoming(&in[i], i, LENGTH);
            out[i].transfer.ready = LENGTH / 2;
            message_receive(&in[i], &mesh, 1 - from, from, i % 2);
            message_send(&out[i], &mesh, from, 1 - from, i % 2);
        }
        MESH_WAIT(&mesh, in[0].transfer.moved > LENGTH / 4);
        strike(what);
        expect_lost_in_time(&mesh);
        for (unsigned i = 0; i < MESSAGES; i++) {
            assert_true(message_failed(&out[i]));
            assert_true(message_failed(&in[i]));
            stand_free(&out[i]);
            stand_free(&in[i]);
        }
        message_outgoing(&out[0], 1, LENGTH); /* a later one fails at once */
        message_send(&out[0], &mesh, 0, 1, 0);
        assert_true(message_failed(&out[0]));
        message_free(&out[0]);
        stand_close(&mesh);
    }
}

static bool both_done(const struct mesh *mesh)
{
    return mesh_state(mesh, 0, 1) != LINK_CONNECTING && mesh_state(mesh, 1, 0) != LINK_CONNECTING;
}

/* A path that is cut from the start: the ends find out by trying, and say that another wire is to be taken. */
static void ends_that_cannot_reach_each_other(void **state)
{
    (void)state;
    struct mesh mesh;
    uint8_t offers[2][TRANSPORT_OFFER_BYTES];
    size_t bytes[2];
    stand_open(&mesh, 1, NULL);
    fake_path(0, 1, 1, 1, true, 0);
    for (unsigned i = 0; i < 2; i++) {
        mesh_link_create(&mesh, i, 1 - i, 7, offers[i], &bytes[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct link *link = mesh.peers[i].links[1 - i];
        assert_int_equal(link->ops->link_connect(link, offers[1 - i], bytes[1 - i]), KOLO_OK);
    }
    uint64_t since_ns = clock_now_ns();
    MESH_WAIT(&mesh, both_done(&mesh));
    assert_in_range(clock_now_ns() - since_ns, 0, PATIENCE_NS);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(mesh_state(&mesh, i, 1 - i), LINK_LOST);
        assert_int_equal(mesh_why(&mesh, i, 1 - i), KOLO_ERR_STATE);
    }
    stand_close(&mesh);
}

/* Both ends begin to connect, while nobody says who has their addresses: that blocks nobody. */
static void connect_unresolved(struct mesh *mesh, unsigned rails)
{
    uint8_t offers[2][TRANSPORT_OFFER_BYTES];
    size_t bytes[2];
    stand_open(mesh, rails, NULL);
    fake_hold_resolving(true);
    for (unsigned i = 0; i < 2; i++) {
        mesh_link_create(mesh, i, 1 - i, 7, offers[i], &bytes[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct link *link = mesh->peers[i].links[1 - i];
        assert_int_equal(link->ops->link_connect(link, offers[1 - i], bytes[1 - i]), KOLO_OK);
        assert_int_equal(mesh_state(mesh, i, 1 - i), LINK_CONNECTING);
    }
    mesh_settle(mesh);
    assert_false(both_done(mesh));
}

static void a_neighbour_that_answers_late_is_waited_for(void **state)
{
    (void)state;
    struct mesh mesh;
    connect_unresolved(&mesh, 2);
    fake_hold_resolving(false);
    MESH_WAIT(&mesh, both_done(&mesh));
    stand_exchange(&mesh, 0, 0, 1, LENGTH);
    stand_close(&mesh);
}

/* One end's kernel hears nothing of the neighbour; its other rail carries the link. */
static void a_rail_whose_neighbour_is_missing_is_left_out(void **state)
{
    (void)state;
    struct mesh mesh;
    connect_unresolved(&mesh, 2);
    fake_fail(FAKE_VERB_CREATE_AH, 1, ETIMEDOUT);
    fake_hold_resolving(false);
    MESH_WAIT(&mesh, both_done(&mesh));
    stand_exchange(&mesh, 0, 0, 1, LENGTH);
    stand_close(&mesh);
}

static void without_a_neighbour_another_wire_is_to_be_taken(void **state)
{
    (void)state;
    struct mesh mesh;
    connect_unresolved(&mesh, 1);
    fake_fail(FAKE_VERB_CREATE_AH, 1, EHOSTUNREACH);
    fake_hold_resolving(false);
    MESH_WAIT(&mesh, both_done(&mesh));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(mesh_state(&mesh, i, 1 - i), LINK_LOST);
        assert_int_equal(mesh_why(&mesh, i, 1 - i), KOLO_ERR_STATE);
    }
    stand_close(&mesh);
}

/* The poster's patience ends first. */
static void a_link_that_is_being_resolved_can_be_closed(void **state)
{
    (void)state;
    struct mesh mesh;
    connect_unresolved(&mesh, 2);
    mesh_link_close(&mesh, 0, 1);
    mesh_settle(&mesh);
    fake_hold_resolving(false);
    MESH_WAIT(&mesh, mesh_state(&mesh, 1, 0) == LINK_LOST);
    stand_close(&mesh);
}

/* A fabric that loses a little, or is slow, loses no link. */
static void short_cuts_are_survived(void **state)
{
    (void)state;
    struct mesh mesh;
    stand_open(&mesh, 1, NULL);
    stand_link(&mesh);
    fake_path(0, 1, 1, 1, false, 2 * NS_PER_MS);
    message_exchange(&mesh, 0, 1, 0, 1, LENGTH);
    for (unsigned i = 0; i < 5; i++) {
        struct message out, in;
        stand_outgoing(&out, i, LENGTH);
        stand_incoming(&in, i, LENGTH);
        fake_path(0, 1, 1, 1, true, 0);
        message_receive(&in, &mesh, 1, 0, 0);
        message_send(&out, &mesh, 0, 1, 0);
        mesh_settle(&mesh);
        assert_int_equal(in.transfer.state, TRANSFER_POSTED);
        fake_path(0, 1, 1, 1, false, 0);
        MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
        message_check(&in);
        stand_free(&in);
        stand_free(&out);
    }
    stand_close(&mesh);
}

/* A receiver that is not ready at times, as after a burst: the sender's device tries again. */
static void an_unready_receiver_is_waited_for(void **state)
{
    (void)state;
    struct mesh mesh;
    stand_open(&mesh, 1, NULL);
    stand_link(&mesh);
    for (unsigned i = 0; i < 5; i++) {
        fake_not_ready(fake_pair(0), 3);
        fake_not_ready(fake_pair(1), 3);
        stand_exchange(&mesh, i % 2, 0, i, LENGTH);
    }
    stand_close(&mesh);
}

/* One peer's device goes; its link to nobody else suffers. */
static void other_links_go_on(void **state)
{
    (void)state;
    struct mesh mesh;
    stand_open(&mesh, 1, NULL);
    stand_link(&mesh);
    struct link *first = mesh.peers[0].links[1], *first_back = mesh.peers[1].links[0];
    stand_link(&mesh); /* a second one between the same two */
    assert_int_equal(fake_pairs(), 4);
    assert_true(fake_break(fake_pair(0))); /* of the first */
    MESH_WAIT(&mesh, mesh.wire->ops->link_state(first, NULL, NULL) == LINK_LOST &&
                         mesh.wire->ops->link_state(first_back, NULL, NULL) == LINK_LOST);
    stand_exchange(&mesh, 0, 0, 1, LENGTH);
    assert_int_equal(mesh_state(&mesh, 0, 1), LINK_UP);
    mesh.wire->ops->link_close(first);
    mesh.wire->ops->link_close(first_back);
    stand_close(&mesh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_link_is_lost),
        cmocka_unit_test(a_link_is_lost_in_mid_message),
        cmocka_unit_test(ends_that_cannot_reach_each_other),
        cmocka_unit_test(a_neighbour_that_answers_late_is_waited_for),
        cmocka_unit_test(a_rail_whose_neighbour_is_missing_is_left_out),
        cmocka_unit_test(without_a_neighbour_another_wire_is_to_be_taken),
        cmocka_unit_test(a_link_that_is_being_resolved_can_be_closed),
        cmocka_unit_test(short_cuts_are_survived),
        cmocka_unit_test(an_unready_receiver_is_waited_for),
        cmocka_unit_test(other_links_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
