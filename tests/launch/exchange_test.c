/* Contacts over PMI-1, from the environment to the list, in processes of their own: a conversation is the process's. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/launch/exchange.h"
#include "tests/launch/child.h"
#include "tests/launch/pmi_server.h"

#define LONG_NS (20 * NS_PER_S)
#define SHORT_NS (50 * NS_PER_MS)
#define OWN "10.0.0.1:41"
#define PUT(round)                                                                                 \
    {                                                                                              \
        "cmd=put kvsname=kvs_1_0_h key=kolo-" #round "-1 value=" OWN,                              \
            "cmd=put_result rc=0 msg=success\n"                                                    \
    }
#define BARRIER                                                                                    \
    {                                                                                              \
        "cmd=barrier_in", "cmd=barrier_out\n"                                                      \
    }
#define GET(round, rank, text)                                                                     \
    {                                                                                              \
        "cmd=get kvsname=kvs_1_0_h key=kolo-" #round "-" #rank,                                    \
            "cmd=get_result rc=0 msg=success value=" text "\n"                                     \
    }
#define FINALIZE                                                                                   \
    {                                                                                              \
        "cmd=finalize", "cmd=finalize_ack\n"                                                       \
    }

static const char *mpi; /* the path of an MPI library that does as it is told */
static struct launch launch;

/* Rank 1 of 3, on two hosts. */
static void prepare(int fd)
{
    char text[16];
    snprintf(text, sizeof text, "%d", fd);
    setenv("PMI_FD", text, 1);
    setenv("PMI_RANK", "1", 1);
    setenv("PMI_SIZE", "3", 1);
    setenv("MPI_LOCALNRANKS", "2", 1);
    assert_int_equal(launch_read(&launch, NULL), KOLO_OK);
    assert_int_equal(launch.channel, LAUNCH_PMI);
    assert_int_equal(launch.contacts, 0);
}

static kolo_status exchange(uint64_t span_ns)
{
    kolo_status status = exchange_join(&launch, clock_now_ns() + span_ns);
    return status == KOLO_OK ? exchange_contacts(&launch, OWN, clock_now_ns() + span_ns) : status;
}

static void check_contact(unsigned i, const char *host, int port)
{
    assert_true(i < launch.contacts);
    assert_string_equal(launch.contact[i].host, host);
    assert_int_equal(launch.contact[i].port, port);
}

static void check_error(kolo_status status, kolo_status expected, const char *part)
{
    const char *error = kolo_last_error();
    if (status != expected || strstr(error, part) == NULL || strstr(error, "MPICH") == NULL ||
        strstr(error, "-genv KOLO_PEERS") == NULL) {
        fail_msg("%s \"%s\" is not %s and \"%s\" with its cure", kolo_status_name(status), error,
                 kolo_status_name(expected), part);
    }
}

static void check_farewell(void)
{
    assert_int_equal(pmi_server_stop(), 12); /* all of two_rounds */
}

static const struct pmi_turn two_rounds[] = {PMI_INIT,
                                             PMI_MAXES,
                                             PMI_SPACE,
                                             PUT(0),
                                             BARRIER,
                                             GET(0, 2, "10.0.0.2:42,[fd00::2]:42"),
                                             GET(0, 0, "10.0.0.1:40"),
                                             PUT(1),
                                             BARRIER,
                                             GET(1, 2, "10.0.0.2:52"),
                                             GET(1, 0, "10.0.0.1:50"),
                                             FINALIZE,
                                             {0}};

static void open_twice(void)
{
    atexit(check_farewell); /* registered first, so it runs last */
    prepare(pmi_server_start(two_rounds));
    assert_string_equal(launch.run_id, "");
    assert_int_equal(exchange(LONG_NS), KOLO_OK);
    assert_string_equal(launch.run_id, "mpich-kvs_1_0_h");
    assert_int_equal(launch.contacts, 3);
    check_contact(0, "10.0.0.2", 42);
    check_contact(1, "fd00::2", 42);
    check_contact(2, "10.0.0.1", 40);
    setenv("KOLO_RUN_ID", "mine", 1);
    assert_int_equal(launch_read(&launch, NULL), KOLO_OK);
    assert_int_equal(exchange(LONG_NS), KOLO_OK);
    assert_string_equal(launch.run_id, "mine");
    assert_int_equal(launch.contacts, 2);
    check_contact(0, "10.0.0.2", 52);
}

static void contacts_twice_and_a_farewell(void **state)
{
    (void)state;
    in_a_child(open_twice);
}

static const char *strange;

static void take_strange(void)
{
    const struct pmi_turn script[] = {PMI_INIT,        PMI_MAXES,       PMI_SPACE, PUT(0), BARRIER,
                                      {NULL, strange}, {NULL, strange}, FINALIZE,  {0}};
    prepare(pmi_server_start(script));
    check_error(exchange(LONG_NS), KOLO_ERR_PROTOCOL, "what rank 2 says of itself");
    pmi_server_stop();
}

static void addresses_that_are_none(void **state)
{
    (void)state;
    static const char *const cases[] = {"host:42",      "file:/etc/passwd",
                                        "dns:a:1",      "10.0.0.1",
                                        "10.0.0.1:0",   "10.0.0.1:65536",
                                        "fd00::2:42",   "[10.0.0.1]:1",
                                        "10.0.0.2:42,", "10.0.0.2:+1",
                                        "[fd00::2]",    "[]:1",
                                        ":1",           "[:1"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char answer[128];
        snprintf(answer, sizeof answer, "cmd=get_result rc=0 msg=success value=%s\n", cases[i]);
        strange = answer;
        in_a_child(take_strange);
    }
}

static void wait_in_vain(void)
{
    static const struct pmi_turn script[] = {
        PMI_INIT, PMI_MAXES, PMI_SPACE, PUT(0), {"cmd=barrier_in", NULL}, {0}};
    prepare(pmi_server_start(script));
    check_error(exchange(SHORT_NS), KOLO_ERR_TIMEOUT, "not all of them have called kolo_open");
    check_error(exchange(LONG_NS), KOLO_ERR_STATE, "has failed before"); /* not asked again */
    assert_int_equal(pmi_server_stop(), 5);
}

static void a_rank_that_never_comes(void **state)
{
    (void)state;
    in_a_child(wait_in_vain);
}

static void use_a_file(void)
{
    int fd = open("/dev/null", O_RDWR);
    prepare(fd);
    check_error(exchange(LONG_NS), KOLO_ERR_SYSTEM, "is no open socket");
}

static void use_nothing(void)
{
    prepare(999);
    check_error(exchange(LONG_NS), KOLO_ERR_SYSTEM, "PMI_FD=999 is no open socket");
}

static void a_descriptor_that_is_no_socket(void **state)
{
    (void)state;
    in_a_child(use_a_file);
    in_a_child(use_nothing);
}

/* What a program starts itself must not talk with its parent's launcher, nor say good-bye for it. */
static void fork_and_use(void)
{
    prepare(pmi_server_start(two_rounds));
    assert_int_equal(exchange(LONG_NS), KOLO_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        check_error(exchange(LONG_NS), KOLO_ERR_STATE, "child of the process");
        exit(0);
    }
    int end = 0;
    assert_int_equal(waitpid(child, &end, 0), child);
    assert_int_equal(end, 0);
    assert_int_equal(pmi_server_stop(), 7);
}

static void children_keep_silent(void **state)
{
    (void)state;
    in_a_child(fork_and_use);
}

static void load_mpi(const char *state)
{
    setenv("FAKE_MPI", state, 1);
    assert_non_null(dlopen(mpi, RTLD_NOW | RTLD_LOCAL));
}

/* MPI has begun, and will end it; kolo may go on where nobody else can be talking. */
static const struct pmi_turn middle[] = {
    PMI_MAXES, PMI_SPACE, PUT(0), BARRIER, GET(0, 2, "10.0.0.2:42"), GET(0, 0, "10.0.0.1:40"), {0}};

static void check_middle(void)
{
    assert_int_equal(pmi_server_stop(), 6);
}

static void join_mpi(void)
{
    atexit(check_middle);
    load_mpi("idle");
    prepare(pmi_server_start(middle));
    assert_int_equal(exchange(LONG_NS), KOLO_OK);
}

/* Kolo has begun; MPI has come since, and has ended it. */
static void check_no_farewell(void)
{
    assert_int_equal(pmi_server_stop(), 7);
}

static void leave_it_to_mpi(void)
{
    atexit(check_no_farewell);
    load_mpi("loaded");
    prepare(pmi_server_start(two_rounds));
    assert_int_equal(exchange(LONG_NS), KOLO_OK);
    setenv("FAKE_MPI", "over", 1);
}

static void mpi_in_one_process_with_kolo(void **state)
{
    (void)state;
    in_a_child(join_mpi);
    in_a_child(leave_it_to_mpi);
}

static void keep_out(void)
{
    load_mpi("shared");
    prepare(pmi_server_start(two_rounds));
    check_error(exchange(LONG_NS), KOLO_ERR_STATE, "another thread may be using");
    setenv("FAKE_MPI", "elsewhere", 1);
    check_error(exchange(LONG_NS), KOLO_ERR_STATE, "another thread may be using");
    setenv("FAKE_MPI", "over", 1);
    check_error(exchange(LONG_NS), KOLO_ERR_STATE, "MPI_Finalize has closed");
    assert_int_equal(pmi_server_stop(), 0);
}

static void mpi_that_may_be_talking(void **state)
{
    (void)state;
    in_a_child(keep_out);
}

static void check_choice(int rank, int size)
{
    struct exchange some = {.rank = rank, .size = size};
    exchange_choose(&some);
    assert_true(some.peers <= EXCHANGE_PEERS_MAX);
    if (size - 1 <= EXCHANGE_PEERS_MAX) {
        assert_int_equal(some.peers, size - 1);
    } else {
        assert_int_equal(some.peer[0].rank, (rank + 1) % size);
    }
    for (unsigned i = 0; i < some.peers; i++) {
        assert_in_range(some.peer[i].rank, 0, size - 1);
        assert_int_not_equal(some.peer[i].rank, rank);
        for (unsigned j = 0; j < i; j++) {
            assert_int_not_equal(some.peer[i].rank, some.peer[j].rank);
        }
    }
}

static void whose_addresses_are_read(void **state)
{
    (void)state;
    for (int size = 1; size <= 200; size++) {
        for (int rank = 0; rank < size; rank++) {
            check_choice(rank, size);
        }
    }
    check_choice(0, LAUNCH_SIZE_MAX);
    check_choice(LAUNCH_SIZE_MAX - 1, LAUNCH_SIZE_MAX);
}

static void nothing_without_a_channel(void **state)
{
    (void)state;
    memset(&launch, 0, sizeof launch);
    assert_int_equal(exchange(LONG_NS), KOLO_OK);
    assert_int_equal(launch.contacts, 0);
}

int main(int arguments, char **argument)
{
    if (arguments != 2) {
        fprintf(stderr, "usage: exchange_test LIBRARY_OF_MPI\n");
        return 2;
    }
    mpi = argument[1];
    setenv("KOLO_LOG", "none", 1);
    setenv("KOLO_LAUNCHER", "mpich", 1);
    static const char *const names[] = {"KOLO_RANK", "KOLO_SIZE",   "KOLO_PEERS",
                                        "KOLO_PORT", "KOLO_RUN_ID", "MPI_LOCALRANKID"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contacts_twice_and_a_farewell),
        cmocka_unit_test(addresses_that_are_none),
        cmocka_unit_test(a_rank_that_never_comes),
        cmocka_unit_test(a_descriptor_that_is_no_socket),
        cmocka_unit_test(children_keep_silent),
        cmocka_unit_test(mpi_in_one_process_with_kolo),
        cmocka_unit_test(mpi_that_may_be_talking),
        cmocka_unit_test(whose_addresses_are_read),
        cmocka_unit_test(nothing_without_a_channel),
    };
    return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
