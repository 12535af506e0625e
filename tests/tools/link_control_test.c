/* The connection between the two ends of a measurement, with a peer that cuts, stalls and lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h" /* before cmocka, whose fail() is a macro */
#include "tools/link_control.h"

#include <cmocka.h>

struct ends {
    struct link_control control; /* ours */
    int peer;
};

static struct ends connect_ends(void)
{
    int fds[2];
    struct ends ends;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    link_control_init(&ends.control, fds[0], "the peer");
    ends.peer = fds[1];
    return ends;
}

static void close_ends(struct ends *ends)
{
    link_control_close(&ends->control);
    close(ends->peer);
}

static uint64_t soon(void)
{
    return clock_now_ns() + 20 * NS_PER_MS;
}

static void frames_go_through(void **state)
{
    (void)state;
    struct ends ends = connect_ends();
    struct link_control theirs;
    static uint8_t payload[LINK_FRAME_BYTES];
    static struct link_frame frame;
    memset(payload, 'x', sizeof payload);
    link_control_init(&theirs, ends.peer, "us");
    assert_int_equal(link_control_send(&ends.control, LINK_FRAME_REQUEST, payload, sizeof payload),
                     KOLO_OK);
    assert_int_equal(link_control_send(&ends.control, LINK_FRAME_CLOSE, NULL, 0), KOLO_OK);
    assert_int_equal(link_control_expect(&theirs, &frame, LINK_FRAME_REQUEST, soon()), KOLO_OK);
    assert_int_equal(frame.bytes, sizeof payload);
    assert_memory_equal(frame.payload, payload, sizeof payload);
    assert_int_equal(link_control_expect(&theirs, &frame, LINK_FRAME_CLOSE, soon()), KOLO_OK);
    assert_int_equal(frame.bytes, 0);
    bool got = true;
    assert_int_equal(link_control_try(&theirs, &frame, &got), KOLO_OK);
    assert_false(got);
    close_ends(&ends);
}

static void byte_by_byte(void **state)
{
    (void)state;
    struct ends ends = connect_ends();
    static struct link_frame frame;
    const uint8_t bytes[] = {3, 0, 0, 0, LINK_FRAME_DONE, 0, 0, 0, 'a', 'b', 'c'};
    for (size_t i = 0; i < sizeof bytes; i++) {
        bool got = true;
        assert_int_equal(link_control_try(&ends.control, &frame, &got), KOLO_OK);
        assert_false(got);
        assert_int_equal(write(ends.peer, &bytes[i], 1), 1);
    }
    assert_int_equal(link_control_expect(&ends.control, &frame, LINK_FRAME_DONE, soon()), KOLO_OK);
    assert_int_equal(frame.bytes, 3);
    assert_memory_equal(frame.payload, "abc", 3);
    close_ends(&ends);
}

static void silence_and_loss(void **state)
{
    (void)state;
    struct ends ends = connect_ends();
    static struct link_frame frame;
    assert_int_equal(link_control_expect(&ends.control, &frame, LINK_FRAME_DONE, soon()),
                     KOLO_ERR_TIMEOUT);
    assert_int_equal(write(ends.peer, "\x05\0\0\0", 4), 4); /* a part of a frame */
    shutdown(ends.peer, SHUT_RDWR);
    assert_int_equal(link_control_expect(&ends.control, &frame, LINK_FRAME_DONE, soon()),
                     KOLO_ERR_PEER_LOST);
    assert_non_null(strstr(kolo_last_error(), "the peer"));
    assert_int_equal(link_control_send(&ends.control, LINK_FRAME_DONE, "x", 1), KOLO_ERR_PEER_LOST);
    close_ends(&ends);
}

static void lies(void **state)
{
    (void)state;
    static const uint8_t wrong[][8] = {
        {1, 32, 0, 0, LINK_FRAME_DONE, 0, 0, 0},        /* longer than a frame may be */
        {255, 255, 255, 255, LINK_FRAME_DONE, 0, 0, 0}, /* much longer */
        {0, 0, 0, 0, 0, 0, 0, 0},                       /* no type */
        {0, 0, 0, 0, LINK_FRAME_TYPES, 0, 0, 0},        /* not a type */
        {0, 0, 0, 0, LINK_FRAME_DONE, 1, 0, 0},         /* nor this */
        {0, 0, 0, 0, LINK_FRAME_OPEN, 0, 0, 0},         /* another one */
        {'G', 'E', 'T', ' ', '/', ' ', 'H', 'T'},
    };
    static struct link_frame frame;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ends ends = connect_ends();
        assert_int_equal(write(ends.peer, wrong[i], sizeof wrong[i]), sizeof wrong[i]);
        assert_int_equal(link_control_expect(&ends.control, &frame, LINK_FRAME_DONE, soon()),
                         KOLO_ERR_PROTOCOL);
        close_ends(&ends);
    }
}

static void reasons_arrive(void **state)
{
    (void)state;
    struct ends ends = connect_ends();
    struct link_control theirs;
    static struct link_frame frame;
    link_control_init(&theirs, ends.peer, "us");
    link_control_send_failure(&theirs, fail_quietly(KOLO_ERR_LIMIT, "no room\nfor %d", 7));
    assert_int_equal(link_control_expect(&ends.control, &frame, LINK_FRAME_DONE, soon()),
                     KOLO_ERR_LIMIT);
    assert_string_equal(kolo_last_error(), "the peer: no room for 7");
    const uint8_t nonsense[] = {4, 0, 0, 0, LINK_FRAME_FAILED, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(write(ends.peer, nonsense, sizeof nonsense), sizeof nonsense);
    assert_int_equal(link_control_expect(&ends.control, &frame, LINK_FRAME_DONE, soon()),
                     KOLO_ERR_PROTOCOL);
    close_ends(&ends);
}

static void hellos(void **state)
{
    (void)state;
    struct link_hello sent = {
        .version = 9, .purpose = LINK_PURPOSE_STREAM, .index = 5, .token = 77};
    struct link_hello got;
    uint8_t bytes[LINK_HELLO_BYTES];
    link_hello_encode(bytes, &sent);
    assert_true(link_hello_decode(&got, bytes));
    assert_int_equal(got.version, 9);
    assert_int_equal(got.purpose, LINK_PURPOSE_STREAM);
    assert_int_equal(got.index, 5);
    assert_int_equal(got.token, 77);
    for (unsigned i = 0; i < 4; i++) { /* the magic */
        bytes[i] ^= 1;
        assert_false(link_hello_decode(&got, bytes));
        bytes[i] ^= 1;
    }
    assert_true(link_hello_decode(&got, bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_go_through), cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(silence_and_loss),  cmocka_unit_test(lies),
        cmocka_unit_test(reasons_arrive),    cmocka_unit_test(hellos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
