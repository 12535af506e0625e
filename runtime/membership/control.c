#include "runtime/membership/control.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/status.h"
#include "runtime/base/wire.h"

#define FRAME_HEAD 8 /* u32 length of the payload, u16 kind, u16 check */
#define FRAME_CHECK 0x6b6f
#define RECEIVE_BYTES (2 * (FRAME_HEAD + CONTROL_PAYLOAD_MAX))

struct control {
    int fd;
    struct control *next, *previous; /* in the list of all open ones of this process */
    bool ended;                      /* nothing more will arrive */
    char cause[160];                 /* why it has ended */
    uint8_t received[RECEIVE_BYTES];
    size_t start, end; /* of what has been received and not taken */
    uint8_t *backlog;  /* to be written */
    size_t backlog_bytes, backlog_room;
};

/* A forked child (a data loader) inherits the connections; while it lived, the death of its parent would not be seen by the
 * peers. So it closes them, at once. */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct control *all;

static void before_fork(void)
{
    pthread_mutex_lock(&all_lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&all_lock);
}

static void in_child(void)
{
    for (struct control *control = all; control != NULL; control = control->next) {
        close(control->fd);
        control->fd = -1;
    }
    all = NULL;
    pthread_mutex_unlock(&all_lock);
}

static void heed_forks(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

static void enlist(struct control *control)
{
    pthread_once(&once, heed_forks);
    pthread_mutex_lock(&all_lock);
    control->next = all;
    if (all != NULL) {
        all->previous = control;
    }
    all = control;
    pthread_mutex_unlock(&all_lock);
}

/* Off the list and closed in one: a child forked in between must not close somebody else's descriptor. */
static void delist_and_close(struct control *control)
{
    pthread_mutex_lock(&all_lock);
    if (control->previous != NULL) {
        control->previous->next = control->next;
    } else if (all == control) {
        all = control->next;
    }
    if (control->next != NULL) {
        control->next->previous = control->previous;
    }
    close(control->fd);
    pthread_mutex_unlock(&all_lock);
}

kolo_status control_open(struct control **control, int fd)
{
    assert(fd >= 0);
    struct control *made = calloc(1, sizeof *made);
    if (made == NULL) {
        close(fd);
        return fail(KOLO_ERR_MEMORY, "no memory for a control connection (%zu bytes)",
                    sizeof *made);
    }
    made->fd = fd;
    enlist(made);
    *control = made;
    return KOLO_OK;
}

void control_close(struct control *control)
{
    if (control == NULL) {
        return;
    }
    control_flush(control);
    shutdown(control->fd, SHUT_WR);
    /* Unread bytes would turn the close into a reset, which could overtake our last frames. */
    uint8_t rest[1024];
    for (int i = 0; i < 64 && recv(control->fd, rest, sizeof rest, MSG_DONTWAIT) > 0; i++) {
    }
    delist_and_close(control);
    free(control->backlog);
    free(control);
}

static void end(struct control *control, const char *cause)
{
    if (!control->ended) {
        control->ended = true;
        snprintf(control->cause, sizeof control->cause, "%s", cause);
    }
}

static kolo_status backlog_add(struct control *control, const uint8_t *bytes, size_t length)
{
    size_t needed = control->backlog_bytes + length;
    if (needed > CONTROL_BACKLOG_MAX) {
        end(control, "it has read nothing for too long");
        return KOLO_ERR_PEER_LOST;
    }
    if (needed > control->backlog_room) {
        size_t room = needed * 2;
        uint8_t *grown = realloc(control->backlog, room);
        if (grown == NULL) {
            return fail(KOLO_ERR_MEMORY, "no memory for %zu bytes of control frames", room);
        }
        control->backlog = grown;
        control->backlog_room = room;
    }
    memcpy(control->backlog + control->backlog_bytes, bytes, length);
    control->backlog_bytes = needed;
    return KOLO_OK;
}

bool control_flush(struct control *control)
{
    if (control->backlog_bytes == 0) {
        return true;
    }
    size_t written = 0;
    while (written < control->backlog_bytes && !control->ended) {
        ssize_t sent = send(control->fd, control->backlog + written,
                            control->backlog_bytes - written, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            written += (size_t)sent;
        } else if (errno != EINTR) {
            break; /* full; or broken, which control_receive() will find, after the frames before it */
        }
    }
    memmove(control->backlog, control->backlog + written, control->backlog_bytes - written);
    control->backlog_bytes -= written;
    return control->backlog_bytes == 0;
}

kolo_status control_send(struct control *control, enum control_kind kind, const void *payload,
                         size_t length)
{
    assert(length <= CONTROL_PAYLOAD_MAX);
    if (control->ended) {
        return KOLO_ERR_PEER_LOST;
    }
    uint8_t frame[FRAME_HEAD + CONTROL_PAYLOAD_MAX];
    struct wire_writer writer = {.bytes = frame, .capacity = sizeof frame};
    wire_put_u32(&writer, (uint32_t)length);
    wire_put_u16(&writer, (uint16_t)kind);
    wire_put_u16(&writer, FRAME_CHECK);
    wire_put_bytes(&writer, payload, length);
    assert(!writer.failed);
    kolo_status status = backlog_add(control, frame, writer.length);
    if (status == KOLO_OK) {
        control_flush(control);
    }
    return status;
}

static void fill(struct control *control)
{
    if (control->start > 0) {
        memmove(control->received, control->received + control->start,
                control->end - control->start);
        control->end -= control->start;
        control->start = 0;
    }
    while (!control->ended && control->end < RECEIVE_BYTES) {
        ssize_t got = recv(control->fd, control->received + control->end,
                           RECEIVE_BYTES - control->end, MSG_DONTWAIT);
        if (got > 0) {
            control->end += (size_t)got;
        } else if (got == 0) {
            end(control, "it closed the connection");
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR) {
            char cause[128];
            end(control, errno == ETIMEDOUT ? "its host has been silent for too long"
                                            : strerror_r(errno, cause, sizeof cause));
        }
    }
}

/* Is a whole frame there? 1 and its head, 0 if not yet, -1 if it makes no sense. */
static int head(struct control *control, uint32_t *length, uint16_t *kind)
{
    struct wire_reader reader = {.bytes = control->received + control->start,
                                 .length = control->end - control->start};
    *length = wire_get_u32(&reader);
    *kind = wire_get_u16(&reader);
    uint16_t check = wire_get_u16(&reader);
    if (reader.failed) {
        return 0;
    }
    if (*length > CONTROL_PAYLOAD_MAX || check != FRAME_CHECK || *kind < CONTROL_MEMBER ||
        *kind > CONTROL_BYE) {
        end(control, "it sent a control frame that makes no sense");
        control->start = control->end;
        return -1;
    }
    return reader.length - reader.offset >= *length;
}

/* The same, reading from the connection if need be. */
static int next_head(struct control *control, uint32_t *length, uint16_t *kind)
{
    int there = head(control, length, kind);
    if (there == 0) {
        fill(control);
        there = head(control, length, kind);
    }
    return there == 0 && control->ended ? -1 : there;
}

int control_peek(struct control *control)
{
    uint32_t length;
    uint16_t kind;
    int there = next_head(control, &length, &kind);
    return there == 1 ? kind : there;
}

int control_receive(struct control *control, struct control_frame *frame)
{
    uint32_t length;
    uint16_t kind;
    int there = next_head(control, &length, &kind);
    if (there != 1) {
        return there;
    }
    frame->kind = (enum control_kind)kind;
    frame->length = length;
    memcpy(frame->payload, control->received + control->start + FRAME_HEAD, length);
    control->start += FRAME_HEAD + length;
    return 1;
}

const char *control_cause(const struct control *control)
{
    return control->cause;
}

int control_fd(const struct control *control)
{
    return control->fd;
}

bool control_wants_write(const struct control *control)
{
    return control->backlog_bytes > 0;
}
