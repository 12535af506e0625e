#include "tests/fault/failing.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>

static const struct {
    const char *name;
    int error; /* one that the call may well fail with */
} calls[FAILING_CALLS] = {
    [FAILING_ALLOCATION] = {"allocation", ENOMEM},
    [FAILING_MMAP] = {"mmap", ENOMEM},
    [FAILING_SOCKET] = {"socket", EMFILE},
    [FAILING_BIND] = {"bind", EADDRINUSE},
    [FAILING_LISTEN] = {"listen", EADDRINUSE},
    [FAILING_ACCEPT] = {"accept4", EMFILE},
    [FAILING_CONNECT] = {"connect", ENETUNREACH},
    [FAILING_EPOLL_CREATE] = {"epoll_create1", EMFILE},
    [FAILING_EPOLL_CTL] = {"epoll_ctl", ENOSPC},
    [FAILING_EVENTFD] = {"eventfd", EMFILE},
    [FAILING_MEMFD] = {"memfd_create", EMFILE},
    [FAILING_FTRUNCATE] = {"ftruncate", ENOSPC},
    [FAILING_SENDMSG] = {"sendmsg", ENOBUFS},
    [FAILING_RECVMSG] = {"recvmsg", ECONNRESET},
    [FAILING_SEND] = {"send", ENOBUFS},
    [FAILING_RECV] = {"recv", ECONNRESET},
    [FAILING_THREAD] = {"pthread_create", EAGAIN},
};

static _Atomic int armed = -1; /* which call; -1: none */
static atomic_uint left;       /* calls until it fails */
static atomic_bool fired;

const char *failing_name(enum failing_call call)
{
    return calls[call].name;
}

void failing_arm(enum failing_call call, unsigned nth)
{
    atomic_store(&left, nth);
    atomic_store(&fired, false);
    atomic_store(&armed, (int)call);
}

bool failing_disarm(void)
{
    atomic_store(&armed, -1);
    return atomic_load(&fired);
}

static bool fails(enum failing_call call)
{
    if (atomic_load(&armed) != (int)call || atomic_load(&fired) ||
        atomic_fetch_sub(&left, 1) != 0) {
        return false;
    }
    atomic_store(&fired, true);
    errno = calls[call].error;
    return true;
}

/* A function that returns -1, and one that returns NULL, when it fails. */
#define WRAP(call, failure, type, name, parameters, arguments)                                     \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails(call) ? (failure) : __real_##name arguments;                                  \
    }

WRAP(FAILING_ALLOCATION, NULL, void *, malloc, (size_t bytes), (bytes))
WRAP(FAILING_ALLOCATION, NULL, void *, calloc, (size_t count, size_t bytes), (count, bytes))
WRAP(FAILING_ALLOCATION, NULL, void *, realloc, (void *memory, size_t bytes), (memory, bytes))
WRAP(FAILING_ALLOCATION, NULL, void *, aligned_alloc, (size_t align, size_t bytes), (align, bytes))
WRAP(FAILING_ALLOCATION, ENOMEM, int, posix_memalign, (void **memory, size_t align, size_t bytes),
     (memory, align, bytes))
WRAP(FAILING_MMAP, MAP_FAILED, void *, mmap,
     (void *place, size_t bytes, int protection, int flags, int fd, off_t offset),
     (place, bytes, protection, flags, fd, offset))
WRAP(FAILING_SOCKET, -1, int, socket, (int domain, int type, int protocol),
     (domain, type, protocol))
WRAP(FAILING_BIND, -1, int, bind, (int fd, const struct sockaddr *address, socklen_t length),
     (fd, address, length))
WRAP(FAILING_LISTEN, -1, int, listen, (int fd, int backlog), (fd, backlog))
WRAP(FAILING_ACCEPT, -1, int, accept4,
     (int fd, struct sockaddr *address, socklen_t *length, int flags), (fd, address, length, flags))
WRAP(FAILING_CONNECT, -1, int, connect, (int fd, const struct sockaddr *address, socklen_t length),
     (fd, address, length))
WRAP(FAILING_EPOLL_CREATE, -1, int, epoll_create1, (int flags), (flags))
WRAP(FAILING_EVENTFD, -1, int, eventfd, (unsigned value, int flags), (value, flags))
WRAP(FAILING_MEMFD, -1, int, memfd_create, (const char *name, unsigned flags), (name, flags))
WRAP(FAILING_FTRUNCATE, -1, int, ftruncate, (int fd, off_t bytes), (fd, bytes))
WRAP(FAILING_SENDMSG, -1, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags),
     (fd, message, flags))
WRAP(FAILING_RECVMSG, -1, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags),
     (fd, message, flags))
WRAP(FAILING_SEND, -1, ssize_t, send, (int fd, const void *bytes, size_t length, int flags),
     (fd, bytes, length, flags))
WRAP(FAILING_RECV, -1, ssize_t, recv, (int fd, void *bytes, size_t length, int flags),
     (fd, bytes, length, flags))
WRAP(FAILING_THREAD, EAGAIN, int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*body)(void *), void *context),
     (thread, attributes, body, context))

/* Only adding a descriptor takes memory, and may fail. */
int __real_epoll_ctl(int fd, int operation, int which, struct epoll_event *event);
int __wrap_epoll_ctl(int fd, int operation, int which, struct epoll_event *event);
int __wrap_epoll_ctl(int fd, int operation, int which, struct epoll_event *event)
{
    bool failed = operation == EPOLL_CTL_ADD && fails(FAILING_EPOLL_CTL);
    return failed ? -1 : __real_epoll_ctl(fd, operation, which, event);
}
