/* The asking end of a measurement: link_measure() of link.h. */
#include <assert.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "tools/link_bench.h"
#include "tools/link_bind.h"
#include "tools/link_host.h"

#define CONNECT_NS (5 * NS_PER_S)

/* What one measurement keeps. */
struct asking {
    const struct link_goal *goal;
    struct link_request request;
    struct link_control control;
    struct link_place place;
    char
        server[LINK_HOST_BYTES]; /* the address that was connected to: streams go to the same one */
    struct link_host hosts[LINK_SIDES];
    struct link_frame frame; /* the last one */
    struct link_record *records;
    size_t count, room;
};

static uint64_t silence_deadline_ns(void)
{
    return clock_after(clock_now_ns(), LINK_SILENCE_NS);
}

static kolo_status expect(struct asking *asking, enum link_frame_type type, uint64_t deadline_ns)
{
    return link_control_expect(&asking->control, &asking->frame, type, deadline_ns);
}

static kolo_status send_frame(struct asking *asking, enum link_frame_type type,
                              const struct wire_writer *payload)
{
    return link_control_send(&asking->control, type, payload == NULL ? NULL : payload->bytes,
                             payload == NULL ? 0 : payload->length);
}

static void name_server(struct asking *asking)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getpeername(asking->control.fd, (struct sockaddr *)&address, &length) != 0 ||
        getnameinfo((struct sockaddr *)&address, length, asking->server, sizeof asking->server,
                    NULL, 0, NI_NUMERICHOST) != 0) {
        snprintf(asking->server, sizeof asking->server, "%s", asking->goal->host);
    }
}

static kolo_status dial(struct asking *asking)
{
    const struct link_goal *goal = asking->goal;
    struct link_hello hello = {.version = LINK_VERSION, .purpose = LINK_PURPOSE_CONTROL};
    uint64_t patience_ns =
        goal->connect_timeout_s > 0 ? clock_ns_from_s(goal->connect_timeout_s) : CONNECT_NS;
    char peer[LINK_PEER_BYTES];
    int fd = -1;
    kolo_status status = link_hello_dial(&fd, peer, goal->host, goal->port, &hello,
                                         clock_after(clock_now_ns(), patience_ns));
    if (status == KOLO_OK) {
        link_control_init(&asking->control, fd, peer);
        name_server(asking);
    }
    return status;
}

static kolo_status take_session(struct asking *asking)
{
    kolo_status status = expect(asking, LINK_FRAME_SESSION, silence_deadline_ns());
    if (status != KOLO_OK) {
        return status;
    }
    struct wire_reader reader = {.bytes = asking->frame.payload, .length = asking->frame.bytes};
    asking->place.token = wire_get_u64(&reader);
    link_host_get(&reader, &asking->hosts[LINK_SERVER]);
    return reader.failed ? fail_quietly(KOLO_ERR_PROTOCOL, "%s introduces itself with nonsense",
                                        asking->control.peer)
                         : KOLO_OK;
}

static kolo_status send_request(struct asking *asking)
{
    uint8_t payload[LINK_REQUEST_BYTES];
    struct wire_writer writer = {.bytes = payload, .capacity = sizeof payload};
    link_request_put(&writer, &asking->request);
    kolo_status status = send_frame(asking, LINK_FRAME_REQUEST, &writer);
    return status == KOLO_OK ? expect(asking, LINK_FRAME_ACCEPTED, silence_deadline_ns()) : status;
}

/* Both addresses cross; then both ends connect at the same time. */
static kolo_status connect_bench(struct asking *asking, struct link_bench **bench)
{
    uint8_t address[LINK_FRAME_BYTES / 2], theirs[LINK_FRAME_BYTES / 2];
    struct wire_writer writer = {.bytes = address, .capacity = sizeof address};
    kolo_status status = expect(asking, LINK_FRAME_READY, silence_deadline_ns());
    if (status != KOLO_OK) {
        return status;
    }
    struct wire_reader reader = {.bytes = asking->frame.payload, .length = asking->frame.bytes};
    link_host_get(&reader, &asking->hosts[LINK_SERVER]);
    struct wire_reader remote = {.bytes = theirs};
    remote.length = wire_get_blob(&reader, theirs, sizeof theirs);
    if (reader.failed) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "%s answers with nonsense", asking->control.peer);
    }
    const struct link_bench_ops *ops = link_bench_ops(asking->place.test);
    status = ops->open(bench, &writer, &asking->hosts[LINK_CLIENT], &asking->place);
    status = status == KOLO_OK ? send_frame(asking, LINK_FRAME_CONNECT, &writer) : status;
    uint64_t deadline_ns = silence_deadline_ns();
    status = status == KOLO_OK ? ops->connect(*bench, &remote, deadline_ns) : status;
    return status == KOLO_OK ? expect(asking, LINK_FRAME_CONNECTED, silence_deadline_ns()) : status;
}

/* One run on both ends. Out: outcomes. */
static kolo_status measure(struct link_outcome outcomes[LINK_SIDES], struct asking *asking,
                           struct link_bench *bench, enum link_mode mode, unsigned size)
{
    uint8_t payload[8];
    struct wire_writer writer = {.bytes = payload, .capacity = sizeof payload};
    struct link_run run;
    assert(bench != NULL);
    wire_put_u32(&writer, mode);
    wire_put_u32(&writer, size);
    link_bench_run(&run, &asking->request, mode, asking->request.size_bytes[size]);
    kolo_status status = bench->ops->prepare(bench, &run);
    status = status == KOLO_OK ? send_frame(asking, LINK_FRAME_RUN, &writer) : status;
    status = status == KOLO_OK ? expect(asking, LINK_FRAME_STEADY, silence_deadline_ns()) : status;
    if (status == KOLO_OK) {
        status = link_bench_measure(bench, &run, &outcomes[LINK_CLIENT]);
    }
    status = status == KOLO_OK ? expect(asking, LINK_FRAME_RESULT, silence_deadline_ns()) : status;
    if (status != KOLO_OK) {
        return status;
    }
    struct wire_reader reader = {.bytes = asking->frame.payload, .length = asking->frame.bytes};
    link_outcome_get(&reader, &outcomes[LINK_SERVER]);
    return reader.failed ? fail_quietly(KOLO_ERR_PROTOCOL, "%s sent a result that is none",
                                        asking->control.peer)
                         : KOLO_OK;
}

static double least_rate_Bps(const struct link_host hosts[LINK_SIDES])
{
    uint64_t client = hosts[LINK_CLIENT].rate_Bps, server = hosts[LINK_SERVER].rate_Bps;
    return (double)(client == 0 || (server != 0 && server < client) ? server : client);
}

static void note_bandwidth(struct link_record *record, const struct link_outcome *outcomes)
{
    uint64_t bytes = 0;
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        const struct link_outcome *outcome = &outcomes[side];
        unsigned sender = outcome->sent_metered ? side : 1 - side;
        record->bandwidth_Bps += outcome->rate.mean_Bps;
        record->bandwidth_median_Bps += outcome->rate.median_Bps;
        record->bandwidth_peak_Bps += outcome->rate.peak_Bps;
        record->direction_Bps[sender] += outcome->rate.mean_Bps;
        record->processor_percent[side] = outcome->processor_percent;
        record->wrong += outcome->wrong;
        bytes += outcome->rate.bytes;
    }
    record->has_bandwidth = true;
    record->iterations = bytes / record->size_bytes;
    record->messages_per_s = record->bandwidth_Bps / (double)record->size_bytes;
    double port_Bps = least_rate_Bps(record->hosts);
    double most = record->direction_Bps[0] > record->direction_Bps[1] ? record->direction_Bps[0]
                                                                      : record->direction_Bps[1];
    record->share_of_port_rate = port_Bps > 0 ? most / port_Bps : 0;
}

static void note_latency(struct link_record *record, const struct link_outcome *outcomes)
{
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        if (outcomes[side].iterations > 0) {
            record->latency_us = outcomes[side].times_us;
            record->latency_iterations = outcomes[side].iterations;
            record->has_latency = true;
        }
        if (!record->has_bandwidth) {
            record->processor_percent[side] = outcomes[side].processor_percent;
        }
        record->wrong += outcomes[side].wrong;
    }
}

static kolo_status keep(struct asking *asking, const struct link_record *record)
{
    if (asking->count == asking->room) {
        size_t room = asking->room > 0 ? 2 * asking->room : 64;
        struct link_record *records = realloc(asking->records, room * sizeof *records);
        if (records == NULL) {
            return fail_quietly(KOLO_ERR_MEMORY, "no memory for the records");
        }
        asking->records = records;
        asking->room = room;
    }
    asking->records[asking->count++] = *record;
    if (asking->goal->done != NULL) {
        asking->goal->done(asking->goal->context, record);
    }
    return KOLO_OK;
}

static kolo_status measure_size(struct asking *asking, struct link_bench *bench, unsigned size)
{
    struct link_record record = {.test = asking->place.test,
                                 .size_bytes = asking->request.size_bytes[size],
                                 .validated = asking->request.validate};
    struct link_outcome outcomes[LINK_SIDES];
    kolo_status status = KOLO_OK;
    memcpy(record.hosts, asking->hosts, sizeof record.hosts);
    if (asking->request.modes & LINK_BANDWIDTH) {
        status = measure(outcomes, asking, bench, LINK_BANDWIDTH, size);
        if (status == KOLO_OK) {
            note_bandwidth(&record, outcomes);
        }
    }
    if (status == KOLO_OK && (asking->request.modes & LINK_LATENCY)) {
        status = measure(outcomes, asking, bench, LINK_LATENCY, size);
        if (status == KOLO_OK) {
            note_latency(&record, outcomes);
        }
    }
    return status == KOLO_OK ? keep(asking, &record) : status;
}

static kolo_status measure_test(struct asking *asking, enum link_test test)
{
    uint8_t payload[4];
    struct wire_writer writer = {.bytes = payload, .capacity = sizeof payload};
    struct link_bench *bench = NULL;
    asking->place.test = test;
    wire_put_u32(&writer, test);
    kolo_status status = send_frame(asking, LINK_FRAME_OPEN, &writer);
    status = status == KOLO_OK ? connect_bench(asking, &bench) : status;
    for (unsigned i = 0; i < asking->request.size_count && status == KOLO_OK; i++) {
        status = link_test_has_size(test, asking->request.size_bytes[i])
                     ? measure_size(asking, bench, i)
                     : KOLO_OK;
    }
    status = status == KOLO_OK ? send_frame(asking, LINK_FRAME_CLOSE, NULL) : status;
    if (bench != NULL) {
        bench->ops->close(bench);
    }
    return status;
}

static kolo_status check_sizes(const struct asking *asking, enum link_test test)
{
    for (unsigned i = 0; i < asking->request.size_count; i++) {
        if (link_test_has_size(test, asking->request.size_bytes[i])) {
            return KOLO_OK;
        }
    }
    return fail_quietly(KOLO_ERR_ARGUMENT, "%s moves 8 bytes at a time: add 8 to the sizes",
                        link_test_name(test));
}

/* What this end cannot do, and what the other cannot. */
static kolo_status check_devices(const struct asking *asking, enum link_test test)
{
    const char *name = link_test_name(test);
    if (!link_test_is_verbs(test)) {
        return KOLO_OK;
    }
    if (link_bench_ops(test) == NULL) {
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "%s needs RDMA verbs, and this kolo is built without them: build it "
                            "with KOLO_VERBS=on, or use --test tcp or message",
                            name);
    }
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        const struct link_host *host = &asking->hosts[side];
        const char *which = side == LINK_CLIENT ? "this host" : "the server's host";
        if (!host->verbs) {
            return fail_quietly(KOLO_ERR_ARGUMENT,
                                "%s needs RDMA devices on both ends, and %s (%s) has none that "
                                "works: use --test tcp, or see `kolo doctor` there",
                                name, which, host->name);
        }
        if (host->iwarp &&
            (test == LINK_WRITE_IMM || test == LINK_ATOMIC_ADD || test == LINK_ATOMIC_CAS)) {
            return fail_quietly(KOLO_ERR_ARGUMENT,
                                "%s is not possible: %s (%s) is an iWARP device on %s, and iWARP "
                                "has neither immediate data nor atomics; use write, read or send",
                                name, host->device, host->description, which);
        }
    }
    return KOLO_OK;
}

/* iWARP knows no other way than rdma_cm. */
static void choose(struct asking *asking, uint32_t *tests)
{
    const struct link_host *client = &asking->hosts[LINK_CLIENT];
    const struct link_host *server = &asking->hosts[LINK_SERVER];
    bool verbs = client->verbs && server->verbs;
    if (*tests == 0) {
        *tests = 1u << (verbs ? LINK_WRITE : LINK_TCP);
    }
    if (verbs && (client->iwarp || server->iwarp)) {
        asking->request.rdma_cm = true;
    }
}

static kolo_status measure_tests(struct asking *asking)
{
    uint32_t tests = asking->goal->tests;
    kolo_status status = dial(asking);
    status = status == KOLO_OK ? take_session(asking) : status;
    if (status != KOLO_OK) {
        return status;
    }
    choose(asking, &tests);
    for (unsigned i = 0; i < LINK_TESTS && status == KOLO_OK; i++) {
        status = tests & 1u << i ? check_devices(asking, (enum link_test)i) : KOLO_OK;
        status =
            status == KOLO_OK && tests & 1u << i ? check_sizes(asking, (enum link_test)i) : status;
    }
    status = status == KOLO_OK ? send_request(asking) : status;
    for (unsigned i = 0; i < LINK_TESTS && status == KOLO_OK; i++) {
        status = tests & 1u << i ? measure_test(asking, (enum link_test)i) : KOLO_OK;
    }
    return status;
}

/* If the server has ended the session, it has said why: that is the better reason. */
static kolo_status hear_reason(struct asking *asking, kolo_status status)
{
    char own[512];
    snprintf(own, sizeof own, "%s", kolo_last_error());
    if (status == KOLO_ERR_ARGUMENT || status == KOLO_ERR_PROTOCOL || asking->control.fd < 0) {
        return status;
    }
    uint64_t deadline_ns = clock_after(clock_now_ns(), NS_PER_S);
    while (link_control_next(&asking->control, &asking->frame, deadline_ns) == KOLO_OK) {
        if (asking->frame.type == LINK_FRAME_FAILED) {
            return link_control_check(&asking->control, &asking->frame, LINK_FRAME_CLOSE);
        }
    }
    return fail_again(status, own);
}

kolo_status link_measure(struct link_record **records, size_t *count, const struct link_goal *goal)
{
    *records = NULL;
    *count = 0;
    kolo_status status = link_request_check(&goal->request);
    struct asking *asking = status == KOLO_OK ? calloc(1, sizeof *asking) : NULL;
    if (asking == NULL) {
        return status == KOLO_OK ? fail_quietly(KOLO_ERR_MEMORY, "out of memory") : status;
    }
    cpu_set_t before;
    bool bound = sched_getaffinity(0, sizeof before, &before) == 0;
    asking->goal = goal;
    asking->request = goal->request;
    asking->control.fd = -1;
    asking->place = (struct link_place){.request = &asking->request,
                                        .control = &asking->control,
                                        .host = asking->server,
                                        .port = goal->port,
                                        .streams_fd = -1};
    const struct link_end *end = &asking->request.ends[LINK_CLIENT];
    link_host_describe(&asking->hosts[LINK_CLIENT], end);
    if (end->device[0] != '\0' && !asking->hosts[LINK_CLIENT].verbs &&
        link_bench_ops(LINK_WRITE) != NULL) {
        status = fail_more(KOLO_ERR_ARGUMENT, "--device %s", end->device);
    }
    status = status == KOLO_OK ? link_bind_thread(end) : status;
    status = status == KOLO_OK ? measure_tests(asking) : status;
    status = status == KOLO_OK ? status : hear_reason(asking, status);
    link_control_close(&asking->control);
    if (bound) {
        (void)sched_setaffinity(0, sizeof before, &before);
    }
    *records = asking->records;
    *count = asking->count;
    free(asking);
    return status;
}
