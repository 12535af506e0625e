/* The PMI-1 conversation with a server that answers well, badly, too much, too little or not at all. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/launch/pmi.h"
#include "tests/launch/pmi_server.h"

#define LONG_NS (20 * NS_PER_S)
#define SHORT_NS (50 * NS_PER_MS)

static struct pmi talk_to(const struct pmi_turn *script)
{
    struct pmi pmi = {
        .fd = pmi_server_start(script), .space = "kvs_1_0_h", .key_bytes = 64, .value_bytes = 1024};
    return pmi;
}

static uint64_t after(uint64_t span_ns)
{
    return clock_now_ns() + span_ns;
}

static void check_error(kolo_status status, kolo_status expected, const char *part)
{
    if (status != expected || strstr(kolo_last_error(), part) == NULL) {
        fail_msg("%s \"%s\" is not %s and \"%s\"", kolo_status_name(status), kolo_last_error(),
                 kolo_status_name(expected), part);
    }
}

static void a_whole_conversation(void **state)
{
    (void)state;
    static const struct pmi_turn script[] = {
        PMI_INIT,
        PMI_MAXES,
        PMI_SPACE,
        {"cmd=put kvsname=kvs_1_0_h key=kolo-0-1 value=10.0.0.1:42,[fd00::1]:42",
         "cmd=put_result rc=0 msg=success\n"},
        {"cmd=barrier_in", "cmd=barrier_out\n"},
        {"cmd=get kvsname=kvs_1_0_h key=kolo-0-0",
         "cmd=get_result rc=0 msg=success value=10.0.0.2:7\n"},
        {"cmd=finalize", "cmd=finalize_ack\n"},
        {0}};
    struct pmi pmi = {.fd = pmi_server_start(script)};
    char value[64];
    assert_int_equal(pmi_init(&pmi, after(LONG_NS)), KOLO_OK);
    assert_int_equal(pmi_ask_space(&pmi, after(LONG_NS)), KOLO_OK);
    assert_string_equal(pmi.space, "kvs_1_0_h");
    assert_int_equal(pmi.key_bytes, 64);
    assert_int_equal(pmi.value_bytes, 1024);
    assert_int_equal(pmi_put(&pmi, "kolo-0-1", "10.0.0.1:42,[fd00::1]:42", after(LONG_NS)),
                     KOLO_OK);
    assert_int_equal(pmi_barrier(&pmi, after(LONG_NS)), KOLO_OK);
    assert_int_equal(pmi_get(&pmi, value, sizeof value, "kolo-0-0", after(LONG_NS)), KOLO_OK);
    assert_string_equal(value, "10.0.0.2:7");
    assert_int_equal(pmi_finalize(&pmi, after(LONG_NS)), KOLO_OK);
    assert_int_equal(pmi_server_stop(), 7);
}

static void answers_of_other_servers(void **state)
{
    (void)state;
    static const struct pmi_turn script[] = {
        {NULL, "cmd=maxes rc=0 kvsname_max=256  keylen_max=64 vallen_max=1024 \n"},
        {NULL, " rc=0 kvsname=b cmd=my_kvsname\n"},
        {NULL, "cmd=barrier_out rc=0\n"},
        {0}};
    struct pmi pmi = talk_to(script);
    assert_int_equal(pmi_ask_space(&pmi, after(LONG_NS)), KOLO_OK);
    assert_string_equal(pmi.space, "b");
    assert_int_equal(pmi_barrier(&pmi, after(LONG_NS)), KOLO_OK);
    pmi_server_stop();
}

/* What one answer to a get leads to. */
static void bad_answers(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        kolo_status expected;
        const char *part;
    } cases[] = {
        {"cmd=get_result rc=-1 msg=key_kolo-0-0_not_found value=unknown\n", KOLO_ERR_SYSTEM,
         "not_found"},
        {"cmd=put_result rc=0 msg=success\n", KOLO_ERR_PROTOCOL, "is no answer to \"get\""},
        {"\n", KOLO_ERR_PROTOCOL, "is no answer to \"get\""},
        {"\x01\x02\xff garbage\n", KOLO_ERR_PROTOCOL, "is no answer to \"get\""},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", KOLO_ERR_PROTOCOL, "more than one answer"},
        {"cmd=get_result rc=0 value=a\ncmd=barrier_out\n", KOLO_ERR_PROTOCOL,
         "more than one answer"},
        {"cmd=get_result rc=0 msg=success\n", KOLO_ERR_PROTOCOL, "has no value"},
        {"cmd=get_result rc=0 value=123456789012345678901234567890123\n", KOLO_ERR_PROTOCOL,
         "at most 31 bytes"},
        {"", KOLO_ERR_SYSTEM, "closed the connection at \"get\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct pmi_turn script[] = {
            {"cmd=get kvsname=kvs_1_0_h key=kolo-0-0", cases[i].answer}, {0}};
        struct pmi pmi = talk_to(script);
        char value[32] = "untouched";
        check_error(pmi_get(&pmi, value, sizeof value, "kolo-0-0", after(LONG_NS)),
                    cases[i].expected, cases[i].part);
        assert_string_equal(value, "untouched");
        pmi_server_stop();
    }
}

static void bad_limits(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"cmd=maxes kvsname_max=256 keylen_max=64\n", "vallen_max"},
        {"cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=12\n", "vallen_max"},
        {"cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1e9\n", "vallen_max"},
        {"cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=99999999999\n", "vallen_max"},
        {"cmd=maxes kvsname_max=256 keylen_max=-1 vallen_max=1024\n", "keylen_max"},
        {"cmd=maxes kvsname_max=256 keylen_max= vallen_max=1024\n", "keylen_max"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct pmi_turn script[] = {{NULL, cases[i][0]}, {0}};
        struct pmi pmi = talk_to(script);
        check_error(pmi_ask_space(&pmi, after(LONG_NS)), KOLO_ERR_PROTOCOL, cases[i][1]);
        pmi_server_stop();
    }
}

static void silence_has_an_end(void **state)
{
    (void)state;
    static const struct pmi_turn script[] = {{"cmd=barrier_in", NULL}, {0}};
    static const struct pmi_turn half[] = {{NULL, "cmd=barrier_o"}, {0}};
    struct pmi pmi = talk_to(script);
    uint64_t begin_ns = clock_now_ns();
    check_error(pmi_barrier(&pmi, after(SHORT_NS)), KOLO_ERR_TIMEOUT,
                "no answer to \"barrier_in\" in time");
    assert_true(clock_now_ns() - begin_ns >= SHORT_NS);
    pmi_server_stop();
    pmi = talk_to(half);
    check_error(pmi_barrier(&pmi, after(SHORT_NS)), KOLO_ERR_TIMEOUT, "in time");
    pmi_server_stop();
}

static void too_long_an_answer(void **state)
{
    (void)state;
    static char answer[2 * PMI_LINE_MAX];
    memset(answer, 'x', sizeof answer - 1);
    const struct pmi_turn script[] = {{NULL, answer}, {0}};
    struct pmi pmi = talk_to(script);
    check_error(pmi_barrier(&pmi, after(LONG_NS)), KOLO_ERR_PROTOCOL, "longer than 4096 bytes");
    pmi_server_stop();
    static char name[PMI_NAME_MAX + 64] = "cmd=my_kvsname kvsname=";
    memset(name + strlen(name), 'n', PMI_NAME_MAX);
    strcat(name, "\n");
    const struct pmi_turn long_name[] = {PMI_MAXES, {NULL, name}, {0}};
    pmi = talk_to(long_name);
    check_error(pmi_ask_space(&pmi, after(LONG_NS)), KOLO_ERR_PROTOCOL, "1 to 255 letters");
    pmi_server_stop();
}

static void too_long_a_question(void **state)
{
    (void)state;
    static const struct pmi_turn script[] = {{0}};
    struct pmi pmi = talk_to(script);
    pmi.value_bytes = 11;
    check_error(pmi_put(&pmi, "key", "10.0.0.1:42", after(LONG_NS)), KOLO_ERR_LIMIT,
                "values of 11");
    pmi.value_bytes = 1024;
    pmi.key_bytes = 3;
    check_error(pmi_put(&pmi, "key", "10.0.0.1:42", after(LONG_NS)), KOLO_ERR_LIMIT,
                "keys of 3 bytes");
    assert_int_equal(pmi_server_stop(), 0); /* nothing was said */
}

/* An answer to another's question is on its way: neither may be taken for the other. */
static void somebody_else_is_talking(void **state)
{
    (void)state;
    static const struct pmi_turn script[] = {{"cmd=get kvsname=x key=y", "cmd=get_result rc=0\n"},
                                             {0}};
    struct pmi pmi = talk_to(script);
    const char question[] = "cmd=get kvsname=x key=y\n";
    char answer[64];
    assert_int_equal(write(pmi.fd, question, sizeof question - 1), sizeof question - 1);
    while (read(pmi.fd, answer, 1) != 1) {
    }
    check_error(pmi_barrier(&pmi, after(LONG_NS)), KOLO_ERR_PROTOCOL, "somebody else");
    assert_int_equal(pmi_server_stop(), 1);
}

static void fields(void **state)
{
    (void)state;
    char value[8];
    assert_true(pmi_field(value, sizeof value, "cmd=a rc=0 value=x=y", "value"));
    assert_string_equal(value, "x=y");
    assert_true(pmi_field(value, sizeof value, "value= cmd=a", "value"));
    assert_string_equal(value, "");
    assert_true(pmi_field(value, sizeof value, "xrc=1 rc=2", "rc"));
    assert_string_equal(value, "2");
    assert_false(pmi_field(value, sizeof value, "rc", "rc"));
    assert_false(pmi_field(value, sizeof value, "", "rc"));
    assert_false(pmi_field(value, sizeof value, "rc=12345678", "rc"));
    assert_true(pmi_field(value, sizeof value, "rc=1234567", "rc"));
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_conversation),
        cmocka_unit_test(answers_of_other_servers),
        cmocka_unit_test(bad_answers),
        cmocka_unit_test(bad_limits),
        cmocka_unit_test(silence_has_an_end),
        cmocka_unit_test(too_long_an_answer),
        cmocka_unit_test(too_long_a_question),
        cmocka_unit_test(somebody_else_is_talking),
        cmocka_unit_test(fields),
    };
    return cmocka_run_group_tests_name("pmi", tests, NULL, NULL);
}
