/* Contacts over PMIx, with a library that does as the test says (fake_pmix); each in a process of its own, as PMIx is. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/launch/exchange.h"
#include "tests/launch/child.h"

#define LONG_NS (20 * NS_PER_S)
#define SHORT_NS (50 * NS_PER_MS)
#define OWN "10.0.0.1:41"

static const char *fake, *mpi; /* paths of the libraries */
static struct launch launch;

/* Rank 1 of 3, on two hosts. */
static void prepare(const char *what)
{
    setenv("FAKE_PMIX", what, 1);
    setenv("KOLO_PMIX_LIBRARY", fake, 1);
    setenv("PMIX_NAMESPACE", "job@1", 1);
    setenv("PMIX_RANK", "1", 1);
    setenv("OMPI_COMM_WORLD_RANK", "1", 1);
    setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
    setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1);
    assert_int_equal(launch_read(&launch, NULL), KOLO_OK);
    assert_int_equal(launch.channel, LAUNCH_PMIX);
}

static kolo_status exchange(uint64_t span_ns)
{
    kolo_status status = exchange_join(&launch, clock_now_ns() + span_ns);
    return status == KOLO_OK ? exchange_contacts(&launch, OWN, clock_now_ns() + span_ns) : status;
}

static void check_error(kolo_status status, kolo_status expected, const char *part)
{
    const char *error = kolo_last_error();
    if (status != expected || strstr(error, part) == NULL || strstr(error, "Open MPI") == NULL ||
        strstr(error, "-x KOLO_PEERS") == NULL) {
        fail_msg("%s \"%s\" is not %s and \"%s\" with its cure", kolo_status_name(status), error,
                 kolo_status_name(expected), part);
    }
}

static void open_twice(void)
{
    prepare("well");
    assert_int_equal(exchange(LONG_NS), KOLO_OK);
    assert_string_equal(launch.run_id, "openmpi-job@1");
    assert_int_equal(launch.contacts, 2);
    assert_string_equal(launch.contact[0].host, "10.0.0.12");
    assert_string_equal(launch.contact[1].host, "10.0.0.10");
    assert_int_equal(launch.contact[1].port, 42);
    assert_int_equal(launch_read(&launch, NULL), KOLO_OK);
    assert_int_equal(exchange(CLOCK_FOREVER / 4), KOLO_OK);
    assert_int_equal(launch.contacts, 2);
    if (fork() == 0) { /* a child must not say good-bye for its parent */
        check_error(exchange(LONG_NS), KOLO_ERR_STATE, "child of the process");
        exit(0);
    }
    int end = 0;
    wait(&end);
    assert_int_equal(end, 0);
}

static void what_is_asked(void **state)
{
    (void)state;
    char log[] = "/tmp/kolo-pmix-XXXXXX";
    char text[2048];
    int file = mkstemp(log);
    assert_true(file >= 0);
    setenv("FAKE_PMIX_LOG", log, 1);
    in_a_child(open_twice);
    unsetenv("FAKE_PMIX_LOG");
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    unlink(log);
    assert_true(length > 0);
    text[length] = '\0';
    assert_string_equal(text, "init\n"
                              "put 3 kolo-0 3 " OWN "\n"
                              "commit\n"
                              "fence\n"
                              "get job@1:2 kolo-0\n"
                              "get job@1:0 kolo-0\n"
                              "put 3 kolo-1 3 " OWN "\n"
                              "commit\n"
                              "fence\n"
                              "get job@1:2 kolo-1\n"
                              "get job@1:0 kolo-1\n"
                              "finalize\n");
}

static const struct failure {
    const char *what;
    kolo_status expected;
    const char *part;
} failures[] = {
    {"old", KOLO_ERR_SYSTEM, "says that it is \"PMIx 2.2.5\"; versions 3 to 6 are known"},
    {"new", KOLO_ERR_SYSTEM, "says that it is \"OpenPMIx 7.0.0\""},
    {"no server", KOLO_ERR_SYSTEM, "PMIx_Init failed: ERROR (-25)"},
    {"other job", KOLO_ERR_PROTOCOL, "rank 1 of job other, the environment rank 1 of job@1"},
    {"other rank", KOLO_ERR_PROTOCOL, "rank 2 of job job@1, the environment rank 1"},
    {"no put", KOLO_ERR_SYSTEM, "PMIx_Put failed"},
    {"no commit", KOLO_ERR_SYSTEM, "PMIx_Commit failed"},
    {"no fence", KOLO_ERR_SYSTEM, "PMIx_Fence failed: ERROR (-25)"},
    {"late", KOLO_ERR_TIMEOUT, "not all of them have called kolo_open"},
    {"missing", KOLO_ERR_SYSTEM,
     "rank 2 has not said where it listens: PMIx_Get failed: NOT-FOUND"},
    {"nothing", KOLO_ERR_SYSTEM, "rank 2 has not said where it listens"},
    {"number", KOLO_ERR_PROTOCOL, "rank 2 says of itself is no text"},
    {"null", KOLO_ERR_PROTOCOL, "rank 2 says of itself is no text"},
    {"long", KOLO_ERR_PROTOCOL, "no text of up to 511 bytes"},
    {"garbage", KOLO_ERR_PROTOCOL, "what rank 2 says of itself makes no sense"},
};
static const struct failure *failure;

static void meet_failure(void)
{
    prepare(failure->what);
    check_error(exchange(LONG_NS), failure->expected, failure->part);
}

static void what_fails_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        failure = &failures[i];
        in_a_child(meet_failure);
    }
}

static void wait_in_vain(void)
{
    prepare("hang");
    uint64_t begin_ns = clock_now_ns();
    check_error(exchange(SHORT_NS), KOLO_ERR_TIMEOUT, "has not answered in time");
    assert_true(clock_now_ns() - begin_ns >= SHORT_NS);
    check_error(exchange(LONG_NS), KOLO_ERR_STATE, "has failed before");
}

static void a_library_that_hangs(void **state)
{
    (void)state;
    in_a_child(wait_in_vain);
}

static void load_nothing(void)
{
    fake = "/nowhere/libpmix.so.2";
    prepare("well");
    check_error(exchange(LONG_NS), KOLO_ERR_SYSTEM, "put its path into KOLO_PMIX_LIBRARY");
}

static void load_another(void)
{
    fake = "libm.so.6";
    prepare("well");
    check_error(exchange(LONG_NS), KOLO_ERR_SYSTEM, "has no PMIx_Get_version");
}

static void no_such_library(void **state)
{
    (void)state;
    in_a_child(load_nothing);
    in_a_child(load_another);
}

static void load_mpi(const char *state, const char *version)
{
    setenv("FAKE_MPI", state, 1);
    setenv("FAKE_MPI_VERSION", version, 1);
    assert_non_null(dlopen(mpi, RTLD_NOW | RTLD_LOCAL));
    prepare("well");
}

static void before_open_mpi_4(void)
{
    load_mpi("loaded", "Open MPI v4.1.4");
    assert_int_equal(exchange(LONG_NS), KOLO_OK);
}

static void before_open_mpi_5(void)
{
    load_mpi("loaded", "Open MPI v5.0.11");
    check_error(exchange(LONG_NS), KOLO_ERR_STATE, "call MPI_Init before kolo_open");
    setenv("FAKE_MPI", "shared", 1); /* as told */
    assert_int_equal(exchange(LONG_NS), KOLO_OK);
}

static void after_the_end_of_mpi(void)
{
    load_mpi("over", "Open MPI v4.1.4");
    check_error(exchange(LONG_NS), KOLO_ERR_STATE, "MPI_Finalize has closed");
}

static void mpi_in_one_process_with_kolo(void **state)
{
    (void)state;
    in_a_child(before_open_mpi_4);
    in_a_child(before_open_mpi_5);
    in_a_child(after_the_end_of_mpi);
}

int main(int arguments, char **argument)
{
    if (arguments != 3) {
        fprintf(stderr, "usage: exchange_pmix_test LIBRARY_OF_PMIX LIBRARY_OF_MPI\n");
        return 2;
    }
    fake = argument[1];
    mpi = argument[2];
    setenv("KOLO_LOG", "none", 1);
    setenv("KOLO_LAUNCHER", "openmpi", 1);
    static const char *const names[] = {"KOLO_RANK", "KOLO_SIZE",   "KOLO_PEERS",
                                        "KOLO_PORT", "KOLO_RUN_ID", "OMPI_COMM_WORLD_LOCAL_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked),
        cmocka_unit_test(what_fails_is_named),
        cmocka_unit_test(a_library_that_hangs),
        cmocka_unit_test(no_such_library),
        cmocka_unit_test(mpi_in_one_process_with_kolo),
    };
    return cmocka_run_group_tests_name("exchange_pmix", tests, NULL, NULL);
}
