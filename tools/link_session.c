#include "tools/link_session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "tools/link_bind.h"
#include "tools/link_host.h"

/* What one session keeps. */
struct serving {
    struct link_control control;
    struct link_request request;
    struct link_place place;
    struct link_host host;
    struct link_frame frame; /* the last one */
};

static uint64_t idle_deadline_ns(void)
{
    return clock_after(clock_now_ns(), LINK_SESSION_IDLE_NS);
}

static uint64_t silence_deadline_ns(void)
{
    return clock_after(clock_now_ns(), LINK_SILENCE_NS);
}

static kolo_status introduce(struct serving *serving, uint64_t token)
{
    uint8_t payload[LINK_FRAME_BYTES];
    struct wire_writer writer = {.bytes = payload, .capacity = sizeof payload};
    wire_put_u64(&writer, token);
    link_host_put(&writer, &serving->host);
    return link_control_send(&serving->control, LINK_FRAME_SESSION, payload, writer.length);
}

/* What the client leaves open, this server's command line decides. */
static void fill_end(struct link_end *end, const struct link_end *from)
{
    if (end->device[0] == '\0') {
        memcpy(end->device, from->device, sizeof end->device);
    }
    end->gid_index = end->gid_index < 0 ? from->gid_index : end->gid_index;
    if (end->core < 0 && end->numa_node < 0) {
        end->core = from->core;
        end->numa_node = from->numa_node;
    }
}

static kolo_status take_request(struct serving *serving, const struct link_session *session)
{
    kolo_status status = link_control_expect(&serving->control, &serving->frame, LINK_FRAME_REQUEST,
                                             silence_deadline_ns());
    if (status != KOLO_OK) {
        return status;
    }
    struct wire_reader reader = {.bytes = serving->frame.payload, .length = serving->frame.bytes};
    status = link_request_get(&serving->request, &reader);
    if (status != KOLO_OK) {
        return status;
    }
    struct link_end *end = &serving->request.ends[LINK_SERVER];
    fill_end(end, &session->end);
    status = link_bind_thread(end);
    return status == KOLO_OK ? link_control_send(&serving->control, LINK_FRAME_ACCEPTED, NULL, 0)
                             : status;
}

static kolo_status read_run(struct link_run *run, const struct serving *serving)
{
    struct wire_reader reader = {.bytes = serving->frame.payload, .length = serving->frame.bytes};
    const struct link_request *request = &serving->request;
    uint32_t mode = wire_get_u32(&reader), size = wire_get_u32(&reader);
    if (reader.failed || (mode != LINK_BANDWIDTH && mode != LINK_LATENCY) ||
        size >= request->size_count ||
        !link_test_has_size(serving->place.test, request->size_bytes[size])) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "there is no such run");
    }
    link_bench_run(run, request, (enum link_mode)mode, request->size_bytes[size]);
    return KOLO_OK;
}

static kolo_status serve_run(struct serving *serving, struct link_bench *bench)
{
    struct link_run run;
    struct link_outcome outcome;
    kolo_status status = read_run(&run, serving);
    status = status == KOLO_OK ? bench->ops->prepare(bench, &run) : status;
    if (status == KOLO_OK) {
        status = link_control_send(&serving->control, LINK_FRAME_STEADY, NULL, 0);
    }
    status = status == KOLO_OK ? link_bench_measure(bench, &run, &outcome) : status;
    if (status != KOLO_OK) {
        return status;
    }
    uint8_t payload[LINK_FRAME_BYTES];
    struct wire_writer writer = {.bytes = payload, .capacity = sizeof payload};
    link_outcome_put(&writer, &outcome);
    return link_control_send(&serving->control, LINK_FRAME_RESULT, payload, writer.length);
}

/* All runs of a test, until the client closes it. */
static kolo_status serve_runs(struct serving *serving, struct link_bench *bench)
{
    for (;;) {
        kolo_status status =
            link_control_next(&serving->control, &serving->frame, idle_deadline_ns());
        if (status == KOLO_OK && serving->frame.type == LINK_FRAME_CLOSE) {
            return KOLO_OK;
        }
        if (status == KOLO_OK) {
            status = link_control_check(&serving->control, &serving->frame, LINK_FRAME_RUN);
        }
        status = status == KOLO_OK ? serve_run(serving, bench) : status;
        if (status != KOLO_OK) {
            return status;
        }
    }
}

static kolo_status connect_bench(struct serving *serving, struct link_bench *bench)
{
    uint64_t deadline_ns = silence_deadline_ns();
    assert(bench != NULL);
    kolo_status status =
        link_control_expect(&serving->control, &serving->frame, LINK_FRAME_CONNECT, deadline_ns);
    if (status != KOLO_OK) {
        return status;
    }
    struct wire_reader reader = {.bytes = serving->frame.payload, .length = serving->frame.bytes};
    status = bench->ops->connect(bench, &reader, deadline_ns);
    return status == KOLO_OK ? link_control_send(&serving->control, LINK_FRAME_CONNECTED, NULL, 0)
                             : status;
}

static kolo_status open_bench(struct serving *serving, struct link_bench **bench)
{
    struct wire_reader reader = {.bytes = serving->frame.payload, .length = serving->frame.bytes};
    uint32_t test = wire_get_u32(&reader);
    if (reader.failed || test >= LINK_TESTS) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "there is no test %u", test);
    }
    serving->place.test = (enum link_test)test;
    const struct link_bench_ops *ops = link_bench_ops(serving->place.test);
    if (ops == NULL) {
        return fail_quietly(KOLO_ERR_STATE, "this kolo is built without RDMA verbs");
    }
    uint8_t address[LINK_FRAME_BYTES / 2], payload[LINK_FRAME_BYTES];
    struct wire_writer writer = {.bytes = address, .capacity = sizeof address};
    struct wire_writer ready = {.bytes = payload, .capacity = sizeof payload};
    kolo_status status = ops->open(bench, &writer, &serving->host, &serving->place);
    if (status != KOLO_OK) {
        return status;
    }
    link_host_put(&ready, &serving->host);
    wire_put_blob(&ready, address, writer.length);
    return link_control_send(&serving->control, LINK_FRAME_READY, payload, ready.length);
}

static kolo_status serve_test(struct serving *serving)
{
    struct link_bench *bench = NULL;
    kolo_status status = open_bench(serving, &bench);
    status = status == KOLO_OK ? connect_bench(serving, bench) : status;
    status = status == KOLO_OK ? serve_runs(serving, bench) : status;
    if (bench != NULL) {
        bench->ops->close(bench);
    }
    return status;
}

static kolo_status serve_client(struct serving *serving, const struct link_session *session)
{
    kolo_status status = introduce(serving, session->token);
    status = status == KOLO_OK ? take_request(serving, session) : status;
    while (status == KOLO_OK) {
        status = link_control_next(&serving->control, &serving->frame, idle_deadline_ns());
        if (status == KOLO_ERR_PEER_LOST) {
            return KOLO_OK; /* between two tests: it has all it wanted */
        }
        if (status == KOLO_OK) {
            status = link_control_check(&serving->control, &serving->frame, LINK_FRAME_OPEN);
        }
        status = status == KOLO_OK ? serve_test(serving) : status;
    }
    if (status != KOLO_ERR_PEER_LOST) {
        link_control_send_failure(&serving->control, status);
    }
    return status;
}

kolo_status link_session_serve(const struct link_session *session)
{
    struct serving *serving = calloc(1, sizeof *serving);
    if (serving == NULL) {
        return fail_quietly(KOLO_ERR_MEMORY, "out of memory");
    }
    link_control_init(&serving->control, session->control_fd, "the client");
    link_host_describe(&serving->host, &session->end);
    serving->place = (struct link_place){.request = &serving->request,
                                         .side = LINK_SERVER,
                                         .control = &serving->control,
                                         .token = session->token,
                                         .streams_fd = session->streams_fd};
    kolo_status status = serve_client(serving, session);
    link_control_close(&serving->control);
    free(serving);
    return status;
}
