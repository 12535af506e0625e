#include "runtime/api/comm.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/log.h"

/* ---- the list of work; comm->lock is held ---- */

static void append(kolo_comm *comm, struct work *work)
{
    work->next = NULL;
    if (comm->last != NULL) {
        comm->last->next = work;
    } else {
        comm->first = work;
    }
    comm->last = work;
}

static struct work *take_first(kolo_comm *comm)
{
    struct work *work = comm->first;
    comm->first = work->next;
    if (comm->first == NULL) {
        comm->last = NULL;
    }
    return work;
}

static struct work *new_work(kolo_comm *comm)
{
    struct work *work = comm->spare;
    if (work != NULL) {
        comm->spare = work->next;
        return work;
    }
    return malloc(sizeof *work);
}

/* A piece of work has ended; the explanation of a failure is this thread's. */
static void finish(kolo_comm *comm, struct work *work, kolo_status status)
{
    kolo_queue *queue = work->queue;
    comm->waiting -= queue != NULL;
    work->status = status;
    work->done = true;
    if (queue != NULL) {
        queue->done++;
        if (status != KOLO_OK && queue->status == KOLO_OK) {
            queue->status = status;
            strncpy(queue->text, kolo_last_error(), sizeof queue->text - 1);
        }
        work->next = comm->spare; /* queued work is the list's own */
        comm->spare = work;
    }
    pthread_cond_broadcast(&comm->changed);
}

void comm_count(kolo_comm *comm)
{
    kolo_statistics sum = {.struct_size = sizeof sum,
                           .operations = comm->engine.operations,
                           .busy_ns = comm->engine.busy_ns};
    for (unsigned row = 0; row < WIRES_TRANSPORTS; row++) {
        struct transport *transport = comm->wires.transport[row];
        uint64_t sent = 0, received = 0;
        if (transport != NULL) {
            transport->ops->count(transport, &sent, &received);
        }
        sum.bytes_sent += sent;
        sum.bytes_received += received;
    }
    comm->statistics = sum;
}

/* Leave the engine. An abort that came while we were inside was left to us: kolo_abort() saw us driving. */
static void stop_driving(kolo_comm *comm)
{
    engine_heed_abort(&comm->engine);
    comm->driving = false;
    comm_count(comm);
}

void comm_drive_first(kolo_comm *comm)
{
    assert(!comm->driving && comm->first != NULL);
    struct work *work = take_first(comm);
    comm->driving = true;
    pthread_mutex_unlock(&comm->lock);
    kolo_status status = engine_run(&comm->engine, &work->request);
    pthread_mutex_lock(&comm->lock);
    stop_driving(comm);
    finish(comm, work, status);
}

/* ---- the background thread ---- */

static void *drive_in_background(void *context)
{
    kolo_comm *comm = context;
    pthread_mutex_lock(&comm->lock);
    while (!comm->closing) {
        if (comm->first != NULL && !comm->driving) {
            comm_drive_first(comm);
        } else {
            pthread_cond_wait(&comm->changed, &comm->lock);
        }
    }
    pthread_mutex_unlock(&comm->lock);
    return NULL;
}

static kolo_status start_thread(kolo_comm *comm)
{
    if (comm->thread_started) {
        return KOLO_OK;
    }
    sigset_t everything, before;
    sigfillset(&everything); /* signals are for the application's threads */
    pthread_sigmask(SIG_SETMASK, &everything, &before);
    int error = pthread_create(&comm->thread, NULL, drive_in_background, comm);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        return fail(KOLO_ERR_SYSTEM, "the background thread cannot be started: %s",
                    strerror(error));
    }
    comm->thread_started = true;
    return KOLO_OK;
}

void comm_stop(kolo_comm *comm)
{
    pthread_mutex_lock(&comm->lock);
    comm->closing = true;
    while (comm->first != NULL) {
        struct work *work = take_first(comm);
        fail_again(KOLO_ERR_ABORTED, "the communicator was closed before this operation's turn");
        finish(comm, work, KOLO_ERR_ABORTED);
    }
    bool driving = comm->driving;
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
    if (driving) {
        engine_abort(&comm->engine);
    }
    if (comm->thread_started) {
        pthread_join(comm->thread, NULL);
        comm->thread_started = false;
    }
    while (comm->spare != NULL) {
        struct work *work = comm->spare;
        comm->spare = work->next;
        free(work);
    }
}

/* ---- submitting ---- */

static kolo_status submit_queued(kolo_comm *comm, const struct request *request, kolo_queue *queue)
{
    pthread_mutex_lock(&comm->lock);
    kolo_status status = start_thread(comm);
    if (status == KOLO_OK && comm->waiting == QUEUED_OPERATIONS_MAX) {
        status = fail(KOLO_ERR_LIMIT,
                      "%d operations are queued already; wait for the queue (kolo_queue_wait)",
                      QUEUED_OPERATIONS_MAX);
    }
    struct work *work = status == KOLO_OK ? new_work(comm) : NULL;
    if (status == KOLO_OK && work == NULL) {
        status = fail(KOLO_ERR_MEMORY, "no memory for a queued operation");
    }
    if (work != NULL) {
        *work = (struct work){.request = *request, .queue = queue};
        queue->given++;
        comm->waiting++;
        append(comm, work);
        pthread_cond_broadcast(&comm->changed);
    }
    pthread_mutex_unlock(&comm->lock);
    return status;
}

/* Others are before us: wait for our turn, driving if nobody else does. */
static kolo_status submit_behind(kolo_comm *comm, const struct request *request)
{
    struct work work = {.request = *request};
    append(comm, &work);
    while (!work.done) {
        if (!comm->driving && comm->first != NULL) {
            comm_drive_first(comm);
        } else {
            pthread_cond_wait(&comm->changed, &comm->lock);
        }
    }
    pthread_mutex_unlock(&comm->lock);
    if (work.status != KOLO_OK && atomic_load(&comm->engine.failed)) {
        return fail_again(work.status, comm->engine.text); /* another thread may have driven it */
    }
    return work.status;
}

kolo_status comm_submit(kolo_comm *comm, const struct request *request, kolo_queue *queue)
{
    if (queue != NULL) {
        return submit_queued(comm, request, queue);
    }
    pthread_mutex_lock(&comm->lock);
    if (comm->driving || comm->first != NULL) {
        return submit_behind(comm, request);
    }
    comm->driving = true;
    pthread_mutex_unlock(&comm->lock);
    kolo_status status = engine_run(&comm->engine, request);
    pthread_mutex_lock(&comm->lock);
    stop_driving(comm);
    if (comm->first != NULL) {
        pthread_cond_broadcast(&comm->changed);
    }
    pthread_mutex_unlock(&comm->lock);
    return status;
}
