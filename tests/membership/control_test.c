/* The framed connection, over a socket pair: frames in pieces, many of them, hostile ones, and how it ends. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/membership/control.h"

#define HEAD 8 /* of a frame: u32 length, u16 kind, u16 check, as they travel */

static const uint8_t bye[HEAD] = {0, 0, 0, 0, CONTROL_BYE, 0, 0x6f, 0x6b};

static void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

/* A connection whose other end is a bare descriptor. */
static struct control *open_one(int *other)
{
    int fds[2];
    struct control *control = NULL;
    make_pair(fds);
    assert_int_equal(control_open(&control, fds[0]), KOLO_OK);
    assert_int_equal(control_fd(control), fds[0]);
    *other = fds[1];
    return control;
}

static void open_both(struct control *both[2])
{
    int other;
    both[0] = open_one(&other);
    assert_int_equal(control_open(&both[1], other), KOLO_OK);
}

static void put(int fd, const void *bytes, size_t length)
{
    assert_int_equal(write(fd, bytes, length), length);
}

static void frames_arrive_in_order_and_whole(void **state)
{
    (void)state;
    struct control *both[2];
    struct control_frame frame;
    uint8_t payload[CONTROL_PAYLOAD_MAX];
    open_both(both);
    assert_int_equal(control_receive(both[1], &frame), 0);
    const size_t lengths[] = {0, 1, 7, CONTROL_PAYLOAD_MAX, 100};
    for (unsigned i = 0; i < 5; i++) {
        memset(payload, (int)i + 1, sizeof payload);
        assert_int_equal(control_send(both[0], (enum control_kind)(i + 1), payload, lengths[i]),
                         KOLO_OK);
    }
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(control_receive(both[1], &frame), 1);
        assert_int_equal(frame.kind, i + 1);
        assert_int_equal(frame.length, lengths[i]);
        for (size_t k = 0; k < frame.length; k++) {
            assert_int_equal(frame.payload[k], i + 1);
        }
    }
    assert_int_equal(control_receive(both[1], &frame), 0);
    control_close(both[0]);
    control_close(both[1]);
}

static void a_frame_may_come_byte_by_byte(void **state)
{
    (void)state;
    int other;
    struct control *control = open_one(&other);
    struct control_frame frame;
    const uint8_t bytes[HEAD + 3] = {3, 0, 0, 0, CONTROL_PROBE, 0, 0x6f, 0x6b, 'a', 'b', 'c'};
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(control_peek(control), 0);
        assert_int_equal(control_receive(control, &frame), 0);
        put(other, &bytes[i], 1);
    }
    assert_int_equal(control_receive(control, &frame), 1);
    assert_int_equal(frame.kind, CONTROL_PROBE);
    assert_memory_equal(frame.payload, "abc", 3);
    control_close(control);
    close(other);
}

static void looking_does_not_take(void **state)
{
    (void)state;
    struct control *both[2];
    struct control_frame frame;
    open_both(both);
    control_send(both[0], CONTROL_READY, "12345678", 8);
    control_send(both[0], CONTROL_SETTLE, "x", 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(control_peek(both[1]), CONTROL_READY);
    }
    assert_int_equal(control_receive(both[1], &frame), 1);
    assert_memory_equal(frame.payload, "12345678", 8);
    assert_int_equal(control_peek(both[1]), CONTROL_SETTLE);
    assert_int_equal(control_receive(both[1], &frame), 1);
    assert_int_equal(control_peek(both[1]), 0);
    control_close(both[0]);
    control_close(both[1]);
}

/* More than the socket holds: the rest waits, and nothing is lost or reordered. */
static void many_frames_wait_until_they_are_read(void **state)
{
    (void)state;
    enum { FRAMES = 4000 };
    struct control *both[2];
    struct control_frame frame;
    uint32_t taken = 0, payload[250];
    open_both(both);
    for (uint32_t i = 0; i < FRAMES; i++) {
        payload[0] = payload[249] = i;
        assert_int_equal(control_send(both[0], CONTROL_NOTICE, payload, sizeof payload), KOLO_OK);
    }
    assert_true(control_wants_write(both[0]));
    for (int looks = 0; taken < FRAMES && looks < 100000; looks++) {
        control_flush(both[0]);
        while (control_receive(both[1], &frame) == 1) {
            memcpy(payload, frame.payload, sizeof payload);
            assert_int_equal(frame.length, sizeof payload);
            assert_int_equal(payload[0], taken);
            assert_int_equal(payload[249], taken);
            taken++;
        }
    }
    assert_int_equal(taken, FRAMES);
    assert_true(control_flush(both[0]));
    assert_false(control_wants_write(both[0]));
    control_close(both[0]);
    control_close(both[1]);
}

static void a_peer_that_reads_nothing_is_given_up(void **state)
{
    (void)state;
    struct control *both[2];
    uint8_t payload[CONTROL_PAYLOAD_MAX] = {0};
    size_t sent = 0;
    open_both(both);
    while (control_send(both[0], CONTROL_NOTICE, payload, sizeof payload) == KOLO_OK) {
        sent += sizeof payload + HEAD;
        assert_true(sent < 4 * (size_t)CONTROL_BACKLOG_MAX);
    }
    assert_true(sent + sizeof payload + HEAD > CONTROL_BACKLOG_MAX);
    assert_int_equal(control_peek(both[0]), -1);
    assert_non_null(strstr(control_cause(both[0]), "read nothing"));
    assert_int_equal(control_send(both[0], CONTROL_BYE, NULL, 0), KOLO_ERR_PEER_LOST);
    control_close(both[0]);
    control_close(both[1]);
}

static void closing_delivers_what_was_sent(void **state)
{
    (void)state;
    struct control *both[2];
    struct control_frame frame;
    open_both(both);
    control_send(both[1], CONTROL_READY, "unread", 6); /* must not turn the close into a reset */
    control_send(both[0], CONTROL_NOTICE, "last words", 10);
    control_send(both[0], CONTROL_BYE, NULL, 0);
    control_close(both[0]);
    assert_int_equal(control_receive(both[1], &frame), 1);
    assert_memory_equal(frame.payload, "last words", 10);
    assert_int_equal(control_receive(both[1], &frame), 1);
    assert_int_equal(frame.kind, CONTROL_BYE);
    assert_int_equal(control_receive(both[1], &frame), -1);
    assert_string_equal(control_cause(both[1]), "it closed the connection");
    assert_int_equal(control_peek(both[1]), -1);
    control_close(both[1]);
}

static void frames_before_the_end_are_taken_first(void **state)
{
    (void)state;
    int other;
    struct control *control = open_one(&other);
    struct control_frame frame;
    put(other, bye, HEAD);
    put(other, bye, HEAD);
    put(other, bye, 5); /* the end comes in the middle of a frame */
    close(other);
    assert_int_equal(control_peek(control), CONTROL_BYE);
    assert_int_equal(control_receive(control, &frame), 1);
    assert_int_equal(control_receive(control, &frame), 1);
    assert_int_equal(control_receive(control, &frame), -1);
    assert_string_equal(control_cause(control), "it closed the connection");
    control_close(control);
}

/* Sending to one that is gone must not raise a signal, nor hide what it said before. */
static void sending_to_the_dead_is_no_harm(void **state)
{
    (void)state;
    int other;
    struct control *control = open_one(&other);
    struct control_frame frame;
    put(other, bye, HEAD);
    close(other);
    for (int i = 0; i < 10; i++) {
        control_send(control, CONTROL_NOTICE, "hello", 5);
    }
    assert_int_equal(control_receive(control, &frame), 1);
    assert_int_equal(frame.kind, CONTROL_BYE);
    assert_int_equal(control_receive(control, &frame), -1);
    assert_string_not_equal(control_cause(control), "");
    control_close(control);
}

static void assert_refused(const uint8_t bytes[HEAD])
{
    int other;
    struct control *control = open_one(&other);
    struct control_frame frame;
    put(other, bye, HEAD);
    put(other, bytes, HEAD);
    put(other, bye, HEAD); /* what follows nonsense is nonsense */
    assert_int_equal(control_receive(control, &frame), 1);
    assert_int_equal(control_receive(control, &frame), -1);
    assert_non_null(strstr(control_cause(control), "makes no sense"));
    assert_int_equal(control_peek(control), -1);
    assert_int_equal(control_receive(control, &frame), -1);
    assert_int_equal(control_send(control, CONTROL_BYE, NULL, 0), KOLO_ERR_PEER_LOST);
    control_close(control);
    close(other);
}

static void nonsense_ends_the_connection_with_its_cause(void **state)
{
    (void)state;
    const uint8_t too_long[HEAD] = {1, 6, 0, 0, CONTROL_BYE, 0, 0x6f, 0x6b}; /* 1537 bytes */
    const uint8_t huge[HEAD] = {0xff, 0xff, 0xff, 0xff, CONTROL_BYE, 0, 0x6f, 0x6b};
    const uint8_t no_kind[HEAD] = {0, 0, 0, 0, 0, 0, 0x6f, 0x6b};
    const uint8_t other_kind[HEAD] = {0, 0, 0, 0, CONTROL_BYE + 1, 0, 0x6f, 0x6b};
    const uint8_t no_check[HEAD] = {0, 0, 0, 0, CONTROL_BYE, 0, 0x6f, 0x6c};
    assert_refused(too_long);
    assert_refused(huge);
    assert_refused(no_kind);
    assert_refused(other_kind);
    assert_refused(no_check);
    assert_refused((const uint8_t *)"GET / HT");
}

static void nothing_is_left_open(void **state)
{
    (void)state;
    int other;
    struct control *control = open_one(&other);
    int fd = control_fd(control);
    control_close(control);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
    close(other);
    control_close(NULL);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_arrive_in_order_and_whole),
        cmocka_unit_test(a_frame_may_come_byte_by_byte),
        cmocka_unit_test(looking_does_not_take),
        cmocka_unit_test(many_frames_wait_until_they_are_read),
        cmocka_unit_test(a_peer_that_reads_nothing_is_given_up),
        cmocka_unit_test(closing_delivers_what_was_sent),
        cmocka_unit_test(frames_before_the_end_are_taken_first),
        cmocka_unit_test(sending_to_the_dead_is_no_harm),
        cmocka_unit_test(nonsense_ends_the_connection_with_its_cause),
        cmocka_unit_test(nothing_is_left_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
