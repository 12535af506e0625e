#include "tools/link_tcp_stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

#define CONTROL_INTERVAL_NS                                                                        \
    (2 * NS_PER_MS)       /* how often a polling side looks at the control connection */
#define CLOCK_BYTES 65536 /* sent between two looks at the clock, for small messages */

static kolo_status socket_failed(const struct link_tcp_stream *stream, const char *what, int error)
{
    bool silent = error == EAGAIN;
    return fail_quietly(silent ? KOLO_ERR_TIMEOUT : KOLO_ERR_PEER_LOST,
                        "%s: a stream ended: %s: %s", stream->place->control->peer, what,
                        silent ? "no byte is taken for too long" : strerror(error));
}

static kolo_status send_message(struct link_tcp_stream *stream)
{
    size_t done = 0, length = stream->run->size_bytes;
    while (done < length) {
        ssize_t sent = send(stream->fd, stream->out.bytes + done, length - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return socket_failed(stream, "send", errno);
        }
        done += sent > 0 ? (size_t)sent : 0;
    }
    stream->sent += length;
    return KOLO_OK;
}

/* Sleep until so many bytes may have been sent. */
static void keep_rate(uint64_t began_ns, uint64_t bytes, double rate_Bps)
{
    uint64_t due_ns = began_ns + (uint64_t)((double)bytes / rate_Bps * (double)NS_PER_S);
    if (due_ns > clock_now_ns()) {
        struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_S),
                               .tv_nsec = (long)(due_ns % NS_PER_S)};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
}

static kolo_status send_all(struct link_tcp_stream *stream)
{
    const struct link_request *request = stream->place->request;
    uint64_t messages, end_ns = link_bench_end_ns(&messages, request), began_ns = clock_now_ns();
    double rate_Bps = (double)request->rate_limit_Bps / request->pairs;
    size_t unwatched = 0;
    for (uint64_t i = 0; i < messages && !atomic_load(&stream->abandon); i++) {
        kolo_status status = send_message(stream);
        if (status != KOLO_OK) {
            return status;
        }
        if (request->rate_limit_Bps > 0) {
            keep_rate(began_ns, stream->sent, rate_Bps);
        }
        unwatched += stream->run->size_bytes;
        if (unwatched >= CLOCK_BYTES || request->rate_limit_Bps > 0) {
            unwatched = 0;
            if (clock_now_ns() >= end_ns) {
                break;
            }
        }
    }
    return KOLO_OK;
}

static void *sender(void *argument)
{
    struct link_tcp_stream *stream = argument;
    stream->send_status = send_all(stream);
    if (stream->send_status != KOLO_OK) {
        snprintf(stream->send_text, sizeof stream->send_text, "%s", kolo_last_error());
    }
    return NULL;
}

/* Compare what has come with what was to come; count messages that differ. */
static void validate(struct link_tcp_stream *stream, const uint8_t *bytes, size_t length)
{
    uint64_t size = stream->run->size_bytes, at = stream->received % size;
    while (length > 0) {
        size_t part = length < size - at ? length : (size_t)(size - at);
        stream->wrong += memcmp(bytes, stream->expected.bytes + at, part) != 0;
        bytes += part;
        length -= part;
        at = 0;
    }
}

static void arrived(struct link_tcp_stream *stream, size_t length)
{
    uint64_t now_ns = clock_now_ns();
    if (stream->expected.bytes != NULL) {
        validate(stream, stream->in.bytes, length);
    }
    stream->received += length;
    link_meter_add(&stream->meter, length, now_ns);
}

static kolo_status receive_all(struct link_tcp_stream *stream)
{
    link_meter_start(&stream->meter, stream->place->request, stream->run->size_bytes, 1,
                     clock_now_ns());
    while (stream->received < atomic_load_explicit(&stream->promised, memory_order_relaxed)) {
        ssize_t got = recv(stream->fd, stream->in.bytes, stream->in.length, 0);
        if (got > 0) {
            arrived(stream, (size_t)got);
        } else if (got == 0) {
            return socket_failed(stream, "receive", ECONNRESET);
        } else if (errno != EINTR && errno != EAGAIN) {
            return socket_failed(stream, "receive", errno);
        } else if (atomic_load(&stream->abandon)) {
            return fail_quietly(KOLO_ERR_ABORTED, "the run was given up");
        }
    }
    return stream->received == atomic_load(&stream->promised)
               ? KOLO_OK
               : fail_quietly(KOLO_ERR_PROTOCOL, "%s sent more than it says",
                              stream->place->control->peer);
}

static void *receiver(void *argument)
{
    struct link_tcp_stream *stream = argument;
    stream->receive_status = receive_all(stream);
    if (stream->receive_status != KOLO_OK) {
        snprintf(stream->receive_text, sizeof stream->receive_text, "%s", kolo_last_error());
    }
    return NULL;
}

static kolo_status start(pthread_t *thread, void *(*body)(void *), struct link_tcp_stream *stream)
{
    int error = pthread_create(thread, NULL, body, stream);
    return error == 0 ? KOLO_OK
                      : fail_quietly(KOLO_ERR_SYSTEM, "cannot start a thread: %s", strerror(error));
}

kolo_status link_tcp_stream_send(struct link_tcp_stream *stream)
{
    return start(&stream->sender, sender, stream);
}

kolo_status link_tcp_stream_receive(struct link_tcp_stream *stream)
{
    return start(&stream->receiver, receiver, stream);
}

/* Receive a whole message. Out: ended: the peer is done instead; never at the side that begins. */
static kolo_status receive_message(struct link_tcp_stream *stream, bool *ended)
{
    bool polls = stream->place->request->wait == LINK_WAIT_POLL;
    size_t have = 0, length = stream->run->size_bytes;
    uint64_t look_ns = clock_now_ns() + CONTROL_INTERVAL_NS, sent = 0;
    *ended = false;
    while (have < length) {
        ssize_t got =
            recv(stream->fd, stream->in.bytes + have, length - have, polls ? MSG_DONTWAIT : 0);
        if (got > 0) {
            have += (size_t)got;
            continue;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            return socket_failed(stream, "receive", got == 0 ? ECONNRESET : errno);
        }
        uint64_t now_ns = clock_now_ns();
        if (now_ns < look_ns) {
            continue;
        }
        look_ns = now_ns + CONTROL_INTERVAL_NS;
        kolo_status status = link_bench_hear_done(stream->place, ended, &sent, 1);
        if (status != KOLO_OK || *ended) {
            return status;
        }
        if (now_ns > stream->run->deadline_ns) {
            return fail_quietly(KOLO_ERR_TIMEOUT, "%s has been silent for too long",
                                stream->place->control->peer);
        }
    }
    stream->received += length;
    return KOLO_OK;
}

static void validate_message(struct link_tcp_stream *stream)
{
    if (stream->expected.bytes != NULL &&
        memcmp(stream->in.bytes, stream->expected.bytes, stream->run->size_bytes) != 0) {
        stream->wrong++;
    }
}

static kolo_status round_trip(struct link_tcp_stream *stream)
{
    bool ended = false;
    kolo_status status = send_message(stream);
    status = status == KOLO_OK ? receive_message(stream, &ended) : status;
    if (status == KOLO_OK && ended) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "%s ended a ping-pong that is not its own",
                            stream->place->control->peer);
    }
    validate_message(stream);
    return status;
}

kolo_status link_tcp_stream_ping(struct link_tcp_stream *stream, struct link_sample *sample)
{
    const struct link_request *request = stream->place->request;
    uint64_t messages, end_ns = link_bench_end_ns(&messages, request);
    uint64_t warm = request->iterations > 0 ? request->warmup_iterations : 0;
    uint64_t now_ns = clock_now_ns(), warm_ns = now_ns + request->warmup_ns;
    for (uint64_t i = 0; i < messages && now_ns < end_ns; i++) {
        kolo_status status = round_trip(stream);
        if (status != KOLO_OK) {
            return status;
        }
        uint64_t then_ns = now_ns;
        now_ns = clock_now_ns();
        if (request->iterations > 0 ? i >= warm : then_ns >= warm_ns) {
            link_sample_add(sample, now_ns - then_ns);
        }
    }
    return link_bench_say_done(stream->place, &stream->sent, 1);
}

kolo_status link_tcp_stream_pong(struct link_tcp_stream *stream)
{
    for (;;) {
        bool ended = false;
        kolo_status status = receive_message(stream, &ended);
        if (status != KOLO_OK || ended) {
            return status;
        }
        validate_message(stream);
        status = send_message(stream);
        if (status != KOLO_OK) {
            return status;
        }
    }
}
