/* Ends that do not connect at the same time: the early one tries again, for as long as it promises. */
#include "tests/transport/verbs/stand.h"
#include "transport/verbs/link.h"

static void connect_end(struct mesh *mesh, unsigned self, const uint8_t *offer, size_t bytes)
{
    struct link *link = mesh->peers[self].links[1 - self];
    assert_int_equal(mesh->wire->ops->link_connect(link, offer, bytes), KOLO_OK);
}

/* Has the early end begun again? Its queue pair goes through four states then. */
static bool has_tried_again(unsigned before)
{
    return fake_calls(FAKE_VERB_MODIFY_QP) >= before + 4;
}

static void late_end_is_waited_for(void **state)
{
    (void)state;
    for (unsigned early = 0; early < 2; early++) {
        struct mesh mesh;
        uint8_t offers[2][TRANSPORT_OFFER_BYTES];
        size_t bytes[2];
        stand_open(&mesh, 1, NULL);
        fake_speed(4); /* queue pairs give up sooner */
        mesh_link_create(&mesh, 0, 1, 5, offers[0], &bytes[0]);
        mesh_link_create(&mesh, 1, 0, 5, offers[1], &bytes[1]);
        connect_end(&mesh, early, offers[1 - early], bytes[1 - early]);
        unsigned before = fake_calls(FAKE_VERB_MODIFY_QP);
        MESH_WAIT(&mesh, has_tried_again(before));
        assert_int_equal(mesh_state(&mesh, early, 1 - early), LINK_CONNECTING);
        connect_end(&mesh, 1 - early, offers[early], bytes[early]);
        MESH_WAIT(&mesh, mesh_state(&mesh, 0, 1) != LINK_CONNECTING &&
                             mesh_state(&mesh, 1, 0) != LINK_CONNECTING);
        assert_int_equal(mesh_state(&mesh, 0, 1), LINK_UP);
        assert_int_equal(mesh_state(&mesh, 1, 0), LINK_UP);
        stand_exchange(&mesh, 0, 0, 1, 100000);
        stand_exchange(&mesh, 1, 1, 2, 100000);
        stand_close(&mesh);
    }
}

/* Nobody comes: the link says so in time, with a status that makes its caller try another wire. */
static void nobody_comes(void **state)
{
    (void)state;
    struct mesh mesh;
    uint8_t offers[2][TRANSPORT_OFFER_BYTES];
    size_t bytes[2];
    stand_open(&mesh, 1, NULL);
    mesh_link_create(&mesh, 0, 1, 5, offers[0], &bytes[0]);
    mesh_link_create(&mesh, 1, 0, 5, offers[1], &bytes[1]);
    uint64_t begin_ns = clock_now_ns();
    connect_end(&mesh, 0, offers[1], bytes[1]);
    MESH_WAIT(&mesh, mesh_state(&mesh, 0, 1) == LINK_LOST);
    assert_int_equal(mesh_why(&mesh, 0, 1), KOLO_ERR_STATE);
    assert_true(clock_now_ns() - begin_ns < 2 * LINK_TRYING_NS);
    stand_close(&mesh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_end_is_waited_for),
        cmocka_unit_test(nobody_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
