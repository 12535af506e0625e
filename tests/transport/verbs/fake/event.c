/* Events: asynchronous ones of a device, and those of completion channels. Each kind is a list with an eventfd beside it that counts its
 * elements, so that poll() and read() work on it as on the kernel's. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/transport/verbs/fake/world.h"

int events_open(struct event_queue *queue)
{
    queue->first = queue->last = NULL;
    queue->fd = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
    return queue->fd < 0 ? errno : 0;
}

void events_close(struct event_queue *queue)
{
    while (queue->first != NULL) {
        struct event *event = queue->first;
        queue->first = event->next;
        free(event);
    }
    close(queue->fd);
}

void events_push(struct event_queue *queue, const struct event *event)
{
    struct event *copy = malloc(sizeof *copy);
    if (copy == NULL) {
        abort();
    }
    *copy = *event;
    copy->next = NULL;
    *(queue->first == NULL ? &queue->first : &queue->last->next) = copy;
    queue->last = copy;
    if (eventfd_write(queue->fd, 1) != 0) {
        abort();
    }
}

bool events_pop(struct event *event, struct event_queue *queue)
{
    bool found = false;
    while (!found) {
        eventfd_t count;
        if (eventfd_read(queue->fd, &count) != 0) {
            return false;
        }
        world_lock();
        struct event *first = queue->first; /* NULL: its object went in between */
        if (first != NULL) {
            *event = *first;
            queue->first = first->next;
            free(first);
            found = true;
        }
        world_unlock();
    }
    return true;
}

/* Take one off the counter; nothing if somebody in events_pop() has taken it already and waits for the lock. */
static void uncount(struct event_queue *queue)
{
    struct pollfd ready = {.fd = queue->fd, .events = POLLIN};
    eventfd_t count;
    if (poll(&ready, 1, 0) == 1 && eventfd_read(queue->fd, &count) != 0) {
        abort();
    }
}

void events_drop(struct event_queue *queue, const void *about)
{
    struct event **link = &queue->first;
    queue->last = NULL;
    while (*link != NULL) {
        struct event *event = *link;
        bool concerns = event->cq != NULL ? &event->cq->cq == about
                                          : event->async.event_type != IBV_EVENT_PORT_ERR &&
                                                event->async.event_type != IBV_EVENT_PORT_ACTIVE &&
                                                event->async.element.qp == about;
        if (!concerns) {
            queue->last = event;
            link = &event->next;
            continue;
        }
        *link = event->next;
        free(event);
        uncount(queue);
    }
}

void event_raise(struct ibv_context *context, enum ibv_event_type type, void *element, int port)
{
    struct event event = {.async = {.event_type = type}};
    if (element != NULL) {
        event.async.element.qp = element; /* the union's pointers are one */
    } else {
        event.async.element.port_num = port;
    }
    events_push(&context_of(context)->events, &event);
}

void event_demand_acknowledged(unsigned count, const char *verb)
{
    if (count > 0) {
        fprintf(stderr, "fake: %s would wait for ever: %u events are not acknowledged\n", verb,
                count);
        abort();
    }
}

/* Whose count of events to acknowledge an event raises; NULL: a port's or the device's. */
static unsigned *unacknowledged(const struct ibv_async_event *event)
{
    switch (event->event_type) {
    case IBV_EVENT_CQ_ERR:
        return &WORLD_OWNER(event->element.cq, struct completions, cq)->unacknowledged;
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_QP_LAST_WQE_REACHED:
    case IBV_EVENT_COMM_EST:
    case IBV_EVENT_SQ_DRAINED:
        return &WORLD_OWNER(event->element.qp, struct queue_pair, qp)->unacknowledged;
    case IBV_EVENT_SRQ_LIMIT_REACHED:
    case IBV_EVENT_SRQ_ERR:
        return &WORLD_OWNER(event->element.srq, struct shared_receives, srq)->unacknowledged;
    default:
        return NULL;
    }
}

int ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event)
{
    world_lock();
    int error = world_verb(FAKE_VERB_GET_ASYNC_EVENT, NULL);
    world_unlock();
    struct event popped;
    if (error != 0) {
        errno = error;
        return -1;
    }
    if (!events_pop(&popped, &context_of(context)->events)) {
        return -1;
    }
    *event = popped.async;
    world_lock();
    unsigned *count = unacknowledged(event);
    if (count != NULL) {
        ++*count;
    }
    world_unlock();
    return 0;
}

void ibv_ack_async_event(struct ibv_async_event *event)
{
    world_lock();
    unsigned *count = unacknowledged(event);
    if (count != NULL && *count > 0) {
        --*count;
    }
    world_unlock();
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **cq_context)
{
    world_lock();
    int error = world_verb(FAKE_VERB_GET_CQ_EVENT, NULL);
    world_unlock();
    struct event popped;
    if (error != 0) {
        errno = error;
        return -1;
    }
    if (!events_pop(&popped, &WORLD_OWNER(channel, struct channel, channel)->events)) {
        return -1;
    }
    world_lock();
    popped.cq->unacknowledged++;
    world_unlock();
    *cq = &popped.cq->cq;
    *cq_context = popped.cq->cq.cq_context;
    return 0;
}

void ibv_ack_cq_events(struct ibv_cq *cq, unsigned int events)
{
    world_lock();
    struct completions *completions = WORLD_OWNER(cq, struct completions, cq);
    completions->unacknowledged -=
        events < completions->unacknowledged ? events : completions->unacknowledged;
    world_unlock();
}
