#include "tools/link_stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

/* Room for one descriptor, aligned as the kernel wants it. */
union ancillary {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int link_stream_pass(int through, int fd, uint32_t index)
{
    union ancillary ancillary = {.bytes = {0}};
    struct iovec part = {.iov_base = &index, .iov_len = sizeof index};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = ancillary.bytes,
                             .msg_controllen = sizeof ancillary.bytes};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    return sendmsg(through, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

/* The next stream that was passed. Returns its descriptor, or -1. */
static int take(int through, uint32_t *index)
{
    union ancillary ancillary = {.bytes = {0}};
    struct iovec part = {.iov_base = index, .iov_len = sizeof *index};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = ancillary.bytes,
                             .msg_controllen = sizeof ancillary.bytes};
    int fd = -1;
    ssize_t got = recvmsg(through, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct cmsghdr *head = got == (ssize_t)sizeof *index ? CMSG_FIRSTHDR(&message) : NULL;
    if (head != NULL && head->cmsg_type == SCM_RIGHTS) {
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
    }
    return fd;
}

static kolo_status accept_all(int *fds, unsigned count, const struct link_place *place,
                              uint64_t deadline_ns)
{
    unsigned have = 0;
    while (have < count) {
        struct pollfd poller = {.fd = place->streams_fd, .events = POLLIN};
        int ready = poll(&poller, 1, clock_ms_until(deadline_ns, clock_now_ns(), INT_MAX));
        if (ready == 0) {
            return fail_quietly(KOLO_ERR_TIMEOUT, "%u of %u streams have not come", count - have,
                                count);
        }
        uint32_t index = 0;
        int fd = ready > 0 ? take(place->streams_fd, &index) : -1;
        if (fd < 0 && ready > 0 && errno != EINTR && errno != EAGAIN) {
            return fail_quietly(KOLO_ERR_SYSTEM, "cannot take over a stream: %s", strerror(errno));
        }
        if (fd >= 0 && (index >= count || fds[index] >= 0)) {
            close(fd);
            return fail_quietly(KOLO_ERR_PROTOCOL, "stream %u came twice or is too many", index);
        }
        if (fd >= 0) {
            fds[index] = fd;
            have++;
        }
    }
    return KOLO_OK;
}

static kolo_status dial_all(int *fds, unsigned count, const struct link_place *place,
                            uint64_t deadline_ns)
{
    char peer[LINK_PEER_BYTES];
    for (unsigned i = 0; i < count; i++) {
        struct link_hello hello = {.version = LINK_VERSION,
                                   .purpose = LINK_PURPOSE_STREAM,
                                   .index = i,
                                   .token = place->token};
        kolo_status status =
            link_hello_dial(&fds[i], peer, place->host, place->port, &hello, deadline_ns);
        if (status != KOLO_OK) {
            return status;
        }
    }
    return KOLO_OK;
}

kolo_status link_stream_connect(int *fds, unsigned count, const struct link_place *place,
                                uint64_t deadline_ns)
{
    for (unsigned i = 0; i < count; i++) {
        fds[i] = -1;
    }
    kolo_status status = place->side == LINK_SERVER ? accept_all(fds, count, place, deadline_ns)
                                                    : dial_all(fds, count, place, deadline_ns);
    for (unsigned i = 0; status != KOLO_OK && i < count; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
            fds[i] = -1;
        }
    }
    return status;
}
