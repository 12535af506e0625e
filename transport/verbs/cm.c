#include "transport/verbs/cm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/verbs/cm_connection.h"

#define CM_EVENTS_PER_STEP 64 /* so that a flood of requests does not hold up the caller */
#define CM_BACKLOG 256        /* requests that the kernel keeps until they are looked at */

/* ---- opening and closing ------------------------------------------------------------------------------------------ */

static bool watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

kolo_status cm_open(struct cm **cm, const struct devices *devices)
{
    struct cm *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for rdma_cm");
    }
    *made =
        (struct cm){.devices = devices, .epoll_fd = -1, .timer_fd = -1, .timer_ns = CLOCK_FOREVER};
    made->channel = rdma_create_event_channel();
    if (made->channel == NULL) {
        kolo_status status =
            fail(KOLO_ERR_SYSTEM,
                 "rdma_cm is not there: %s; load the kernel module rdma_ucm, or pass "
                 "/dev/infiniband/rdma_cm into the container",
                 strerror(errno));
        cm_close(made);
        return status;
    }
    int flags = fcntl(made->channel->fd, F_GETFL);
    made->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    made->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (flags < 0 || fcntl(made->channel->fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        made->epoll_fd < 0 || made->timer_fd < 0 || !watch(made->epoll_fd, made->channel->fd) ||
        !watch(made->epoll_fd, made->timer_fd)) {
        kolo_status status =
            fail(KOLO_ERR_SYSTEM, "cannot set up epoll and timer for rdma_cm: %s", strerror(errno));
        cm_close(made);
        return status;
    }
    *cm = made;
    return KOLO_OK;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void cm_close(struct cm *cm)
{
    if (cm == NULL) {
        return;
    }
    assert(!cm->stepping);
    while (cm->connections != NULL) {
        cm_connection_close(cm->connections);
    }
    while (cm->listeners != NULL) {
        struct cm_listener *listener = cm->listeners;
        cm->listeners = listener->next;
        rdma_destroy_id(listener->id);
        free(listener);
    }
    if (cm->channel != NULL) {
        rdma_destroy_event_channel(cm->channel);
    }
    close_fd(cm->epoll_fd);
    close_fd(cm->timer_fd);
    free(cm);
}

int cm_fd(const struct cm *cm)
{
    return cm->epoll_fd;
}

static socklen_t length_of(const struct sockaddr *address)
{
    return address->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static const char *address_text(char text[CM_PEER_TEXT_BYTES], const struct sockaddr *address)
{
    char host[48], port[8];
    int error = getnameinfo(address, length_of(address), host, sizeof host, port, sizeof port,
                            NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(text, CM_PEER_TEXT_BYTES, error == 0 ? "%s port %s" : "an unknown address", host,
             port);
    return text;
}

kolo_status cm_listen(struct cm *cm, struct sockaddr_storage *bound, const struct sockaddr *address,
                      cm_accept *accept, void *context)
{
    char text[CM_PEER_TEXT_BYTES];
    struct sockaddr_storage copy = {0};
    struct cm_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a listener of rdma_cm");
    }
    memcpy(&copy, address, length_of(address));
    *listener = (struct cm_listener){.accept = accept, .context = context};
    if (rdma_create_id(cm->channel, &listener->id, listener, RDMA_PS_TCP) != 0 ||
        rdma_bind_addr(listener->id, (struct sockaddr *)&copy) != 0 ||
        rdma_listen(listener->id, CM_BACKLOG) != 0) {
        kolo_status status = fail(KOLO_ERR_SYSTEM, "rdma_cm cannot listen on %s: %s",
                                  address_text(text, address), strerror(errno));
        if (listener->id != NULL) {
            rdma_destroy_id(listener->id);
        }
        free(listener);
        return status;
    }
    memset(bound, 0, sizeof *bound);
    const struct sockaddr *local = rdma_get_local_addr(listener->id);
    memcpy(bound, local, length_of(local));
    listener->next = cm->listeners;
    cm->listeners = listener;
    return KOLO_OK;
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

static void set_timer(struct cm *cm)
{
    uint64_t earliest = CLOCK_FOREVER;
    for (const struct cm_connection *at = cm->connections; at != NULL; at = at->next) {
        if (at->state == CM_CONNECTING && at->deadline_ns < earliest) {
            earliest = at->deadline_ns;
        }
    }
    if (earliest == cm->timer_ns) {
        return;
    }
    cm->timer_ns = earliest;
    struct itimerspec when = {0}; /* zero: no timer */
    if (earliest != CLOCK_FOREVER) {
        when.it_value.tv_sec = (time_t)(earliest / NS_PER_S);
        when.it_value.tv_nsec = (long)(earliest % NS_PER_S) + (earliest == 0);
    }
    timerfd_settime(cm->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static bool expire(struct cm *cm)
{
    if (cm->timer_ns == CLOCK_FOREVER || clock_now_ns() < cm->timer_ns) {
        return false;
    }
    uint64_t now = clock_now_ns();
    for (struct cm_connection *at = cm->connections; at != NULL; at = at->next) {
        if (at->state == CM_CONNECTING && at->deadline_ns <= now) {
            cm_connection_lose(at, KOLO_ERR_TIMEOUT, "rdma_cm got no answer from %s in time",
                               at->peer);
        }
    }
    return true;
}

/* For rdma_cm's own time-outs. */
static int ms_left(const struct cm_connection *connection)
{
    uint64_t now = clock_now_ns();
    uint64_t left = connection->deadline_ns > now ? connection->deadline_ns - now : 0;
    uint64_t ms = left / NS_PER_MS + 1;
    return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

/* ---- dialling ----------------------------------------------------------------------------------------------------- */

kolo_status cm_dial(struct cm_connection **connection, struct cm *cm, const struct sockaddr *to,
                    const uint8_t *data, size_t data_bytes, uint64_t timeout_ns,
                    const struct cm_events *events, void *owner)
{
    assert(data_bytes <= CM_PRIVATE_BYTES);
    struct sockaddr_storage copy = {0};
    struct cm_connection *made = cm_connection_add(cm);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a connection of rdma_cm");
    }
    made->events = events;
    made->owner = owner;
    made->deadline_ns = clock_after(clock_now_ns(), timeout_ns);
    made->frame[0] = (uint8_t)data_bytes;
    made->frame_bytes = (uint8_t)(1 + data_bytes);
    if (data_bytes > 0) {
        memcpy(made->frame + 1, data, data_bytes);
    }
    memcpy(&copy, to, length_of(to));
    address_text(made->peer, to);
    if (rdma_create_id(cm->channel, &made->id, made, RDMA_PS_TCP) != 0 ||
        rdma_resolve_addr(made->id, NULL, (struct sockaddr *)&copy, ms_left(made)) != 0) {
        kolo_status status = fail_quietly(KOLO_ERR_SYSTEM, "rdma_cm cannot dial %s: %s", made->peer,
                                          strerror(errno));
        cm_connection_close(made);
        return status;
    }
    set_timer(cm);
    *connection = made;
    return KOLO_OK;
}

/* ---- accepting ---------------------------------------------------------------------------------------------------- */

/* What a stranger sent is a frame only if its length is one that it can have. */
static bool frame_is_whole(const struct cm_happening *happening)
{
    return happening->data_bytes > 0 && happening->data[0] <= CM_PRIVATE_BYTES &&
           happening->data_bytes > happening->data[0];
}

static void handle_request(struct cm *cm, const struct cm_happening *happening)
{
    const struct cm_listener *listener = happening->listen_id->context;
    struct cm_connection *connection = frame_is_whole(happening) ? cm_connection_add(cm) : NULL;
    happening->id->context = connection;
    if (connection == NULL) {
        rdma_reject(happening->id, NULL, 0);
        rdma_destroy_id(happening->id);
        return;
    }
    connection->id = happening->id;
    connection->deadline_ns = clock_now_ns() + CM_ACCEPT_TIMEOUT_NS;
    address_text(connection->peer, rdma_get_peer_addr(happening->id));
    connection->owner = listener->accept(listener->context, connection, &connection->events,
                                         happening->data + 1, happening->data[0]);
    if (connection->owner != NULL) {
        cm_connection_answer(connection, happening);
    }
    if (connection->owner == NULL || (connection->state == CM_LOST && !connection->asked)) {
        log_line(LOG_DEBUG, "rdma_cm: request of %s refused", connection->peer);
        rdma_reject(connection->id, NULL, 0);
    }
    if (connection->owner == NULL) {
        cm->stepping = false;
        cm_connection_close(connection);
        cm->stepping = true;
    }
}

/* ---- what happens ------------------------------------------------------------------------------------------------- */

static void handle(struct cm *cm, const struct cm_happening *happening)
{
    if (happening->type == RDMA_CM_EVENT_CONNECT_REQUEST) {
        handle_request(cm, happening);
        return;
    }
    struct cm_connection *connection = happening->id->context;
    for (const struct cm_listener *at = cm->listeners; at != NULL; at = at->next) {
        if (at->id == happening->id) {
            log_line(LOG_WARN, "rdma_cm: a listener ended: %s", rdma_event_str(happening->type));
            return;
        }
    }
    if (connection->state == CM_LOST) {
        return;
    }
    switch (happening->type) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
        if (rdma_resolve_route(connection->id, ms_left(connection)) != 0) {
            cm_connection_lose(connection, KOLO_ERR_SYSTEM, "rdma_resolve_route to %s: %s",
                               connection->peer, strerror(errno));
        }
        return;
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
        cm_connection_ask(connection);
        return;
    case RDMA_CM_EVENT_CONNECT_RESPONSE:
        cm_connection_finish(connection, happening);
        return;
    case RDMA_CM_EVENT_ESTABLISHED:
        connection->state = CM_UP;
        return;
    default:
        cm_connection_fail(connection, happening);
        return;
    }
}

/* Out: happening. False: nothing has happened. */
static bool next_event(struct cm_happening *happening, struct cm *cm)
{
    struct rdma_cm_event *event;
    if (rdma_get_cm_event(cm->channel, &event) != 0) {
        return false;
    }
    const struct rdma_conn_param *said = &event->param.conn;
    *happening = (struct cm_happening){.type = event->event,
                                       .id = event->id,
                                       .listen_id = event->listen_id,
                                       .status = event->status,
                                       .responder_resources = said->responder_resources,
                                       .initiator_depth = said->initiator_depth};
    if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST && said->private_data != NULL) {
        size_t bytes = said->private_data_len;
        happening->data_bytes = bytes < CM_FRAME_BYTES ? bytes : CM_FRAME_BYTES;
        memcpy(happening->data, said->private_data, happening->data_bytes);
    }
    rdma_ack_cm_event(event); /* an id that waits for this could not be destroyed by its handler */
    return true;
}

bool cm_progress(struct cm *cm)
{
    struct cm_happening happening;
    bool any = false;
    assert(!cm->stepping);
    cm->stepping = true;
    for (unsigned i = 0; i < CM_EVENTS_PER_STEP && next_event(&happening, cm); i++) {
        handle(cm, &happening);
        any = true;
    }
    cm->stepping = false;
    any = expire(cm) || any;
    set_timer(cm);
    return any;
}
