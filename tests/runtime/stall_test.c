/* Nobody is stuck: a send that is blocked, an abort while bytes flow, a dead peer whose children live on, and many starts on a
 * crowded processor. Each case is named after what once went wrong. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/peers.h"

#define COUNT ((size_t)16 << 20)

/* ---- timers of a transport are not progress ---- */

static int send_to_a_stopped_peer(unsigned rank, void *context)
{
    (void)context;
    kolo_comm *comm = peer_open();
    float *in = calloc(COUNT, sizeof *in), *out = calloc(COUNT, sizeof *out);
    PEER_CHECK(in != NULL && out != NULL, "no memory");
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "barrier");
    if (rank == 1) {
        raise(SIGSTOP);
    }
    double start = peer_now_s();
    kolo_status status = kolo_all_reduce(comm, out, in, COUNT, KOLO_F32, KOLO_SUM, NULL);
    PEER_CHECK(status == KOLO_ERR_TIMEOUT, "%s", kolo_status_name(status));
    PEER_CHECK(peer_said("rank 1"), "who is waited for");
    PEER_CHECK(peer_now_s() - start < 7, "it took %.2f s", peer_now_s() - start);
    kolo_close(comm);
    free(in);
    free(out);
    return 0;
}

static void a_blocked_send_times_out(void **state)
{
    (void)state;
    const char *environment[] = {"KOLO_TRANSPORT=tcp", "KOLO_TIMEOUT=2", "KOLO_PEER_TIMEOUT=4",
                                 "KOLO_LOG=none", NULL};
    struct peers *peers = peers_start(2, send_to_a_stopped_peer, NULL, environment);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)peers_pid(peers, 0), &info, WEXITED | WNOWAIT), 0);
    kill(peers_pid(peers, 1), SIGKILL);
    int status[2];
    peers_wait(peers, 10, status);
    assert_int_equal(status[0], 0);
}

/* ---- an abort is heeded while bytes flow ---- */

static void *abort_soon(void *comm)
{
    const struct timespec soon = {.tv_nsec = 100000000};
    nanosleep(&soon, NULL); /* into the flow */
    kolo_abort(comm);
    return NULL;
}

static int abort_in_the_flow(unsigned rank, void *context)
{
    (void)context;
    kolo_comm *comm = peer_open();
    uint16_t *in = calloc(COUNT * 4, sizeof *in), *out = calloc(COUNT * 4, sizeof *out);
    PEER_CHECK(in != NULL && out != NULL, "no memory");
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "barrier");
    pthread_t thread;
    double start = peer_now_s();
    if (rank == 0) {
        PEER_CHECK(pthread_create(&thread, NULL, abort_soon, comm) == 0, "thread");
    }
    kolo_status status = KOLO_OK;
    while (status == KOLO_OK) {
        status = kolo_all_reduce(comm, out, in, COUNT * 4, KOLO_F16, KOLO_SUM, NULL);
    }
    PEER_CHECK(status == KOLO_ERR_ABORTED, "%s", kolo_status_name(status));
    PEER_CHECK(peer_said("rank 0"), "who");
    PEER_CHECK(peer_now_s() - start < 1.5, "it took %.2f s", peer_now_s() - start);
    if (rank == 0) {
        pthread_join(thread, NULL);
    }
    kolo_close(comm);
    free(in);
    free(out);
    return 0;
}

static void an_abort_is_heeded_while_bytes_flow(void **state)
{
    (void)state;
    const char *shm[] = {"KOLO_TRANSPORT=shm", "KOLO_SIMD=scalar", "KOLO_LOG=none", NULL};
    const char *tcp[] = {"KOLO_TRANSPORT=tcp", "KOLO_SIMD=scalar", "KOLO_LOG=none", NULL};
    peers_run(2, abort_in_the_flow, NULL, shm, 30);
    peers_run(2, abort_in_the_flow, NULL, tcp, 30);
}

/* ---- a dead peer's children do not keep it alive ---- */

static int die_and_leave_a_child(unsigned rank, void *context)
{
    (void)context;
    kolo_comm *comm = peer_open();
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "barrier");
    if (rank == 1) {
        if (fork() == 0) {
            sleep(6); /* a data loader that outlives its parent; bounded */
            _exit(0);
        }
        PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "the parent goes on after a fork");
        raise(SIGKILL);
    }
    /* rank 1 may die while this one still waits for the third rank in the same barrier, so that one may be the last */
    double start = peer_now_s();
    kolo_status status = kolo_barrier(comm, NULL);
    if (status == KOLO_OK) {
        start = peer_now_s();
        status = kolo_barrier(comm, NULL);
    }
    PEER_CHECK(status == KOLO_ERR_PEER_LOST, "%s", kolo_status_name(status));
    PEER_CHECK(peer_said("rank 1"), "who");
    PEER_CHECK(peer_now_s() - start < 2, "it took %.2f s", peer_now_s() - start);
    kolo_close(comm);
    return 0;
}

static void a_dead_peer_with_living_children_is_lost(void **state)
{
    (void)state;
    static const char *const wires[] = {"KOLO_TRANSPORT=tcp", "KOLO_TRANSPORT=shm"};
    for (unsigned i = 0; i < 2; i++) {
        const char *environment[] = {wires[i], "KOLO_LOG=none", NULL};
        int status[3];
        peers_wait(peers_start(3, die_and_leave_a_child, NULL, environment), 20, status);
        assert_int_equal(status[0], 0);
        assert_true(WIFSIGNALED(status[1]));
        assert_int_equal(status[2], 0);
    }
}

/* ---- starts on one processor ---- */

static int start_and_stop(unsigned rank, void *context)
{
    (void)rank, (void)context;
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    sched_setaffinity(0, sizeof first, &first); /* best effort: the more crowded, the better */
    kolo_comm *comm = peer_open();
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "barrier");
    kolo_close(comm);
    return 0;
}

static void many_starts_on_one_processor_all_form(void **state)
{
    (void)state;
    const char *environment[] = {"KOLO_LOG=none", NULL};
    for (unsigned i = 0; i < 25; i++) {
        peers_run(8, start_and_stop, NULL, environment, 40);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_blocked_send_times_out),
        cmocka_unit_test(an_abort_is_heeded_while_bytes_flow),
        cmocka_unit_test(a_dead_peer_with_living_children_is_lost),
        cmocka_unit_test(many_starts_on_one_processor_all_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
