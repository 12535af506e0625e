/* Latency over RDMA, measured as perftest does: sends and writes as a ping-pong (half a round trip; a write is seen by its last byte),
 * reads and atomics from posting to completion. */
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "tools/link_verbs_bench.h"

/* Make room for one more send on the lane. */
static kolo_status make_room(struct link_verbs_bench *bench, const struct link_verbs_lane *lane)
{
    while (lane->in_flight >= bench->run->depth || link_verbs_credit(bench, lane) == 0) {
        uint32_t done = 0;
        kolo_status status = link_verbs_reap(bench, &done);
        status = status == KOLO_OK && done == 0 ? link_verbs_rest(bench) : status;
        if (status != KOLO_OK) {
            return status;
        }
    }
    return KOLO_OK;
}

static kolo_status send_one(struct link_verbs_bench *bench, uint8_t mark)
{
    struct link_verbs_lane *lane = &bench->lanes[0];
    kolo_status status = make_room(bench, lane);
    if (bench->opcode == IBV_WR_RDMA_WRITE) {
        bench->out.bytes[lane->out_offset + bench->run->size_bytes - 1] = mark;
    }
    lane->left = 1;
    return status == KOLO_OK ? link_verbs_post(bench, lane, 1, false) : status;
}

static kolo_status await_receive(struct link_verbs_bench *bench)
{
    for (;;) {
        uint32_t came = 0;
        kolo_status status = link_verbs_take(bench, &came);
        if (status != KOLO_OK || came > 0) {
            return status;
        }
        status = link_verbs_rest(bench);
        if (status != KOLO_OK || bench->heard_done) {
            return status;
        }
    }
}

/* A send that failed shows only here. */
static kolo_status await_mark(struct link_verbs_bench *bench, uint8_t mark)
{
    const uint8_t *last = bench->in.bytes + bench->lanes[0].in_offset + bench->run->size_bytes - 1;
    for (uint32_t polls = 1; __atomic_load_n(last, __ATOMIC_ACQUIRE) != mark; polls++) {
        if (polls % LINK_VERBS_POLLS != 0) {
            continue;
        }
        uint32_t done = 0;
        bench->idle_polls = LINK_VERBS_POLLS - 1; /* look now */
        kolo_status status = link_verbs_reap(bench, &done);
        status = status == KOLO_OK ? link_verbs_rest(bench) : status;
        if (status != KOLO_OK || bench->heard_done) {
            return status;
        }
    }
    return KOLO_OK;
}

static kolo_status await_completion(struct link_verbs_bench *bench)
{
    while (bench->lanes[0].in_flight > 0) {
        uint32_t done = 0;
        kolo_status status = link_verbs_reap(bench, &done);
        status = status == KOLO_OK && done == 0 ? link_verbs_rest(bench) : status;
        if (status != KOLO_OK) {
            return status;
        }
    }
    return KOLO_OK;
}

/* What answers the message that went out with this mark. */
static kolo_status await_answer(struct link_verbs_bench *bench, uint8_t mark)
{
    if (link_verbs_receives(bench)) {
        return await_receive(bench);
    }
    return bench->opcode == IBV_WR_RDMA_WRITE ? await_mark(bench, mark) : await_completion(bench);
}

static kolo_status say_done(struct link_verbs_bench *bench)
{
    uint64_t posted[LINK_PAIRS_MAX] = {bench->lanes[0].posted};
    bench->said_done = true;
    return link_bench_say_done(bench->bench.place, posted, bench->bench.place->request->pairs);
}

/* The side that begins. */
static kolo_status ping(struct link_verbs_bench *bench, struct link_sample *sample)
{
    const struct link_request *request = bench->bench.place->request;
    uint64_t messages, end_ns = link_bench_end_ns(&messages, request);
    uint64_t now_ns = clock_now_ns(), warm_ns = now_ns + request->warmup_ns;
    for (uint64_t i = 0; i < messages && now_ns < end_ns; i++) {
        uint8_t mark = (uint8_t)(i + 1);
        kolo_status status = send_one(bench, mark);
        status = status == KOLO_OK ? await_answer(bench, mark) : status;
        if (status == KOLO_OK && bench->heard_done) {
            status = fail_quietly(KOLO_ERR_PROTOCOL, "%s ended a ping-pong that is not its own",
                                  bench->bench.place->control->peer);
        }
        if (status != KOLO_OK) {
            return status;
        }
        uint64_t then_ns = now_ns;
        now_ns = clock_now_ns();
        if (request->iterations > 0 ? i >= request->warmup_iterations : then_ns >= warm_ns) {
            link_sample_add(sample, now_ns - then_ns);
        }
    }
    return say_done(bench);
}

/* The other: answers until it is told that all is over. */
static kolo_status pong(struct link_verbs_bench *bench)
{
    for (uint8_t mark = 1;; mark++) {
        kolo_status status = await_answer(bench, mark);
        if (status != KOLO_OK || bench->heard_done) {
            return status;
        }
        status = send_one(bench, mark);
        if (status != KOLO_OK) {
            return status;
        }
    }
}

/* Sends that nobody waited for: they must be out of the way of the next run. */
static kolo_status settle(struct link_verbs_bench *bench)
{
    kolo_status status = link_verbs_flush(bench, &bench->lanes[0]);
    return status == KOLO_OK ? await_completion(bench) : status;
}

static kolo_status serve(struct link_verbs_bench *bench)
{
    if (!link_verbs_answers(bench)) {
        kolo_status status =
            link_bench_await_done(bench->bench.place, bench->promised,
                                  bench->bench.place->request->pairs, bench->run->deadline_ns);
        bench->heard_done = status == KOLO_OK;
        return status;
    }
    kolo_status status = pong(bench);
    return status == KOLO_OK ? settle(bench) : status;
}

kolo_status link_verbs_ping(struct link_verbs_bench *bench, struct link_outcome *outcome)
{
    if (!link_bench_begins(bench->bench.place)) {
        return serve(bench);
    }
    struct link_sample sample;
    if (!link_sample_init(&sample, LINK_SAMPLE_ROOM)) {
        return fail_quietly(KOLO_ERR_MEMORY, "no memory for the times");
    }
    kolo_status status = ping(bench, &sample);
    status = status == KOLO_OK ? settle(bench) : status;
    outcome->iterations = sample.all;
    link_sample_times(&outcome->times_us, &sample, link_verbs_answers(bench) ? 0.5 : 1);
    link_sample_free(&sample);
    return status;
}
