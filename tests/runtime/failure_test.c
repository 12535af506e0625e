/* What the survivors are told when a peer dies, differs, stops, leaves or aborts: the same story, in time, with the culprit named. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/peers.h"

#define COUNT (1 << 20)

/* ---- a peer is killed ---- */

struct killing {
    unsigned victim;
    int ready[2]; /* a pipe: the victim tells that it has entered the loop */
};

static int reduce_until_killed(unsigned rank, void *context)
{
    const struct killing *killing = context;
    kolo_comm *comm = peer_open();
    float *in = calloc(COUNT, sizeof *in), *out = calloc(COUNT, sizeof *out);
    char name[32];
    snprintf(name, sizeof name, "rank %u ", killing->victim);
    for (unsigned i = 0;; i++) {
        if (rank == killing->victim && i == 3) {
            PEER_CHECK(write(killing->ready[1], "x", 1) == 1, "write");
        }
        double start = peer_now_s();
        kolo_status status = kolo_all_reduce(comm, out, in, COUNT, KOLO_F32, KOLO_SUM, NULL);
        if (status != KOLO_OK) {
            PEER_CHECK(status == KOLO_ERR_PEER_LOST, "%s", kolo_status_name(status));
            PEER_CHECK(peer_said(name), "the culprit is %s", name);
            PEER_CHECK(peer_now_s() - start < 2.0, "it took %.2f s", peer_now_s() - start);
            break;
        }
    }
    double start = peer_now_s();
    PEER_CHECK(kolo_all_reduce(comm, out, in, 1, KOLO_F32, KOLO_SUM, NULL) == KOLO_ERR_PEER_LOST,
               "it stays so");
    PEER_CHECK(peer_said(name), "the culprit is still %s", name);
    PEER_CHECK(kolo_close(comm) == KOLO_OK, "close");
    PEER_CHECK(peer_now_s() - start < 1.5, "closing took %.2f s", peer_now_s() - start);
    free(in);
    free(out);
    return 0;
}

static void kill_one(unsigned n, unsigned victim, const char *transport)
{
    struct killing killing = {.victim = victim};
    int status[PEERS_MAX];
    char byte;
    const char *environment[] = {transport, "KOLO_LOG=none", NULL};
    assert_int_equal(pipe(killing.ready), 0);
    struct peers *peers = peers_start(n, reduce_until_killed, &killing, environment);
    close(killing.ready[1]);
    assert_int_equal(read(killing.ready[0], &byte, 1), 1);
    kill(peers_pid(peers, victim), SIGKILL);
    peers_wait(peers, 20, status);
    close(killing.ready[0]);
    for (unsigned rank = 0; rank < n; rank++) {
        if (rank == victim) {
            assert_true(WIFSIGNALED(status[rank]) && WTERMSIG(status[rank]) == SIGKILL);
        } else {
            assert_int_equal(status[rank], 0);
        }
    }
}

static void a_killed_peer_is_named_by_all_survivors(void **state)
{
    (void)state;
    kill_one(2, 1, "KOLO_TRANSPORT=shm");
    kill_one(2, 0, "KOLO_TRANSPORT=tcp");
    kill_one(4, 0, "KOLO_TRANSPORT=shm");
    kill_one(4, 2, "KOLO_TRANSPORT=tcp");
    kill_one(5, 3, "KOLO_TRANSPORT=shm,tcp");
}

/* ---- peers that differ ---- */

enum difference {
    BY_COUNT,
    BY_TYPE,
    BY_OPERATOR,
    BY_ROOT,
    BY_COLLECTIVE,
    BY_SIZE_CLASS,
    DIFFERENCES
};

static kolo_status differ(kolo_comm *comm, bool odd, enum difference difference, float *out,
                          const float *in)
{
    switch (difference) {
    case BY_COUNT:
        return kolo_all_reduce(comm, out, in, odd ? 1001 : 1000, KOLO_F32, KOLO_SUM, NULL);
    case BY_TYPE:
        return kolo_all_reduce(comm, out, in, 100, odd ? KOLO_I32 : KOLO_F32, KOLO_SUM, NULL);
    case BY_OPERATOR:
        return kolo_all_reduce(comm, out, in, 100, KOLO_F32, odd ? KOLO_MAX : KOLO_SUM, NULL);
    case BY_ROOT:
        return kolo_broadcast(comm, out, in, 100, KOLO_F32, odd ? 1 : 0, NULL);
    case BY_COLLECTIVE:
        return odd ? kolo_all_gather(comm, out, in, 100, KOLO_F32, NULL)
                   : kolo_all_reduce(comm, out, in, 100, KOLO_F32, KOLO_SUM, NULL);
    case BY_SIZE_CLASS: /* another algorithm is chosen, whose messages do not even meet */
        return kolo_all_reduce(comm, out, in, odd ? COUNT : 2, KOLO_F32, KOLO_SUM, NULL);
    case DIFFERENCES:
        break;
    }
    abort();
}

static int call_something_else(unsigned rank, void *context)
{
    static const char *const words[] = {"count", "type", "operator", "root", "all-gather", "count"};
    enum difference difference = *(enum difference *)context;
    kolo_comm *comm = peer_open();
    float *in = calloc(COUNT * 4, sizeof *in), *out = calloc(COUNT * 4, sizeof *out);
    kolo_status status = kolo_barrier(comm, NULL);
    double start = peer_now_s();
    if (status ==
        KOLO_OK) { /* else the others have left the barrier, differ already, and said so */
        status = differ(comm, rank == 1, difference, out, in);
    }
    if (status == KOLO_OK) { /* a rank that only sends can be done before anyone looks */
        status = kolo_barrier(comm, NULL);
    }
    PEER_CHECK(status == KOLO_ERR_MISMATCH, "difference %d: %s", (int)difference,
               kolo_status_name(status));
    PEER_CHECK(peer_said(words[difference]), "difference %d", (int)difference);
    PEER_CHECK(peer_said("rank 1 called"), "both are named");
    PEER_CHECK(peer_now_s() - start < 5, "it took %.2f s", peer_now_s() - start);
    free(in);
    free(out);
    kolo_close(comm);
    return 0;
}

static void peers_that_differ_are_told_how(void **state)
{
    (void)state;
    for (int difference = 0; difference < DIFFERENCES; difference++) {
        const char *shm[] = {"KOLO_TRANSPORT=shm", "KOLO_LOG=none", NULL};
        const char *tcp[] = {"KOLO_TRANSPORT=tcp", "KOLO_LOG=none", NULL};
        peers_run(2, call_something_else, &difference, shm, 20);
        peers_run(4, call_something_else, &difference, tcp, 20);
    }
}

/* ---- a peer that does not come ---- */

static int one_stays_away(unsigned rank, void *context)
{
    int *leave = context;
    char byte;
    kolo_comm *comm = peer_open();
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "barrier");
    if (rank == 2) {
        PEER_CHECK(read(leave[0], &byte, 1) == 0, "the others are done when their ends are closed");
    } else {
        close(leave[0]);
        double start = peer_now_s();
        float value = 1, sum = 0;
        kolo_status status = kolo_all_reduce(comm, &sum, &value, 1, KOLO_F32, KOLO_SUM, NULL);
        PEER_CHECK(status == KOLO_ERR_TIMEOUT, "%s", kolo_status_name(status));
        PEER_CHECK(peer_said("rank 2"), "who is waited for");
        PEER_CHECK(peer_said("KOLO_TIMEOUT"), "the cure");
        PEER_CHECK(peer_now_s() - start < 8, "it took %.2f s", peer_now_s() - start);
    }
    kolo_close(comm);
    return 0;
}

static void nobody_waits_for_ever(void **state)
{
    (void)state;
    int leave[2];
    const char *environment[] = {"KOLO_TIMEOUT=2", "KOLO_LOG=none", NULL};
    assert_int_equal(pipe(leave), 0);
    struct peers *peers = peers_start(3, one_stays_away, leave, environment);
    /* Rank 2 holds the write end as well: let it go after the others are done. */
    int status[3];
    close(leave[0]);
    int ignored;
    assert_int_equal(waitpid(peers_pid(peers, 0), &ignored, WNOHANG), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)peers_pid(peers, 0), &info, WEXITED | WNOWAIT), 0);
    kill(peers_pid(peers, 2), SIGKILL);
    close(leave[1]);
    peers_wait(peers, 20, status);
    assert_int_equal(status[0], 0);
    assert_int_equal(status[1], 0);
}

/* ---- leaving and aborting ---- */

static int one_leaves(unsigned rank, void *context)
{
    (void)context;
    kolo_comm *comm = peer_open();
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "barrier");
    if (rank != 1) {
        kolo_status status = kolo_barrier(comm, NULL);
        PEER_CHECK(status == KOLO_ERR_PEER_LOST, "%s", kolo_status_name(status));
        PEER_CHECK(peer_said("rank 1") && peer_said("closed the communicator"), "who and why");
    }
    kolo_close(comm);
    return 0;
}

static void a_peer_that_leaves_early_is_named(void **state)
{
    (void)state;
    const char *shm[] = {"KOLO_TRANSPORT=shm", "KOLO_LOG=none", NULL};
    const char *tcp[] = {"KOLO_TRANSPORT=tcp", "KOLO_LOG=none", NULL};
    peers_run(3, one_leaves, NULL, shm, 20);
    peers_run(3, one_leaves, NULL, tcp, 20);
}

/* Rank 1 does something else, is done with it, and leaves; the others wait for what it will never show. */
static int one_differs_and_leaves(unsigned rank, void *context)
{
    (void)context;
    float in[16] = {0}, out[16];
    kolo_comm *comm = peer_open();
    double start = peer_now_s();
    if (rank == 1) {
        PEER_CHECK(kolo_broadcast(comm, out, in, 4, KOLO_F32, 1, NULL) == KOLO_OK, "it only sends");
    } else {
        kolo_status status = kolo_all_reduce(comm, out, in, 16, KOLO_F32, KOLO_SUM, NULL);
        PEER_CHECK(status == KOLO_ERR_MISMATCH || status == KOLO_ERR_PEER_LOST, "%s",
                   kolo_status_name(status));
        PEER_CHECK(peer_said("rank 1"), "who");
        PEER_CHECK(peer_now_s() - start < 5, "it took %.2f s", peer_now_s() - start);
    }
    kolo_close(comm);
    return 0;
}

static void a_peer_that_differs_and_leaves_is_named(void **state)
{
    (void)state;
    const char *shm[] = {"KOLO_TRANSPORT=shm", "KOLO_LOG=none", NULL};
    const char *tcp[] = {"KOLO_TRANSPORT=tcp", "KOLO_LOG=none", NULL};
    peers_run(2, one_differs_and_leaves, NULL, shm, 20);
    peers_run(2, one_differs_and_leaves, NULL, tcp, 20);
}

static void *abort_soon(void *comm)
{
    const struct timespec soon = {.tv_nsec = 50000000};
    nanosleep(
        &soon,
        NULL); /* so that the others are inside the call, most of the time; both orders must work */
    kolo_abort(comm);
    return NULL;
}

static int one_aborts(unsigned rank, void *context)
{
    (void)context;
    kolo_comm *comm = peer_open();
    pthread_t thread;
    if (rank == 0) {
        PEER_CHECK(pthread_create(&thread, NULL, abort_soon, comm) == 0, "thread");
    }
    if (rank != 2) { /* which never comes */
        kolo_status status = kolo_barrier(comm, NULL);
        PEER_CHECK(status == KOLO_ERR_ABORTED, "%s", kolo_status_name(status));
        PEER_CHECK(peer_said("rank 0"), "who");
    } else {
        PEER_CHECK(kolo_abort(NULL) == KOLO_ERR_ARGUMENT, "NULL");
        kolo_status status = KOLO_OK;
        for (unsigned i = 0; i < 100 && status == KOLO_OK; i++) {
            const struct timespec pause = {.tv_nsec = 10000000};
            nanosleep(&pause, NULL); /* outside of kolo */
        }
        status = kolo_barrier(comm, NULL);
        PEER_CHECK(status == KOLO_ERR_ABORTED, "%s", kolo_status_name(status));
    }
    if (rank == 0) {
        pthread_join(thread, NULL);
    }
    kolo_close(comm);
    return 0;
}

static void an_abort_reaches_everyone(void **state)
{
    (void)state;
    const char *environment[] = {"KOLO_LOG=none", NULL};
    peers_run(3, one_aborts, NULL, environment, 20);
}

/* ---- missing peers ---- */

static int open_in_vain(unsigned rank, void *context)
{
    (void)context;
    kolo_comm *comm = NULL;
    if (rank == 2) {
        return 0; /* never starts */
    }
    kolo_status status = kolo_open(&comm, NULL);
    PEER_CHECK(status == KOLO_ERR_TIMEOUT, "%s", kolo_status_name(status));
    PEER_CHECK(comm == NULL, "assigned on success only");
    PEER_CHECK(peer_said("missing: rank 2"), "who");
    return 0;
}

static void missing_peers_are_named(void **state)
{
    (void)state;
    const char *environment[] = {"KOLO_OPEN_TIMEOUT=1", "KOLO_LOG=none", NULL};
    peers_run(3, open_in_vain, NULL, environment, 20);
}

/* ---- idling ---- */

static double cpu_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-3;
}

static int wait_idly(unsigned rank, void *context)
{
    (void)context;
    const double span_s = 2.0;
    kolo_comm *comm = peer_open();
    kolo_queue *queue = NULL;
    PEER_CHECK(kolo_queue_create(&queue, comm) == KOLO_OK, "queue");
    PEER_CHECK(kolo_barrier(comm, queue) == KOLO_OK, "a background thread is there, too");
    PEER_CHECK(kolo_queue_wait(queue, 10) == KOLO_OK, "wait");
    double before = cpu_ms();
    if (rank == 0) { /* out of kolo, while all others wait in it */
        struct timespec span = {.tv_sec = (time_t)span_s};
        nanosleep(&span, NULL);
    }
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "barrier");
    double used = (cpu_ms() - before) / span_s;
    PEER_CHECK(used < 5.0, "%.2f ms of processor time a second", used);
    PEER_CHECK(kolo_queue_destroy(queue) == KOLO_OK, "destroy");
    kolo_close(comm);
    return 0;
}

static void waiting_costs_no_processor_time(void **state)
{
    (void)state;
    const char *shm[] = {"KOLO_TRANSPORT=shm", NULL};
    const char *tcp[] = {"KOLO_TRANSPORT=tcp", NULL};
    peers_run(8, wait_idly, NULL, shm, 30);
    peers_run(8, wait_idly, NULL, tcp, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_peer_is_named_by_all_survivors),
        cmocka_unit_test(peers_that_differ_are_told_how),
        cmocka_unit_test(nobody_waits_for_ever),
        cmocka_unit_test(a_peer_that_leaves_early_is_named),
        cmocka_unit_test(a_peer_that_differs_and_leaves_is_named),
        cmocka_unit_test(an_abort_reaches_everyone),
        cmocka_unit_test(missing_peers_are_named),
        cmocka_unit_test(waiting_costs_no_processor_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
