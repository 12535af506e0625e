#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/api/comm.h"

kolo_status kolo_queue_create(kolo_queue **queue, kolo_comm *comm)
{
    if (queue == NULL || comm == NULL) {
        return fail(KOLO_ERR_ARGUMENT, "kolo_queue_create: %s is NULL",
                    queue == NULL ? "queue" : "comm");
    }
    kolo_queue *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory for a queue");
    }
    made->comm = comm;
    *queue = made;
    return KOLO_OK;
}

static kolo_status outcome(const kolo_queue *queue)
{
    return queue->status == KOLO_OK ? KOLO_OK : fail_again(queue->status, queue->text);
}

static struct timespec time_limit(double timeout_s)
{
    struct timespec limit;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    double most = timeout_s < 1e9 ? timeout_s : 1e9;
    limit.tv_sec += (time_t)most;
    limit.tv_nsec += (long)((most - (double)(time_t)most) * 1e9);
    if (limit.tv_nsec >= 1000000000L) {
        limit.tv_nsec -= 1000000000L;
        limit.tv_sec++;
    }
    return limit;
}

/* Wait without driving: an operation under way cannot be left when the limit passes. */
static int wait_until(kolo_comm *comm, const struct timespec *limit)
{
    return pthread_cond_clockwait(&comm->changed, &comm->lock, CLOCK_MONOTONIC, limit);
}

kolo_status kolo_queue_wait(kolo_queue *queue, double timeout_s)
{
    if (queue == NULL) {
        return fail(KOLO_ERR_ARGUMENT, "kolo_queue_wait: queue is NULL");
    }
    kolo_comm *comm = queue->comm;
    struct timespec limit = time_limit(timeout_s > 0 ? timeout_s : 0);
    kolo_status status = KOLO_OK;
    pthread_mutex_lock(&comm->lock);
    uint64_t target = queue->given;
    while (queue->done < target && status == KOLO_OK) {
        if (timeout_s >= 0) {
            if (wait_until(comm, &limit) == ETIMEDOUT && queue->done < target) {
                status = fail_quietly(KOLO_ERR_TIMEOUT,
                                      "%llu operations of the queue are not done after %g s",
                                      (unsigned long long)(target - queue->done), timeout_s);
            }
        } else if (!comm->driving && comm->first != NULL) {
            comm_drive_first(comm);
        } else {
            pthread_cond_wait(&comm->changed, &comm->lock);
        }
    }
    if (status == KOLO_OK) {
        status = outcome(queue);
    }
    pthread_mutex_unlock(&comm->lock);
    return status;
}

kolo_status kolo_queue_poll(kolo_queue *queue, int *done)
{
    if (queue == NULL || done == NULL) {
        return fail(KOLO_ERR_ARGUMENT, "kolo_queue_poll: %s is NULL",
                    queue == NULL ? "queue" : "done");
    }
    pthread_mutex_lock(&queue->comm->lock);
    *done = queue->done == queue->given;
    kolo_status status = outcome(queue);
    pthread_mutex_unlock(&queue->comm->lock);
    return status;
}

kolo_status kolo_queue_destroy(kolo_queue *queue)
{
    if (queue == NULL) {
        return KOLO_OK;
    }
    kolo_status status = kolo_queue_wait(queue, -1);
    free(queue);
    return status;
}
