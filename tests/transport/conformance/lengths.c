/* Messages of every length: none, a few bytes, and far more than any buffer. */
#include "tests/transport/conformance/cases.h"

void lengths_all_up_to_300(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    for (size_t length = 0; length <= 300; length++) {
        message_exchange(&mesh, length % 2, 1 - length % 2, (length / 2) % TRANSPORT_LANES, length,
                         length);
    }
    mesh_close(&mesh);
}

void lengths_around_powers_of_two(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    for (size_t power = 512; power <= (1u << 20) && power < mesh.wire->huge_bytes; power *= 2) {
        for (size_t length = power - 2; length <= power + 2; length++) {
            message_exchange(&mesh, 0, 1, length % TRANSPORT_LANES, length, length);
        }
    }
    mesh_close(&mesh);
}

/* As message_exchange(), but received as spans. */
static void exchange_spans(struct mesh *mesh, unsigned lane, uint64_t seed, size_t length)
{
    struct message out;
    struct message in;
    message_outgoing(&out, seed, length);
    message_incoming_spans(&in, seed, length);
    message_send(&out, mesh, 0, 1, lane);
    message_receive(&in, mesh, 1, 0, lane);
    MESH_WAIT(mesh, (message_drain(&in, mesh->peers[1].links[0], SIZE_MAX),
                     message_done(&in) && message_done(&out)));
    message_check(&in);
    message_free(&in);
    message_free(&out);
}

void lengths_spans(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    for (size_t length = 0; length <= 300; length++) {
        exchange_spans(&mesh, length % TRANSPORT_LANES, length, length);
    }
    for (size_t power = 512; power <= (1u << 20) && power < mesh.wire->huge_bytes; power *= 2) {
        for (size_t length = power - 1; length <= power + 1; length++) {
            exchange_spans(&mesh, length % TRANSPORT_LANES, length, length);
        }
    }
    mesh_close(&mesh);
}

void lengths_huge(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    message_exchange(&mesh, 0, 1, 0, 1, mesh.wire->huge_bytes);
    message_exchange(&mesh, 1, 0, 1, 2, 1);
    mesh_close(&mesh);
}

void lengths_huge_spans(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    exchange_spans(&mesh, 1, 1, mesh.wire->huge_bytes);
    exchange_spans(&mesh, 1, 2, 1);
    mesh_close(&mesh);
}

void lengths_zero_with_every_way_of_posting(void **state)
{
    struct mesh mesh;
    uint8_t byte = 0;
    pair_open(&mesh, state);
    for (unsigned way = 0; way < 8; way++) {
        struct message out;
        struct message in;
        message_outgoing(&out, way, 0);
        message_incoming(&in, way, 0);
        out.transfer.data = (way & 1) ? &byte : NULL;
        in.transfer.data = (way & 2) ? &byte : NULL;
        if (way & 4) {
            message_receive(&in, &mesh, 1, 0, 0);
            message_send(&out, &mesh, 0, 1, 0);
        } else {
            message_send(&out, &mesh, 0, 1, 0);
            mesh_settle(&mesh);
            message_receive(&in, &mesh, 1, 0, 0);
        }
        MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
        assert_int_equal(byte, 0);
    }
    mesh_close(&mesh);
}

void lengths_are_counted(void **state)
{
    struct mesh mesh;
    uint64_t sent;
    uint64_t received;
    pair_open(&mesh, state);
    const struct transport_ops *ops = mesh.wire->ops;
    ops->count(mesh.peers[0].transport, &sent, &received);
    assert_int_equal(sent, 0);
    assert_int_equal(received, 0);
    message_exchange(&mesh, 0, 1, 0, 1, 1000);
    message_exchange(&mesh, 0, 1, 1, 2, 20000);
    message_exchange(&mesh, 1, 0, 1, 3, 333);
    exchange_spans(&mesh, 0, 4, 7);
    ops->count(mesh.peers[0].transport, &sent, &received);
    assert_int_equal(sent, 21007);
    assert_int_equal(received, 333);
    ops->count(mesh.peers[1].transport, &sent, &received);
    assert_int_equal(sent, 333);
    assert_int_equal(received, 21007);
    mesh_close(&mesh);
}
