#include "tools/doctor_socket.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"

static int await(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd poller = {.fd = fd, .events = events};
        int ready = poll(&poller, 1, clock_ms_until(deadline_ns, clock_now_ns(), INT_MAX));
        if (ready > 0) {
            return 0;
        }
        if (ready == 0) {
            return ETIMEDOUT;
        }
        if (errno != EINTR) {
            return errno;
        }
    }
}

int doctor_socket_connect(int *fd, const struct sockaddr *address, socklen_t bytes,
                          uint64_t deadline_ns)
{
    int made = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0) {
        return errno;
    }
    int error = connect(made, address, bytes) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        socklen_t length = sizeof error;
        error = await(made, POLLOUT, deadline_ns);
        if (error == 0 && getsockopt(made, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
            error = errno;
        }
    }
    if (error != 0) {
        close(made);
        return error;
    }
    *fd = made;
    return 0;
}

static int try_listen(int fd, int *port, int family)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.any = {.sa_family = (sa_family_t)family}};
    in_port_t number = htons((uint16_t)*port);
    socklen_t length = family == AF_INET ? sizeof address.v4 : sizeof address.v6;
    int on = 1;
    if (family == AF_INET) {
        address.v4.sin_port = number;
    } else {
        address.v6.sin6_port = number;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, &address.any, length) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, &address.any, &length) != 0) {
        return errno;
    }
    *port = ntohs(family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
    return 0;
}

int doctor_socket_listen(int *fd, int *port, int family)
{
    int made = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0) {
        return errno;
    }
    int error = try_listen(made, port, family);
    if (error != 0) {
        close(made);
        return error;
    }
    *fd = made;
    return 0;
}

int doctor_socket_accept(int *fd, int listener, uint64_t deadline_ns)
{
    for (;;) {
        int error = await(listener, POLLIN, deadline_ns);
        if (error != 0) {
            return error;
        }
        int made = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (made >= 0) {
            *fd = made;
            return 0;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            return errno;
        }
    }
}

int doctor_socket_send(int fd, const void *bytes, size_t length, uint64_t deadline_ns)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            at += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN) {
            int error = await(fd, POLLOUT, deadline_ns);
            if (error != 0) {
                return error;
            }
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int doctor_socket_receive(int fd, void *bytes, size_t length, uint64_t deadline_ns)
{
    uint8_t *at = bytes;
    while (length > 0) {
        ssize_t got = recv(fd, at, length, MSG_DONTWAIT);
        if (got > 0) {
            at += got;
            length -= (size_t)got;
        } else if (got == 0) {
            return ECONNRESET;
        } else if (errno == EAGAIN) {
            int error = await(fd, POLLIN, deadline_ns);
            if (error != 0) {
                return error;
            }
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}
