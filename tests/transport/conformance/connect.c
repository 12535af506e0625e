/* Offers, connecting, and what hostile offers may do: nothing. */
#include <stdlib.h>

#include "tests/transport/conformance/cases.h"

void connect_brings_both_ends_up(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    assert_int_equal(mesh_state(&mesh, 0, 1), LINK_UP);
    assert_int_equal(mesh_state(&mesh, 1, 0), LINK_UP);
    assert_ptr_equal(mesh.peers[0].links[1]->transport, mesh.peers[0].transport);
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        message_exchange(&mesh, 0, 1, lane, lane + 1, 100);
        message_exchange(&mesh, 1, 0, lane, lane + 5, 100);
    }
    mesh_close(&mesh);
}

void connect_towards_nobody_can_be_closed(void **state)
{
    struct mesh mesh;
    uint8_t offers[2][TRANSPORT_OFFER_BYTES];
    size_t bytes[2];
    mesh_open(&mesh, *state, 2);
    mesh_link_create(&mesh, 0, 1, 5, offers[0], &bytes[0]);
    mesh_link_create(&mesh, 1, 0, 5, offers[1], &bytes[1]);
    mesh_link_close(&mesh, 1, 0); /* the end that made the offer is gone */
    assert_int_equal(mesh.wire->ops->link_connect(mesh.peers[0].links[1], offers[1], bytes[1]),
                     KOLO_OK);
    struct message out;
    message_outgoing(&out, 1, 50);
    message_send(&out, &mesh, 0, 1, 0);
    for (unsigned i = 0; i < 1000; i++) {
        mesh_step(&mesh);
        assert_int_not_equal(mesh_state(&mesh, 0, 1), LINK_UP);
    }
    mesh_link_close(&mesh, 0, 1);
    assert_true(message_failed(&out));
    message_free(&out);
    mesh_close(&mesh);
}

/* Give peer 0 an offer of its peer that is not one; a later, good link must not notice. Returns what connecting said. */
static kolo_status connect_with(struct mesh *mesh, const uint8_t *offer, size_t bytes)
{
    uint8_t mine[TRANSPORT_OFFER_BYTES];
    size_t mine_bytes;
    mesh_link_create(mesh, 0, 1, mesh->next_token++, mine, &mine_bytes);
    kolo_status status = mesh->wire->ops->link_connect(mesh->peers[0].links[1], offer, bytes);
    for (unsigned i = 0; i < 3; i++) {
        mesh->wire->ops->progress(mesh->peers[0].transport);
    }
    mesh_link_close(mesh, 0, 1);
    return status;
}

static void assert_refused(kolo_status status)
{
    if (status != KOLO_ERR_PROTOCOL && status != KOLO_ERR_STATE) {
        fail_msg("a nonsensical offer was answered with status %d", status);
    }
}

void connect_refuses_hostile_offers(void **state)
{
    struct mesh mesh;
    uint8_t offer[TRANSPORT_OFFER_BYTES + 1];
    mesh_open(&mesh, *state, 2);
    srandom(7);
    for (size_t bytes = 0; bytes <= TRANSPORT_OFFER_BYTES; bytes += 1 + bytes / 16) {
        for (size_t i = 0; i < bytes; i++) {
            offer[i] = (uint8_t)random();
        }
        assert_refused(connect_with(&mesh, offer, bytes));
        memset(offer, 0, bytes);
        assert_refused(connect_with(&mesh, offer, bytes));
        memset(offer, 0xff, bytes);
        assert_refused(connect_with(&mesh, offer, bytes));
    }
    mesh_connect(&mesh);
    message_exchange(&mesh, 0, 1, 0, 3, 1000);
    mesh_close(&mesh);
}

/* A genuine offer of peer 1 for a link with the token that connect_with() uses next. */
static size_t genuine_offer(struct mesh *mesh, uint8_t *offer)
{
    size_t bytes;
    mesh_link_create(mesh, 1, 0, mesh->next_token, offer, &bytes);
    return bytes;
}

void connect_refuses_truncated_offers(void **state)
{
    struct mesh mesh;
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    mesh_open(&mesh, *state, 2);
    size_t whole = 1;
    for (size_t bytes = 0; bytes < whole; bytes++) {
        whole = genuine_offer(&mesh, offer);
        assert_refused(connect_with(&mesh, offer, bytes));
        mesh_link_close(&mesh, 1, 0);
    }
    mesh_connect(&mesh);
    message_exchange(&mesh, 0, 1, 0, 3, 1000);
    mesh_close(&mesh);
}

void connect_survives_flipped_offers(void **state)
{
    struct mesh mesh;
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    mesh_open(&mesh, *state, 2);
    size_t whole = 1;
    unsigned refused = 0;
    for (size_t byte = 0; byte < whole; byte++) {
        whole = genuine_offer(&mesh, offer);
        offer[byte] ^= (uint8_t)(1u << (byte % 8));
        kolo_status status = connect_with(&mesh, offer, whole);
        if (status != KOLO_OK) { /* another address or key makes sense, but leads nowhere */
            assert_refused(status);
            refused++;
        }
        mesh_link_close(&mesh, 1, 0);
    }
    assert_true(refused > 0); /* the version, for one, is looked at */
    mesh_connect(&mesh);
    message_exchange(&mesh, 0, 1, 0, 3, 1000);
    mesh_close(&mesh);
}

void connect_posts_before_up_are_kept(void **state)
{
    struct mesh mesh;
    uint8_t offers[2][TRANSPORT_OFFER_BYTES];
    size_t bytes[2];
    struct message out;
    struct message in;
    mesh_open(&mesh, *state, 2);
    mesh_link_create(&mesh, 0, 1, 5, offers[0], &bytes[0]);
    mesh_link_create(&mesh, 1, 0, 5, offers[1], &bytes[1]);
    const struct transport_ops *ops = mesh.wire->ops;
    assert_int_equal(ops->link_connect(mesh.peers[0].links[1], offers[1], bytes[1]), KOLO_OK);
    message_outgoing(&out, 9, 5000);
    message_send(&out, &mesh, 0, 1, 1);
    assert_int_equal(ops->link_connect(mesh.peers[1].links[0], offers[0], bytes[0]), KOLO_OK);
    message_incoming(&in, 9, 5000);
    message_receive(&in, &mesh, 1, 0, 1);
    MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
    message_check(&in);
    message_free(&in);
    message_free(&out);
    mesh_close(&mesh);
}

#define MESH_SIZE 5

void connect_full_mesh_of_five(void **state)
{
    struct mesh mesh;
    static struct message out[MESH_SIZE][MESH_SIZE][TRANSPORT_LANES];
    static struct message in[MESH_SIZE][MESH_SIZE][TRANSPORT_LANES];
    mesh_open(&mesh, *state, MESH_SIZE);
    mesh_connect(&mesh);
    for (unsigned i = 0; i < MESH_SIZE * MESH_SIZE * TRANSPORT_LANES; i++) {
        unsigned a = i % MESH_SIZE;
        unsigned b = i / MESH_SIZE % MESH_SIZE;
        unsigned lane = i / MESH_SIZE / MESH_SIZE;
        if (a != b) {
            message_outgoing(&out[a][b][lane], 100 + i, 700 * i);
            message_incoming(&in[a][b][lane], 100 + i, 700 * i);
            message_send(&out[a][b][lane], &mesh, a, b, lane);
            message_receive(&in[a][b][lane], &mesh, b, a, lane);
        }
    }
    for (unsigned i = 0; i < MESH_SIZE * MESH_SIZE * TRANSPORT_LANES; i++) {
        struct message *received = &in[i % MESH_SIZE][i / MESH_SIZE % MESH_SIZE][i / 25];
        struct message *sent = &out[i % MESH_SIZE][i / MESH_SIZE % MESH_SIZE][i / 25];
        if (i % MESH_SIZE != i / MESH_SIZE % MESH_SIZE) {
            MESH_WAIT(&mesh, message_done(received) && message_done(sent));
            message_check(received);
            message_free(received);
            message_free(sent);
        }
    }
    mesh_close(&mesh);
}

void connect_again_after_close(void **state)
{
    struct mesh mesh;
    pair_open(&mesh, state);
    for (unsigned round = 0; round < 5; round++) {
        message_exchange(&mesh, 0, 1, 0, round, 3000);
        mesh_link_close(&mesh, round % 2, 1 - round % 2);
        MESH_WAIT(&mesh, mesh_state(&mesh, 1 - round % 2, round % 2) == LINK_LOST);
        mesh_link_close(&mesh, 1 - round % 2, round % 2);
        mesh_connect(&mesh);
    }
    message_exchange(&mesh, 1, 0, 1, 99, 3000);
    mesh_close(&mesh);
}
