#include "tools/perf_mesh_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/base/wire.h"

#define IDLE_NS (3600 * NS_PER_S) /* a caller that is alive may have other pairs to wait for */
#define BUSY_NS (8 * NS_PER_S)    /* the last client of a server may still be leaving */
#define BUSY_PAUSE_NS 50000000L
#define CONNECT_S 5.0

static void condense(struct mesh_figure *figure, const struct link_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct link_record *record = &records[i];
        snprintf(figure->test, sizeof figure->test, "%s", link_test_name(record->test));
        if (record->has_bandwidth && record->bandwidth_Bps > figure->bandwidth_Bps) {
            figure->bandwidth_Bps = record->bandwidth_Bps;
        }
        if (record->has_latency &&
            (!(figure->latency_us > 0) || record->latency_us.median < figure->latency_us)) {
            figure->latency_us = record->latency_us.median;
            figure->latency_p99_us = record->latency_us.p99;
        }
        double one = (double)record->hosts[LINK_CLIENT].rate_Bps;
        double other = (double)record->hosts[LINK_SERVER].rate_Bps;
        figure->rate_Bps = one > 0 && one < other ? one : other > 0 ? other : one;
    }
}

static void measure(struct mesh_figure *figure, const struct mesh_task *task)
{
    struct link_goal goal = {.host = task->host,
                             .port = task->port,
                             .connect_timeout_s = CONNECT_S,
                             .tests = task->tests,
                             .request = task->request};
    uint64_t deadline_ns = clock_after(clock_now_ns(), BUSY_NS);
    memset(figure, 0, sizeof *figure);
    for (;;) {
        struct link_record *records = NULL;
        size_t count = 0;
        figure->status = link_measure(&records, &count, &goal);
        if (figure->status == KOLO_OK) {
            condense(figure, records, count);
        }
        free(records);
        if (figure->status != KOLO_ERR_STATE || clock_now_ns() > deadline_ns) {
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = BUSY_PAUSE_NS}, NULL);
    }
    if (figure->status != KOLO_OK) {
        snprintf(figure->why, sizeof figure->why, "%.*s", MESH_TEXT_MAX - 1, kolo_last_error());
    }
}

/* One task. An error ends the conversation. */
static kolo_status serve_task(struct link_control *control)
{
    struct link_frame frame;
    struct mesh_task task;
    struct mesh_figure figure;
    uint8_t payload[1024];
    kolo_status status = link_control_expect(control, &frame, LINK_FRAME_REQUEST,
                                             clock_after(clock_now_ns(), IDLE_NS));
    if (status != KOLO_OK) {
        return status;
    }
    struct wire_reader reader = {.bytes = frame.payload, .length = frame.bytes};
    status = mesh_task_get(&task, &reader);
    if (status != KOLO_OK) {
        link_control_send_failure(control, status);
        return status;
    }
    measure(&figure, &task);
    struct wire_writer writer = {.bytes = payload, .capacity = sizeof payload};
    mesh_figure_put(&writer, &figure);
    return link_control_send(control, LINK_FRAME_RESULT, payload, writer.length);
}

void mesh_agent_serve(int fd)
{
    struct link_control *control = calloc(1, sizeof *control);
    if (control == NULL) {
        return;
    }
    link_control_init(control, fd, "the caller of `kolo perf mesh`");
    while (serve_task(control) == KOLO_OK) {
    }
    free(control); /* the descriptor ends with the process */
}

kolo_status mesh_agent_open(struct link_control *control, const char *host, int port,
                            uint64_t deadline_ns)
{
    struct link_hello hello = {.version = LINK_VERSION, .purpose = LINK_PURPOSE_MESH};
    char peer[LINK_PEER_BYTES];
    int fd = -1;
    kolo_status status = link_hello_dial(&fd, peer, host, port, &hello, deadline_ns);
    if (status == KOLO_OK) {
        link_control_init(control, fd, peer);
    }
    return status;
}

kolo_status mesh_agent_tell(struct link_control *control, const struct mesh_task *task)
{
    uint8_t payload[MESH_HOST_MAX + 16 + LINK_REQUEST_BYTES];
    struct wire_writer writer = {.bytes = payload, .capacity = sizeof payload};
    mesh_task_put(&writer, task);
    if (writer.failed) {
        return fail_quietly(KOLO_ERR_INTERNAL, "a task of the mesh does not fit its frame");
    }
    return link_control_send(control, LINK_FRAME_REQUEST, payload, writer.length);
}

kolo_status mesh_agent_hear(struct link_control *control, bool *got, struct mesh_figure *figure)
{
    struct link_frame frame;
    kolo_status status = link_control_try(control, &frame, got);
    if (status != KOLO_OK || !*got) {
        return status;
    }
    struct wire_reader reader = {.bytes = frame.payload, .length = frame.bytes};
    mesh_figure_get(figure, &reader);
    return frame.type != LINK_FRAME_RESULT || reader.failed
               ? fail_quietly(KOLO_ERR_PROTOCOL, "%s sent something that is no figure",
                              control->peer)
               : KOLO_OK;
}
