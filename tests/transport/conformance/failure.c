/* What goes wrong in a message: the other one came, or it is taken back. */
#include "tests/transport/conformance/cases.h"

#define FAILURE_BYTES 5000

/* Send `out`, expect `in`: the receive must fail and say what came. Both before and after arrival; nothing is placed. */
static void mismatch(struct mesh *mesh, struct message *out, struct message *in, bool late)
{
    message_send(out, mesh, 0, 1, 0);
    if (late) {
        mesh_settle(mesh);
    }
    uint8_t came[TRANSPORT_HEADER_BYTES];
    memcpy(came, out->transfer.header, sizeof came);
    size_t length = out->transfer.length;
    message_receive(in, mesh, 1, 0, 0);
    MESH_WAIT(mesh, in->transfer.state != TRANSFER_POSTED);
    assert_int_equal(in->transfer.state, TRANSFER_FAILED);
    assert_int_equal(in->transfer.status, KOLO_ERR_MISMATCH);
    assert_memory_equal(in->transfer.header, came, sizeof came);
    assert_int_equal(in->transfer.length_sent, length);
    assert_int_equal(in->transfer.moved, 0);
    message_check_blank(in, 0, in->transfer.length);
    message_exchange(mesh, 0, 1, 1, 5, 300); /* the other lane goes on */
    message_exchange(mesh, 1, 0, 0, 5, 300); /* and so does the other direction */
    mesh_link_close(mesh, 0, 1);
    assert_int_not_equal(out->transfer.state, TRANSFER_POSTED);
    message_free(out);
    message_free(in);
    mesh_link_close(mesh, 1, 0);
}

void failure_mismatch_of_header(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    mesh_open(&mesh, *state, 2);
    for (unsigned i = 0; i < TRANSPORT_HEADER_BYTES; i++) {
        static const size_t lengths[] = {0, 16, 5000, 300000};
        mesh_connect(&mesh);
        message_outgoing(&out, 1, lengths[i % 4]);
        message_incoming(&in, 1, lengths[i % 4]);
        in.transfer.header[i] ^= (uint8_t)(1u << (i % 8));
        mismatch(&mesh, &out, &in, i % 3 == 0);
    }
    mesh_close(&mesh);
}

void failure_mismatch_of_length(void **state)
{
    static const size_t lengths[][2] = {{100, 101}, {101, 100}, {0, 1},           {1, 0},
                                        {0, 5000},  {5000, 0},  {300000, 200000}, {344, 345}};
    struct mesh mesh;
    struct message out;
    struct message in;
    mesh_open(&mesh, *state, 2);
    for (unsigned i = 0; i < 2 * sizeof lengths / sizeof lengths[0]; i++) {
        mesh_connect(&mesh);
        message_outgoing(&out, 1, lengths[i / 2][0]);
        message_incoming(&in, 1, lengths[i / 2][1]);
        mismatch(&mesh, &out, &in, i % 2);
    }
    mesh_close(&mesh);
}

void failure_mismatch_of_spans(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    mesh_open(&mesh, *state, 2);
    for (unsigned late = 0; late < 2; late++) {
        mesh_connect(&mesh);
        message_outgoing(&out, 1, FAILURE_BYTES);
        message_incoming_spans(&in, 2, FAILURE_BYTES);
        mismatch(&mesh, &out, &in, late);
        assert_int_equal(in.transfer.span_bytes, 0);
    }
    mesh_close(&mesh);
}

static void assert_taken_back(struct message *message)
{
    assert_int_equal(message->transfer.state, TRANSFER_FAILED);
    assert_int_equal(message->transfer.status, KOLO_ERR_ABORTED);
    message_free(message);
}

void failure_cancel_of_an_untouched_receive(void **state)
{
    struct mesh mesh;
    struct message in;
    struct message before;
    struct message out;
    pair_open(&mesh, state);
    const struct transport_ops *ops = mesh.wire->ops;
    /* The only one. */
    message_incoming(&in, 1, FAILURE_BYTES);
    message_receive(&in, &mesh, 1, 0, 0);
    mesh_settle(&mesh);
    ops->cancel(mesh.peers[1].links[0], 0, &in.transfer);
    message_check_blank(&in, 0, FAILURE_BYTES);
    assert_taken_back(&in);
    message_exchange(&mesh, 0, 1, 0, 2, 700);
    /* The last one of two. */
    message_incoming(&before, 3, 700);
    message_receive(&before, &mesh, 1, 0, 0);
    message_incoming_spans(&in, 4, FAILURE_BYTES);
    message_receive(&in, &mesh, 1, 0, 0);
    mesh_settle(&mesh);
    ops->cancel(mesh.peers[1].links[0], 0, &in.transfer);
    assert_taken_back(&in);
    message_outgoing(&out, 3, 700);
    message_send(&out, &mesh, 0, 1, 0);
    MESH_WAIT(&mesh, message_done(&before) && message_done(&out));
    message_check(&before);
    message_free(&before);
    message_free(&out);
    message_exchange(&mesh, 0, 1, 0, 5, FAILURE_BYTES);
    assert_int_equal(mesh_state(&mesh, 1, 0), LINK_UP);
    mesh_close(&mesh);
}

void failure_cancel_of_an_untouched_send(void **state)
{
    struct mesh mesh;
    struct message blocked;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    message_outgoing(&blocked, 1, mesh.wire->large_bytes);
    message_send(&blocked, &mesh, 0, 1, 0);
    message_outgoing(&out, 2, FAILURE_BYTES);
    message_send(&out, &mesh, 0, 1, 0);
    mesh_settle(&mesh);
    assert_int_equal(out.transfer.moved, 0);
    mesh.wire->ops->cancel(mesh.peers[0].links[1], 0, &out.transfer);
    assert_taken_back(&out);
    message_incoming(&in, 1, blocked.transfer.length);
    message_receive(&in, &mesh, 1, 0, 0);
    MESH_WAIT(&mesh, message_done(&in) && message_done(&blocked));
    message_check(&in);
    message_free(&in);
    message_free(&blocked);
    message_exchange(&mesh, 0, 1, 0, 3, FAILURE_BYTES);
    assert_int_equal(mesh_state(&mesh, 0, 1), LINK_UP);
    mesh_close(&mesh);
}

/* A large message, half of it ready and received. */
static void half_way(struct mesh *mesh, struct message *out, struct message *in)
{
    size_t length = mesh->wire->large_bytes;
    message_outgoing(out, 1, length);
    message_incoming(in, 1, length);
    out->transfer.ready = length / 2;
    message_send(out, mesh, 0, 1, 0);
    message_receive(in, mesh, 1, 0, 0);
    MESH_WAIT(mesh, in->transfer.moved == length / 2);
}

void failure_cancel_in_mid_send(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    half_way(&mesh, &out, &in);
    mesh.wire->ops->cancel(mesh.peers[0].links[1], 0, &out.transfer);
    assert_taken_back(&out);
    assert_int_equal(mesh_state(&mesh, 0, 1), LINK_LOST);
    MESH_WAIT(&mesh, mesh_state(&mesh, 1, 0) == LINK_LOST);
    assert_true(message_failed(&in));
    message_free(&in);
    mesh_close(&mesh);
}

void failure_cancel_in_mid_receive(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    half_way(&mesh, &out, &in);
    mesh.wire->ops->cancel(mesh.peers[1].links[0], 0, &in.transfer);
    message_check_blank(&in, out.transfer.ready, in.transfer.length);
    assert_taken_back(&in);
    assert_int_equal(mesh_state(&mesh, 1, 0), LINK_LOST);
    MESH_WAIT(&mesh, mesh_state(&mesh, 0, 1) == LINK_LOST);
    assert_true(message_failed(&out));
    message_free(&out);
    mesh_close(&mesh);
}

void failure_cancel_with_others_behind(void **state)
{
    struct mesh mesh;
    struct message in[2];
    pair_open(&mesh, state);
    for (unsigned i = 0; i < 2; i++) {
        message_incoming(&in[i], i, FAILURE_BYTES);
        message_receive(&in[i], &mesh, 1, 0, 0);
    }
    mesh.wire->ops->cancel(mesh.peers[1].links[0], 0, &in[0].transfer);
    assert_taken_back(&in[0]);
    assert_int_equal(mesh_state(&mesh, 1, 0), LINK_LOST);
    assert_true(message_failed(&in[1]));
    message_free(&in[1]);
    mesh_close(&mesh);
}
