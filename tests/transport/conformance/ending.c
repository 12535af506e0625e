/* How a link ends: closed, or with its peer's death. What was DONE arrives; what was not fails; nothing hangs. */
#include "tests/transport/conformance/cases.h"

#define ENDING_MESSAGES 10
#define ENDING_BYTES 500 /* each: all of them fit into any lane that takes in anything */

/* Does every wire variant take this many small messages in before a receive is posted? */
static bool takes_in(struct mesh *mesh, struct message *out)
{
    for (unsigned i = 0; i < ENDING_MESSAGES; i++) {
        message_outgoing(&out[i], i, ENDING_BYTES * (i % 2));
        message_send(&out[i], mesh, 0, 1, i % TRANSPORT_LANES);
    }
    mesh_settle(mesh);
    bool all = true;
    for (unsigned i = 0; i < ENDING_MESSAGES; i++) {
        all = all && message_done(&out[i]);
    }
    return all;
}

void ending_done_messages_arrive_then_lost(void **state)
{
    struct mesh mesh;
    struct message out[ENDING_MESSAGES];
    struct message in[ENDING_MESSAGES];
    pair_open(&mesh, state);
    for (unsigned i = 0; i < ENDING_MESSAGES; i++) {
        message_incoming(&in[i], i, 10000 * i);
        message_outgoing(&out[i], i, 10000 * i);
        message_receive(&in[i], &mesh, 1, 0, i % TRANSPORT_LANES);
        message_send(&out[i], &mesh, 0, 1, i % TRANSPORT_LANES);
    }
    for (unsigned i = 0; i < ENDING_MESSAGES; i++) {
        MESH_WAIT(&mesh, message_done(&out[i]));
        message_free(&out[i]);
    }
    mesh_link_close(&mesh, 0, 1); /* some may still be on their way */
    for (unsigned i = 0; i < ENDING_MESSAGES; i++) {
        MESH_WAIT(&mesh, in[i].transfer.state != TRANSFER_POSTED);
        message_check(&in[i]);
        message_free(&in[i]);
    }
    MESH_WAIT(&mesh, mesh_state(&mesh, 1, 0) == LINK_LOST);
    assert_int_equal(mesh_why(&mesh, 1, 0), KOLO_ERR_PEER_LOST);
    mesh_close(&mesh);
}

/* Receive, now that the other end is gone, what it sent before. */
static void receive_the_rest(struct mesh *mesh)
{
    for (unsigned i = 0; i < ENDING_MESSAGES; i++) {
        struct message in;
        message_incoming(&in, i, ENDING_BYTES * (i % 2));
        message_receive(&in, mesh, 1, 0, i % TRANSPORT_LANES);
        MESH_WAIT(mesh, in.transfer.state != TRANSFER_POSTED);
        message_check(&in);
        message_free(&in);
    }
    MESH_WAIT(mesh, mesh_state(mesh, 1, 0) == LINK_LOST);
    assert_int_equal(mesh_why(mesh, 1, 0), KOLO_ERR_PEER_LOST);
}

/* Free what was sent; nothing of it is posted any more. */
static void free_all(struct message *messages)
{
    for (unsigned i = 0; i < ENDING_MESSAGES; i++) {
        message_free(&messages[i]);
    }
}

void ending_done_messages_are_received_later(void **state)
{
    struct mesh mesh;
    struct message out[ENDING_MESSAGES];
    pair_open(&mesh, state);
    bool all = takes_in(&mesh, out);
    mesh_link_close(&mesh, 0, 1);
    free_all(out);
    mesh_settle(&mesh); /* the end of the link comes behind its messages, and waits for them */
    if (all) {
        receive_the_rest(&mesh);
    }
    mesh_close(&mesh);
}

void ending_done_messages_outlive_their_transport(void **state)
{
    struct mesh mesh;
    struct message out[ENDING_MESSAGES];
    pair_open(&mesh, state);
    bool all = takes_in(&mesh, out);
    struct transport *transport = mesh.peers[0].transport;
    mesh_link_close(&mesh, 0, 1);
    transport->ops->destroy(transport);
    mesh.peers[0].transport = NULL;
    free_all(out);
    mesh_settle(&mesh);
    if (all) {
        receive_the_rest(&mesh);
    }
    mesh_close(&mesh);
}

void ending_close_is_seen_by_an_idle_peer(void **state)
{
    struct mesh mesh;
    struct message in;
    pair_open(&mesh, state);
    message_exchange(&mesh, 0, 1, 0, 1, 100);
    mesh_link_close(&mesh, 0, 1);
    MESH_WAIT(&mesh, mesh_state(&mesh, 1, 0) == LINK_LOST);
    assert_int_equal(mesh_why(&mesh, 1, 0), KOLO_ERR_PEER_LOST);
    message_incoming(&in, 1, 100);
    message_receive(&in, &mesh, 1, 0, 0); /* posted on a lost link: fails at once */
    assert_true(message_failed(&in));
    assert_int_equal(in.transfer.status, KOLO_ERR_PEER_LOST);
    message_free(&in);
    mesh_link_close(&mesh, 1, 0);
    mesh_close(&mesh);
}

void ending_close_fails_own_transfers(void **state)
{
    struct mesh mesh;
    struct message transfers[4];
    pair_open(&mesh, state);
    for (unsigned i = 0; i < 4; i++) {
        message_outgoing(&transfers[i], i, mesh.wire->large_bytes);
        if (i < 2) {
            message_send(&transfers[i], &mesh, 0, 1, i % 2);
        } else {
            message_receive(&transfers[i], &mesh, 0, 1, i % 2);
        }
    }
    mesh_settle(&mesh);
    mesh_link_close(&mesh, 0, 1);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(message_failed(&transfers[i]));
        assert_int_equal(transfers[i].transfer.status, KOLO_ERR_ABORTED);
        message_free(&transfers[i]);
    }
    mesh_close(&mesh);
}

/* A large send without its receive, and receives that nobody serves, at peer 1. */
static void post_in_vain(struct mesh *mesh, struct message transfers[4])
{
    message_outgoing(&transfers[0], 0, mesh->wire->large_bytes);
    message_send(&transfers[0], mesh, 1, 0, 0);
    message_incoming(&transfers[1], 1, 1000);
    message_receive(&transfers[1], mesh, 1, 0, 0);
    message_incoming_spans(&transfers[2], 2, 1000);
    message_receive(&transfers[2], mesh, 1, 0, 1);
    message_incoming(&transfers[3], 3, 0);
    message_receive(&transfers[3], mesh, 1, 0, 1);
    mesh_settle(mesh);
}

static void assert_all_lost(struct mesh *mesh, struct message transfers[4])
{
    MESH_WAIT(mesh, mesh_state(mesh, 1, 0) == LINK_LOST);
    assert_int_equal(mesh_why(mesh, 1, 0), KOLO_ERR_PEER_LOST);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(message_failed(&transfers[i]));
        assert_int_equal(transfers[i].transfer.status, KOLO_ERR_PEER_LOST);
        message_free(&transfers[i]);
    }
    struct message late;
    message_outgoing(&late, 9, 100);
    message_send(&late, mesh, 1, 0, 1);
    assert_true(message_failed(&late));
    assert_int_equal(late.transfer.status, KOLO_ERR_PEER_LOST);
    message_free(&late);
}

void ending_close_fails_the_peers_transfers(void **state)
{
    struct mesh mesh;
    struct message transfers[4];
    pair_open(&mesh, state);
    post_in_vain(&mesh, transfers);
    mesh_link_close(&mesh, 0, 1);
    assert_all_lost(&mesh, transfers);
    mesh_close(&mesh);
}

void ending_close_in_mid_message(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in[2];
    pair_open(&mesh, state);
    message_outgoing(&out, 1, 5000);
    message_incoming(&in[0], 1, 5000);
    message_incoming_spans(&in[1], 2, 5000);
    out.transfer.ready = 3000;
    message_send(&out, &mesh, 0, 1, 0);
    message_receive(&in[0], &mesh, 1, 0, 0);
    message_receive(&in[1], &mesh, 1, 0, 0);
    MESH_WAIT(&mesh, in[0].transfer.moved == 3000);
    mesh_link_close(&mesh, 0, 1);
    MESH_WAIT(&mesh, mesh_state(&mesh, 1, 0) == LINK_LOST);
    message_check_range(&in[0], 0, 3000);
    message_check_blank(&in[0], 3000, 5000);
    assert_true(message_failed(&in[0]) && message_failed(&in[1]));
    message_free(&in[0]);
    message_free(&in[1]);
    message_free(&out);
    mesh_close(&mesh);
}

void ending_death_fails_transfers_and_posts(void **state)
{
    struct mesh mesh;
    struct message transfers[4];
    pair_open(&mesh, state);
    post_in_vain(&mesh, transfers);
    mesh_kill(&mesh, 0);
    assert_all_lost(&mesh, transfers);
    mesh_close(&mesh);
}

void ending_one_link_leaves_the_others(void **state)
{
    struct mesh mesh;
    mesh_open(&mesh, *state, 3);
    mesh_connect(&mesh);
    mesh_kill(&mesh, 2);
    MESH_WAIT(&mesh, mesh_state(&mesh, 0, 2) == LINK_LOST && mesh_state(&mesh, 1, 2) == LINK_LOST);
    message_exchange(&mesh, 0, 1, 0, 1, 50000);
    message_exchange(&mesh, 1, 0, 1, 2, 50000);
    assert_int_equal(mesh_state(&mesh, 0, 1), LINK_UP);
    mesh_link_close(&mesh, 0, 2);
    message_exchange(&mesh, 0, 1, 0, 3, 50000);
    mesh_close(&mesh);
}

void ending_destroy_with_everything_posted(void **state)
{
    struct mesh mesh;
    struct message transfers[4];
    pair_open(&mesh, state);
    post_in_vain(&mesh, transfers);
    mesh_close(&mesh); /* posted transfers are dropped: nobody looks at them */
    for (unsigned i = 0; i < 4; i++) {
        transfers[i].transfer.state = TRANSFER_IDLE;
        message_free(&transfers[i]);
    }
}
