#include "transport/shm/hello.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/status.h"
#include "runtime/base/wire.h"
#include "transport/shm/ring.h"

/* "ksh3": also the version of the layouts in ring.h, bell.h and board.h. */
#define HELLO_MAGIC UINT32_C(0x6b736833)
#define HELLO_BYTES 64 /* room; it is shorter */
#define FLAG_ANSWERS 1u
#define FLAG_BARRIERS 2u

union control {
    char bytes[CMSG_SPACE(SHM_HELLO_FDS * sizeof(int))];
    struct cmsghdr align;
};

static size_t encode(uint8_t bytes[HELLO_BYTES], const struct shm_hello *hello)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = HELLO_BYTES};
    wire_put_u32(&writer, HELLO_MAGIC);
    wire_put_u32(&writer, SHM_SLOTS);
    wire_put_u32(&writer, SHM_BULK_BYTES);
    wire_put_u8(&writer, (uint8_t)((hello->answers ? FLAG_ANSWERS : 0u) |
                                   (hello->barriers ? FLAG_BARRIERS : 0u)));
    wire_put_u64(&writer, hello->token);
    wire_put_bytes(&writer, hello->from, TRANSPORT_ID_BYTES);
    wire_put_bytes(&writer, hello->to, TRANSPORT_ID_BYTES);
    assert(!writer.failed);
    return writer.length;
}

static bool decode(struct shm_hello *hello, const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    bool ours = wire_get_u32(&reader) == HELLO_MAGIC && wire_get_u32(&reader) == SHM_SLOTS &&
                wire_get_u32(&reader) == SHM_BULK_BYTES;
    unsigned flags = wire_get_u8(&reader);
    hello->answers = flags & FLAG_ANSWERS;
    hello->barriers = flags & FLAG_BARRIERS;
    hello->token = wire_get_u64(&reader);
    wire_get_bytes(&reader, hello->from, TRANSPORT_ID_BYTES);
    wire_get_bytes(&reader, hello->to, TRANSPORT_ID_BYTES);
    return ours && !reader.failed && reader.offset == length;
}

/* An answer brings no segment. */
static unsigned fds_of(const struct shm_hello *hello)
{
    return hello->answers ? SHM_HELLO_FDS - 1 : SHM_HELLO_FDS;
}

kolo_status shm_hello_send(int socket, const struct shm_hello *hello)
{
    uint8_t bytes[HELLO_BYTES];
    struct iovec vector = {.iov_base = bytes, .iov_len = encode(bytes, hello)};
    int fds[SHM_HELLO_FDS] = {hello->bell, hello->board, hello->segment};
    size_t fds_bytes = fds_of(hello) * sizeof(int);
    union control control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(fds_bytes)};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds_bytes);
    memcpy(CMSG_DATA(part), fds, fds_bytes);
    if (sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "sending descriptors over a UNIX socket failed: %s",
                            strerror(errno));
    }
    return KOLO_OK;
}

/* All descriptors that came, whatever came: they are ours to close, and those beyond the room are at once. Returns how many. */
static unsigned take_fds(int fds[SHM_HELLO_FDS], struct msghdr *message)
{
    unsigned count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t came = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < came; i++, count++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            if (count < SHM_HELLO_FDS) {
                fds[count] = fd;
            } else {
                close(fd);
            }
        }
    }
    return count;
}

static enum shm_heard judge(struct shm_hello *hello, const uint8_t *bytes, size_t length,
                            const struct msghdr *message, unsigned fds)
{
    if (length == 0 && fds == 0) {
        return SHM_HEARD_END;
    }
    bool sane = decode(hello, bytes, length) && fds == fds_of(hello) &&
                !(message->msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    return sane ? SHM_HEARD_HELLO : SHM_HEARD_NONSENSE;
}

enum shm_heard shm_hello_receive(struct shm_hello *hello, int socket)
{
    uint8_t bytes[HELLO_BYTES];
    struct iovec vector = {.iov_base = bytes, .iov_len = sizeof bytes};
    union control control;
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) {
        bool later = errno == EAGAIN || errno == EINTR;
        return later ? SHM_HEARD_NOTHING : SHM_HEARD_END;
    }
    int fds[SHM_HELLO_FDS] = {-1, -1, -1};
    unsigned count = take_fds(fds, &message);
    enum shm_heard heard = judge(hello, bytes, (size_t)got, &message, count);
    hello->bell = fds[0];
    hello->board = fds[1];
    hello->segment = fds[2];
    if (heard != SHM_HEARD_HELLO) {
        shm_hello_drop(hello);
    }
    return heard;
}

void shm_hello_drop(const struct shm_hello *hello)
{
    const int fds[SHM_HELLO_FDS] = {hello->bell, hello->board, hello->segment};
    for (unsigned i = 0; i < SHM_HELLO_FDS; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}
