/* The exchange over PMIx. Its calls block for as long as it pleases the launcher, so a thread of its own makes them, and is left
 * behind if they do not return in time. PMIx counts its users: an MPI library in this process is one more. */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/env.h"
#include "runtime/base/status.h"
#include "runtime/launch/exchange.h"
#include "runtime/launch/mpi_use.h"
#include "runtime/launch/pmix_library.h"

/* What the thread works on: the caller's until it starts, its own until `done`, and for good if it is left behind. */
struct job {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done, left; /* under the lock */
    struct pmix_library library;
    bool began;    /* Init has succeeded, now or before */
    int timeout_s; /* for the launcher's own sake; 0: none, in its words, too */
    char namespace[PMIX_NAMESPACE_BYTES];
    struct exchange exchange;
    kolo_status status;
    char error[STATUS_TEXT_MAX];
};

/* Used by one caller at a time (exchange.h). */
static struct {
    struct pmix_library library;
    bool loaded, began, failed;
    bool stuck;    /* a thread was left behind inside the library */
    pid_t process; /* a child of fork() is not the launcher's */
} talk;

/* ---- in the thread ---- */

static kolo_status explain(const struct job *job, const char *call, int error)
{
    const char *text = job->library.Error_string(error);
    return fail_quietly(error == PMIX_ERR_TIMEOUT ? KOLO_ERR_TIMEOUT : KOLO_ERR_SYSTEM,
                        "%s failed: %.80s (%d)", call, text != NULL ? text : "", error);
}

/* Am I who my environment says? A wrapper may have mixed up the variables of two. */
static kolo_status begin(struct job *job)
{
    struct pmix_process self = {0};
    if (job->began) {
        return KOLO_OK;
    }
    int error = job->library.Init(&self, NULL, 0);
    if (error != PMIX_SUCCESS) {
        return explain(job, "PMIx_Init", error);
    }
    job->began = true;
    if (self.rank != (uint32_t)job->exchange.rank ||
        strncmp(self.namespace, job->namespace, sizeof self.namespace) != 0) {
        return fail_quietly(KOLO_ERR_PROTOCOL,
                            "PMIx says that this is rank %u of job %.80s, the environment rank %d "
                            "of %.80s",
                            self.rank, self.namespace, job->exchange.rank, job->namespace);
    }
    return KOLO_OK;
}

/* With all the room that the library may look at. */
static void name_key(char key[PMIX_KEY_BYTES], const struct job *job)
{
    memset(key, 0, PMIX_KEY_BYTES);
    snprintf(key, PMIX_KEY_BYTES, "kolo-%u", job->exchange.round);
}

static struct pmix_info time_limit(const struct job *job)
{
    return (struct pmix_info){.key = "pmix.timeout",
                              .value = {.type = PMIX_INT, .data.integer = job->timeout_s}};
}

static kolo_status publish(struct job *job)
{
    char key[PMIX_KEY_BYTES];
    struct pmix_value value = {.type = PMIX_STRING, .data.string = job->exchange.own};
    name_key(key, job);
    int error = job->library.Put(PMIX_GLOBAL, key, &value);
    if (error != PMIX_SUCCESS) {
        return explain(job, "PMIx_Put", error);
    }
    error = job->library.Commit();
    return error == PMIX_SUCCESS ? KOLO_OK : explain(job, "PMIx_Commit", error);
}

/* All ranks of the job, and what they have put comes along. */
static kolo_status meet(struct job *job)
{
    const struct pmix_info info[2] = {
        {.key = "pmix.collect", .value = {.type = PMIX_BOOL, .data.flag = true}}, time_limit(job)};
    int error = job->library.Fence(NULL, 0, info, 2);
    if (error == PMIX_ERR_TIMEOUT) {
        return fail_quietly(KOLO_ERR_TIMEOUT, "not all of them have called kolo_open in time");
    }
    return error == PMIX_SUCCESS ? KOLO_OK : explain(job, "PMIx_Fence", error);
}

static kolo_status take(struct exchange_peer *peer, const struct pmix_value *value)
{
    size_t length = value->type == PMIX_STRING && value->data.string != NULL
                        ? strnlen(value->data.string, sizeof peer->text)
                        : sizeof peer->text;
    if (length == sizeof peer->text) {
        return fail_quietly(KOLO_ERR_PROTOCOL,
                            "what rank %d says of itself is no text of up to %d bytes", peer->rank,
                            (int)sizeof peer->text - 1);
    }
    memcpy(peer->text, value->data.string, length + 1);
    return KOLO_OK;
}

/* "pmix.immediate" would spare the wait for what has not been put, but series 5 then finds nothing of other hosts. */
static kolo_status ask(struct job *job, struct exchange_peer *peer)
{
    char key[PMIX_KEY_BYTES];
    struct pmix_process process = {.rank = (uint32_t)peer->rank};
    const struct pmix_info info = time_limit(job);
    struct pmix_value *value = NULL;
    name_key(key, job);
    memcpy(process.namespace, job->namespace, sizeof process.namespace);
    int error = job->library.Get(&process, key, &info, 1, &value);
    if (error != PMIX_SUCCESS || value == NULL) {
        explain(job, "PMIx_Get", error);
        return fail_more(KOLO_ERR_SYSTEM, "rank %d has not said where it listens", peer->rank);
    }
    kolo_status status = take(peer, value);
    pmix_library_free(&job->library, value);
    return status;
}

static kolo_status converse(struct job *job)
{
    kolo_status status = begin(job);
    if (status == KOLO_OK) {
        status = publish(job);
    }
    if (status == KOLO_OK) {
        status = meet(job);
    }
    for (unsigned i = 0; i < job->exchange.peers && status == KOLO_OK; i++) {
        status = ask(job, &job->exchange.peer[i]);
    }
    return status;
}

static void free_job(struct job *job)
{
    pthread_cond_destroy(&job->changed);
    pthread_mutex_destroy(&job->lock);
    free(job);
}

static void *work(void *context)
{
    struct job *job = context;
    job->status = converse(job);
    snprintf(job->error, sizeof job->error, "%s", kolo_last_error());
    pthread_mutex_lock(&job->lock);
    job->done = true;
    bool left = job->left;
    pthread_cond_signal(&job->changed);
    pthread_mutex_unlock(&job->lock);
    if (left) {
        free_job(job);
    }
    return NULL;
}

/* ---- in the caller ---- */

/* The application's signals are not for a thread of the library's. */
static kolo_status start_thread(struct job *job, pthread_t *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, work, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0 ? KOLO_OK
                      : fail_quietly(KOLO_ERR_SYSTEM, "pthread_create: %s", strerror(error));
}

/* False: it is still at it, and `job` is now its own. */
static bool wait_for(struct job *job, uint64_t deadline_ns)
{
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                                      .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    int error = 0;
    pthread_mutex_lock(&job->lock);
    while (!job->done && error == 0) {
        error = pthread_cond_timedwait(&job->changed, &job->lock, &deadline);
    }
    bool done = job->done;
    job->left = !done;
    pthread_mutex_unlock(&job->lock);
    return done;
}

/* NULL: no memory. */
static struct job *make_job(const struct exchange *exchange, uint64_t deadline_ns)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        return NULL;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&job->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&job->lock, NULL);
    job->library = talk.library;
    job->began = talk.began;
    job->exchange = *exchange;
    uint64_t now_ns = clock_now_ns();
    uint64_t rest_s = deadline_ns > now_ns ? (deadline_ns - now_ns) / NS_PER_S + 1 : 1;
    job->timeout_s = rest_s < INT_MAX ? (int)rest_s : 0;
    snprintf(job->namespace, sizeof job->namespace, "%s", env_text("PMIX_NAMESPACE"));
    return job;
}

/* A process that ends without this has failed, in the launcher's eyes. */
static void finalize(void)
{
    if (talk.began && !talk.stuck && talk.process == getpid()) {
        talk.began = false;
        talk.library.Finalize(NULL, 0);
    }
}

static kolo_status finish(struct exchange *exchange, struct job *job)
{
    kolo_status status = job->status;
    if (!talk.began && job->began) {
        talk.began = atexit(finalize) == 0;
    }
    if (status == KOLO_OK) {
        *exchange = job->exchange;
    } else {
        fail_again(status, job->error);
    }
    free_job(job);
    return status;
}

static kolo_status pmix_swap(struct exchange *exchange, uint64_t deadline_ns)
{
    pthread_t thread;
    struct job *job = make_job(exchange, deadline_ns);
    if (job == NULL) {
        return fail_quietly(KOLO_ERR_MEMORY, "no memory for %zu bytes", sizeof *job);
    }
    kolo_status status = start_thread(job, &thread);
    if (status != KOLO_OK) {
        free_job(job);
        return status;
    }
    if (wait_for(job, deadline_ns)) {
        pthread_join(thread, NULL);
        status = finish(exchange, job);
    } else {
        pthread_detach(thread);
        talk.stuck = true;
        status = fail_quietly(KOLO_ERR_TIMEOUT,
                              "it has not answered in time: not all of them have called kolo_open, "
                              "or the launcher is stuck");
    }
    talk.failed = status != KOLO_OK;
    return status;
}

/* Open MPI from 5.0 on asks PMIx who it is only if nobody has called PMIx_Init before, and fails then. */
static kolo_status check_mpi(void)
{
    enum mpi_use use = mpi_use_now();
    if (use == MPI_OVER) {
        return fail_quietly(KOLO_ERR_STATE, "MPI_Finalize has closed the connection with it: call "
                                            "kolo_open before that");
    }
    if (use == MPI_LOADED && mpi_use_open_mpi() >= 5) {
        return fail_quietly(KOLO_ERR_STATE,
                            "this program is linked with Open MPI 5 or later, whose MPI_Init "
                            "fails once PMIx is in use: call MPI_Init before kolo_open");
    }
    return KOLO_OK;
}

static kolo_status check_use(void)
{
    if (talk.failed) {
        return fail_quietly(KOLO_ERR_STATE, "the conversation with it has failed before");
    }
    if (talk.process != getpid()) {
        return fail_quietly(KOLO_ERR_STATE, "this is a child of the process that it started");
    }
    return talk.began ? KOLO_OK : check_mpi();
}

static kolo_status pmix_join(char run_id[LAUNCH_RUN_ID_MAX], uint64_t deadline_ns)
{
    (void)run_id, (void)deadline_ns; /* PMIX_NAMESPACE has told */
    kolo_status status = KOLO_OK;
    if (!talk.loaded) {
        talk.process = getpid();
        status = pmix_library_load(&talk.library);
        talk.loaded = status == KOLO_OK;
    }
    return status == KOLO_OK ? check_use() : status;
}

const struct exchange_channel exchange_pmix = {.join = pmix_join, .swap = pmix_swap};
