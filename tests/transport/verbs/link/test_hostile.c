/* What a hostile peer can write and announce: its link ends with KOLO_ERR_PROTOCOL, and nothing else happens. The peer's device is
 * played by writing into the slots of peer 1's link and announcing it. */
#include "tests/transport/verbs/stand.h"
#include "transport/verbs/link.h"

static struct verbs_link *victim_of(const struct mesh *mesh)
{
    return (struct verbs_link *)mesh->peers[1].links[0];
}

static void announce(struct verbs_link *link, uint16_t epoch, unsigned channel, unsigned slot)
{
    verbs_link_arrived(link, &link->rail[0], frame_immediate(epoch, channel, slot));
}

/* A frame that suits, on lane 0, as the first of all. */
static struct frame good_frame(void)
{
    return (struct frame){.bytes = 100, .length = 100, .kind = FRAME_COPY};
}

static void deliver(struct verbs_link *link, unsigned channel, const struct frame *frame)
{
    frame_encode(slots_in(&link->slots, channel, 0), frame);
    announce(link, link->epoch_in, channel, 0);
}

static void assert_ended(struct mesh *mesh)
{
    MESH_WAIT(mesh, mesh_state(mesh, 1, 0) == LINK_LOST);
    assert_int_equal(mesh_why(mesh, 1, 0), KOLO_ERR_PROTOCOL);
    MESH_WAIT(mesh, mesh_state(mesh, 0, 1) == LINK_LOST); /* and the other end learns of it */
    stand_close(mesh);
}

static struct verbs_link *begin(struct mesh *mesh)
{
    stand_open(mesh, 1, NULL);
    stand_link(mesh);
    return victim_of(mesh);
}

static void wrong_immediates(void **state)
{
    (void)state;
    struct mesh mesh;
    struct verbs_link *link = begin(&mesh);
    announce(link, (uint16_t)(link->epoch_in + 1), 0, 0); /* of an earlier link */
    assert_ended(&mesh);
    link = begin(&mesh);
    announce(link, link->epoch_in, FRAME_CHANNELS, 0);
    assert_ended(&mesh);
    link = begin(&mesh);
    announce(link, link->epoch_in, 0, FRAME_SLOTS);
    assert_ended(&mesh);
    link = begin(&mesh);
    announce(link, link->epoch_in, FRAME_HELLO, 1);
    assert_ended(&mesh);
}

static void slot_that_is_not_free(void **state)
{
    (void)state;
    struct mesh mesh;
    struct verbs_link *link = begin(&mesh);
    struct frame frame = good_frame();
    deliver(link, 0, &frame);
    deliver(link, 0, &frame);
    assert_ended(&mesh);
}

static void impossible_credits(void **state)
{
    (void)state;
    struct mesh mesh;
    struct verbs_link *link = begin(&mesh);
    struct frame frame = good_frame();
    frame.credits[1] = 1;
    deliver(link, 0, &frame);
    assert_ended(&mesh);
}

/* Headers that cannot be the first of a message, with a receive that asks for it. */
static void impossible_headers(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 7; way++) {
        struct mesh mesh;
        struct message in;
        struct verbs_link *link = begin(&mesh);
        struct frame frame = good_frame();
        message_incoming(&in, 1, 100);
        memcpy(frame.header, in.transfer.header, sizeof frame.header);
        message_receive(&in, &mesh, 1, 0, 0);
        frame.sequence = way == 0 ? 16 : 0;
        frame.bytes = way == 1 ? 101 : way == 2 ? 0 : way == 3 ? UINT32_MAX : 100;
        frame.offset = way == 4 ? 1 : 0;
        frame.length = way == 3 ? UINT64_MAX : 100;
        frame.kind = way == 5 ? FRAME_CREDIT : way == 6 ? FRAME_PUT : FRAME_COPY; /* not granted */
        deliver(link, 0, &frame);
        MESH_WAIT(&mesh, message_failed(&in));
        assert_int_equal(in.transfer.status, KOLO_ERR_PROTOCOL);
        message_check_blank(&in, 0, 100);
        message_free(&in);
        assert_ended(&mesh);
    }
}

static void impossible_notices(void **state)
{
    (void)state;
    static const uint32_t kinds[] = {0, FRAME_COPY, FRAME_GRANT, FRAME_RESUME, 99};
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct mesh mesh;
        struct verbs_link *link = begin(&mesh);
        struct frame_notice notice = {.lane = TRANSPORT_LANES, .rail = FRAME_RAILS};
        struct frame frame = {.kind = kinds[i]};
        frame_notice_encode(slots_in(&link->slots, FRAME_NOTICES, 0), &notice);
        deliver(link, FRAME_NOTICES, &frame);
        assert_ended(&mesh);
    }
}

/* A grant for a message that is too far ahead to be one. */
static void grant_out_of_bounds(void **state)
{
    (void)state;
    struct mesh mesh;
    struct verbs_link *link = begin(&mesh);
    struct frame_notice notice = {.lane = 0};
    struct frame frame = {.kind = FRAME_GRANT, .bytes = OUTBOX_GRANTS};
    frame_notice_encode(slots_in(&link->slots, FRAME_NOTICES, 0), &notice);
    deliver(link, FRAME_NOTICES, &frame);
    assert_ended(&mesh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_immediates),   cmocka_unit_test(slot_that_is_not_free),
        cmocka_unit_test(impossible_credits), cmocka_unit_test(impossible_headers),
        cmocka_unit_test(impossible_notices), cmocka_unit_test(grant_out_of_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
