/* What caller and agents of perf_mesh_agent.h say, as bytes. */
#include <string.h>

#include "runtime/base/status.h"
#include "runtime/base/wire.h"
#include "tools/perf_mesh_agent.h"

static void put_text(struct wire_writer *writer, const char *text)
{
    wire_put_blob(writer, text, strlen(text));
}

static void get_text(struct wire_reader *reader, char *text, size_t capacity)
{
    wire_get_text(reader, text, capacity);
    for (char *at = text; *at != '\0'; at++) {
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? ' ' : *at;
    }
}

void mesh_task_put(struct wire_writer *writer, const struct mesh_task *task)
{
    put_text(writer, task->host);
    wire_put_u16(writer, task->port);
    wire_put_u32(writer, task->tests);
    link_request_put(writer, &task->request);
}

kolo_status mesh_task_get(struct mesh_task *task, struct wire_reader *reader)
{
    memset(task, 0, sizeof *task);
    get_text(reader, task->host, sizeof task->host);
    task->port = wire_get_u16(reader);
    task->tests = wire_get_u32(reader);
    if (reader->failed || task->host[0] == '\0' || task->port == 0) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "the caller sent bytes that are no task");
    }
    return link_request_get(&task->request, reader);
}

void mesh_figure_put(struct wire_writer *writer, const struct mesh_figure *figure)
{
    wire_put_u32(writer, (uint32_t)figure->status);
    put_text(writer, figure->why);
    put_text(writer, figure->test);
    wire_put_f64(writer, figure->bandwidth_Bps);
    wire_put_f64(writer, figure->latency_us);
    wire_put_f64(writer, figure->latency_p99_us);
    wire_put_f64(writer, figure->rate_Bps);
}

void mesh_figure_get(struct mesh_figure *figure, struct wire_reader *reader)
{
    memset(figure, 0, sizeof *figure);
    uint32_t status = wire_get_u32(reader);
    figure->status = status < 1000 ? (kolo_status)status : KOLO_ERR_PROTOCOL;
    get_text(reader, figure->why, sizeof figure->why);
    get_text(reader, figure->test, sizeof figure->test);
    figure->bandwidth_Bps = wire_get_f64(reader);
    figure->latency_us = wire_get_f64(reader);
    figure->latency_p99_us = wire_get_f64(reader);
    figure->rate_Bps = wire_get_f64(reader);
}
