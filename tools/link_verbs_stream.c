/* Bandwidth over RDMA: the sender keeps its queue pairs full and meters completions, as perftest does; the receiver of sends and of
 * writes with immediate data posts receives again. */
#include <string.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "tools/link_verbs_bench.h"

/* One end of a stream. */
struct stream {
    struct link_verbs_bench *bench;
    struct link_meter meter;
    uint64_t began_ns, end_ns;
    bool ending;    /* no more is posted */
    bool sends;     /* this end does */
    bool receives;  /* something is received here, and must be taken */
    uint64_t count; /* messages posted */
};

/* May so many more go out under the rate limit? */
static bool within_rate(const struct stream *stream, uint32_t count)
{
    const struct link_verbs_bench *bench = stream->bench;
    double limit_Bps = (double)bench->bench.place->request->rate_limit_Bps;
    if (limit_Bps <= 0) {
        return true;
    }
    double bytes = (double)(stream->count + count) * (double)bench->run->size_bytes;
    return bytes * (double)NS_PER_S / limit_Bps <= (double)(clock_now_ns() - stream->began_ns);
}

/* Post on a lane what there is room for, but no more than a batch: completions are looked at in between, so that they are metered
 * when they come, also where posting is what takes the time (soft-RoCE). */
static kolo_status fill_lane(struct stream *stream, struct link_verbs_lane *lane)
{
    struct link_verbs_bench *bench = stream->bench;
    uint32_t list = bench->bench.place->request->post_list;
    uint32_t batch =
        bench->signal_interval < LINK_VERBS_BATCH ? bench->signal_interval : LINK_VERBS_BATCH;
    for (uint32_t posted = 0; posted < batch && lane->left > 0; posted += list) {
        if (lane->in_flight + list > bench->run->depth || !within_rate(stream, list)) {
            break;
        }
        uint32_t count = lane->left < list ? (uint32_t)lane->left : list;
        uint32_t credit = link_verbs_credit(bench, lane);
        count = count < credit ? count : credit;
        if (count == 0) {
            break;
        }
        kolo_status status = link_verbs_post(bench, lane, count, lane->left == count);
        if (status != KOLO_OK) {
            return status;
        }
        stream->count += count;
    }
    return KOLO_OK;
}

/* The measurement is over: nothing more is sent, and completions come of all that was. */
static kolo_status end(struct stream *stream)
{
    struct link_verbs_bench *bench = stream->bench;
    kolo_status status = KOLO_OK;
    stream->ending = true;
    for (unsigned i = 0; i < bench->bench.place->request->pairs && status == KOLO_OK; i++) {
        bench->lanes[i].left = 0;
        status = link_verbs_flush(bench, &bench->lanes[i]);
    }
    return status;
}

static bool idle(const struct stream *stream)
{
    const struct link_verbs_bench *bench = stream->bench;
    for (unsigned i = 0; i < bench->bench.place->request->pairs; i++) {
        if (bench->lanes[i].in_flight > 0 || bench->lanes[i].left > 0) {
            return false;
        }
    }
    return true;
}

static kolo_status say_done(struct stream *stream)
{
    struct link_verbs_bench *bench = stream->bench;
    uint64_t posted[LINK_PAIRS_MAX];
    unsigned pairs = bench->bench.place->request->pairs;
    for (unsigned i = 0; i < pairs; i++) {
        posted[i] = bench->lanes[i].posted;
    }
    bench->said_done = true;
    return link_bench_say_done(bench->bench.place, posted, pairs);
}

/* One round of sending. Out: moved. */
static kolo_status drive(struct stream *stream, bool *moved)
{
    struct link_verbs_bench *bench = stream->bench;
    uint32_t done = 0;
    uint64_t before = stream->count;
    kolo_status status = KOLO_OK;
    for (unsigned i = 0; i < bench->bench.place->request->pairs && status == KOLO_OK; i++) {
        status = fill_lane(stream, &bench->lanes[i]);
    }
    uint32_t reaped = LINK_VERBS_BATCH;
    while (status == KOLO_OK && reaped > 0) {
        status = link_verbs_reap(bench, &reaped);
        done += reaped;
    }
    *moved = done > 0 || stream->count > before;
    if (status != KOLO_OK) {
        return status;
    }
    if (done > 0) {
        link_meter_add(&stream->meter, done * bench->run->size_bytes, clock_now_ns());
    }
    bool timed = bench->bench.place->request->iterations == 0;
    if (!stream->ending && timed &&
        (stream->meter.done || (done == 0 && clock_now_ns() >= stream->end_ns))) {
        status = end(stream);
    }
    return status == KOLO_OK && idle(stream) ? say_done(stream) : status;
}

/* Has everything come that the peer has sent? */
static bool all_received(const struct stream *stream)
{
    const struct link_verbs_bench *bench = stream->bench;
    uint64_t promised = 0;
    for (unsigned i = 0; i < bench->bench.place->request->pairs; i++) {
        promised += bench->promised[i];
    }
    return bench->heard_done && (!stream->receives || bench->received >= promised);
}

static kolo_status run(struct stream *stream)
{
    struct link_verbs_bench *bench = stream->bench;
    kolo_status status = stream->sends ? KOLO_OK : say_done(stream);
    while (status == KOLO_OK && !bench->said_done) {
        bool moved = false;
        uint32_t came = 0;
        status = drive(stream, &moved);
        if (status == KOLO_OK && stream->receives) {
            status = link_verbs_take(bench, &came);
        }
        if (status == KOLO_OK && !moved && came == 0) {
            status = link_verbs_rest(bench);
        }
    }
    while (status == KOLO_OK && !all_received(stream)) {
        uint32_t came = 0;
        if (!stream->receives) { /* nothing but the peer's word is waited for */
            status =
                link_bench_await_done(bench->bench.place, bench->promised,
                                      bench->bench.place->request->pairs, bench->run->deadline_ns);
            bench->heard_done = status == KOLO_OK;
            continue;
        }
        status = link_verbs_take(bench, &came);
        if (status == KOLO_OK && came == 0) {
            status = link_verbs_rest(bench);
        }
    }
    return status;
}

kolo_status link_verbs_stream(struct link_verbs_bench *bench, struct link_outcome *outcome)
{
    const struct link_place *place = bench->bench.place;
    const struct link_request *request = place->request;
    struct stream stream = {.bench = bench,
                            .sends = link_request_sends(request, place->side),
                            .receives = link_verbs_receives(bench) &&
                                        link_request_sends(request, 1 - place->side)};
    uint64_t messages = 0;
    stream.end_ns = link_bench_end_ns(&messages, request);
    stream.began_ns = clock_now_ns();
    for (unsigned i = 0; i < request->pairs; i++) {
        bench->lanes[i].left = stream.sends ? messages : 0;
    }
    link_meter_start(&stream.meter, request, bench->run->size_bytes, request->pairs,
                     stream.began_ns);
    kolo_status status = run(&stream);
    outcome->sent_metered = true;
    if (stream.sends) {
        link_meter_rate(&outcome->rate, &stream.meter, 1);
    }
    return status;
}
