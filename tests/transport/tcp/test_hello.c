/* The hello as bytes: what is right comes through, every single field that is wrong is refused for its own reason, and no frame
 * however hostile does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "transport/tcp/hello.h"

#define RANDOM_FRAMES 100000

static const uint8_t self[TRANSPORT_ID_BYTES] = "this process 01";
static const uint8_t other[TRANSPORT_ID_BYTES] = "other process 2";
static const uint8_t run[PORT_RUN_BYTES] = "run seventeen 4";
static const uint8_t other_run[PORT_RUN_BYTES] = "run eighteen  4";

static struct port_hello good_hello(void)
{
    struct port_hello hello = {.purpose = PORT_LANE, .lane = 1, .token = 0x1122334455667788u};
    memcpy(hello.from, other, sizeof other);
    memcpy(hello.to, self, sizeof self);
    return hello;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void a_hello_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t frame[HELLO_BYTES];
    struct port_hello sent = good_hello();
    struct port_hello got;
    hello_encode(frame, &sent, run);
    assert_int_equal(hello_wants(frame, HELLO_BYTES), HELLO_BYTES);
    assert_int_equal(hello_decode(&got, frame, HELLO_BYTES, self, run), PORT_WELCOME);
    assert_memory_equal(got.from, other, sizeof other);
    assert_memory_equal(got.to, self, sizeof self);
    assert_int_equal(got.purpose, PORT_LANE);
    assert_int_equal(got.lane, 1);
    assert_int_equal(got.token, sent.token);
}

static void a_hello_to_whoever_listens_is_welcome(void **state)
{
    (void)state;
    uint8_t frame[HELLO_BYTES];
    struct port_hello sent = good_hello();
    struct port_hello got;
    memset(sent.to, 0, sizeof sent.to);
    hello_encode(frame, &sent, run);
    assert_int_equal(hello_decode(&got, frame, HELLO_BYTES, self, run), PORT_WELCOME);
}

static enum port_verdict verdict_on(const struct port_hello *hello, const uint8_t *of_run)
{
    uint8_t frame[HELLO_BYTES];
    struct port_hello got;
    hello_encode(frame, hello, of_run);
    return hello_decode(&got, frame, HELLO_BYTES, self, run);
}

static void each_wrong_field_has_its_verdict(void **state)
{
    (void)state;
    struct port_hello hello = good_hello();
    assert_int_equal(verdict_on(&hello, other_run), PORT_REFUSED_RUN);
    memcpy(hello.from, self, sizeof self);
    assert_int_equal(verdict_on(&hello, run), PORT_REFUSED_SELF);
    hello = good_hello();
    memset(hello.from, 0, sizeof hello.from);
    assert_int_equal(verdict_on(&hello, run), PORT_REFUSED_GARBAGE);
    hello = good_hello();
    hello.to[3] ^= 1;
    assert_int_equal(verdict_on(&hello, run), PORT_REFUSED_IDENTITY);
}

static void every_byte_of_the_head_counts(void **state)
{
    (void)state;
    struct port_hello sent = good_hello();
    struct port_hello got;
    for (size_t i = 0; i < HELLO_HEAD_BYTES + PORT_RUN_BYTES; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t frame[HELLO_BYTES];
            hello_encode(frame, &sent, run);
            frame[i] ^= (uint8_t)(1u << bit);
            enum port_verdict verdict = hello_decode(&got, frame, HELLO_BYTES, self, run);
            if (i < 4 || i == 6 || i == 7) {
                assert_int_equal(verdict, PORT_REFUSED_GARBAGE);
            } else if (i < 6) {
                assert_int_equal(verdict, PORT_REFUSED_VERSION);
            } else {
                assert_int_equal(verdict, PORT_REFUSED_RUN);
            }
        }
    }
}

static void another_version_may_be_shorter_or_longer_within_limits(void **state)
{
    (void)state;
    uint8_t frame[HELLO_BYTES_MAX] = "KOLO";
    struct port_hello got;
    frame[4] = HELLO_VERSION + 1;
    for (unsigned bytes = 0; bytes <= UINT16_MAX; bytes += 7) {
        frame[6] = (uint8_t)bytes;
        frame[7] = (uint8_t)(bytes >> 8);
        size_t wanted = hello_wants(frame, HELLO_HEAD_BYTES);
        bool possible = bytes >= HELLO_HEAD_BYTES && bytes <= HELLO_BYTES_MAX;
        assert_int_equal(wanted, possible ? bytes : 0);
        if (possible) {
            assert_int_equal(hello_decode(&got, frame, wanted, self, run), PORT_REFUSED_VERSION);
        }
    }
}

static void a_frame_cut_anywhere_is_no_hello_yet(void **state)
{
    (void)state;
    uint8_t frame[HELLO_BYTES];
    struct port_hello sent = good_hello();
    struct port_hello got;
    hello_encode(frame, &sent, run);
    for (size_t length = 0; length < HELLO_BYTES; length++) {
        assert_true(hello_wants(frame, length) > length);
        assert_int_equal(hello_decode(&got, frame, length, self, run), PORT_REFUSED_GARBAGE);
    }
}

static void the_first_wrong_byte_is_enough(void **state)
{
    (void)state;
    assert_int_equal(hello_wants((const uint8_t *)"G", 1), 0);
    assert_int_equal(hello_wants((const uint8_t *)"KOLA", 4), 0);
    assert_int_equal(hello_wants((const uint8_t *)"GET / HTTP/1.1\r\n", 16), 0);
}

/* Half of the frames keep the right magic, version and length, so that the fields behind are reached, too. */
static void random_frames_do_no_harm(void **state)
{
    (void)state;
    uint64_t seed = 20260101;
    unsigned welcome = 0;
    for (unsigned i = 0; i < RANDOM_FRAMES; i++) {
        struct port_hello sent = good_hello();
        struct port_hello got;
        uint8_t encoded[HELLO_BYTES];
        size_t length = (size_t)next_random(&seed) % (HELLO_BYTES_MAX + 1);
        uint8_t *frame =
            malloc(length + 1); /* its own allocation: a sanitizer sees a read past the end */
        assert_non_null(frame);
        for (size_t k = 0; k < length; k++) {
            frame[k] = (uint8_t)next_random(&seed);
        }
        hello_encode(encoded, &sent, run);
        if (i % 2 == 0) {
            size_t kept = length < HELLO_HEAD_BYTES + PORT_RUN_BYTES
                              ? length
                              : HELLO_HEAD_BYTES + PORT_RUN_BYTES;
            memcpy(frame, encoded, kept);
        }
        size_t wanted = hello_wants(frame, length);
        assert_true(wanted <= HELLO_BYTES_MAX);
        welcome += hello_decode(&got, frame, length, self, run) == PORT_WELCOME;
        free(frame);
    }
    assert_int_equal(welcome, 0); /* `to` is never this process by chance */
}

static void an_answer_comes_back_as_it_was(void **state)
{
    (void)state;
    for (unsigned verdict = PORT_WELCOME; verdict <= PORT_REFUSED_SELF; verdict++) {
        uint8_t frame[HELLO_ANSWER_BYTES];
        uint8_t who[TRANSPORT_ID_BYTES];
        hello_encode_answer(frame, (enum port_verdict)verdict, self);
        assert_true(hello_answer_plausible(frame, HELLO_ANSWER_BYTES));
        assert_int_equal(hello_decode_answer(who, frame), verdict);
        assert_memory_equal(who, self, sizeof self);
        assert_true(strlen(hello_verdict_text((enum port_verdict)verdict)) > 0);
    }
}

static void answers_that_are_none_are_garbage(void **state)
{
    (void)state;
    uint8_t frame[HELLO_ANSWER_BYTES];
    uint8_t who[TRANSPORT_ID_BYTES];
    struct port_hello hello = good_hello();
    uint8_t echo[HELLO_BYTES];
    hello_encode(echo, &hello, run);
    assert_int_equal(hello_decode_answer(who, echo), PORT_REFUSED_GARBAGE); /* an echo server */
    hello_encode_answer(frame, PORT_WELCOME, self);
    frame[6] = PORT_REFUSED_SELF + 1;
    assert_int_equal(hello_decode_answer(who, frame), PORT_REFUSED_GARBAGE);
    hello_encode_answer(frame, PORT_WELCOME, self);
    frame[4] = HELLO_VERSION + 1; /* a welcome of another version is none */
    assert_int_equal(hello_decode_answer(who, frame), PORT_REFUSED_VERSION);
    assert_false(hello_answer_plausible((const uint8_t *)"HTTP/1.1 400", 12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_comes_back_as_it_was),
        cmocka_unit_test(a_hello_to_whoever_listens_is_welcome),
        cmocka_unit_test(each_wrong_field_has_its_verdict),
        cmocka_unit_test(every_byte_of_the_head_counts),
        cmocka_unit_test(another_version_may_be_shorter_or_longer_within_limits),
        cmocka_unit_test(a_frame_cut_anywhere_is_no_hello_yet),
        cmocka_unit_test(the_first_wrong_byte_is_enough),
        cmocka_unit_test(random_frames_do_no_harm),
        cmocka_unit_test(an_answer_comes_back_as_it_was),
        cmocka_unit_test(answers_that_are_none_are_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
