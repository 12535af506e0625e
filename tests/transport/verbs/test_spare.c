/* A link that loses all its rails goes on by TCP: inside the operation, with nothing lost or changed, and said once at each end. Without
 * the peer it is lost in time. The TCP transports are real ones, on the loopback. */
#include <stdlib.h>

#include "tests/transport/conformance/wire_verbs_spare.h"
#include "tests/transport/verbs/stand.h"
#include "transport/verbs/link.h"

#define STREAM 30    /* messages a lane and direction */
#define AT_ONCE 4    /* of them posted */
#define STRIKE_AT 20 /* messages of a stream that have come, at most */
#define LENGTH 1000000
#define HUGE_LENGTH (12u << 20)

static struct conformance_wire plain;

/* ---- two peers with spares ---------------------------------------------------------------------------------------- */

static void *port_open(void *world, const uint8_t *id)
{
    const struct verbs_wire *wire = plain.port_open(world, id);
    return wire_verbs_spare_open(&wire->wish, id);
}

static void port_close(void *port)
{
    wire_verbs_spare_close(port);
}

static void open_pair(struct mesh *mesh, unsigned rails)
{
    static struct conformance_wire wire;
    message_init();
    plain = *stand_wire(rails, NULL);
    wire = plain;
    wire.port_open = port_open;
    wire.port_close = port_close;
    mesh_open(mesh, &wire, 2);
    stand_link(mesh);
    fake_speed(4); /* queue pairs give up sooner */
}

static struct verbs_link *end_of(const struct mesh *mesh, unsigned peer)
{
    return (struct verbs_link *)mesh->peers[peer].links[1 - peer];
}

static bool on_spare(const struct mesh *mesh)
{
    return spare_path(end_of(mesh, 0)) != NULL && spare_path(end_of(mesh, 1)) != NULL;
}

enum how {
    PORTS_DOWN, /* at one end, which notices at once */
    PORTS_DOWN_THERE,
    PATH_CUT, /* both notice by their own */
    REMOVED,
    PAIRS_BROKEN,
    HOWS
};

static void cut(enum how how, unsigned rails)
{
    for (unsigned i = 0; i < rails; i++) {
        switch (how) {
        case PORTS_DOWN:
            fake_port_set(i, 1, false);
            break;
        case PORTS_DOWN_THERE:
            fake_port_set(rails + i, 1, false);
            break;
        case PATH_CUT:
            fake_path(i, 1, rails + i, 1, true, 0);
            break;
        case REMOVED:
            fake_remove(rails + i, true);
            break;
        default:
            assert_true(fake_break(fake_pair(i)));
        }
    }
}

/* Lines of the log that say what the link goes on by. */
static unsigned told(void)
{
    return stand_log_count("goes on by tcp");
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

struct stream {
    unsigned from, lane, begun, ended;
    bool regions, spans;
    struct message out[AT_ONCE], in[AT_ONCE];
};

static size_t length_of(unsigned number)
{
    static const size_t lengths[] = {LENGTH, 100, 70000, 0, 5000, LENGTH / 3, 64, 300001};
    return lengths[number % (sizeof lengths / sizeof lengths[0])];
}

static void begin_one(struct stream *stream, struct mesh *mesh)
{
    unsigned number = stream->begun++, slot = number % AT_ONCE;
    uint64_t seed = stream->lane * 1000 + stream->from * 100000 + number;
    size_t length = length_of(number);
    bool region = stream->regions && length > 0;
    (region ? stand_outgoing : message_outgoing)(&stream->out[slot], seed, length);
    if (stream->spans) {
        message_incoming_spans(&stream->in[slot], seed, length);
    } else {
        (region ? stand_incoming : message_incoming)(&stream->in[slot], seed, length);
    }
    message_receive(&stream->in[slot], mesh, 1 - stream->from, stream->from, stream->lane);
    message_send(&stream->out[slot], mesh, stream->from, 1 - stream->from, stream->lane);
}

static void end_one(struct stream *stream)
{
    unsigned number = stream->ended++, slot = number % AT_ONCE;
    bool region = stream->regions && length_of(number) > 0;
    message_check(&stream->in[slot]);
    message_check(&stream->out[slot]);
    (region && !stream->spans ? stand_free : message_free)(&stream->in[slot]);
    (region ? stand_free : message_free)(&stream->out[slot]);
}

/* True if all of it has come. */
static bool go_on(struct stream *stream, struct mesh *mesh)
{
    while (stream->begun < STREAM && stream->begun - stream->ended < AT_ONCE) {
        begin_one(stream, mesh);
    }
    while (stream->ended < stream->begun) {
        struct message *in = &stream->in[stream->ended % AT_ONCE];
        if (stream->spans && !message_done(in)) {
            message_drain(in, mesh->peers[1 - stream->from].links[stream->from], SIZE_MAX);
        }
        if (!message_done(in) || !message_done(&stream->out[stream->ended % AT_ONCE])) {
            break;
        }
        end_one(stream);
    }
    return stream->ended == STREAM;
}

static bool all_go_on(struct stream *streams, struct mesh *mesh)
{
    bool done = true;
    for (unsigned i = 0; i < 4; i++) {
        done &= go_on(&streams[i], mesh);
    }
    return done;
}

static void run_streams(unsigned rails, enum fake_order order, enum how how, bool spans)
{
    struct mesh mesh;
    struct stream streams[4];
    unsigned before = told();
    open_pair(&mesh, rails);
    fake_order(order, (uint64_t)random());
    fake_garbage(true);
    unsigned strike_at = (unsigned)(random() % STRIKE_AT);
    for (unsigned i = 0; i < 4; i++) {
        streams[i] = (struct stream){
            .from = i / 2, .lane = i % 2, .regions = i % 2 == 0, .spans = spans && i % 2 == 1};
    }
    MESH_WAIT(&mesh, (all_go_on(streams, &mesh), streams[0].ended >= strike_at));
    cut(how, rails);
    MESH_WAIT(&mesh, all_go_on(streams, &mesh));
    MESH_WAIT(&mesh, on_spare(&mesh)); /* the streams may have been at their end */
    assert_int_equal(mesh_state(&mesh, 0, 1), LINK_UP);
    assert_int_equal(mesh_state(&mesh, 1, 0), LINK_UP);
    assert_int_equal(told() - before, 2); /* once at each end */
    stand_exchange(&mesh, 0, 0, 7, LENGTH);
    stand_exchange(&mesh, 1, 1, 8, LENGTH);
    stand_close(&mesh);
}

static void streams_go_on_by_the_spare(void **state)
{
    (void)state;
    for (enum how how = 0; how < HOWS; how++) {
        run_streams(1, FAKE_PROMPT, how, false);
        run_streams(1, FAKE_SHUFFLED, how, true);
    }
}

static void several_rails_are_lost_at_once(void **state)
{
    (void)state;
    for (enum how how = 0; how < HOWS; how++) {
        run_streams(3, FAKE_SHUFFLED, how, how % 2 == 0);
    }
}

/* With several queue pairs on it, a port takes them all along. */
static void queue_pairs_of_a_port_are_lost_at_once(void **state)
{
    (void)state;
    for (enum how how = 0; how < PAIRS_BROKEN; how++) {
        stand_queue_pairs(how % 2 == 0 ? 2 : 4);
        run_streams(1, FAKE_SHUFFLED, how, how % 2 == 0);
    }
    stand_queue_pairs(1);
}

/* While one rail is given up, what has come is polled, and tells that the other has failed, too. */
static void rail_breaks_while_another_is_given_up(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        struct mesh mesh;
        stand_queue_pairs(2);
        open_pair(&mesh, 1);
        stand_queue_pairs(1);
        struct verbs_link *link = end_of(&mesh, 0);
        mesh_settle(&mesh);
        rail_break(&link->rail[first], KOLO_ERR_PEER_LOST, "the test says so");
        assert_true(fake_break(link->rail[1 - first].pair->qp->qp_num));
        verbs_link_settle(link); /* before any completion of that has been polled */
        MESH_WAIT(&mesh, on_spare(&mesh));
        stand_exchange(&mesh, 0, 0, 7, LENGTH);
        stand_exchange(&mesh, 1, 1, 8, LENGTH);
        stand_close(&mesh);
    }
}

/* ---- single messages ---------------------------------------------------------------------------------------------- */

static void idle_links_follow(void **state)
{
    (void)state;
    for (enum how how = 0; how < HOWS; how++) {
        struct mesh mesh;
        open_pair(&mesh, 1);
        cut(how, 1);
        MESH_WAIT(&mesh, on_spare(&mesh));
        for (unsigned i = 0; i < 40; i++) { /* more than a window */
            stand_exchange(&mesh, i % 2, i / 2 % 2, i, length_of(i) + 1);
        }
        stand_close(&mesh);
    }
}

static void huge_message_is_cut_in_the_middle(void **state)
{
    (void)state;
    for (enum how how = 0; how < HOWS; how++) {
        struct mesh mesh;
        struct message out, in;
        open_pair(&mesh, 1);
        stand_outgoing(&out, how, HUGE_LENGTH);
        stand_incoming(&in, how, HUGE_LENGTH);
        message_receive(&in, &mesh, 1, 0, 0);
        message_send(&out, &mesh, 0, 1, 0);
        MESH_WAIT(&mesh, in.transfer.moved > HUGE_LENGTH / 4);
        assert_false(message_done(&in));
        cut(how, 1);
        MESH_WAIT(&mesh, message_done(&in) && message_done(&out));
        message_check(&in);
        message_check(&out);
        stand_free(&in);
        stand_free(&out);
        stand_close(&mesh);
    }
}

/* Room is reserved before the rails are lost, and what is written there committed while there is no way. */
static void reserved_room_is_not_lost(void **state)
{
    (void)state;
    struct mesh mesh;
    struct message source, in;
    const size_t length = 300000;
    open_pair(&mesh, 1);
    message_outgoing(&source, 5, length);
    message_incoming(&in, 5, length);
    message_receive(&in, &mesh, 1, 0, 0);
    struct transfer out = {.length = length};
    memcpy(out.header, in.transfer.header, sizeof out.header);
    struct link *link = mesh.peers[0].links[1];
    link->ops->send(link, 0, &out);
    unsigned pieces = 0;
    uint64_t deadline_ns = clock_now_ns() + MESH_WAIT_S * NS_PER_S;
    while (out.moved < length) {
        uint8_t *place = NULL;
        size_t room = link->ops->reserve(link, 0, &out, &place);
        room = room < 7001 ? room : 7001;
        if (room > 0) {
            memcpy(place, source.memory + out.moved, room);
            size_t before = out.moved;
            if (++pieces == 10) {
                cut(PORTS_DOWN, 1);
                MESH_WAIT(&mesh, spare_is_alive(end_of(&mesh, 0)));
                assert_null(spare_path(end_of(&mesh, 0)));
            }
            link->ops->commit(link, 0, &out, room);
            assert_int_equal(out.moved, before + room);
        } else {
            mesh_step(&mesh);
        }
        assert_true(clock_now_ns() < deadline_ns);
    }
    MESH_WAIT(&mesh, message_done(&in) && out.state == TRANSFER_DONE);
    assert_true(on_spare(&mesh));
    message_check(&in);
    message_free(&in);
    message_free(&source);
    stand_close(&mesh);
}

/* ---- ends --------------------------------------------------------------------------------------------------------- */

static void peer_that_is_gone_is_lost_in_time(void **state)
{
    (void)state;
    for (unsigned gone = 0; gone < 2; gone++) {
        struct mesh mesh;
        struct message in;
        open_pair(&mesh, 1);
        message_incoming(&in, 1, LENGTH);
        message_receive(&in, &mesh, 1 - gone, gone, 0);
        cut(PATH_CUT, 1);                                       /* it cannot say goodbye */
        end_of(&mesh, 1 - gone)->verbs->patience_ns = NS_PER_S; /* not the seconds of the mesh */
        mesh_kill(&mesh, gone);
        uint64_t before_ns = clock_now_ns();
        MESH_WAIT(&mesh, message_failed(&in));
        assert_true(clock_now_ns() - before_ns < 3 * MESH_PEER_TIMEOUT_NS);
        assert_int_equal(in.transfer.status, KOLO_ERR_PEER_LOST);
        assert_int_equal(mesh_why(&mesh, 1 - gone, gone), KOLO_ERR_PEER_LOST);
        message_free(&in);
        stand_close(&mesh);
    }
}

static void peer_that_goes_later_is_lost(void **state)
{
    (void)state;
    struct mesh mesh;
    open_pair(&mesh, 1);
    cut(PORTS_DOWN, 1);
    MESH_WAIT(&mesh, on_spare(&mesh));
    mesh_kill(&mesh, 0);
    MESH_WAIT(&mesh, mesh_state(&mesh, 1, 0) == LINK_LOST);
    assert_int_equal(mesh_why(&mesh, 1, 0), KOLO_ERR_PEER_LOST);
    stand_close(&mesh);
}

/* What was done before a close still arrives: `late`: the close comes when the rails are lost and the spare is not there yet. */
static void close_after_cut(bool late, unsigned closing)
{
    struct mesh mesh;
    struct message out[8], in[8];
    open_pair(&mesh, 1);
    fake_path(0, 1, 1, 1, true, 0);
    for (unsigned i = 0; i < 8; i++) {
        message_outgoing(&out[i], i, 3000);
        message_incoming(&in[i], i, 3000);
        message_receive(&in[i], &mesh, 1 - closing, closing, 0);
        message_send(&out[i], &mesh, closing, 1 - closing, 0);
        MESH_WAIT(&mesh, message_done(&out[i]));
    }
    if (late) {
        MESH_WAIT(&mesh, spare_is_alive(end_of(&mesh, closing)));
    }
    mesh_link_close(&mesh, closing, 1 - closing);
    for (unsigned i = 0; i < 8; i++) {
        MESH_WAIT(&mesh, message_done(&in[i]));
        message_check(&in[i]);
        message_free(&in[i]);
        message_free(&out[i]);
    }
    MESH_WAIT(&mesh, mesh_state(&mesh, 1 - closing, closing) == LINK_LOST);
    stand_close(&mesh);
}

static void close_during_take_over(void **state)
{
    (void)state;
    for (unsigned closing = 0; closing < 2; closing++) {
        close_after_cut(false, closing);
        close_after_cut(true, closing);
    }
}

static void close_ends_lending(void **state)
{
    (void)state;
    struct mesh mesh;
    struct message in, out;
    open_pair(&mesh, 1);
    stand_incoming(&in, 1, LENGTH);
    stand_outgoing(&out, 2, HUGE_LENGTH);
    message_receive(&in, &mesh, 1, 0, 0);
    message_send(&out, &mesh, 1, 0, 0);
    cut(PORTS_DOWN, 1);
    MESH_WAIT(&mesh, on_spare(&mesh));
    mesh_link_close(&mesh, 1, 0);
    assert_true(message_failed(&in) && message_failed(&out));
    stand_free(&in);
    stand_free(&out);
    MESH_WAIT(&mesh, mesh_state(&mesh, 0, 1) == LINK_LOST);
    stand_close(&mesh);
}

/* ---- hostile peers ------------------------------------------------------------------------------------------------ */

#define BODY 100

/* The head of a frame that suits as the next of lane 0, as spare.c writes it. */
static void good_head(uint8_t head[SPARE_HEAD_BYTES], uint32_t magic, uint8_t channel,
                      uint32_t bytes, uint64_t remote, const struct frame *frame)
{
    struct wire_writer writer = {.bytes = head, .capacity = SPARE_HEAD_BYTES};
    memset(head, 0, SPARE_HEAD_BYTES);
    wire_put_u32(&writer, magic);
    wire_put_u8(&writer, channel);
    wire_put_u32(&writer, bytes);
    wire_put_u64(&writer, remote);
    frame_encode(head + SPARE_HEAD_BYTES - FRAME_HEADER_BYTES, frame);
}

/* Peer 0's end of the spare says that; peer 1's ends with KOLO_ERR_PROTOCOL. */
static void assert_refused(struct mesh *mesh, const uint8_t *head, const uint8_t *body,
                           size_t bytes)
{
    struct link *way = end_of(mesh, 0)->spare->way;
    struct transfer first = {
        .data = (uint8_t *)(uintptr_t)head, .length = SPARE_HEAD_BYTES, .ready = SPARE_HEAD_BYTES};
    struct transfer second = {.data = (uint8_t *)(uintptr_t)body, .length = bytes, .ready = bytes};
    way->ops->send(way, 0, &first);
    if (body != NULL) {
        way->ops->send(way, 0, &second);
    }
    MESH_WAIT(mesh, mesh_state(mesh, 1, 0) == LINK_LOST);
    assert_int_equal(mesh_why(mesh, 1, 0), KOLO_ERR_PROTOCOL);
    MESH_WAIT(mesh, mesh_state(mesh, 0, 1) == LINK_LOST);
}

static void hostile_heads_are_refused(void **state)
{
    (void)state;
    static const uint8_t body[BODY];
    static uint8_t private_memory[BODY];
    for (unsigned way = 0; way < 12; way++) {
        struct mesh mesh;
        uint8_t head[SPARE_HEAD_BYTES];
        open_pair(&mesh, 1);
        cut(PORTS_DOWN, 1);
        MESH_WAIT(&mesh, on_spare(&mesh));
        struct frame frame = {.sequence = end_of(&mesh, 1)->in[0].front,
                              .bytes = BODY,
                              .length = BODY,
                              .kind = FRAME_COPY};
        uint32_t bytes = BODY;
        uint8_t channel = 0;
        uint64_t remote = 0;
        switch (way) {
        case 0:
            channel = FRAME_CHANNELS;
            break;
        case 1:
            channel = FRAME_HELLO; /* a second one */
            break;
        case 2:
            frame.sequence += FRAME_SLOTS;
            break;
        case 3:
            frame.sequence -= 1;
            break;
        case 4:
            frame.bytes = bytes = FRAME_SLOT_BYTES;
            break;
        case 5:
            frame.bytes = bytes = UINT32_MAX;
            break;
        case 6:
            frame.bytes = BODY - 1;
            break;
        case 7:
            frame.kind = FRAME_GRANT;
            break;
        case 8:
            channel = FRAME_NOTICES; /* of a length that no notice has */
            break;
        case 9: /* nothing was granted */
            frame.kind = FRAME_PUT;
            remote = (uint64_t)(uintptr_t)private_memory;
            break;
        case 10:
            frame.kind = FRAME_PUT;
            frame.bytes = bytes = FRAME_PUT_BYTES + 1;
            break;
        default:
            break;
        }
        good_head(head, way == 11 ? 0 : 0x31525053u, channel, bytes, remote, &frame);
        assert_refused(&mesh, head, way == 9 ? body : NULL, sizeof body);
        for (unsigned i = 0; i < BODY; i++) {
            assert_int_equal(private_memory[i], 0);
        }
        stand_close(&mesh);
    }
}

/* It says what cannot be of the frames that have come, instead of hello. */
static void hostile_hello_is_refused(void **state)
{
    (void)state;
    struct mesh mesh;
    open_pair(&mesh, 1);
    end_of(&mesh, 0)->in[1].front = 5;
    cut(PORTS_DOWN, 1);
    MESH_WAIT(&mesh, mesh_state(&mesh, 1, 0) == LINK_LOST);
    assert_int_equal(mesh_why(&mesh, 1, 0), KOLO_ERR_PROTOCOL);
    MESH_WAIT(&mesh, mesh_state(&mesh, 0, 1) == LINK_LOST);
    stand_close(&mesh);
}

int main(void)
{
    if (!stand_log_begin("spare")) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_go_on_by_the_spare),
        cmocka_unit_test(several_rails_are_lost_at_once),
        cmocka_unit_test(queue_pairs_of_a_port_are_lost_at_once),
        cmocka_unit_test(rail_breaks_while_another_is_given_up),
        cmocka_unit_test(idle_links_follow),
        cmocka_unit_test(huge_message_is_cut_in_the_middle),
        cmocka_unit_test(reserved_room_is_not_lost),
        cmocka_unit_test(peer_that_is_gone_is_lost_in_time),
        cmocka_unit_test(peer_that_goes_later_is_lost),
        cmocka_unit_test(close_during_take_over),
        cmocka_unit_test(close_ends_lending),
        cmocka_unit_test(hostile_heads_are_refused),
        cmocka_unit_test(hostile_hello_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stand_log_end();
    return failed;
}
