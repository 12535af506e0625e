/* The other process dies, at the worst moment: this one learns of it soon, whatever it is doing, gets what was sent whole,
 * and nothing is left behind. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "tests/transport/shm/pair.h"

#define NOTICED_NS NS_PER_S /* a death is noticed within this time */
#define BULK_BYTES (16u << 20)

/* Entries of a folder, "." and ".." and the descriptor that reads it included; 0: no such folder. */
static unsigned entries(const char *path)
{
    DIR *folder = opendir(path);
    unsigned count = 0;
    while (folder && readdir(folder)) {
        count++;
    }
    if (folder) {
        closedir(folder);
    }
    return count;
}

struct duel {
    int sockets[2];
    pid_t child;
    unsigned descriptors, shared_files; /* before */
    struct pair_end end;
};

static void wait_for_ever(void)
{
    for (;;) {
        pause();
    }
}

static void duel_begin(struct duel *duel, void (*child)(struct pair_end *end))
{
    duel->descriptors = entries("/proc/self/fd");
    duel->shared_files = entries("/dev/shm");
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, duel->sockets), 0);
    duel->child = fork();
    if (duel->child == 0) {
        close(duel->sockets[0]);
        pair_open(&duel->end, 1, duel->sockets[1]);
        child(&duel->end);
        _exit(0);
    }
    close(duel->sockets[1]);
    pair_open(&duel->end, 0, duel->sockets[0]);
    assert_int_equal(entries("/dev/shm"), duel->shared_files);
}

static void duel_kill(struct duel *duel)
{
    int status;
    kill(duel->child, SIGKILL);
    assert_int_equal(waitpid(duel->child, &status, 0), duel->child);
    assert_true(WIFSIGNALED(status));
}

static void duel_end(struct duel *duel)
{
    pair_close(&duel->end);
    close(duel->sockets[0]);
    assert_int_equal(entries("/proc/self/fd"), duel->descriptors);
    assert_int_equal(entries("/dev/shm"), duel->shared_files);
}

static void assert_lost(struct duel *duel)
{
    kolo_status why;
    const char *text;
    assert_int_equal(transport_shm.link_state(duel->end.link, &why, &text), LINK_LOST);
    assert_int_equal(why, KOLO_ERR_PEER_LOST);
    assert_non_null(strstr(text, "the other process")); /* its name */
}

/* ---- in mid-message -------------------------------------------------------------------------------------------- */

/* Offer half of a message, and stay. */
static void send_half(struct pair_end *end)
{
    static uint8_t data[BULK_BYTES];
    struct transfer half = {.data = data, .length = BULK_BYTES, .ready = BULK_BYTES / 2};
    transport_shm.send(end->link, 0, &half);
    for (;;) {
        transport_shm.progress(end->transport);
    }
}

static void dies_in_mid_message(void (*wait)(struct link *, const struct transfer *), bool spans)
{
    struct duel duel;
    struct transfer in;
    static uint8_t data[BULK_BYTES];
    duel_begin(&duel, send_half);
    memset(&in, 0, sizeof in);
    in.data = spans ? NULL : data;
    in.length = in.ready = BULK_BYTES;
    transport_shm.receive(duel.end.link, 0, &in);
    while ((spans ? in.span_bytes : in.moved) == 0) {
        transport_shm.progress(duel.end.transport);
    }
    uint64_t killed_ns = clock_now_ns();
    duel_kill(&duel);
    wait(duel.end.link, &in);
    assert_in_range(clock_now_ns() - killed_ns, 0, NOTICED_NS);
    assert_int_equal(in.state, TRANSFER_FAILED);
    assert_int_equal(in.status, KOLO_ERR_PEER_LOST);
    assert_lost(&duel);
    pair_receive(duel.end.link, 1, &in, NULL, 0, 0);
    assert_int_equal(in.state, TRANSFER_FAILED);
    duel_end(&duel);
}

static void test_dies_while_this_one_spins(void **state)
{
    (void)state;
    dies_in_mid_message(pair_wait, false);
    dies_in_mid_message(pair_wait, true);
}

static void test_dies_while_this_one_sleeps(void **state)
{
    (void)state;
    dies_in_mid_message(pair_wait_asleep, false);
    dies_in_mid_message(pair_wait_asleep, true);
}

static void test_dies_while_this_one_polls(void **state)
{
    (void)state;
    dies_in_mid_message(pair_wait_polling, false);
    dies_in_mid_message(pair_wait_polling, true);
}

/* ---- with room running out ------------------------------------------------------------------------------------- */

static void stay(struct pair_end *end)
{
    (void)end;
    wait_for_ever();
}

static void test_dies_while_this_one_sends(void **state)
{
    (void)state;
    struct duel duel;
    struct transfer out;
    static uint8_t data[BULK_BYTES];
    duel_begin(&duel, stay);
    pair_send(duel.end.link, 1, &out, data, BULK_BYTES, 1);
    while (transport_shm.progress(duel.end.transport)) {
    }
    assert_in_range(out.moved, 1, BULK_BYTES - 1);
    uint64_t killed_ns = clock_now_ns();
    duel_kill(&duel);
    pair_wait_asleep(duel.end.link, &out);
    assert_in_range(clock_now_ns() - killed_ns, 0, NOTICED_NS);
    assert_int_equal(out.status, KOLO_ERR_PEER_LOST);
    assert_lost(&duel);
    duel_end(&duel);
}

/* ---- whole messages of the dead -------------------------------------------------------------------------------- */

#define LEGACY_BYTES 50000

static void send_and_say(struct pair_end *end)
{
    static uint8_t data[LEGACY_BYTES];
    struct transfer out;
    for (uint32_t tag = 0; tag < 3; tag++) {
        memset(data, (int)tag + 1, LEGACY_BYTES);
        pair_send(end->link, tag % 2, &out, data, LEGACY_BYTES, tag);
        pair_wait(end->link, &out);
    }
    struct transfer whole; /* and the word that everything is there */
    pair_send(end->link, 1, &whole, NULL, 0, 9);
    pair_receive(end->link, 1, &whole, NULL, 0, 9);
    pair_wait(end->link, &whole);
    wait_for_ever();
}

static void test_what_was_sent_whole_is_received_after_the_death(void **state)
{
    (void)state;
    struct duel duel;
    struct transfer in;
    static uint8_t data[LEGACY_BYTES];
    duel_begin(&duel, send_and_say);
    static const uint32_t order[] = {1, 0, 2};
    pair_receive(duel.end.link, 1, &in, data, LEGACY_BYTES, 1);
    pair_wait(duel.end.link, &in);
    pair_receive(duel.end.link, 1, &in, NULL, 0, 9);
    pair_wait(duel.end.link, &in);
    assert_int_equal(in.state, TRANSFER_DONE);
    duel_kill(&duel);
    uint64_t until_ns = clock_now_ns() + 20 * NS_PER_MS;
    while (clock_now_ns() < until_ns) {
        transport_shm.progress(duel.end.transport);
    }
    for (unsigned i = 1; i < 3; i++) {
        assert_int_equal(transport_shm.link_state(duel.end.link, NULL, NULL), LINK_UP);
        memset(data, 0, LEGACY_BYTES);
        pair_receive(duel.end.link, 0, &in, data, LEGACY_BYTES, order[i]);
        pair_wait(duel.end.link, &in);
        assert_int_equal(in.state, TRANSFER_DONE);
        assert_int_equal(data[0], order[i] + 1);
        assert_int_equal(data[LEGACY_BYTES - 1], order[i] + 1);
    }
    pair_receive(duel.end.link, 0, &in, data, LEGACY_BYTES, 3);
    pair_wait(duel.end.link, &in);
    assert_int_equal(in.status, KOLO_ERR_PEER_LOST);
    assert_lost(&duel);
    duel_end(&duel);
}

/* ---- a child of the dead keeps its descriptors ----------------------------------------------------------------- */

static void leave_a_child(struct pair_end *end)
{
    struct transfer out;
    uint64_t orphan = (uint64_t)fork();
    if (orphan == 0) {
        wait_for_ever();
    }
    pair_send(end->link, 0, &out, &orphan, sizeof orphan, 0);
    pair_wait(end->link, &out);
    wait_for_ever();
}

static void test_death_is_seen_though_a_child_lives_on(void **state)
{
    (void)state;
    struct duel duel;
    struct transfer in;
    uint64_t orphan = 0;
    duel_begin(&duel, leave_a_child);
    pair_receive(duel.end.link, 0, &in, &orphan, sizeof orphan, 0);
    pair_wait(duel.end.link, &in);
    assert_true(orphan > 1 && kill((pid_t)orphan, 0) == 0);
    pair_receive(duel.end.link, 0, &in, NULL, 8, 1);
    uint64_t killed_ns = clock_now_ns();
    duel_kill(&duel);
    pair_wait_asleep(duel.end.link, &in);
    assert_in_range(clock_now_ns() - killed_ns, 0, NOTICED_NS);
    assert_lost(&duel);
    kill((pid_t)orphan, SIGKILL);
    duel_end(&duel);
}

/* ---- nonsense in the shared memory ----------------------------------------------------------------------------- */

/* Find the link's segment, and what else we can write of the shared memory, in our own address space, and overwrite it. */
static void scribble(struct pair_end *end)
{
    char line[512], path[32];
    snprintf(path, sizeof path, "/proc/%d/maps", (int)getpid());
    FILE *maps = fopen(path, "r");
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char rights[8];
        if (strstr(line, "memfd:kolo") && sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3 &&
            rights[1] == 'w' && to - from > 65536) {
            memset((void *)from, 0x5a, to - from);
        }
    }
    fclose(maps);
    (void)end;
    wait_for_ever();
}

static void test_nonsense_fails_the_link_only(void **state)
{
    (void)state;
    struct duel duel;
    struct transfer in, out;
    kolo_status why;
    uint8_t data[200] = {0};
    duel_begin(&duel, scribble);
    pair_receive(duel.end.link, 0, &in, data, sizeof data, 0);
    pair_wait_asleep(duel.end.link, &in);
    assert_int_equal(in.status, KOLO_ERR_PROTOCOL);
    assert_int_equal(transport_shm.link_state(duel.end.link, &why, NULL), LINK_LOST);
    assert_int_equal(why, KOLO_ERR_PROTOCOL);
    pair_send(duel.end.link, 0, &out, data, sizeof data, 0);
    assert_int_equal(out.state, TRANSFER_FAILED);
    duel_kill(&duel);
    duel_end(&duel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dies_while_this_one_spins),
        cmocka_unit_test(test_dies_while_this_one_sleeps),
        cmocka_unit_test(test_dies_while_this_one_polls),
        cmocka_unit_test(test_dies_while_this_one_sends),
        cmocka_unit_test(test_what_was_sent_whole_is_received_after_the_death),
        cmocka_unit_test(test_death_is_seen_though_a_child_lives_on),
        cmocka_unit_test(test_nonsense_fails_the_link_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
