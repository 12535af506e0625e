/* peers: runs a function in n processes that open a communicator together, and waits for all of them with a limit. For tests of
 * the public API in real processes. A process reports a failure with PEER_CHECK, which prints and exits. */
#ifndef KOLO_TESTS_LIB_PEERS_H
#define KOLO_TESTS_LIB_PEERS_H

#include <kolo/kolo.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#define PEERS_MAX 64

/** In a peer: if the condition does not hold, print where and why, and exit with 99. */
#define PEER_CHECK(condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, " [%s]\n", kolo_last_error());                                         \
            _exit(99);                                                                             \
        }                                                                                          \
    } while (0)

struct peers;

/** What a peer does; its exit status. Called in a process of its own, with the environment of a launcher set. */
typedef int peer_body(unsigned rank, void *context);

/** Start n processes. Contacts go through a private folder. Each gets KOLO_RANK, KOLO_SIZE, KOLO_PEERS and KOLO_RUN_ID, and
 *  `environment`, a NULL-terminated list of "NAME=VALUE" (may be NULL). */
struct peers *peers_start(unsigned n, peer_body *body, void *context,
                          const char *const *environment);

/** The process of a rank. */
pid_t peers_pid(const struct peers *peers, unsigned rank);

/** Wait until all have ended, at most `limit_s`; then the rest is killed and the test fails. Out: status[n] as of waitpid, if not
 *  NULL. Frees. */
void peers_wait(struct peers *peers, double limit_s, int *status);

/** Start, wait, and assert that every peer exited with 0. */
void peers_run(unsigned n, peer_body *body, void *context, const char *const *environment,
               double limit_s);

/** Monotonic time in seconds. */
double peer_now_s(void);

/** Does the explanation of this thread's last error contain `what`? */
bool peer_said(const char *what);

/** Open a communicator in a peer, or fail the test. */
kolo_comm *peer_open(void);

#endif
