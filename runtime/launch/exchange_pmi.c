/* The exchange over hydra's PMI-1. One conversation a process, which an MPI library in it may begin, go on with, and end: kolo says
 * "init" and "finalize" only where no MPI library does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/env.h"
#include "runtime/base/status.h"
#include "runtime/launch/exchange.h"
#include "runtime/launch/launcher.h"
#include "runtime/launch/mpi_use.h"
#include "runtime/launch/pmi.h"

#define FINALIZE_NS (5 * NS_PER_S) /* for a launcher that is there, a matter of microseconds */
#define FD_MAX 1048576

enum state { FRESH, JOINED, BROKEN };

/* Used by one thread at a time (exchange.h). */
static struct {
    enum state state;
    struct pmi pmi;
    struct stat
        socket; /* the descriptor may be closed by an MPI library, and the number be another file's */
    pid_t process; /* a child of fork() shares the socket, but is not the launcher's */
    bool began;    /* kolo said "init", and has to end it if no MPI library comes */
} talk;

static bool same_socket(int fd)
{
    struct stat now;
    return fstat(fd, &now) == 0 && now.st_dev == talk.socket.st_dev &&
           now.st_ino == talk.socket.st_ino;
}

/* Has an MPI library begun the conversation, so that it also ends it? */
static bool is_begun(enum mpi_use use)
{
    return use != MPI_ABSENT && use != MPI_LOADED;
}

/* A process that has talked to hydra and ends without a word is taken for dead, and the job with it. */
static void finalize(void)
{
    if (talk.state == JOINED && talk.began && talk.process == getpid() &&
        same_socket(talk.pmi.fd) && !is_begun(mpi_use_now())) {
        pmi_finalize(&talk.pmi, clock_now_ns() + FINALIZE_NS);
        talk.state = BROKEN;
    }
}

static kolo_status check_mpi(enum mpi_use use)
{
    if (use == MPI_OVER) {
        return fail_quietly(KOLO_ERR_STATE, "MPI_Finalize has closed the connection with it: call "
                                            "kolo_open before that");
    }
    if (use == MPI_SHARED) {
        return fail_quietly(KOLO_ERR_STATE, "another thread may be using the connection with it: "
                                            "call kolo_open before MPI_Init, or "
                                            "from the main thread of MPI_THREAD_FUNNELED or less");
    }
    return KOLO_OK;
}

/* Out: talk.pmi.fd, talk.socket. */
static kolo_status find_socket(void)
{
    talk.pmi.fd = -1;
    kolo_status status = env_int(&talk.pmi.fd, "PMI_FD", 0, FD_MAX);
    if (status != KOLO_OK) {
        return status;
    }
    if (fstat(talk.pmi.fd, &talk.socket) != 0 || !S_ISSOCK(talk.socket.st_mode)) {
        return fail_quietly(KOLO_ERR_SYSTEM,
                            "PMI_FD=%d is no open socket: what stands between mpiexec and this "
                            "program has closed it",
                            talk.pmi.fd);
    }
    return KOLO_OK;
}

static kolo_status begin(enum mpi_use use, uint64_t deadline_ns)
{
    kolo_status status = find_socket();
    if (status == KOLO_OK && !is_begun(use)) {
        status = pmi_init(&talk.pmi, deadline_ns);
        talk.began = status == KOLO_OK && atexit(finalize) == 0;
    }
    if (status == KOLO_OK) {
        status = pmi_ask_space(&talk.pmi, deadline_ns);
    }
    talk.state = status == KOLO_OK ? JOINED : BROKEN;
    talk.process = getpid();
    return status;
}

static kolo_status check_going_on(void)
{
    if (talk.state == BROKEN) {
        return fail_quietly(KOLO_ERR_STATE, "the conversation with it has failed before");
    }
    if (talk.process != getpid()) {
        return fail_quietly(KOLO_ERR_STATE,
                            "this is a child of the process that it started; the connection is "
                            "its parent's");
    }
    if (!same_socket(talk.pmi.fd)) {
        return fail_quietly(KOLO_ERR_STATE, "PMI_FD=%d has been closed meanwhile", talk.pmi.fd);
    }
    return KOLO_OK;
}

static kolo_status pmi_join(char run_id[LAUNCH_RUN_ID_MAX], uint64_t deadline_ns)
{
    enum mpi_use use = mpi_use_now();
    kolo_status status = check_mpi(use);
    if (status == KOLO_OK) {
        status = talk.state == FRESH ? begin(use, deadline_ns) : check_going_on();
    }
    if (status == KOLO_OK) {
        struct launcher_word word;
        launcher_run_id(&word, "mpich-%s", talk.pmi.space);
        memcpy(run_id, word.run_id, LAUNCH_RUN_ID_MAX);
    }
    return status;
}

static void name_key(char key[32], const struct exchange *exchange, int rank)
{
    snprintf(key, 32, "kolo-%u-%d", exchange->round, rank);
}

static kolo_status publish(const struct exchange *exchange, uint64_t deadline_ns)
{
    char key[32];
    name_key(key, exchange, exchange->rank);
    kolo_status status = pmi_put(&talk.pmi, key, exchange->own, deadline_ns);
    if (status != KOLO_OK) {
        return status;
    }
    status = pmi_barrier(&talk.pmi, deadline_ns);
    return status != KOLO_ERR_TIMEOUT
               ? status
               : fail_quietly(status, "not all of them have called kolo_open in time");
}

static kolo_status pmi_swap(struct exchange *exchange, uint64_t deadline_ns)
{
    kolo_status status = check_going_on();
    if (status == KOLO_OK) {
        status = publish(exchange, deadline_ns);
    }
    for (unsigned i = 0; i < exchange->peers && status == KOLO_OK; i++) {
        struct exchange_peer *peer = &exchange->peer[i];
        char key[32];
        name_key(key, exchange, peer->rank);
        status = pmi_get(&talk.pmi, peer->text, sizeof peer->text, key, deadline_ns);
    }
    talk.state = status == KOLO_OK ? JOINED : BROKEN;
    return status;
}

const struct exchange_channel exchange_pmi = {.join = pmi_join, .swap = pmi_swap};
