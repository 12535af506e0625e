/* The answering end of `kolo doctor HOST`, and what both ends share. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/wire.h"
#include "tools/doctor_peer.h"
#include "tools/doctor_socket.h"
#include "transport/tcp/address.h"

#define BULK_PIECE 16384

enum doctor_call doctor_call_from(int error)
{
    switch (error) {
    case 0:
        return DOCTOR_CALL_WORKS;
    case ECONNREFUSED:
        return DOCTOR_CALL_REFUSED;
    case ETIMEDOUT:
        return DOCTOR_CALL_FILTERED;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EACCES: /* a local firewall */
    case EPERM:
        return DOCTOR_CALL_UNREACHABLE;
    default:
        return DOCTOR_CALL_FAILED;
    }
}

int doctor_message_send(int fd, const void *bytes, size_t length, uint64_t deadline_ns)
{
    uint8_t message[4 + DOCTOR_MESSAGE_BYTES];
    struct wire_writer writer = {.bytes = message, .capacity = sizeof message};
    wire_put_u32(&writer, (uint32_t)length);
    wire_put_bytes(&writer, bytes, length);
    return writer.failed ? EPROTO : doctor_socket_send(fd, message, writer.length, deadline_ns);
}

int doctor_message_receive(int fd, uint8_t bytes[DOCTOR_MESSAGE_BYTES], size_t *length,
                           uint64_t deadline_ns)
{
    uint8_t head[4];
    int error = doctor_socket_receive(fd, head, sizeof head, deadline_ns);
    if (error != 0) {
        return error;
    }
    struct wire_reader reader = {.bytes = head, .length = sizeof head};
    uint32_t told = wire_get_u32(&reader);
    if (told > DOCTOR_MESSAGE_BYTES) {
        return EPROTO;
    }
    *length = told;
    return doctor_socket_receive(fd, bytes, told, deadline_ns);
}

int doctor_bulk_send(int fd, uint64_t deadline_ns)
{
    static const uint8_t piece[BULK_PIECE];
    int error = 0;
    for (size_t sent = 0; sent < DOCTOR_BULK_BYTES && error == 0; sent += sizeof piece) {
        error = doctor_socket_send(fd, piece, sizeof piece, deadline_ns);
    }
    return error;
}

int doctor_bulk_receive(int fd, uint64_t deadline_ns)
{
    uint8_t piece[BULK_PIECE];
    int error = 0;
    for (size_t got = 0; got < DOCTOR_BULK_BYTES && error == 0; got += sizeof piece) {
        error = doctor_socket_receive(fd, piece, sizeof piece, deadline_ns);
    }
    return error;
}

/* Call the asker where it listens, and say its token. */
static int call_back(int fd, const struct doctor_facts *asker, uint64_t deadline_ns)
{
    struct port_address to = {.as.any.sa_family = AF_UNSPEC};
    socklen_t bytes = sizeof to;
    uint8_t token[8];
    int back = -1;
    if (getpeername(fd, &to.as.any, &bytes) != 0) {
        return errno;
    }
    address_unmap(&to);
    address_set_port(&to, asker->back_port);
    int error = doctor_socket_connect(&back, &to.as.any, address_length(&to), deadline_ns);
    if (error == 0) {
        struct wire_writer writer = {.bytes = token, .capacity = sizeof token};
        wire_put_u64(&writer, asker->token);
        error = doctor_socket_send(back, token, sizeof token, deadline_ns);
        close(back);
    }
    return error;
}

static int exchange_facts(struct doctor_facts *asker, uint64_t *step_ns, int fd,
                          const struct doctor_view *view, uint64_t deadline_ns)
{
    uint8_t message[DOCTOR_MESSAGE_BYTES];
    size_t length = 0;
    int error = doctor_message_receive(fd, message, &length, deadline_ns);
    if (error != 0) {
        return error;
    }
    struct wire_reader reader = {.bytes = message, .length = length};
    uint32_t step_ms = wire_get_u32(&reader);
    doctor_facts_get(asker, &reader);
    if (reader.failed || step_ms == 0 || step_ms > DOCTOR_STEP_MS_MAX) {
        return EPROTO;
    }
    *step_ns = step_ms * NS_PER_MS;
    struct port_address local = {.as.any.sa_family = AF_UNSPEC};
    socklen_t bytes = sizeof local;
    struct doctor_facts here;
    if (getsockname(fd, &local.as.any, &bytes) != 0) {
        return errno;
    }
    address_unmap(&local);
    doctor_facts_read(&here, view, &local);
    struct wire_writer writer = {.bytes = message, .capacity = DOCTOR_FACTS_BYTES};
    doctor_facts_put(&writer, &here);
    return writer.failed ? EPROTO : doctor_message_send(fd, message, writer.length, deadline_ns);
}

void doctor_peer_answer(int fd, const struct doctor_view *view)
{
    struct doctor_facts asker;
    uint64_t step_ns = 0;
    uint8_t byte = 0;
    uint64_t first_ns = clock_after(clock_now_ns(), 10 * NS_PER_S);
    if (exchange_facts(&asker, &step_ns, fd, view, first_ns) != 0) {
        return;
    }
    if (asker.back_port != 0) {
        byte =
            (uint8_t)doctor_call_from(call_back(fd, &asker, clock_after(clock_now_ns(), step_ns)));
        if (doctor_socket_send(fd, &byte, 1, clock_after(clock_now_ns(), step_ns)) != 0) {
            return;
        }
    }
    /* The asker gives up after one step of silence and closes; two, so that it is the one that finds out. */
    if (doctor_bulk_receive(fd, clock_after(clock_now_ns(), 2 * step_ns)) != 0 ||
        doctor_socket_send(fd, &byte, 1, clock_after(clock_now_ns(), step_ns)) != 0 ||
        doctor_bulk_send(fd, clock_after(clock_now_ns(), 2 * step_ns)) != 0) {
        return;
    }
    (void)doctor_socket_receive(fd, &byte, 1, clock_after(clock_now_ns(), 2 * step_ns));
}
