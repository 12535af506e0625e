/* Two peers open, reduce, use a queue and close; one call of one kind fails in one of them. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <dirent.h>
#include <errno.h>
#include <kolo/kolo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/fault/failing.h"

#define COUNT 50000
#define NTH_MAX 100000 /* calls of one kind */
#define LIMIT_S 30     /* for one run, on a busy machine */

enum outcome { NOTHING_FAILED = 0, TOLERATED = 1, REPORTED = 2, WRONG = 99 };

static bool all; /* try every call, not only some of the later ones */

static int open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) {
        _exit(WRONG);
    }
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

static kolo_status use(kolo_comm *comm)
{
    static float in[COUNT], out[COUNT];
    uint32_t value = 1;
    kolo_queue *queue = NULL;
    for (size_t i = 0; i < COUNT; i++) {
        in[i] = (float)(kolo_rank(comm) + 1);
    }
    kolo_status status = kolo_all_reduce(comm, out, in, COUNT, KOLO_F32, KOLO_SUM, NULL);
    for (size_t i = 0; i < COUNT && status == KOLO_OK; i++) {
        if (out[i] != 3.0f) {
            fprintf(stderr, "a wrong result: %g\n", (double)out[i]);
            _exit(WRONG);
        }
    }
    if (status == KOLO_OK) {
        status = kolo_queue_create(&queue, comm);
    }
    if (status == KOLO_OK) {
        status = kolo_all_reduce(comm, &value, &value, 1, KOLO_U32, KOLO_SUM, queue);
        kolo_status ended = kolo_queue_destroy(queue);
        status = status == KOLO_OK ? ended : status;
    }
    if (status == KOLO_OK && value != 2) {
        _exit(WRONG);
    }
    return status;
}

static kolo_status run_once(void)
{
    kolo_comm *comm = NULL;
    kolo_status status = kolo_open(&comm, NULL);
    if (status == KOLO_OK) {
        status = use(comm);
        kolo_close(comm);
    }
    if (status != KOLO_OK && kolo_last_error()[0] == '\0') {
        fprintf(stderr, "%s without a word\n", kolo_status_name(status));
        _exit(WRONG);
    }
    return status;
}

static int victim(enum failing_call call, unsigned nth)
{
    int before = open_descriptors();
    failing_arm(call, nth);
    kolo_status status = run_once();
    bool failed = failing_disarm();
    int after = open_descriptors();
    if (after != before) {
        fprintf(stderr, "%d descriptors are left open\n", after - before);
        return WRONG;
    }
    if (!failed && status != KOLO_OK) {
        fprintf(stderr, "%s though nothing failed: %s\n", kolo_status_name(status),
                kolo_last_error());
        return WRONG;
    }
    return !failed ? NOTHING_FAILED : status == KOLO_OK ? TOLERATED : REPORTED;
}

static pid_t start(int rank, const char *folder, const char *transport, enum failing_call call,
                   unsigned nth)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) {
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("KOLO_RANK", rank == 0 ? "0" : "1", 1);
    setenv("KOLO_SIZE", "2", 1);
    setenv("KOLO_PEERS", folder, 1);
    setenv("KOLO_RUN_ID", folder, 1);
    setenv("KOLO_TRANSPORT", transport, 1);
    setenv("KOLO_LOG", "none", 1);
    setenv("KOLO_OPEN_TIMEOUT", "5", 1);
    setenv("KOLO_TIMEOUT", "10", 1);
    setenv("KOLO_PEER_TIMEOUT", "5", 1);
    int result = rank == 1 ? victim(call, nth) : run_once() == KOLO_OK ? 0 : REPORTED;
    _exit(result);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The exit status, or WRONG after a crash or if it does not end. */
static int wait_for(pid_t pid, double limit_s)
{
    int status = 0;
    double end_s = now_s() + limit_s;
    const struct timespec pause = {.tv_nsec = 1000 * 1000};
    while (waitpid(pid, &status, WNOHANG) != pid) {
        if (now_s() > end_s) {
            print_error("it does not end\n");
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return WRONG;
        }
        nanosleep(&pause, NULL);
    }
    if (WIFSIGNALED(status)) {
        print_error("signal %d\n", WTERMSIG(status));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : WRONG;
}

static void remove_folder(const char *folder)
{
    char path[512];
    DIR *directory = opendir(folder);
    for (struct dirent *entry = directory != NULL ? readdir(directory) : NULL; entry != NULL;
         entry = readdir(directory)) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (directory != NULL) {
        closedir(directory);
    }
    rmdir(folder);
}

static int fail_one(const char *transport, enum failing_call call, unsigned nth)
{
    char contacts[] = "file:/tmp/kolo-fault-XXXXXX";
    assert_non_null(mkdtemp(contacts + 5));
    pid_t healthy = start(0, contacts, transport, call, nth);
    int outcome = wait_for(start(1, contacts, transport, call, nth), LIMIT_S);
    if (outcome == REPORTED || outcome == WRONG) {
        kill(healthy, SIGKILL); /* it may be waiting for the other until its limits */
        waitpid(healthy, NULL, 0);
    } else if (wait_for(healthy, LIMIT_S) != 0) {
        print_error("the other peer failed\n");
        outcome = WRONG;
    }
    remove_folder(contacts + 5);
    return outcome;
}

static unsigned step_after(unsigned nth)
{
    return all || nth < 12 ? 1 : nth / 3;
}

static void fail_each(const char *transport)
{
    unsigned wrong = 0;
    for (int call = 0; call < FAILING_CALLS; call++) {
        unsigned count[3] = {0};
        for (unsigned nth = 0; nth < NTH_MAX; nth += step_after(nth)) {
            int outcome = fail_one(transport, (enum failing_call)call, nth);
            if (outcome == NOTHING_FAILED) {
                break;
            }
            if (outcome != TOLERATED && outcome != REPORTED) {
                print_error("%s number %u fails, by %s: outcome %d\n",
                            failing_name((enum failing_call)call), nth, transport, outcome);
                wrong++;
            } else {
                count[outcome]++;
            }
        }
        print_message("%s, %s: %u tolerated, %u reported\n", transport,
                      failing_name((enum failing_call)call), count[TOLERATED], count[REPORTED]);
    }
    assert_int_equal(wrong, 0);
}

static void any_call_may_fail_over_shared_memory(void **state)
{
    (void)state;
    fail_each("shm");
}

static void any_call_may_fail_over_tcp(void **state)
{
    (void)state;
    fail_each("tcp");
}

static void any_call_may_fail_with_both(void **state)
{
    (void)state;
    fail_each("shm,tcp");
}

int main(int count, char **words)
{
    all = count > 1 && strcmp(words[1], "all") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_call_may_fail_over_shared_memory),
        cmocka_unit_test(any_call_may_fail_over_tcp),
    };
    const struct CMUnitTest more[] = {
        cmocka_unit_test(any_call_may_fail_with_both),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return all ? failed + cmocka_run_group_tests(more, NULL, NULL) : failed;
}
