#include "transport/shm/door.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"

kolo_status shm_watch_begin(struct shm_watch *watch, int poller, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) {
        return fail(KOLO_ERR_SYSTEM, "epoll_ctl failed: %s", strerror(errno));
    }
    watch->fd = fd;
    return KOLO_OK;
}

void shm_watch_end(struct shm_watch *watch, int poller)
{
    if (watch->fd >= 0) {
        /* Explicitly: a forked child may hold the descriptor open, and epoll would go on telling of it. */
        epoll_ctl(poller, EPOLL_CTL_DEL, watch->fd, NULL);
        close(watch->fd);
        watch->fd = -1;
    }
}

/* An abstract address (no file): zero, then "kolo-" and the name in hexadecimal. Returns its length. */
static socklen_t address_of(struct sockaddr_un *address, const uint8_t name[SHM_NAME_BYTES])
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    char *text = address->sun_path + 1;
    int length = snprintf(text, sizeof address->sun_path - 1, "kolo-");
    for (unsigned i = 0; i < SHM_NAME_BYTES; i++) {
        length +=
            snprintf(text + length, sizeof address->sun_path - 1 - (size_t)length, "%02x", name[i]);
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static kolo_status listen_at(int fd, const uint8_t name[SHM_NAME_BYTES])
{
    struct sockaddr_un address;
    socklen_t length = address_of(&address, name);
    if (bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, SHM_BACKLOG) != 0) {
        return fail(KOLO_ERR_SYSTEM, "listening on an abstract UNIX socket failed: %s",
                    strerror(errno));
    }
    return KOLO_OK;
}

kolo_status shm_door_open(struct shm_door *door, int poller)
{
    assert(door->welcome);
    door->poller = poller;
    door->watch = (struct shm_watch){.kind = SHM_WATCH_DOOR, .fd = -1};
    door->strangers_count = 0;
    for (unsigned i = 0; i < SHM_STRANGERS_MAX; i++) {
        door->strangers[i].watch = (struct shm_watch){.kind = SHM_WATCH_STRANGER, .fd = -1};
    }
    if (getrandom(door->name, SHM_NAME_BYTES, 0) != SHM_NAME_BYTES) {
        return fail(KOLO_ERR_SYSTEM, "getrandom failed: %s", strerror(errno));
    }
    int fd = new_socket();
    if (fd < 0) {
        return fail(KOLO_ERR_SYSTEM, "socket(AF_UNIX) failed: %s", strerror(errno));
    }
    kolo_status status = listen_at(fd, door->name);
    if (status == KOLO_OK) {
        status = shm_watch_begin(&door->watch, poller, fd);
    }
    if (status != KOLO_OK) {
        close(fd);
    }
    return status;
}

static void send_away(struct shm_door *door, struct shm_stranger *stranger)
{
    shm_watch_end(&stranger->watch, door->poller);
    door->strangers_count--;
}

void shm_door_close(struct shm_door *door)
{
    for (unsigned i = 0; i < SHM_STRANGERS_MAX; i++) {
        shm_watch_end(&door->strangers[i].watch, door->poller);
    }
    shm_watch_end(&door->watch, door->poller);
}

/* Is the process at the other end ours, as far as the kernel knows? */
static bool same_user(int fd)
{
    struct ucred who;
    socklen_t length = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 && who.uid == geteuid();
}

/* A free place, or else that of whoever has been silent for the longest time. */
static struct shm_stranger *place_for(struct shm_door *door)
{
    struct shm_stranger *oldest = &door->strangers[0];
    for (unsigned i = 0; i < SHM_STRANGERS_MAX; i++) {
        struct shm_stranger *stranger = &door->strangers[i];
        if (stranger->watch.fd < 0) {
            return stranger;
        }
        if (stranger->deadline_ns < oldest->deadline_ns) {
            oldest = stranger;
        }
    }
    send_away(door, oldest);
    return oldest;
}

static void let_in(struct shm_door *door, int fd, uint64_t now_ns)
{
    if (!same_user(fd)) {
        log_line(LOG_DEBUG, "shm: a process of another user knocked: refused");
        close(fd);
        return;
    }
    struct shm_stranger *stranger = place_for(door);
    if (shm_watch_begin(&stranger->watch, door->poller, fd) != KOLO_OK) {
        close(fd);
        return;
    }
    stranger->deadline_ns = now_ns + SHM_STRANGER_NS;
    door->strangers_count++;
    shm_door_hear(door, stranger);
}

void shm_door_answer(struct shm_door *door, uint64_t now_ns)
{
    for (unsigned i = 0; i < SHM_STRANGERS_MAX; i++) {
        int fd = accept4(door->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        let_in(door, fd, now_ns);
    }
}

void shm_door_hear(struct shm_door *door, struct shm_stranger *stranger)
{
    struct shm_hello hello;
    if (stranger->watch.fd < 0) {
        return;
    }
    enum shm_heard heard = shm_hello_receive(&hello, stranger->watch.fd);
    if (heard == SHM_HEARD_NOTHING) {
        return;
    }
    if (heard == SHM_HEARD_HELLO) {
        int fd = stranger->watch.fd;
        epoll_ctl(door->poller, EPOLL_CTL_DEL, fd, NULL);
        if (door->welcome(door->context, fd, &hello)) {
            stranger->watch.fd = -1;
            door->strangers_count--;
            return;
        }
        shm_hello_drop(&hello);
    }
    if (heard != SHM_HEARD_END) {
        log_line(LOG_DEBUG, "shm: a stranger knocked without a valid hello: refused");
    }
    send_away(door, stranger);
}

void shm_door_tidy(struct shm_door *door, uint64_t now_ns)
{
    for (unsigned i = 0; i < SHM_STRANGERS_MAX && door->strangers_count > 0; i++) {
        struct shm_stranger *stranger = &door->strangers[i];
        if (stranger->watch.fd >= 0 && stranger->deadline_ns <= now_ns) {
            send_away(door, stranger);
        }
    }
}

static kolo_status knock_failed(int error)
{
    switch (error) {
    case EAGAIN:
        return fail_quietly(KOLO_ERR_TIMEOUT, "too many are connecting to the peer at this moment");
    case ECONNREFUSED: /* also when the name is unknown */
    case EPERM:
    case EACCES:
        return fail_quietly(KOLO_ERR_STATE,
                            "no shared memory: the peer's UNIX socket is not "
                            "reachable from here (%s)",
                            strerror(error));
    default:
        return fail(KOLO_ERR_SYSTEM, "connecting to the peer's UNIX socket failed: %s",
                    strerror(error));
    }
}

kolo_status shm_door_knock(int *fd, const uint8_t name[SHM_NAME_BYTES])
{
    struct sockaddr_un address;
    socklen_t length = address_of(&address, name);
    int made = new_socket();
    if (made < 0) {
        return fail(KOLO_ERR_SYSTEM, "socket(AF_UNIX) failed: %s", strerror(errno));
    }
    if (connect(made, (struct sockaddr *)&address, length) != 0) {
        int error = errno;
        close(made);
        return knock_failed(error);
    }
    if (!same_user(made)) {
        close(made);
        return fail_quietly(KOLO_ERR_STATE, "no shared memory: the peer belongs to another user");
    }
    *fd = made;
    return KOLO_OK;
}
