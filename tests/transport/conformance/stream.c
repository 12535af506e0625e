/* Transfers that move byte by byte: `ready` on both sides, spans, reserved room. */
#include <stdlib.h>

#include "tests/transport/conformance/cases.h"

#define STREAM_BYTES 20011

void stream_send_grows_byte_by_byte(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    message_outgoing(&out, 1, STREAM_BYTES);
    message_incoming(&in, 1, STREAM_BYTES);
    memset(out.memory, MESSAGE_BLANK, STREAM_BYTES); /* what is not ready is not there yet */
    out.transfer.ready = 0;
    message_receive(&in, &mesh, 1, 0, 0);
    message_send(&out, &mesh, 0, 1, 0);
    for (size_t ready = 1; ready <= 700; ready++) {
        out.memory[ready - 1] = message_byte(1, ready - 1);
        out.transfer.ready = ready;
        MESH_WAIT(&mesh, in.transfer.moved == ready);
        assert_true(out.transfer.moved <= ready);
        assert_int_equal(out.transfer.state, TRANSFER_POSTED);
    }
    message_check_range(&in, 0, 700);
    message_check_blank(&in, 700, STREAM_BYTES);
    message_fill(out.memory, 1, 700, STREAM_BYTES);
    out.transfer.ready = STREAM_BYTES;
    MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
    message_check(&in);
    message_free(&in);
    message_free(&out);
    mesh_close(&mesh);
}

void stream_send_grows_at_random(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    srandom(11);
    message_outgoing(&out, 1, STREAM_BYTES * 4);
    message_incoming_spans(&in, 1, STREAM_BYTES * 4);
    out.transfer.ready = 0;
    message_send(&out, &mesh, 0, 1, 1);
    message_receive(&in, &mesh, 1, 0, 1);
    while (out.transfer.ready < out.transfer.length) {
        size_t left = out.transfer.length - out.transfer.ready;
        size_t step = 1 + (size_t)random() % 3000;
        out.transfer.ready += step < left ? step : left;
        /* The receiver gets at all of it before the sender goes on. */
        size_t ready = out.transfer.ready;
        MESH_WAIT(&mesh, (message_drain(&in, mesh.peers[1].links[0], SIZE_MAX),
                          in.transfer.moved == ready));
    }
    MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
    message_check(&in);
    message_free(&in);
    message_free(&out);
    mesh_close(&mesh);
}

void stream_receive_stays_behind_ready(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    srandom(12);
    message_outgoing(&out, 1, STREAM_BYTES);
    message_incoming(&in, 1, STREAM_BYTES);
    in.transfer.ready = 0;
    message_receive(&in, &mesh, 1, 0, 0);
    message_send(&out, &mesh, 0, 1, 0);
    while (in.transfer.ready < STREAM_BYTES) {
        mesh_settle(&mesh);
        assert_int_equal(in.transfer.state, TRANSFER_POSTED);
        assert_int_equal(in.transfer.moved, in.transfer.ready);
        message_check_range(&in, 0, in.transfer.ready);
        message_check_blank(&in, in.transfer.ready, STREAM_BYTES);
        size_t left = STREAM_BYTES - in.transfer.ready;
        size_t step = 1 + (size_t)random() % 2000;
        in.transfer.ready += step < left ? step : left;
    }
    MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
    message_check(&in);
    message_free(&in);
    message_free(&out);
    mesh_close(&mesh);
}

void stream_spans_in_odd_pieces(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    srandom(13);
    size_t length = mesh.wire->large_bytes / 8 + 5;
    message_outgoing(&out, 1, length);
    message_incoming_spans(&in, 1, length);
    message_receive(&in, &mesh, 1, 0, 0);
    message_send(&out, &mesh, 0, 1, 0);
    MESH_WAIT(&mesh, (message_drain(&in, mesh.peers[1].links[0], (size_t)random() % 5000),
                      message_done(&in) && message_done(&out)));
    message_check(&in);
    message_free(&in);
    message_free(&out);
    mesh_close(&mesh);
}

/* Release whole elements of 16 bytes only, as a reduction does, and the message's odd end. */
static void drain_elements(struct message *in, struct link *link)
{
    struct transfer *transfer = &in->transfer;
    if (transfer->state != TRANSFER_POSTED || transfer->span_bytes == 0) {
        return;
    }
    assert_int_equal(transfer->moved % 16, 0);
    assert_int_equal((uintptr_t)transfer->span % 16, 0);
    bool rest = transfer->moved + transfer->span_bytes == transfer->length;
    size_t bytes = rest ? transfer->span_bytes : transfer->span_bytes & ~(size_t)15;
    size_t odd = random() % 4 == 0 && bytes >= 16 ? 16 : bytes;
    if (odd > 0) {
        message_drain(in, link, odd);
    }
}

void stream_spans_in_whole_elements(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    srandom(14);
    size_t length = mesh.wire->large_bytes / 16 + 5;
    for (unsigned round = 0; round < 4; round++) {
        message_outgoing(&out, round, length + round);
        message_incoming_spans(&in, round, length + round);
        out.transfer.ready = 0;
        message_receive(&in, &mesh, 1, 0, 0);
        message_send(&out, &mesh, 0, 1, 0);
        while (!message_done(&in)) {
            size_t left = out.transfer.length - out.transfer.ready;
            size_t step = 1 + (size_t)random() % (round % 2 ? 100000 : 5000);
            out.transfer.ready += step < left ? step : left;
            size_t whole = out.transfer.ready == out.transfer.length
                               ? out.transfer.length
                               : out.transfer.ready & ~(size_t)15;
            MESH_WAIT(&mesh,
                      (drain_elements(&in, mesh.peers[1].links[0]), in.transfer.moved == whole));
        }
        MESH_WAIT(&mesh, message_done(&out));
        message_check(&in);
        message_free(&in);
        message_free(&out);
    }
    mesh_close(&mesh);
}

void stream_spans_stand_still(void **state)
{
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    message_outgoing(&out, 1, STREAM_BYTES);
    message_incoming_spans(&in, 1, STREAM_BYTES);
    out.transfer.ready = 0;
    message_receive(&in, &mesh, 1, 0, 0);
    message_send(&out, &mesh, 0, 1, 0);
    const uint8_t *span = NULL;
    size_t shown = 0;
    for (size_t ready = 10; ready < STREAM_BYTES; ready += 1 + ready / 2) {
        out.transfer.ready = ready;
        mesh_settle(&mesh);
        assert_true(in.transfer.span_bytes > 0 && in.transfer.span_bytes >= shown);
        assert_true(span == NULL || in.transfer.span == span);
        span = in.transfer.span;
        shown = in.transfer.span_bytes;
        memcpy(in.memory, span, shown);
        message_check_range(&in, 0, shown);
    }
    out.transfer.ready = STREAM_BYTES;
    MESH_WAIT(&mesh, (message_drain(&in, mesh.peers[1].links[0], SIZE_MAX),
                      message_done(&in) && message_done(&out)));
    message_check(&in);
    message_free(&in);
    message_free(&out);
    mesh_close(&mesh);
}

/* Fill and commit some of the room there is. */
static void fill(struct message *out, struct link *link)
{
    struct transfer *transfer = &out->transfer;
    uint8_t *place = NULL;
    uint8_t *again = NULL;
    if (transfer->state != TRANSFER_POSTED) {
        return;
    }
    size_t room = link->ops->reserve(link, out->lane, transfer, &place);
    if (room == 0) {
        return;
    }
    assert_true(room <= transfer->length - transfer->moved);
    assert_int_equal(link->ops->reserve(link, out->lane, transfer, &again), room);
    assert_ptr_equal(place, again);
    size_t bytes = 1 + (size_t)random() % room;
    memcpy(place, out->memory + transfer->moved, bytes);
    size_t moved = transfer->moved;
    link->ops->commit(link, out->lane, transfer, bytes);
    assert_int_equal(transfer->moved, moved + bytes);
}

void stream_reserve_and_commit(void **state)
{
    static const size_t lengths[] = {1, 24, 344, 345, 1000, 100000};
    struct mesh mesh;
    struct message out;
    struct message in;
    pair_open(&mesh, state);
    if ((mesh.wire->ops->features & TRANSPORT_RESERVES) == 0) {
        assert_null(mesh.wire->ops->reserve);
        mesh_close(&mesh);
        skip();
    }
    srandom(15);
    for (unsigned i = 0; i < 2 * sizeof lengths / sizeof lengths[0]; i++) {
        size_t length = lengths[i / 2];
        message_outgoing(&out, i, length);
        message_incoming(&in, i, length);
        out.transfer.data = NULL;
        in.transfer.data = i % 2 ? NULL : in.transfer.data;
        message_send(&out, &mesh, 0, 1, 1);
        message_receive(&in, &mesh, 1, 0, 1);
        MESH_WAIT(&mesh, (fill(&out, mesh.peers[0].links[1]),
                          message_drain(&in, mesh.peers[1].links[0], SIZE_MAX),
                          message_done(&in) && message_done(&out)));
        message_check(&in);
        message_free(&in);
        message_free(&out);
    }
    mesh_close(&mesh);
}

void stream_reserve_in_its_turn(void **state)
{
    struct mesh mesh;
    struct message out[3];
    struct message in[3];
    uint8_t *place = NULL;
    pair_open(&mesh, state);
    if ((mesh.wire->ops->features & TRANSPORT_RESERVES) == 0) {
        mesh_close(&mesh);
        skip();
    }
    for (unsigned i = 0; i < 3; i++) {
        message_outgoing(&out[i], i, 9000);
        message_incoming(&in[i], i, 9000);
    }
    out[0].transfer.ready = 100;
    out[1].transfer.data = NULL;
    for (unsigned i = 0; i < 3; i++) {
        message_send(&out[i], &mesh, 0, 1, 0);
        message_receive(&in[i], &mesh, 1, 0, 0);
    }
    struct link *link = mesh.peers[0].links[1];
    mesh_settle(&mesh);
    assert_int_equal(link->ops->reserve(link, 0, &out[1].transfer, &place), 0);
    out[0].transfer.ready = out[0].transfer.length;
    MESH_WAIT(&mesh, (message_done(&out[0]) ? fill(&out[1], link) : (void)0,
                      message_done(&in[2]) && message_done(&out[2])));
    for (unsigned i = 0; i < 3; i++) {
        message_check(&in[i]);
        message_check(&out[i]);
        message_free(&in[i]);
        message_free(&out[i]);
    }
    mesh_close(&mesh);
}
