/* Sleeping and waking: no wake-up is ever missed, whatever the two ends do to wait. The descriptor way would hang if one
 * were; the futex way sleeps in slices of 100 ms, so here a slice that was slept to its end counts as one missed. */
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "tests/transport/shm/pair.h"
#include "transport/shm/shm.h"

#include <cmocka.h> /* after status.h: it has a fail() of its own */

#define ROUNDS_APART 10000    /* on two processors */
#define ROUNDS_TOGETHER 80000 /* on one: the wake-ups are cheap there */

typedef void wait_function(struct link *link, const struct transfer *transfer);

static bool careful; /* as on a kernel without membarrier */

static void rally(unsigned self, int socket, unsigned rounds, wait_function *wait)
{
    struct pair_end end;
    struct transfer in, out;
    pair_open(&end, self, socket);
    if (careful) {
        shm_sleeper_be_careful(&((struct shm *)end.transport)->sleeper);
    }
    for (uint32_t round = 0; round < rounds; round++) {
        uint64_t sent = round * 2 + self, received = 0;
        pair_receive(end.link, round % 2, &in, &received, sizeof received, round);
        if (self == 0) {
            pair_send(end.link, round % 2, &out, &sent, sizeof sent, round);
        }
        wait(end.link, &in);
        if (self == 1) {
            pair_send(end.link, round % 2, &out, &sent, sizeof sent, round);
        }
        wait(end.link, &out);
        if (in.state != TRANSFER_DONE || out.state != TRANSFER_DONE ||
            received != round * 2 + 1 - self) {
            fprintf(stderr, "round %u: wrong\n", round);
            abort();
        }
    }
    if (pair_slept_out > rounds / 100) { /* a few may be the fault of a busy machine */
        fprintf(stderr, "process %u was not woken %u times\n", self, pair_slept_out);
        abort();
    }
    pair_slept_out = 0;
    pair_close(&end);
}

static void share_processor(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

/* Play in two processes; the child ends with abort() if anything is wrong. */
static void play(unsigned rounds, wait_function *wait, bool together)
{
    int sockets[2];
    cpu_set_t before;
    sched_getaffinity(0, sizeof before, &before);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
    if (together) {
        share_processor();
    }
    pid_t child = fork();
    if (child == 0) {
        rally(1, sockets[1], rounds, wait);
        _exit(0);
    }
    rally(0, sockets[0], rounds, wait);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    sched_setaffinity(0, sizeof before, &before);
    close(sockets[0]);
    close(sockets[1]);
}

static void test_futex_apart(void **state)
{
    (void)state;
    play(ROUNDS_APART, pair_wait_asleep, false);
}

static void test_futex_together(void **state)
{
    (void)state;
    play(ROUNDS_TOGETHER, pair_wait_asleep, true);
}

static void test_descriptor_apart(void **state)
{
    (void)state;
    play(ROUNDS_APART, pair_wait_polling, false);
}

static void test_descriptor_together(void **state)
{
    (void)state;
    play(ROUNDS_TOGETHER / 2, pair_wait_polling, true);
}

/* Change the way of waiting all the time, with pauses after which peers are told that they need no barrier. */
static void wait_anyhow(struct link *link, const struct transfer *transfer)
{
    static unsigned turn;
    turn = turn * 1103515245 + 12345 + (unsigned)getpid();
    if ((turn >> 16) % 64 == 0) {
        uint64_t until_ns = clock_now_ns() + 3 * NS_PER_MS;
        while (clock_now_ns() < until_ns) {
            transport_shm.progress(link->transport);
        }
    }
    switch ((turn >> 24) % 3) {
    case 0:
        pair_wait_asleep(link, transfer);
        break;
    case 1:
        pair_wait_polling(link, transfer);
        break;
    default: /* a short spin, then sleep */
        for (unsigned i = 0; i < (turn >> 16) % 2000 && transfer->state == TRANSFER_POSTED; i++) {
            transport_shm.progress(link->transport);
        }
        pair_wait_asleep(link, transfer);
    }
}

static void test_anyhow(void **state)
{
    (void)state;
    play(ROUNDS_APART, wait_anyhow, false);
}

static void test_anyhow_without_membarrier(void **state)
{
    (void)state;
    careful = true;
    play(ROUNDS_APART, wait_anyhow, false);
    careful = false;
}

/* A message much longer than the ring, both ends asleep whenever nothing moves: room, too, must wake. */
static void sleepy_bulk(unsigned self, int socket)
{
    struct pair_end end;
    struct transfer move;
    size_t length = 8u << 20;
    uint8_t *buffer = malloc(length);
    pair_open(&end, self, socket);
    for (uint32_t round = 0; round < 4; round++) {
        memset(buffer, (int)(self == round % 2 ? round + 1 : 0), length);
        if (self == round % 2) {
            pair_send(end.link, 0, &move, buffer, length, round);
        } else {
            pair_receive(end.link, 0, &move, buffer, length, round);
        }
        (round < 2 ? pair_wait_asleep : pair_wait_polling)(end.link, &move);
        if (move.state != TRANSFER_DONE || buffer[0] != round + 1 ||
            buffer[length - 1] != round + 1) {
            abort();
        }
    }
    free(buffer);
    pair_close(&end);
}

static void test_room_wakes(void **state)
{
    (void)state;
    int sockets[2], status;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
    pid_t child = fork();
    if (child == 0) {
        sleepy_bulk(1, sockets[1]);
        _exit(0);
    }
    sleepy_bulk(0, sockets[0]);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    close(sockets[0]);
    close(sockets[1]);
}

static void test_nothing_wakes_an_idle_one(void **state)
{
    (void)state;
    int sockets[2], status;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
    pid_t child = fork();
    struct pair_end end;
    if (child == 0) {
        pair_open(&end, 1, sockets[1]);
        char byte;
        _exit(recv(sockets[1], &byte, 1, 0) == 1 ? 0 : 1);
    }
    pair_open(&end, 0, sockets[0]);
    struct pollfd poller = {.fd = transport_shm.wait_fd(end.transport), .events = POLLIN};
    while (transport_shm.progress(end.transport)) {
    }
    assert_true(transport_shm.arm(end.transport));
    assert_int_equal(poll(&poller, 1, 50), 0);
    uint64_t start_ns = clock_now_ns();
    transport_shm.sleep(end.transport, 150 * NS_PER_MS);
    assert_in_range(clock_now_ns() - start_ns, 150 * NS_PER_MS, 10 * NS_PER_S);
    transport_shm.disarm(end.transport);
    assert_int_equal(send(sockets[0], "", 1, 0), 1);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    pair_close(&end);
    close(sockets[0]);
    close(sockets[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_futex_apart),      cmocka_unit_test(test_futex_together),
        cmocka_unit_test(test_descriptor_apart), cmocka_unit_test(test_descriptor_together),
        cmocka_unit_test(test_anyhow),           cmocka_unit_test(test_anyhow_without_membarrier),
        cmocka_unit_test(test_room_wakes),       cmocka_unit_test(test_nothing_wakes_an_idle_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
