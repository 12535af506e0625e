#include "tools/link_control.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

#define TEXT_BYTES 512

void link_control_init(struct link_control *control, int fd, const char *peer)
{
    control->fd = fd;
    control->have = 0;
    snprintf(control->peer, sizeof control->peer, "%s", peer);
}

void link_control_close(struct link_control *control)
{
    if (control->fd >= 0) {
        close(control->fd);
    }
    control->fd = -1;
}

static kolo_status lost(const struct link_control *control, int error)
{
    return fail_quietly(KOLO_ERR_PEER_LOST, "%s is gone: %s", control->peer,
                        error == 0 ? "it closed the connection" : strerror(error));
}

/* Wait until the descriptor is ready. KOLO_ERR_TIMEOUT. */
static kolo_status await(const struct link_control *control, short events, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd poller = {.fd = control->fd, .events = events};
        int ready = poll(&poller, 1, clock_ms_until(deadline_ns, clock_now_ns(), INT_MAX));
        if (ready > 0) {
            return KOLO_OK;
        }
        if (ready == 0) {
            return fail_quietly(KOLO_ERR_TIMEOUT, "%s does not answer", control->peer);
        }
        if (errno != EINTR) {
            return lost(control, errno);
        }
    }
}

static kolo_status send_all(struct link_control *control, const uint8_t *bytes, size_t length)
{
    uint64_t deadline_ns = clock_after(clock_now_ns(), LINK_SILENCE_NS);
    while (length > 0) {
        ssize_t sent = send(control->fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return lost(control, errno);
        }
        if (sent < 0) {
            kolo_status status = await(control, POLLOUT, deadline_ns);
            if (status != KOLO_OK) {
                return status;
            }
            continue;
        }
        bytes += sent;
        length -= (size_t)sent;
    }
    return KOLO_OK;
}

kolo_status link_control_send(struct link_control *control, enum link_frame_type type,
                              const void *payload, size_t bytes)
{
    assert(bytes <= LINK_FRAME_BYTES);
    uint8_t frame[LINK_FRAME_HEAD_BYTES + LINK_FRAME_BYTES];
    struct wire_writer writer = {.bytes = frame, .capacity = sizeof frame};
    wire_put_u32(&writer, (uint32_t)bytes);
    wire_put_u32(&writer, (uint32_t)type);
    wire_put_bytes(&writer, payload, bytes);
    return send_all(control, frame, writer.length);
}

void link_control_send_failure(struct link_control *control, kolo_status status)
{
    uint8_t payload[TEXT_BYTES + 16];
    char text[TEXT_BYTES];
    struct wire_writer writer = {.bytes = payload, .capacity = sizeof payload};
    snprintf(text, sizeof text, "%s", kolo_last_error());
    wire_put_u32(&writer, (uint32_t)status);
    wire_put_blob(&writer, text, strlen(text));
    (void)link_control_send(control, LINK_FRAME_FAILED, payload, writer.length);
}

/* A whole frame at the front of the buffer, taken out of it. */
static kolo_status take_frame(struct link_control *control, struct link_frame *frame, bool *got)
{
    struct wire_reader reader = {.bytes = control->buffer, .length = control->have};
    uint32_t bytes = wire_get_u32(&reader), type = wire_get_u32(&reader);
    if (reader.failed) {
        return KOLO_OK;
    }
    if (bytes > LINK_FRAME_BYTES || type == 0 || type >= LINK_FRAME_TYPES) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "%s sent bytes that are no frame", control->peer);
    }
    size_t whole = LINK_FRAME_HEAD_BYTES + bytes;
    if (control->have >= whole) {
        frame->type = (enum link_frame_type)type;
        frame->bytes = bytes;
        memcpy(frame->payload, control->buffer + LINK_FRAME_HEAD_BYTES, bytes);
        memmove(control->buffer, control->buffer + whole, control->have - whole);
        control->have -= whole;
        *got = true;
    }
    return KOLO_OK;
}

kolo_status link_control_try(struct link_control *control, struct link_frame *frame, bool *got)
{
    *got = false;
    kolo_status status = take_frame(control, frame, got);
    if (*got || status != KOLO_OK) {
        return status;
    }
    ssize_t came = recv(control->fd, control->buffer + control->have,
                        sizeof control->buffer - control->have, MSG_DONTWAIT);
    if (came == 0) {
        return lost(control, 0);
    }
    if (came < 0) {
        return errno == EAGAIN || errno == EINTR ? KOLO_OK : lost(control, errno);
    }
    control->have += (size_t)came;
    return take_frame(control, frame, got);
}

/* The error that the peer tells of. */
static kolo_status retell(const struct link_control *control, const struct link_frame *frame)
{
    struct wire_reader reader = {.bytes = frame->payload, .length = frame->bytes};
    uint32_t status = wire_get_u32(&reader);
    char text[TEXT_BYTES];
    wire_get_text(&reader, text, sizeof text);
    for (char *at = text; *at != '\0'; at++) {
        *at = (unsigned char)*at < 0x20 ? ' ' : *at;
    }
    bool plausible = !reader.failed && status >= KOLO_ERR_ARGUMENT && status <= KOLO_ERR_INTERNAL;
    return fail_quietly(plausible ? (kolo_status)status : KOLO_ERR_PROTOCOL, "%s: %s",
                        control->peer, text[0] != '\0' ? text : "it gave up");
}

kolo_status link_control_check(const struct link_control *control, const struct link_frame *frame,
                               enum link_frame_type type)
{
    if (frame->type == type) {
        return KOLO_OK;
    }
    return frame->type == LINK_FRAME_FAILED
               ? retell(control, frame)
               : fail_quietly(KOLO_ERR_PROTOCOL, "%s sent frame %d instead of %d", control->peer,
                              (int)frame->type, (int)type);
}

kolo_status link_control_next(struct link_control *control, struct link_frame *frame,
                              uint64_t deadline_ns)
{
    for (;;) {
        bool got = false;
        kolo_status status = link_control_try(control, frame, &got);
        if (status != KOLO_OK || got) {
            return status;
        }
        status = await(control, POLLIN, deadline_ns);
        if (status != KOLO_OK) {
            return status;
        }
    }
}

kolo_status link_control_expect(struct link_control *control, struct link_frame *frame,
                                enum link_frame_type type, uint64_t deadline_ns)
{
    kolo_status status = link_control_next(control, frame, deadline_ns);
    return status == KOLO_OK ? link_control_check(control, frame, type) : status;
}
