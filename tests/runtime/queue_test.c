/* Queues: work in the background, in order, waited for and polled, beside blocking calls and other queues, and how it ends. */
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
#include <time.h>

#include "tests/lib/peers.h"

#define LIMIT_S 40
#define OK(call) PEER_CHECK((call) == KOLO_OK, "should succeed")

static const char *const quiet[] = {"KOLO_LOG=none", NULL};

/* Each operation doubles what the one before has left: only the right order gives the right number. */
static int one_after_the_other(unsigned rank, void *context)
{
    (void)rank, (void)context;
    kolo_comm *comm = peer_open();
    kolo_queue *queue = NULL;
    uint64_t value = 1, other = 7;
    int done = -1;
    OK(kolo_queue_create(&queue, comm));
    OK(kolo_queue_poll(queue, &done));
    PEER_CHECK(done == 1, "nothing was given");
    OK(kolo_queue_wait(queue, 0));
    for (int i = 0; i < 20; i++) {
        OK(kolo_all_reduce(comm, &value, &value, 1, KOLO_U64, KOLO_SUM, queue));
    }
    OK(kolo_queue_wait(queue, -1));
    PEER_CHECK(value == 1u << 20, "%llu", (unsigned long long)value);
    OK(kolo_queue_poll(queue, &done));
    PEER_CHECK(done == 1, "all is done");
    for (int i = 0; i < 10;
         i++) { /* queued and blocking calls in turn, in the order of the calls */
        OK(kolo_all_reduce(comm, &other, &other, 1, KOLO_U64, KOLO_SUM, queue));
        OK(kolo_all_reduce(comm, &other, &other, 1, KOLO_U64, KOLO_SUM, NULL));
    }
    PEER_CHECK(other == 7u << 20, "%llu", (unsigned long long)other);
    OK(kolo_queue_destroy(queue));
    OK(kolo_close(comm));
    return 0;
}

static void operations_are_done_in_order(void **state)
{
    (void)state;
    peers_run(2, one_after_the_other, NULL, quiet, LIMIT_S);
    const char *tcp[] = {"KOLO_LOG=none", "KOLO_TRANSPORT=tcp", NULL};
    peers_run(2, one_after_the_other, NULL, tcp, LIMIT_S);
}

/* Rank 0 comes late: until then the others' work is not done, and waiting with a limit says so without ending it. */
static int wait_for_the_late(unsigned rank, void *context)
{
    const int *go = context;
    char byte = 'x';
    int done = -1;
    kolo_comm *comm = peer_open();
    kolo_queue *queue = NULL;
    OK(kolo_queue_create(&queue, comm));
    if (rank == 0) {
        PEER_CHECK(read(go[0], &byte, 1) == 1, "read");
        OK(kolo_barrier(comm, queue));
    } else {
        OK(kolo_barrier(comm, queue));
        OK(kolo_queue_poll(queue, &done));
        PEER_CHECK(done == 0, "rank 0 is not there");
        double start = peer_now_s();
        PEER_CHECK(kolo_queue_wait(queue, 0.2) == KOLO_ERR_TIMEOUT, "not yet");
        PEER_CHECK(peer_now_s() - start >= 0.19, "%.3f s", peer_now_s() - start);
        PEER_CHECK(peer_said("1 operations") && peer_said("0.2 s"), "what it says");
        PEER_CHECK(kolo_queue_wait(queue, 0) == KOLO_ERR_TIMEOUT, "not yet");
        PEER_CHECK(write(go[1], &byte, 1) == 1, "write");
    }
    OK(kolo_queue_wait(queue, 20));
    for (double start = peer_now_s(); done != 1 && peer_now_s() - start < 20;) {
        OK(kolo_queue_poll(queue, &done));
    }
    PEER_CHECK(done == 1, "done");
    OK(kolo_queue_destroy(queue));
    OK(kolo_close(comm));
    return 0;
}

static void waiting_has_a_limit_and_cancels_nothing(void **state)
{
    (void)state;
    int go[2];
    assert_int_equal(pipe(go), 0);
    peers_run(2, wait_for_the_late, go, quiet, LIMIT_S);
    close(go[0]);
    close(go[1]);
}

static int two_queues(unsigned rank, void *context)
{
    (void)rank, (void)context;
    kolo_comm *comm = peer_open();
    kolo_queue *a = NULL, *b = NULL;
    uint32_t value = 1;
    OK(kolo_queue_create(&a, comm));
    OK(kolo_queue_create(&b, comm));
    for (int i = 0; i < 10; i++) {
        OK(kolo_all_reduce(comm, &value, &value, 1, KOLO_U32, KOLO_SUM, i % 2 ? a : b));
    }
    OK(kolo_queue_wait(b, -1));
    OK(kolo_queue_wait(a, -1));
    PEER_CHECK(value == 1u << 10, "%u", value);
    OK(kolo_queue_destroy(a));
    OK(kolo_all_reduce(comm, &value, &value, 1, KOLO_U32, KOLO_MAX, b));
    OK(kolo_queue_destroy(b)); /* waits */
    OK(kolo_queue_destroy(NULL));
    OK(kolo_close(comm));
    return 0;
}

static void two_queues_share_one_order(void **state)
{
    (void)state;
    peers_run(2, two_queues, NULL, quiet, LIMIT_S);
}

#define MANY 2000

static int many_in_flight(unsigned rank, void *context)
{
    (void)context;
    static float in[MANY][3], out[MANY][3];
    kolo_comm *comm = peer_open();
    kolo_queue *queue = NULL;
    OK(kolo_queue_create(&queue, comm));
    for (unsigned i = 0; i < MANY; i++) {
        in[i][0] = in[i][1] = in[i][2] = (float)(i + rank);
        OK(kolo_all_reduce(comm, out[i], in[i], 3, KOLO_F32, KOLO_SUM, queue));
    }
    OK(kolo_queue_wait(queue, 30));
    for (unsigned i = 0; i < MANY; i++) {
        PEER_CHECK(out[i][0] == (float)(3 * i + 3) && out[i][2] == out[i][0], "%u: %g", i,
                   (double)out[i][0]);
    }
    OK(kolo_queue_destroy(queue));
    OK(kolo_close(comm));
    return 0;
}

static void thousands_may_be_in_flight(void **state)
{
    (void)state;
    peers_run(3, many_in_flight, NULL, quiet, LIMIT_S);
}

/* An operation that cannot be is told by the queue: by waiting, by polling, and again. */
static int differ(unsigned rank, void *context)
{
    (void)context;
    kolo_comm *comm = peer_open();
    kolo_queue *queue = NULL, *clean = NULL;
    float in[8] = {0}, out[8];
    int done = 0;
    OK(kolo_queue_create(&queue, comm));
    OK(kolo_queue_create(&clean, comm));
    OK(kolo_barrier(comm, queue));
    OK(kolo_all_reduce(comm, out, in, rank == 0 ? 8 : 7, KOLO_F32, KOLO_SUM, queue));
    OK(kolo_barrier(comm, queue));
    kolo_status status = kolo_queue_wait(queue, -1);
    PEER_CHECK(status == KOLO_ERR_MISMATCH, "%s", kolo_status_name(status));
    PEER_CHECK(peer_said("count"), "what differs");
    PEER_CHECK(kolo_queue_poll(queue, &done) == KOLO_ERR_MISMATCH && done == 1, "poll");
    PEER_CHECK(peer_said("count"), "poll explains, too");
    PEER_CHECK(kolo_queue_wait(queue, 0) == KOLO_ERR_MISMATCH, "it stays so");
    OK(kolo_queue_wait(clean, -1)); /* nothing of this queue has failed */
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_ERR_MISMATCH, "the communicator has failed");
    PEER_CHECK(kolo_queue_destroy(queue) == KOLO_ERR_MISMATCH, "destroying tells as well");
    OK(kolo_queue_destroy(clean));
    OK(kolo_close(comm));
    return 0;
}

static void a_failure_is_told_by_the_queue(void **state)
{
    (void)state;
    peers_run(2, differ, NULL, quiet, LIMIT_S);
}

/* Communicators in one process: each pair of processes shares two, named by run ids. */
static kolo_comm *open_named(const char *name)
{
    kolo_comm *comm = NULL;
    kolo_config config = KOLO_CONFIG_INIT;
    config.run_id = name;
    PEER_CHECK(kolo_open(&comm, &config) == KOLO_OK, "open %s", name);
    return comm;
}

static int wrong_queue(unsigned rank, void *context)
{
    (void)rank, (void)context;
    kolo_comm *one = open_named("one"), *two = open_named("two");
    kolo_queue *queue = NULL;
    OK(kolo_queue_create(&queue, one));
    PEER_CHECK(kolo_barrier(two, queue) == KOLO_ERR_ARGUMENT, "another communicator's");
    PEER_CHECK(peer_said("another communicator"), "the cause");
    OK(kolo_barrier(two, NULL));
    OK(kolo_barrier(one, queue));
    OK(kolo_queue_destroy(queue));
    OK(kolo_close(one));
    OK(kolo_barrier(two, NULL)); /* the other one goes on */
    OK(kolo_close(two));
    return 0;
}

static void a_queue_serves_its_own_communicator_only(void **state)
{
    (void)state;
    peers_run(2, wrong_queue, NULL, quiet, LIMIT_S);
}

struct issuer {
    kolo_comm *comm;
    uint32_t factor;
    pthread_t thread;
};

static void *issue(void *context)
{
    struct issuer *issuer = context;
    kolo_queue *queue = NULL;
    OK(kolo_queue_create(&queue, issuer->comm));
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t value = issuer->factor * i;
        OK(kolo_all_reduce(issuer->comm, &value, &value, 1, KOLO_U32, KOLO_SUM,
                           i % 3 == 0 ? queue : NULL));
        if (i % 3 == 0) {
            OK(kolo_queue_wait(queue, -1));
        }
        PEER_CHECK(value == 2 * issuer->factor * i, "%u", value);
    }
    OK(kolo_queue_destroy(queue));
    return NULL;
}

static int two_threads(unsigned rank, void *context)
{
    (void)rank, (void)context;
    struct issuer issuers[2] = {{.comm = open_named("one"), .factor = 3},
                                {.comm = open_named("two"), .factor = 5}};
    for (int i = 0; i < 2; i++) {
        PEER_CHECK(pthread_create(&issuers[i].thread, NULL, issue, &issuers[i]) == 0, "thread");
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(issuers[i].thread, NULL);
        OK(kolo_close(issuers[i].comm));
    }
    return 0;
}

static void threads_may_use_different_communicators(void **state)
{
    (void)state;
    peers_run(2, two_threads, NULL, quiet, LIMIT_S);
}

/* Rank 1 gives work that rank 0 never joins, and closes: that must not take long, nor touch anything afterwards. */
static int close_with_work(unsigned rank, void *context)
{
    const int *over = context;
    char byte = 'x';
    float *buffer = calloc(1000, sizeof *buffer);
    kolo_comm *comm = peer_open();
    kolo_queue *queue = NULL;
    OK(kolo_queue_create(&queue, comm));
    OK(kolo_barrier(comm, NULL));
    if (rank == 1) {
        for (int i = 0; i < 50; i++) {
            OK(kolo_all_reduce(comm, buffer, buffer, 1000, KOLO_F32, KOLO_SUM, queue));
        }
        PEER_CHECK(kolo_queue_wait(queue, 0.05) == KOLO_ERR_TIMEOUT, "rank 0 does not join");
        OK(kolo_abort(comm));
        double start = peer_now_s();
        PEER_CHECK(kolo_queue_wait(queue, 5) == KOLO_ERR_ABORTED, "it ends");
        PEER_CHECK(peer_now_s() - start < 2, "in time: %.2f s", peer_now_s() - start);
        PEER_CHECK(kolo_queue_destroy(queue) == KOLO_ERR_ABORTED, "destroy");
        PEER_CHECK(write(over[1], &byte, 1) == 1, "write");
    } else {
        PEER_CHECK(read(over[0], &byte, 1) == 1, "read");
        for (int i = 0; i < 50; i++) { /* the first may still be done */
            OK(kolo_all_reduce(comm, buffer, buffer, 1000, KOLO_F32, KOLO_SUM, queue));
        }
        PEER_CHECK(kolo_queue_wait(queue, 5) == KOLO_ERR_ABORTED, "the other has aborted");
        PEER_CHECK(kolo_queue_destroy(queue) == KOLO_ERR_ABORTED, "destroy");
    }
    OK(kolo_close(comm));
    free(buffer);
    return 0;
}

static int only_close_with_work(unsigned rank, void *context)
{
    const int *over = context;
    char byte = 'x';
    float *buffer = calloc(1000, sizeof *buffer);
    kolo_comm *comm = peer_open();
    kolo_queue *queue = NULL;
    OK(kolo_queue_create(&queue, comm));
    OK(kolo_barrier(comm, NULL));
    if (rank == 1) {
        for (int i = 0; i < 50; i++) {
            OK(kolo_all_reduce(comm, buffer, buffer, 1000, KOLO_F32, KOLO_SUM, queue));
        }
        double start = peer_now_s();
        OK(kolo_close(comm));
        PEER_CHECK(peer_now_s() - start < 1.5, "closing took %.2f s", peer_now_s() - start);
        PEER_CHECK(write(over[1], &byte, 1) == 1, "write");
    } else {
        PEER_CHECK(read(over[0], &byte, 1) == 1, "read");
        kolo_status status = kolo_barrier(comm, NULL);
        PEER_CHECK(status != KOLO_OK, "%s", kolo_status_name(status));
        OK(kolo_queue_destroy(queue));
        OK(kolo_close(comm));
    }
    free(buffer); /* nobody may touch it any more */
    return 0;
}

static void work_that_waits_ends_aborted(void **state)
{
    (void)state;
    int over[2];
    assert_int_equal(pipe(over), 0);
    peers_run(2, close_with_work, over, quiet, LIMIT_S);
    peers_run(2, only_close_with_work, over, quiet, LIMIT_S);
    close(over[0]);
    close(over[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_done_in_order),
        cmocka_unit_test(waiting_has_a_limit_and_cancels_nothing),
        cmocka_unit_test(two_queues_share_one_order),
        cmocka_unit_test(thousands_may_be_in_flight),
        cmocka_unit_test(a_failure_is_told_by_the_queue),
        cmocka_unit_test(a_queue_serves_its_own_communicator_only),
        cmocka_unit_test(threads_may_use_different_communicators),
        cmocka_unit_test(work_that_waits_ends_aborted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
