/* Lanes: what a peer may do to an established link, from orderly to hostile; and that the fast path makes few system calls. The
 * generic behaviour is the conformance suite's. */
#include "tests/transport/tcp/side.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define TIMEOUT_NS (10 * NS_PER_S)

/* ---- counting system calls (the linker puts these in front of the real ones) -------------------------------------- */

static unsigned reads;
static unsigned writes;

ssize_t __real_recv(int fd, void *bytes, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags);
ssize_t __real_readv(int fd, const struct iovec *parts, int count);
ssize_t __wrap_readv(int fd, const struct iovec *parts, int count);
ssize_t __real_send(int fd, const void *bytes, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags)
{
    reads++;
    return __real_recv(fd, bytes, length, flags);
}

ssize_t __wrap_readv(int fd, const struct iovec *parts, int count)
{
    reads++;
    return __real_readv(fd, parts, count);
}

ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags)
{
    writes++;
    return __real_send(fd, bytes, length, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    writes++;
    return __real_sendmsg(fd, message, flags);
}

static void open_pair(struct side *a, struct side *b)
{
    side_open(a, "side a", "side b", true, NULL, TIMEOUT_NS);
    side_open(b, "side b", "side a", false, NULL, TIMEOUT_NS);
    side_connect(a, b);
}

static void a_small_message_costs_one_call_on_each_side(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    uint8_t bytes[8] = "eight b";
    uint8_t got[8];
    open_pair(&a, &b);
    for (unsigned i = 0; i < 100; i++) {
        struct transfer out = side_message(bytes, sizeof bytes, (uint8_t)i);
        struct transfer in = side_message(got, sizeof got, (uint8_t)i);
        transport_tcp.send(a.link, 0, &out);
        reads = writes = 0;
        SIDE_WAIT(&a, NULL, out.state == TRANSFER_DONE);
        assert_int_equal(writes, 1);
        assert_int_equal(reads, 0);
        transport_tcp.receive(b.link, 0, &in);
        reads = writes = 0;
        SIDE_WAIT(&b, NULL, in.state == TRANSFER_DONE);
        assert_int_equal(reads, 1);
        assert_int_equal(writes, 0);
        assert_memory_equal(got, bytes, sizeof got);
    }
    side_close(&a);
    side_close(&b);
}

static void many_small_messages_share_a_call(void **state)
{
    (void)state;
    enum { MANY = 16 };
    struct side a;
    struct side b;
    struct transfer out[MANY];
    struct transfer in[MANY];
    uint8_t bytes[MANY][100];
    uint8_t got[MANY][100];
    open_pair(&a, &b);
    for (unsigned i = 0; i < MANY; i++) {
        memset(bytes[i], (int)i, sizeof bytes[i]);
        out[i] = side_message(bytes[i], sizeof bytes[i], (uint8_t)i);
        in[i] = side_message(got[i], sizeof got[i], (uint8_t)i);
        transport_tcp.send(a.link, 1, &out[i]);
        transport_tcp.receive(b.link, 1, &in[i]);
    }
    reads = writes = 0;
    SIDE_WAIT(&a, NULL, out[MANY - 1].state == TRANSFER_DONE);
    assert_int_equal(writes, 1);
    SIDE_WAIT(&b, NULL, in[MANY - 1].state == TRANSFER_DONE);
    assert_int_equal(reads, 1);
    assert_memory_equal(got, bytes, sizeof got);
    side_close(&a);
    side_close(&b);
}

static void idle_lanes_are_not_asked(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    open_pair(&a, &b);
    reads = writes = 0;
    for (unsigned i = 0; i < 1000; i++) {
        side_step(&a, &b);
    }
    assert_int_equal(reads + writes, 0);
    side_close(&a);
    side_close(&b);
}

static void a_send_that_is_not_ready_makes_no_call(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    uint8_t bytes[100] = {0};
    open_pair(&a, &b);
    struct transfer out = side_message(bytes, sizeof bytes, 1);
    out.ready = 0;
    transport_tcp.send(a.link, 0, &out);
    writes = 0;
    for (unsigned i = 0; i < 100; i++) {
        side_step(&a, NULL);
    }
    assert_int_equal(writes, 0);
    assert_true(transport_tcp.arm(a.transport)); /* and it does not keep its poster awake */
    transport_tcp.disarm(a.transport);
    out.ready = out.length;
    SIDE_WAIT(&a, &b, out.state == TRANSFER_DONE);
    assert_int_equal(writes, 1);
    side_close(&a);
    side_close(&b);
}

/* ---- a raw peer --------------------------------------------------------------------------------------------------- */

static void open_raw(struct side *side, struct raw *raw)
{
    side_open(side, "side a", "raw", false, NULL, TIMEOUT_NS);
    raw_connect(raw, side, "raw");
}

static void assert_lost(struct side *side, kolo_status expected, const char *words)
{
    kolo_status status;
    SIDE_WAIT(side, NULL, side_state(side) == LINK_LOST);
    assert_non_null(strstr(side_why(side, &status), words));
    assert_non_null(strstr(side_why(side, &status), "the other side"));
    assert_int_equal(status, expected);
    struct transfer late = side_message(NULL, 0, 0); /* what is posted now fails, too */
    transport_tcp.receive(side->link, 0, &late);
    assert_int_equal(late.state, TRANSFER_FAILED);
    assert_int_equal(late.status, expected);
}

/* A raw connection can do what the transport does: the tests below are about what differs. */
static void raw_message(struct raw *raw, struct side *side, unsigned lane, uint32_t number,
                        const uint8_t *bytes, size_t length)
{
    uint8_t frame[TCP_FRAME_BYTES];
    raw_frame(frame, number, length, (uint8_t)number);
    raw_send(raw->fds[lane], side, frame, sizeof frame);
    raw_send(raw->fds[lane], side, bytes, length);
}

static void frames_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct side side;
    struct raw raw;
    uint8_t frame[TCP_FRAME_BYTES];
    uint8_t got[40];
    open_raw(&side, &raw);
    for (unsigned spans = 0; spans < 2; spans++) {
        struct transfer in = side_message(spans ? NULL : got, sizeof got, (uint8_t)spans);
        transport_tcp.receive(side.link, 0, &in);
        raw_frame(frame, spans, sizeof got, (uint8_t)spans);
        for (size_t i = 0; i < sizeof frame; i++) {
            raw_send(raw.fds[0], &side, frame + i, 1);
            side_step(&side, NULL);
        }
        for (uint8_t i = 0; i < sizeof got; i++) {
            raw_send(raw.fds[0], &side, &i, 1);
            SIDE_WAIT(&side, NULL, spans ? in.span_bytes == i + 1u : in.moved == i + 1u);
        }
        for (uint8_t i = 0; i < sizeof got; i++) {
            assert_int_equal(spans ? in.span[i] : got[i], i);
        }
        if (spans) {
            transport_tcp.release(side.link, 0, &in, sizeof got);
        }
        assert_int_equal(in.state, TRANSFER_DONE);
    }
    raw_close(&raw);
    side_close(&side);
}

/* Good messages before the bad bytes count; the bad bytes end the link, and name the peer. */
static void hostile(const uint8_t *bytes, size_t length, uint32_t good)
{
    struct side side;
    struct raw raw;
    uint8_t got[4][16];
    struct transfer in[5];
    open_raw(&side, &raw);
    for (uint32_t i = 0; i <= good; i++) {
        in[i] = side_message(i < good ? got[i] : NULL, 16, (uint8_t)i);
        transport_tcp.receive(side.link, 0, &in[i]);
    }
    for (uint32_t i = 0; i < good; i++) {
        raw_message(&raw, &side, 0, i, (const uint8_t *)"sixteen bytes...", 16);
    }
    raw_send(raw.fds[0], &side, bytes, length);
    assert_lost(&side, KOLO_ERR_PROTOCOL, "no message of kolo's");
    for (uint32_t i = 0; i < good; i++) {
        assert_int_equal(in[i].state, TRANSFER_DONE);
        assert_memory_equal(got[i], "sixteen bytes...", 16);
    }
    assert_int_equal(in[good].state, TRANSFER_FAILED);
    assert_int_equal(in[good].status, KOLO_ERR_PROTOCOL);
    assert_int_equal(in[good].moved, 0);
    raw_close(&raw);
    side_close(&side);
}

static void hostile_bytes_end_the_link(void **state)
{
    (void)state;
    uint8_t frame[TCP_FRAME_BYTES];
    uint8_t garbage[1000];
    memset(garbage, 'x', sizeof garbage);
    for (uint32_t good = 0; good < 4; good++) {
        hostile(garbage, sizeof garbage, good);
        raw_frame(frame, good + 1, 16, (uint8_t)good); /* a message was left out */
        hostile(frame, sizeof frame, good);
        raw_frame(frame, good - 1, 16, (uint8_t)good); /* one comes twice */
        hostile(frame, sizeof frame, good);
        raw_frame(frame, good, 16, (uint8_t)good);
        frame[0] ^= 0x80;
        hostile(frame, sizeof frame, good);
    }
}

static void a_monstrous_length_is_a_mismatch_and_costs_nothing(void **state)
{
    (void)state;
    struct side side;
    struct raw raw;
    uint8_t frame[TCP_FRAME_BYTES];
    uint8_t got[16];
    struct transfer in = side_message(got, sizeof got, 0);
    open_raw(&side, &raw);
    raw_frame(frame, 0, UINT64_MAX, 0);
    raw_send(raw.fds[0], &side, frame, sizeof frame);
    transport_tcp.receive(side.link, 0, &in);
    SIDE_WAIT(&side, NULL, in.state != TRANSFER_POSTED);
    assert_int_equal(in.status, KOLO_ERR_MISMATCH);
    assert_true(in.length_sent == SIZE_MAX);
    assert_int_equal(side_state(&side), LINK_UP);
    raw_close(&raw);
    side_close(&side);
}

static void messages_before_an_orderly_close_are_received_later(void **state)
{
    (void)state;
    struct side side;
    struct raw raw;
    uint8_t *bytes = malloc(200000);
    uint8_t *got = malloc(200000);
    assert_true(bytes != NULL && got != NULL);
    memset(bytes, 7, 200000);
    open_raw(&side, &raw);
    for (uint32_t i = 0; i < 3; i++) {
        raw_message(&raw, &side, 1, i, bytes, i * 100000);
    }
    raw_close(&raw);
    for (unsigned i = 0; i < 1000; i++) {
        side_step(&side, NULL); /* it sees the end, but what was sent is not read yet */
    }
    assert_int_equal(side_state(&side), LINK_UP);
    for (uint32_t i = 0; i < 3; i++) {
        struct transfer in = side_message(got, i * 100000, (uint8_t)i);
        transport_tcp.receive(side.link, 1, &in);
        SIDE_WAIT(&side, NULL, in.state != TRANSFER_POSTED);
        assert_int_equal(in.state, TRANSFER_DONE);
        assert_memory_equal(got, bytes, i * 100000);
    }
    assert_lost(&side, KOLO_ERR_PEER_LOST, "closed");
    side_close(&side);
    free(bytes);
    free(got);
}

static void a_receive_that_can_never_come_fails_at_an_orderly_close(void **state)
{
    (void)state;
    struct side side;
    struct raw raw;
    uint8_t got[2][16];
    struct transfer first = side_message(got[0], 16, 0);
    struct transfer second = side_message(got[1], 16, 1);
    open_raw(&side, &raw);
    transport_tcp.receive(side.link, 0, &first);
    transport_tcp.receive(side.link, 0, &second);
    raw_message(&raw, &side, 0, 0, (const uint8_t *)"sixteen bytes...", 16);
    raw_close(&raw);
    assert_lost(&side, KOLO_ERR_PEER_LOST, "closed");
    assert_int_equal(first.state, TRANSFER_DONE);
    assert_int_equal(second.state, TRANSFER_FAILED);
    assert_int_equal(second.status, KOLO_ERR_PEER_LOST);
    side_close(&side);
}

static void a_close_in_mid_frame_or_mid_payload_is_a_loss(void **state)
{
    (void)state;
    const size_t cuts[] = {1, TCP_FRAME_BYTES - 1, TCP_FRAME_BYTES, TCP_FRAME_BYTES + 5};
    for (unsigned i = 0; i < 4; i++) {
        struct side side;
        struct raw raw;
        uint8_t got[16];
        uint8_t message[TCP_FRAME_BYTES + 16] = {0};
        struct transfer in = side_message(got, 16, 0);
        open_raw(&side, &raw);
        transport_tcp.receive(side.link, 0, &in);
        raw_frame(message, 0, 16, 0);
        raw_send(raw.fds[0], &side, message, cuts[i]);
        raw_close(&raw);
        assert_lost(&side, KOLO_ERR_PEER_LOST, "closed");
        assert_int_equal(in.state, TRANSFER_FAILED);
        side_close(&side);
    }
}

static void one_lane_that_ends_takes_the_link_with_it(void **state)
{
    (void)state;
    struct side side;
    struct raw raw;
    open_raw(&side, &raw);
    close(raw.fds[1]);
    raw.fds[1] = -1;
    assert_lost(&side, KOLO_ERR_PEER_LOST, "lane 1");
    raw_close(&raw);
    side_close(&side);
}

static void reset(struct raw *raw)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        assert_int_equal(setsockopt(raw->fds[lane], SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    }
    raw_close(raw);
}

static void a_reset_delivers_what_came_before_it(void **state)
{
    (void)state;
    struct side side;
    struct raw raw;
    uint8_t got[2][16];
    struct transfer first = side_message(got[0], 16, 0);
    struct transfer second = side_message(got[1], 16, 1);
    open_raw(&side, &raw);
    raw_message(&raw, &side, 0, 0, (const uint8_t *)"sixteen bytes...", 16);
    reset(&raw);
    transport_tcp.receive(side.link, 0, &first);
    transport_tcp.receive(side.link, 0, &second);
    assert_lost(&side, KOLO_ERR_PEER_LOST, "reset");
    assert_int_equal(first.state, TRANSFER_DONE);
    assert_memory_equal(got[0], "sixteen bytes...", 16);
    assert_int_equal(second.state, TRANSFER_FAILED);
    side_close(&side);
}

static void a_reset_fails_a_send_under_way(void **state)
{
    (void)state;
    struct side side;
    struct raw raw;
    size_t length = 64u << 20;
    uint8_t *bytes = calloc(1, length);
    assert_non_null(bytes);
    struct transfer out = side_message(bytes, length, 0);
    open_raw(&side, &raw);
    transport_tcp.send(side.link, 0, &out);
    SIDE_WAIT(&side, NULL, out.moved > 0);
    reset(&raw);
    assert_lost(&side, KOLO_ERR_PEER_LOST, "reset");
    assert_int_equal(out.state, TRANSFER_FAILED);
    assert_true(out.moved < length);
    side_close(&side);
    free(bytes);
}

static void an_idle_link_notices_a_reset(void **state)
{
    (void)state;
    struct side side;
    struct raw raw;
    open_raw(&side, &raw);
    reset(&raw);
    assert_lost(&side, KOLO_ERR_PEER_LOST, "reset");
    side_close(&side);
}

/* The peer has sent much that nobody reads, and goes on: closing in its face must not take back what was sent to it. */
static void a_close_with_unread_bytes_still_delivers(void **state)
{
    (void)state;
    enum { LENGTH = 300000 };
    struct side side;
    struct raw raw;
    uint8_t *bytes = malloc(LENGTH);
    uint8_t *got = malloc(LENGTH + TCP_FRAME_BYTES);
    assert_true(bytes != NULL && got != NULL);
    memset(bytes, 9, LENGTH);
    struct transfer out = side_message(bytes, LENGTH, 0);
    open_raw(&side, &raw);
    transport_tcp.send(side.link, 0, &out);
    SIDE_WAIT(&side, NULL, out.state == TRANSFER_DONE);
    raw_message(&raw, &side, 0, 0, bytes, LENGTH);
    transport_tcp.link_close(side.link);
    side.link = NULL;
    size_t had = 0;
    uint64_t limit_ns = clock_now_ns() + SIDE_PATIENCE_NS;
    while (had < LENGTH + TCP_FRAME_BYTES) {
        assert_true(clock_now_ns() < limit_ns);
        (void)!send(raw.fds[0], bytes, 1000, MSG_DONTWAIT | MSG_NOSIGNAL);
        side_step(&side, NULL);
        ssize_t more = recv(raw.fds[0], got + had, 10000, MSG_DONTWAIT);
        assert_true(more != 0);
        had += more > 0 ? (size_t)more : 0;
    }
    assert_memory_equal(got + TCP_FRAME_BYTES, bytes, LENGTH);
    raw_close(&raw);
    side_close(&side);
    free(bytes);
    free(got);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1); /* losses are expected */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_message_costs_one_call_on_each_side),
        cmocka_unit_test(many_small_messages_share_a_call),
        cmocka_unit_test(idle_lanes_are_not_asked),
        cmocka_unit_test(a_send_that_is_not_ready_makes_no_call),
        cmocka_unit_test(frames_may_come_byte_by_byte),
        cmocka_unit_test(hostile_bytes_end_the_link),
        cmocka_unit_test(a_monstrous_length_is_a_mismatch_and_costs_nothing),
        cmocka_unit_test(messages_before_an_orderly_close_are_received_later),
        cmocka_unit_test(a_receive_that_can_never_come_fails_at_an_orderly_close),
        cmocka_unit_test(a_close_in_mid_frame_or_mid_payload_is_a_loss),
        cmocka_unit_test(one_lane_that_ends_takes_the_link_with_it),
        cmocka_unit_test(a_reset_delivers_what_came_before_it),
        cmocka_unit_test(a_reset_fails_a_send_under_way),
        cmocka_unit_test(an_idle_link_notices_a_reset),
        cmocka_unit_test(a_close_with_unread_bytes_still_delivers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
