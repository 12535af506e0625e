#include "tools/link_bench.h"

#include <assert.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

const struct link_bench_ops *link_bench_ops(enum link_test test)
{
    switch (test) {
    case LINK_TCP:
        return &link_tcp;
    case LINK_MESSAGE:
        return &link_message;
    default:
#ifdef KOLO_HAVE_VERBS
        return &link_verbs;
#else
        return NULL;
#endif
    }
}

void link_bench_run(struct link_run *run, const struct link_request *request, enum link_mode mode,
                    uint64_t size_bytes)
{
    uint64_t limit_ns = request->iterations > 0 ? LINK_RUN_ITERATIONS_NS
                                                : request->warmup_ns + request->duration_ns;
    *run =
        (struct link_run){.mode = mode,
                          .size_bytes = size_bytes,
                          .depth = link_request_depth(request, size_bytes),
                          .deadline_ns = clock_after(clock_now_ns(), limit_ns + LINK_RUN_GRACE_NS)};
}

uint64_t link_bench_end_ns(uint64_t *messages, const struct link_request *request)
{
    if (request->iterations > 0) {
        *messages = request->warmup_iterations + request->iterations;
        return CLOCK_FOREVER;
    }
    *messages = UINT64_MAX;
    return clock_now_ns() + request->warmup_ns + request->duration_ns + request->duration_ns / 50;
}

bool link_bench_begins(const struct link_place *place)
{
    return (place->side == LINK_SERVER) == place->request->reverse;
}

kolo_status link_bench_say_done(const struct link_place *place, const uint64_t *sent, size_t count)
{
    assert(count <= LINK_DONE_STREAMS);
    uint8_t payload[8 * LINK_DONE_STREAMS];
    struct wire_writer writer = {.bytes = payload, .capacity = sizeof payload};
    for (size_t i = 0; i < count; i++) {
        wire_put_u64(&writer, sent[i]);
    }
    return link_control_send(place->control, LINK_FRAME_DONE, payload, writer.length);
}

static kolo_status read_done(const struct link_place *place, const struct link_frame *frame,
                             uint64_t *sent, size_t count)
{
    struct wire_reader reader = {.bytes = frame->payload, .length = frame->bytes};
    for (size_t i = 0; i < count; i++) {
        sent[i] = wire_get_u64(&reader);
    }
    return reader.failed || reader.offset != reader.length
               ? fail_quietly(KOLO_ERR_PROTOCOL, "%s ended a run in a way that cannot be",
                              place->control->peer)
               : KOLO_OK;
}

kolo_status link_bench_hear_done(const struct link_place *place, bool *done, uint64_t *sent,
                                 size_t count)
{
    struct link_frame frame;
    kolo_status status = link_control_try(place->control, &frame, done);
    if (status != KOLO_OK || !*done) {
        return status;
    }
    status = link_control_check(place->control, &frame, LINK_FRAME_DONE);
    return status == KOLO_OK ? read_done(place, &frame, sent, count) : status;
}

kolo_status link_bench_await_done(const struct link_place *place, uint64_t *sent, size_t count,
                                  uint64_t deadline_ns)
{
    struct link_frame frame;
    kolo_status status = link_control_expect(place->control, &frame, LINK_FRAME_DONE, deadline_ns);
    return status == KOLO_OK ? read_done(place, &frame, sent, count) : status;
}

static uint64_t processor_ns(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * NS_PER_US;
}

kolo_status link_bench_measure(struct link_bench *bench, const struct link_run *run,
                               struct link_outcome *outcome)
{
    *outcome = (struct link_outcome){0};
    uint64_t began_ns = clock_now_ns(), used_ns = processor_ns();
    kolo_status status = bench->ops->run(bench, run, outcome);
    uint64_t took_ns = clock_now_ns() - began_ns;
    if (took_ns > 0) {
        outcome->processor_percent = 100.0 * (double)(processor_ns() - used_ns) / (double)took_ns;
    }
    return status;
}

void link_outcome_put(struct wire_writer *writer, const struct link_outcome *outcome)
{
    wire_put_u8(writer, outcome->sent_metered);
    link_rate_put(writer, &outcome->rate);
    link_times_put(writer, &outcome->times_us);
    wire_put_u64(writer, outcome->iterations);
    wire_put_u64(writer, outcome->wrong);
    wire_put_u32(writer, (uint32_t)(outcome->processor_percent * 100));
}

void link_outcome_get(struct wire_reader *reader, struct link_outcome *outcome)
{
    outcome->sent_metered = wire_get_u8(reader) == 1;
    link_rate_get(reader, &outcome->rate);
    link_times_get(reader, &outcome->times_us);
    outcome->iterations = wire_get_u64(reader);
    outcome->wrong = wire_get_u64(reader);
    outcome->processor_percent = wire_get_u32(reader) / 100.0;
}
