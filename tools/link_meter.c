#include "tools/link_meter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"

void link_meter_start(struct link_meter *meter, const struct link_request *request,
                      uint64_t size_bytes, uint32_t streams, uint64_t now_ns)
{
    assert(size_bytes > 0 && streams > 0);
    uint64_t once = size_bytes * streams;
    *meter = (struct link_meter){.by_bytes = request->iterations > 0, .start_ns = now_ns};
    meter->length = meter->by_bytes ? request->iterations * once : request->duration_ns;
    meter->step = (meter->length + LINK_METER_INTERVALS - 1) / LINK_METER_INTERVALS;
    meter->mark = meter->by_bytes ? request->warmup_iterations * once : now_ns + request->warmup_ns;
    if (meter->by_bytes && meter->mark == 0) {
        link_meter_read(meter, 0, now_ns);
    }
}

void link_meter_read(struct link_meter *meter, uint64_t at, uint64_t now_ns)
{
    if (meter->done || meter->step == 0) { /* or not begun: a latency is being measured */
        return;
    }
    meter->reading[meter->taken].ns = now_ns;
    meter->reading[meter->taken].bytes = meter->bytes;
    if (meter->taken++ == 0) {
        meter->first = at;
    }
    /* A gap may have swallowed intervals: the next mark is ahead of here in any case. */
    uint64_t past = at - meter->first, next = (past / meter->step + 1) * meter->step;
    meter->mark = meter->first + (next < meter->length ? next : meter->length);
    meter->done = past >= meter->length;
    assert(meter->done || meter->taken <= LINK_METER_INTERVALS);
}

static double rate_between(const struct link_meter *meter, unsigned from, unsigned to)
{
    uint64_t ns = meter->reading[to].ns - meter->reading[from].ns;
    uint64_t bytes = meter->reading[to].bytes - meter->reading[from].bytes;
    return ns == 0 ? 0 : (double)bytes * (double)NS_PER_S / (double)ns;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* What has come is too little for two readings: all of it then, from the start. */
static void rate_of_little(struct link_rate *rate, const struct link_meter *meter)
{
    uint64_t ns = meter->reading[0].ns - meter->start_ns;
    if (meter->by_bytes && meter->taken == 1 && ns > 0) {
        double rate_Bps = (double)meter->reading[0].bytes * (double)NS_PER_S / (double)ns;
        rate->mean_Bps += rate_Bps;
        rate->bytes += meter->reading[0].bytes;
        rate->ns = ns > rate->ns ? ns : rate->ns;
    }
}

/* The rates of the intervals, all meters together. Returns how many there are in each. */
static unsigned add_intervals(double *rates, const struct link_meter *meters, size_t count)
{
    unsigned intervals = LINK_METER_INTERVALS;
    for (size_t i = 0; i < count; i++) {
        unsigned own = meters[i].taken > 0 ? meters[i].taken - 1 : 0;
        intervals = own < intervals ? own : intervals;
    }
    for (unsigned k = 0; k < intervals; k++) {
        rates[k] = 0;
        for (size_t i = 0; i < count; i++) {
            rates[k] += rate_between(&meters[i], k, k + 1);
        }
    }
    return intervals;
}

void link_meter_rate(struct link_rate *rate, const struct link_meter *meters, size_t count)
{
    memset(rate, 0, sizeof *rate);
    for (size_t i = 0; i < count; i++) {
        if (meters[i].taken >= 2) {
            unsigned last = meters[i].taken - 1;
            uint64_t ns = meters[i].reading[last].ns - meters[i].reading[0].ns;
            rate->mean_Bps += rate_between(&meters[i], 0, last);
            rate->bytes += meters[i].reading[last].bytes - meters[i].reading[0].bytes;
            rate->ns = ns > rate->ns ? ns : rate->ns;
        } else {
            rate_of_little(rate, &meters[i]);
        }
    }
    rate->median_Bps = rate->peak_Bps = rate->mean_Bps;
    double rates[LINK_METER_INTERVALS] = {0};
    unsigned intervals = add_intervals(rates, meters, count);
    if (intervals > 0) {
        qsort(rates, intervals, sizeof *rates, compare);
        rate->median_Bps = (rates[(intervals - 1) / 2] + rates[intervals / 2]) / 2;
        rate->peak_Bps = rates[intervals - 1];
    }
}

void link_rate_put(struct wire_writer *writer, const struct link_rate *rate)
{
    wire_put_f64(writer, rate->mean_Bps);
    wire_put_f64(writer, rate->median_Bps);
    wire_put_f64(writer, rate->peak_Bps);
    wire_put_u64(writer, rate->bytes);
    wire_put_u64(writer, rate->ns);
}

void link_rate_get(struct wire_reader *reader, struct link_rate *rate)
{
    rate->mean_Bps = wire_get_f64(reader);
    rate->median_Bps = wire_get_f64(reader);
    rate->peak_Bps = wire_get_f64(reader);
    rate->bytes = wire_get_u64(reader);
    rate->ns = wire_get_u64(reader);
}
