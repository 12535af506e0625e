/* Many messages at once: order, independence of lanes, and back-pressure. */
#include <stdlib.h>

#include "tests/transport/conformance/cases.h"

#define FLIGHT_MESSAGES 1000

/* All messages of one direction of one lane. */
struct stream {
    unsigned from, to, lane;
    struct message out[FLIGHT_MESSAGES], in[FLIGHT_MESSAGES];
};

static size_t stream_length(unsigned i)
{
    return (i * 37u) % 200 + (i % 100 == 0 ? 3000 : 0);
}

static void stream_post_sends(struct stream *stream, struct mesh *mesh)
{
    for (unsigned i = 0; i < FLIGHT_MESSAGES; i++) {
        uint64_t seed = i * 8 + stream->from * 4 + stream->lane;
        message_outgoing(&stream->out[i], seed, stream_length(i));
        message_incoming(&stream->in[i], seed, stream_length(i));
        message_send(&stream->out[i], mesh, stream->from, stream->to, stream->lane);
    }
}

static void stream_post_receives(struct stream *stream, struct mesh *mesh)
{
    for (unsigned i = 0; i < FLIGHT_MESSAGES; i++) {
        message_receive(&stream->in[i], mesh, stream->to, stream->from, stream->lane);
    }
}

static void stream_finish(struct stream *stream, struct mesh *mesh)
{
    for (unsigned i = 0; i < FLIGHT_MESSAGES; i++) {
        MESH_WAIT(mesh, message_done(&stream->out[i]) && message_done(&stream->in[i]));
        message_check(&stream->in[i]);
        message_free(&stream->out[i]);
        message_free(&stream->in[i]);
    }
}

void flight_thousand_messages_each_way(void **state)
{
    struct mesh mesh;
    static struct stream streams[2 * TRANSPORT_LANES];
    pair_open(&mesh, state);
    for (unsigned i = 0; i < 2 * TRANSPORT_LANES; i++) {
        streams[i].from = i % 2;
        streams[i].to = 1 - i % 2;
        streams[i].lane = i / 2;
        stream_post_sends(&streams[i], &mesh);
    }
    for (unsigned i = 0; i < 2 * TRANSPORT_LANES; i++) {
        stream_post_receives(&streams[i], &mesh);
    }
    for (unsigned i = 0; i < 2 * TRANSPORT_LANES; i++) {
        stream_finish(&streams[i], &mesh);
    }
    mesh_close(&mesh);
}

void flight_both_directions_at_once(void **state)
{
    struct mesh mesh;
    struct message out[2 * TRANSPORT_LANES];
    struct message in[2 * TRANSPORT_LANES];
    pair_open(&mesh, state);
    size_t length = mesh.wire->large_bytes / 4 + 3;
    for (unsigned i = 0; i < 2 * TRANSPORT_LANES; i++) {
        message_outgoing(&out[i], i, length);
        message_incoming(&in[i], i, length);
        message_send(&out[i], &mesh, i % 2, 1 - i % 2, i / 2);
        message_receive(&in[i], &mesh, 1 - i % 2, i % 2, i / 2);
    }
    for (unsigned i = 0; i < 2 * TRANSPORT_LANES; i++) {
        MESH_WAIT(&mesh, message_done(&out[i]) && message_done(&in[i]));
        message_check(&in[i]);
        message_free(&in[i]);
        message_free(&out[i]);
    }
    mesh_close(&mesh);
}

void flight_posted_after_arrival(void **state)
{
    static const size_t lengths[] = {0, 1, 24, 25, 344, 345, 1000, 4096, 20000, 3};
    struct mesh mesh;
    struct message out[sizeof lengths / sizeof lengths[0]];
    pair_open(&mesh, state);
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        message_outgoing(&out[i], i, lengths[i]);
        message_send(&out[i], &mesh, 0, 1, 0);
    }
    mesh_settle(&mesh);
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct message in;
        message_incoming(&in, i, lengths[i]);
        in.transfer.data = i % 2 ? in.transfer.data : NULL; /* every other one as spans */
        message_receive(&in, &mesh, 1, 0, 0);
        MESH_WAIT(&mesh, (message_drain(&in, mesh.peers[1].links[0], 1000), message_done(&in)));
        message_check(&in);
        message_free(&in);
        mesh_settle(&mesh);
        MESH_WAIT(&mesh, message_done(&out[i]));
        message_free(&out[i]);
    }
    mesh_close(&mesh);
}

void flight_lane_goes_on_beside_an_unready_send(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    message_outgoing(&out, 1, 5000);
    message_incoming(&in, 1, 5000);
    out.transfer.ready = 0;
    message_send(&out, &mesh, 0, 1, 0);
    message_receive(&in, &mesh, 1, 0, 0);
    for (unsigned i = 0; i < 50; i++) {
        message_exchange(&mesh, 0, 1, 1, 10 + i, i * 100);
        message_exchange(&mesh, 1, 0, 1, 10 + i, i * 100);
        message_exchange(&mesh, 1, 0, 0, 10 + i, i * 100);
    }
    assert_int_equal(in.transfer.state, TRANSFER_POSTED);
    assert_int_equal(in.transfer.moved, 0);
    out.transfer.ready = out.transfer.length;
    MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
    message_check(&in);
    message_free(&in);
    message_free(&out);
    mesh_close(&mesh);
}

void flight_lane_goes_on_beside_a_missing_receive(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    message_outgoing(&out, 1, mesh.wire->large_bytes);
    message_send(&out, &mesh, 0, 1, 0);
    mesh_settle(&mesh);
    assert_int_equal(out.transfer.state, TRANSFER_POSTED);
    for (unsigned i = 0; i < 50; i++) {
        message_exchange(&mesh, 0, 1, 1, 10 + i, i * 100);
        message_exchange(&mesh, 1, 0, 1, 10 + i, i * 100);
        message_exchange(&mesh, 1, 0, 0, 10 + i, i * 100);
    }
    message_incoming(&in, 1, out.transfer.length);
    message_receive(&in, &mesh, 1, 0, 0);
    MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
    message_check(&in);
    message_free(&in);
    message_free(&out);
    mesh_close(&mesh);
}

void flight_large_send_waits_for_its_receive(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    message_outgoing(&out, 1, mesh.wire->large_bytes);
    message_send(&out, &mesh, 0, 1, 1);
    mesh_settle(&mesh);
    assert_int_equal(out.transfer.state, TRANSFER_POSTED);
    assert_true(out.transfer.moved < out.transfer.length); /* nobody took all of it in */
    size_t moved = out.transfer.moved;
    mesh_settle(&mesh);
    assert_int_equal(out.transfer.moved, moved);
    /* What has been moved may be reused. */
    memset(out.memory, MESSAGE_BLANK, moved);
    message_incoming_spans(&in, 1, out.transfer.length);
    message_receive(&in, &mesh, 1, 0, 1);
    MESH_WAIT(&mesh, (message_drain(&in, mesh.peers[1].links[0], SIZE_MAX),
                      message_done(&in) && message_done(&out)));
    message_check(&in);
    message_free(&in);
    message_free(&out);
    mesh_close(&mesh);
}

#define FLIGHT_SMALL 20000

void flight_small_sends_wait_for_their_receives(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    const unsigned many = wire_rounds(mesh.wire, FLIGHT_SMALL);
    struct message *out = calloc(many, sizeof *out);
    assert_non_null(out);
    for (unsigned i = 0; i < many; i++) {
        message_outgoing(&out[i], i, i % 3);
        message_send(&out[i], &mesh, 0, 1, 0);
    }
    mesh_settle(&mesh);
    for (unsigned i = 0; i < many; i++) {
        struct message in;
        message_incoming(&in, i, i % 3);
        message_receive(&in, &mesh, 1, 0, 0);
        MESH_WAIT(&mesh, message_done(&in));
        message_check(&in);
        message_free(&in);
    }
    MESH_WAIT(&mesh, message_done(&out[many - 1]));
    for (unsigned i = 0; i < many; i++) {
        message_check(&out[i]);
        message_free(&out[i]);
    }
    free(out);
    mesh_close(&mesh);
}
