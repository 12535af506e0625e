// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include "tests/lib/peers.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

struct peers {
    unsigned n;
    pid_t pid[PEERS_MAX];
    int status[PEERS_MAX];
    bool ended[PEERS_MAX];
    char folder[64];
};

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void set_environment(const struct peers *peers, unsigned rank,
                            const char *const *environment)
{
    char number[24], contacts[96];
    snprintf(number, sizeof number, "%u", rank);
    setenv("KOLO_RANK", number, 1);
    snprintf(number, sizeof number, "%u", peers->n);
    setenv("KOLO_SIZE", number, 1);
    snprintf(contacts, sizeof contacts, "file:%s", peers->folder);
    setenv("KOLO_PEERS", contacts, 1);
    setenv("KOLO_RUN_ID", peers->folder, 1);
    setenv("KOLO_OPEN_TIMEOUT", "30", 0);
    for (; environment != NULL && *environment != NULL; environment++) {
        char *pair = strdup(*environment); /* lives as long as the process */
        if (strchr(pair, '=') != NULL) {
            putenv(pair);
        } else {
            unsetenv(pair);
        }
    }
}

struct peers *peers_start(unsigned n, peer_body *body, void *context,
                          const char *const *environment)
{
    assert_true(n <= PEERS_MAX);
    struct peers *peers = calloc(1, sizeof *peers);
    assert_non_null(peers);
    peers->n = n;
    strcpy(peers->folder, "/tmp/kolo-test-XXXXXX");
    assert_non_null(mkdtemp(peers->folder));
    fflush(NULL);
    for (unsigned rank = 0; rank < n; rank++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            set_environment(peers, rank, environment);
            int result = body(rank, context);
            fflush(NULL);
            _exit(result);
        }
        peers->pid[rank] = pid;
    }
    return peers;
}

pid_t peers_pid(const struct peers *peers, unsigned rank)
{
    assert_true(rank < peers->n);
    return peers->pid[rank];
}

double peer_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Reap what has ended; returns how many are left. */
static unsigned reap(struct peers *peers)
{
    unsigned left = 0;
    for (unsigned rank = 0; rank < peers->n; rank++) {
        if (!peers->ended[rank]) {
            pid_t got = waitpid(peers->pid[rank], &peers->status[rank], WNOHANG);
            peers->ended[rank] = got == peers->pid[rank];
            left += !peers->ended[rank];
        }
    }
    return left;
}

static void kill_rest(struct peers *peers)
{
    for (unsigned rank = 0; rank < peers->n; rank++) {
        if (!peers->ended[rank]) {
            print_error("peer %u has not ended in time\n", rank);
            kill(peers->pid[rank], SIGKILL);
            waitpid(peers->pid[rank], &peers->status[rank], 0);
        }
    }
}

void peers_wait(struct peers *peers, double limit_s, int *status)
{
    sigset_t child, before;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    double deadline_s = peer_now_s() + limit_s;
    unsigned left = 0;
    while ((left = reap(peers)) > 0 && peer_now_s() < deadline_s) {
        const struct timespec most = {.tv_nsec = 50 * 1000 *
                                                 1000}; /* several ends may come as one signal */
        sigtimedwait(&child, NULL, &most);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    kill_rest(peers);
    nftw(peers->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    if (status != NULL) {
        memcpy(status, peers->status, peers->n * sizeof *status);
    }
    free(peers);
    assert_int_equal(left, 0);
}

void peers_run(unsigned n, peer_body *body, void *context, const char *const *environment,
               double limit_s)
{
    int status[PEERS_MAX];
    peers_wait(peers_start(n, body, context, environment), limit_s, status);
    for (unsigned rank = 0; rank < n; rank++) {
        if (status[rank] != 0) {
            print_error("peer %u of %u: wait status 0x%x\n", rank, n, (unsigned)status[rank]);
        }
        assert_int_equal(status[rank], 0);
    }
}

kolo_comm *peer_open(void)
{
    kolo_comm *comm = NULL;
    kolo_status status = kolo_open(&comm, NULL);
    PEER_CHECK(status == KOLO_OK, "kolo_open: %s", kolo_status_name(status));
    return comm;
}

bool peer_said(const char *what)
{
    return strstr(kolo_last_error(), what) != NULL;
}
