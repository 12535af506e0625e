/* The TCP test: as many connections as pairs, a thread for each that sends and for each that receives, as iperf3 does it. Rates
 * are those of the receiver. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "tools/link_interface.h"
#include "tools/link_stream.h"
#include "tools/link_tcp_stream.h"

#define RECEIVE_BYTES_LEAST 131072u /* of one call, as iperf3's */
#define RECEIVE_WAKE_US 20000       /* a receiver looks up so often to see whether all is over */
#define SEND_WAIT_S 10              /* for room in a socket */

struct tcp_bench {
    struct link_bench bench;
    struct link_tcp_stream streams[LINK_PAIRS_MAX];
};

static uint64_t greatest_size(const struct link_request *request)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < request->size_count; i++) {
        most = request->size_bytes[i] > most ? request->size_bytes[i] : most;
    }
    return most;
}

static kolo_status stream_make(struct link_tcp_stream *stream, const struct link_place *place)
{
    const struct link_request *request = place->request;
    size_t size = (size_t)greatest_size(request);
    size_t room = size > RECEIVE_BYTES_LEAST ? size : RECEIVE_BYTES_LEAST;
    kolo_status status = link_buffer_make(&stream->out, size, request, place->side);
    status = status == KOLO_OK ? link_buffer_make(&stream->in, room, request, place->side) : status;
    if (status == KOLO_OK && request->validate) {
        status = link_buffer_make(&stream->expected, size, request, place->side);
    }
    return status;
}

static void tcp_close(struct link_bench *bench)
{
    struct tcp_bench *tcp = (struct tcp_bench *)bench;
    for (unsigned i = 0; i < LINK_PAIRS_MAX; i++) {
        struct link_tcp_stream *stream = &tcp->streams[i];
        if (stream->fd >= 0) {
            close(stream->fd);
        }
        link_buffer_free(&stream->out);
        link_buffer_free(&stream->in);
        link_buffer_free(&stream->expected);
    }
    free(tcp);
}

static kolo_status tcp_open(struct link_bench **bench, struct wire_writer *address,
                            struct link_host *host, const struct link_place *place)
{
    (void)address; /* streams come through the server's port */
    struct tcp_bench *tcp = calloc(1, sizeof *tcp);
    if (tcp == NULL) {
        return fail_quietly(KOLO_ERR_MEMORY, "out of memory");
    }
    tcp->bench = (struct link_bench){.ops = &link_tcp, .place = place};
    for (unsigned i = 0; i < LINK_PAIRS_MAX; i++) {
        tcp->streams[i].fd = -1;
        tcp->streams[i].place = place;
    }
    kolo_status status = KOLO_OK;
    for (unsigned i = 0; i < place->request->pairs && status == KOLO_OK; i++) {
        status = stream_make(&tcp->streams[i], place);
    }
    if (status != KOLO_OK) {
        tcp_close(&tcp->bench);
        return status;
    }
    link_interface_describe(host, place->control->fd);
    *bench = &tcp->bench;
    return KOLO_OK;
}

/* Blocking, but no call takes for ever. */
static kolo_status make_blocking(int fd)
{
    struct timeval wake = {.tv_usec = RECEIVE_WAKE_US}, wait = {.tv_sec = SEND_WAIT_S};
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wake, sizeof wake) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "cannot set a stream up: %s", strerror(errno));
    }
    return KOLO_OK;
}

static kolo_status tcp_connect(struct link_bench *bench, struct wire_reader *address,
                               uint64_t deadline_ns)
{
    (void)address;
    struct tcp_bench *tcp = (struct tcp_bench *)bench;
    unsigned pairs = bench->place->request->pairs;
    int fds[LINK_PAIRS_MAX];
    kolo_status status = link_stream_connect(fds, pairs, bench->place, deadline_ns);
    for (unsigned i = 0; i < pairs; i++) {
        tcp->streams[i].fd = fds[i];
    }
    for (unsigned i = 0; i < pairs && status == KOLO_OK; i++) {
        status = make_blocking(fds[i]);
    }
    return status;
}

static kolo_status tcp_prepare(struct link_bench *bench, const struct link_run *run)
{
    struct tcp_bench *tcp = (struct tcp_bench *)bench;
    const struct link_request *request = bench->place->request;
    for (unsigned i = 0; i < request->pairs; i++) {
        struct link_tcp_stream *stream = &tcp->streams[i];
        stream->run = run;
        stream->sent = stream->received = stream->wrong = 0;
        stream->send_status = stream->receive_status = KOLO_OK;
        stream->meter = (struct link_meter){0};
        atomic_store(&stream->promised, LINK_TCP_UNKNOWN);
        atomic_store(&stream->abandon, false);
        if (request->validate) {
            link_buffer_pattern(stream->out.bytes, run->size_bytes, request->seed + i);
            link_buffer_pattern(stream->expected.bytes, run->size_bytes, request->seed + i);
        }
    }
    return KOLO_OK;
}

/* Make every thread end soon. */
static void abandon(struct tcp_bench *tcp)
{
    for (unsigned i = 0; i < tcp->bench.place->request->pairs; i++) {
        atomic_store(&tcp->streams[i].abandon, true);
        (void)shutdown(tcp->streams[i].fd, SHUT_RDWR);
    }
}

/* Join the senders that were started. Returns the first failure. */
static kolo_status join_senders(struct tcp_bench *tcp, unsigned started)
{
    kolo_status status = KOLO_OK;
    for (unsigned i = 0; i < started; i++) {
        struct link_tcp_stream *stream = &tcp->streams[i];
        (void)pthread_join(stream->sender, NULL);
        if (stream->send_status != KOLO_OK && status == KOLO_OK) {
            status = fail_again(stream->send_status, stream->send_text);
            abandon(tcp);
        }
    }
    return status;
}

static kolo_status join_receivers(struct tcp_bench *tcp, unsigned started)
{
    kolo_status status = KOLO_OK;
    for (unsigned i = 0; i < started; i++) {
        struct link_tcp_stream *stream = &tcp->streams[i];
        (void)pthread_join(stream->receiver, NULL);
        if (stream->receive_status != KOLO_OK && status == KOLO_OK) {
            status = fail_again(stream->receive_status, stream->receive_text);
        }
    }
    return status;
}

/* Say what was sent, and tell the receivers what to wait for. */
static kolo_status exchange_ends(struct tcp_bench *tcp, const struct link_run *run)
{
    const struct link_place *place = tcp->bench.place;
    unsigned pairs = place->request->pairs;
    uint64_t sent[LINK_PAIRS_MAX], promised[LINK_PAIRS_MAX];
    for (unsigned i = 0; i < pairs; i++) {
        sent[i] = tcp->streams[i].sent;
    }
    kolo_status status = link_bench_say_done(place, sent, pairs);
    if (status == KOLO_OK) {
        status = link_bench_await_done(place, promised, pairs, run->deadline_ns);
    }
    for (unsigned i = 0; i < pairs && status == KOLO_OK; i++) {
        atomic_store(&tcp->streams[i].promised, promised[i]);
    }
    return status;
}

static kolo_status run_threads(struct tcp_bench *tcp, const struct link_run *run)
{
    const struct link_place *place = tcp->bench.place;
    bool sends = link_request_sends(place->request, place->side);
    bool receives = link_request_sends(place->request, 1 - place->side);
    unsigned pairs = place->request->pairs, receivers = 0, senders = 0;
    kolo_status status = KOLO_OK;
    for (; receives && receivers < pairs && status == KOLO_OK; receivers += status == KOLO_OK) {
        status = link_tcp_stream_receive(&tcp->streams[receivers]);
    }
    for (; sends && senders < pairs && status == KOLO_OK; senders += status == KOLO_OK) {
        status = link_tcp_stream_send(&tcp->streams[senders]);
    }
    if (status != KOLO_OK) {
        abandon(tcp);
    }
    kolo_status sent = join_senders(tcp, senders);
    status = status == KOLO_OK ? sent : status;
    status = status == KOLO_OK ? exchange_ends(tcp, run) : status;
    if (status != KOLO_OK) {
        abandon(tcp);
        char why[256];
        snprintf(why, sizeof why, "%s", kolo_last_error());
        (void)join_receivers(tcp, receivers);
        return fail_again(status, why);
    }
    return join_receivers(tcp, receivers);
}

static void gather(struct link_outcome *outcome, const struct tcp_bench *tcp)
{
    struct link_meter meters[LINK_PAIRS_MAX];
    unsigned pairs = tcp->bench.place->request->pairs;
    for (unsigned i = 0; i < pairs; i++) {
        meters[i] = tcp->streams[i].meter;
        outcome->wrong += tcp->streams[i].wrong;
    }
    link_meter_rate(&outcome->rate, meters, pairs);
}

static kolo_status ping_pong(struct tcp_bench *tcp, struct link_outcome *outcome)
{
    struct link_tcp_stream *stream = &tcp->streams[0];
    if (!link_bench_begins(tcp->bench.place)) {
        kolo_status status = link_tcp_stream_pong(stream);
        outcome->wrong = stream->wrong;
        return status;
    }
    struct link_sample sample;
    if (!link_sample_init(&sample, LINK_SAMPLE_ROOM)) {
        return fail_quietly(KOLO_ERR_MEMORY, "no memory for the times");
    }
    kolo_status status = link_tcp_stream_ping(stream, &sample);
    outcome->iterations = sample.all;
    outcome->wrong = stream->wrong;
    link_sample_times(&outcome->times_us, &sample, 0.5);
    link_sample_free(&sample);
    return status;
}

static kolo_status tcp_run(struct link_bench *bench, const struct link_run *run,
                           struct link_outcome *outcome)
{
    struct tcp_bench *tcp = (struct tcp_bench *)bench;
    if (run->mode == LINK_LATENCY) {
        return ping_pong(tcp, outcome);
    }
    kolo_status status = run_threads(tcp, run);
    gather(outcome, tcp);
    return status;
}

const struct link_bench_ops link_tcp = {.open = tcp_open,
                                        .connect = tcp_connect,
                                        .prepare = tcp_prepare,
                                        .run = tcp_run,
                                        .close = tcp_close};
