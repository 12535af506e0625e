/* How groups form: contacts in any order, late, missing, few; ranks given, agreed, wrong; too many peers, and some that die. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <dirent.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/membership/forming.h"

#define LIMIT_S 40 /* for a whole case, with sanitizers on a busy machine */
#define QUIET "KOLO_LOG=none"

static const char *const quiet[] = {QUIET, NULL};
static const char *const impatient[] = {QUIET, "KOLO_OPEN_TIMEOUT=3", NULL};

struct plan {
    unsigned size;
    int port[PEERS_MAX];
    int signal[2]; /* a pipe: readers wait until its last writer closes it */
    int later[2];  /* a second one */
};

static void wait_for_end(int pipe)
{
    char byte;
    PEER_CHECK(read(pipe, &byte, 1) == 0, "read");
}

static void close_pipe(int pipe[2])
{
    close(pipe[1]);
    close(pipe[0]);
}

/* ---- any order ---- */

static int one_is_late(unsigned rank, void *context)
{
    const struct plan *plan = context;
    if (rank == 0) { /* the one that launchers make special elsewhere */
        forming_be_late(1000);
    }
    PEER_CHECK(forming_join(plan->size) == (int)rank, "its rank");
    return 0;
}

static void contacts_may_start_late(void **state)
{
    (void)state;
    struct plan plan = {.size = 4};
    peers_run(4, one_is_late, &plan, quiet, LIMIT_S);
}

static int start_at_any_time(unsigned rank, void *context)
{
    const struct plan *plan = context;
    forming_be_late((rank * 7919u) % 211u);
    PEER_CHECK(forming_join(plan->size) == (int)rank, "its rank");
    return 0;
}

static void peers_may_start_in_any_order(void **state)
{
    (void)state;
    struct plan plan = {.size = 6};
    peers_run(6, start_at_any_time, &plan, quiet, LIMIT_S);
}

/* ---- few contacts ---- */

static int know_only_the_first(unsigned rank, void *context)
{
    const struct plan *plan = context;
    if (rank == 0) {
        forming_set("KOLO_PORT", "%d", plan->port[0]);
        forming_be_late(300);
    }
    forming_set("KOLO_PEERS", "127.0.0.1:%d", plan->port[0]);
    PEER_CHECK(forming_join(plan->size) == (int)rank, "its rank");
    return 0;
}

static void one_contact_is_enough(void **state)
{
    (void)state;
    struct plan plan = {.size = 5, .port = {forming_free_port()}};
    peers_run(5, know_only_the_first, &plan, quiet, LIMIT_S);
}

static int some_contacts_are_dead(unsigned rank, void *context)
{
    const struct plan *plan = context;
    if (rank == 2) {
        forming_set("KOLO_PORT", "%d", plan->port[0]);
    }
    /* Nobody listens at the first, the second is not routed, the third has no name. */
    forming_set("KOLO_PEERS", "127.0.0.1:%d,192.0.2.1:9,no-such-host.invalid:9,127.0.0.1:%d",
                plan->port[1], plan->port[0]);
    PEER_CHECK(forming_join(plan->size) == (int)rank, "its rank");
    return 0;
}

static void contacts_may_be_missing(void **state)
{
    (void)state;
    struct plan plan = {.size = 3, .port = {forming_free_port(), forming_free_port()}};
    peers_run(3, some_contacts_are_dead, &plan, quiet, LIMIT_S);
}

static int know_the_one_before(unsigned rank, void *context)
{
    const struct plan *plan = context;
    forming_set("KOLO_PORT", "%d", plan->port[rank]);
    forming_set("KOLO_PEERS", "127.0.0.1:%d", plan->port[rank > 0 ? rank - 1 : 0]);
    PEER_CHECK(forming_join(plan->size) == (int)rank, "its rank");
    return 0;
}

static void a_chain_of_contacts_is_enough(void **state)
{
    (void)state;
    struct plan plan = {.size = 6};
    for (unsigned i = 0; i < 6; i++) {
        plan.port[i] = forming_free_port();
    }
    peers_run(6, know_the_one_before, &plan, quiet, LIMIT_S);
}

static int meet_by_ipv6(unsigned rank, void *context)
{
    const struct plan *plan = context;
    if (rank == 0) {
        forming_set("KOLO_PORT", "%d", plan->port[0]);
    }
    forming_set("KOLO_PEERS", "[::1]:%d", plan->port[0]);
    PEER_CHECK(forming_join(plan->size) == (int)rank, "its rank");
    return 0;
}

static void contacts_may_be_of_ipv6(void **state)
{
    (void)state;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address);
    if (fd >= 0) {
        close(fd);
    }
    if (bound != 0) {
        skip(); /* this machine has no IPv6 */
    }
    struct plan plan = {.size = 3, .port = {forming_free_port()}};
    peers_run(3, meet_by_ipv6, &plan, quiet, LIMIT_S);
}

/* ---- ranks ---- */

static int join_without_rank(unsigned rank, void *context)
{
    const struct plan *plan = context;
    (void)rank;
    unsetenv("KOLO_RANK");
    int got = forming_join(plan->size);
    PEER_CHECK(got >= 0 && got < (int)plan->size, "rank %d", got);
    return 0;
}

static void ranks_are_agreed(void **state)
{
    (void)state;
    struct plan plan = {.size = 8};
    peers_run(8, join_without_rank, &plan, quiet, LIMIT_S);
}

static int some_have_ranks(unsigned rank, void *context)
{
    const struct plan *plan = context;
    if (rank % 2 == 0) {
        unsetenv("KOLO_RANK");
    }
    int got = forming_join(plan->size);
    PEER_CHECK(rank % 2 == 0 ? got % 2 == 0 : got == (int)rank, "%u became %d", rank, got);
    return 0;
}

static void given_ranks_are_kept_and_gaps_filled(void **state)
{
    (void)state;
    struct plan plan = {.size = 5};
    peers_run(5, some_have_ranks, &plan, quiet, LIMIT_S);
}

static int two_want_one_rank(unsigned rank, void *context)
{
    (void)context;
    if (rank == 3) {
        forming_set("KOLO_RANK", "1");
    }
    forming_fails(KOLO_ERR_ARGUMENT, "claim the same rank");
    const char *first = strstr(kolo_last_error(), "rank 1 (");
    PEER_CHECK(first != NULL && strstr(first + 1, "rank 1 (") != NULL, "both are named");
    return 0;
}

static void two_of_one_rank_are_named(void **state)
{
    (void)state;
    peers_run(4, two_want_one_rank, NULL, quiet, LIMIT_S);
}

static int one_expects_more(unsigned rank, void *context)
{
    (void)context;
    if (rank == 2) {
        forming_set("KOLO_SIZE", "4");
        forming_be_late(500); /* the others have met and wait */
    }
    kolo_comm *comm = NULL;
    kolo_status status = kolo_open(&comm, NULL);
    PEER_CHECK(status == KOLO_ERR_ARGUMENT, "%s", kolo_status_name(status));
    const char *text = kolo_last_error();
    PEER_CHECK(strstr(text, "4") != NULL && strstr(text, "3") != NULL, "both figures");
    PEER_CHECK(strstr(text, "KOLO_SIZE") != NULL, "the cure");
    return 0;
}

static void peers_that_expect_other_sizes_are_named(void **state)
{
    (void)state;
    peers_run(3, one_expects_more, NULL, quiet, LIMIT_S);
}

/* ---- other runs ---- */

static int one_is_of_another_run(unsigned rank, void *context)
{
    const struct plan *plan = context;
    forming_set("KOLO_PEERS", "127.0.0.1:%d", plan->port[0]);
    if (rank == 2) {
        forming_set("KOLO_RUN_ID", "another");
        forming_set("KOLO_OPEN_TIMEOUT", "2");
        forming_set("KOLO_RANK", "1");
        forming_fails(KOLO_ERR_TIMEOUT, "another run");
        return 0;
    }
    if (rank == 0) {
        forming_set("KOLO_PORT", "%d", plan->port[0]);
    } else {
        forming_be_late(1000); /* the other one has been there meanwhile */
    }
    PEER_CHECK(forming_join(plan->size) == (int)rank, "its rank");
    return 0;
}

static int with_size_two(unsigned rank, void *context)
{
    forming_set("KOLO_SIZE", "2");
    if (rank == 2) { /* so that launch checks pass */
        forming_set("KOLO_RANK", "1");
    }
    return one_is_of_another_run(rank, context);
}

static void another_run_is_refused_and_does_not_disturb(void **state)
{
    (void)state;
    struct plan plan = {.size = 2, .port = {forming_free_port()}};
    peers_run(3, with_size_two, &plan, quiet, LIMIT_S);
}

/* ---- too many, and some that die ---- */

static int one_of_five_for_four(unsigned rank, void *context)
{
    const struct plan *plan = context;
    (void)rank;
    unsetenv("KOLO_RANK");
    forming_set("KOLO_SIZE", "%u", plan->size);
    kolo_comm *comm = NULL;
    kolo_status status = kolo_open(&comm, NULL);
    if (status != KOLO_OK) {
        PEER_CHECK(status == KOLO_ERR_TIMEOUT, "%s", kolo_status_name(status));
        PEER_CHECK(strstr(kolo_last_error(), " of 4 peers are there") != NULL, "how far it came");
        return 7;
    }
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "barrier");
    PEER_CHECK(kolo_close(comm) == KOLO_OK, "close");
    return 0;
}

static void a_surplus_peer_is_left_out_and_the_others_form(void **state)
{
    (void)state;
    for (unsigned surplus = 1; surplus <= 2; surplus++) {
        struct plan plan = {.size = 4};
        int status[PEERS_MAX];
        unsigned joined = 0;
        struct peers *peers = peers_start(4 + surplus, one_of_five_for_four, &plan, impatient);
        peers_wait(peers, LIMIT_S, status);
        for (unsigned i = 0; i < 4 + surplus; i++) {
            assert_true(WIFEXITED(status[i]));
            assert_true(WEXITSTATUS(status[i]) == 0 || WEXITSTATUS(status[i]) == 7);
            joined += status[i] == 0;
        }
        assert_int_equal(joined, 4);
    }
}

/* Process 1 dies while it waits; process 3, at the signal, takes its place, and process 2 comes later. */
static int be_born_again(unsigned rank, void *context)
{
    const struct plan *plan = context;
    forming_set("KOLO_SIZE", "%u", plan->size);
    forming_set("KOLO_RANK", "%u", rank == 3 ? 1 : rank);
    close(plan->signal[1]);
    close(plan->later[1]);
    if (rank >= 2) {
        wait_for_end(rank == 3 ? plan->signal[0] : plan->later[0]);
    }
    PEER_CHECK(forming_join(plan->size) == (rank == 3 ? 1 : (int)rank), "its rank");
    return 0;
}

/* Wait until that many peers have left their addresses in the folder. */
static void wait_for_files(const char *folder, unsigned wanted)
{
    unsigned files = 0;
    for (int looks = 0; files < wanted && looks < 1000; looks++) {
        forming_be_late(10);
        files = 0;
        DIR *directory = opendir(folder);
        for (struct dirent *entry = directory != NULL ? readdir(directory) : NULL; entry != NULL;
             entry = readdir(directory)) {
            const char *dot = strrchr(entry->d_name, '.');
            files += dot != NULL && strcmp(dot, ".peer") == 0;
        }
        if (directory != NULL) {
            closedir(directory);
        }
    }
    assert_int_equal(files, wanted);
}

static void remove_folder(const char *folder)
{
    DIR *directory = opendir(folder);
    char path[512];
    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(directory);
    assert_int_equal(rmdir(folder), 0);
}

/* lingers: the others still see the old process when the new one comes. */
static void let_be_born_again(bool lingers)
{
    char folder[] = "/tmp/kolo-again-XXXXXX", contacts[64];
    struct plan plan = {.size = 3};
    int status[4];
    assert_non_null(mkdtemp(folder));
    snprintf(contacts, sizeof contacts, "KOLO_PEERS=file:%s", folder);
    const char *environment[] = {QUIET, contacts, NULL};
    assert_int_equal(pipe(plan.signal), 0);
    assert_int_equal(pipe(plan.later), 0);
    struct peers *peers = peers_start(4, be_born_again, &plan, environment);
    wait_for_files(folder, 2);
    forming_be_late(200); /* until the two have met, most likely */
    kill(peers_pid(peers, 1), lingers ? SIGSTOP : SIGKILL);
    close_pipe(plan.signal);
    if (lingers) {
        wait_for_files(folder, 3);
        forming_be_late(300); /* until process 0 knows both, most likely */
        kill(peers_pid(peers, 1), SIGKILL);
    }
    close_pipe(plan.later);
    peers_wait(peers, LIMIT_S, status);
    remove_folder(folder); /* the killed one has left its file */
    assert_true(WIFSIGNALED(status[1]));
    assert_int_equal(status[0], 0);
    assert_int_equal(status[2], 0);
    assert_int_equal(status[3], 0);
}

static void a_peer_that_dies_at_the_start_may_come_back(void **state)
{
    (void)state;
    let_be_born_again(false);
}

static void a_peer_may_come_back_before_its_death_is_known(void **state)
{
    (void)state;
    let_be_born_again(true);
}

/* ---- many ---- */

static int join_many(unsigned rank, void *context)
{
    const struct plan *plan = context;
    PEER_CHECK(forming_join(plan->size) == (int)rank, "its rank");
    return 0;
}

static void thirty_two_peers_form(void **state)
{
    (void)state;
    struct plan plan = {.size = 32};
    const char *tcp[] = {"KOLO_TRANSPORT=tcp", QUIET, NULL};
    const char *shm[] = {"KOLO_TRANSPORT=shm", QUIET, NULL};
    peers_run(32, join_many, &plan, tcp, LIMIT_S);
    peers_run(32, join_many, &plan, shm, LIMIT_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contacts_may_start_late),
        cmocka_unit_test(peers_may_start_in_any_order),
        cmocka_unit_test(one_contact_is_enough),
        cmocka_unit_test(contacts_may_be_missing),
        cmocka_unit_test(a_chain_of_contacts_is_enough),
        cmocka_unit_test(contacts_may_be_of_ipv6),
        cmocka_unit_test(ranks_are_agreed),
        cmocka_unit_test(given_ranks_are_kept_and_gaps_filled),
        cmocka_unit_test(two_of_one_rank_are_named),
        cmocka_unit_test(peers_that_expect_other_sizes_are_named),
        cmocka_unit_test(another_run_is_refused_and_does_not_disturb),
        cmocka_unit_test(a_surplus_peer_is_left_out_and_the_others_form),
        cmocka_unit_test(a_peer_that_dies_at_the_start_may_come_back),
        cmocka_unit_test(a_peer_may_come_back_before_its_death_is_known),
        cmocka_unit_test(thirty_two_peers_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
