#include "tools/plan_time.h"

#include <math.h>

#include "collectives/simulate.h"

/* Vectors that cross the port of the busiest rank in any algorithm (of the root, where there is one). */
static double vectors_least(enum collective collective, double ranks)
{
    switch (collective) {
    case COLLECTIVE_ALL_REDUCE:
        return 2 * (ranks - 1) / ranks;
    case COLLECTIVE_REDUCE_SCATTER:
    case COLLECTIVE_ALL_GATHER:
        return (ranks - 1) / ranks;
    case COLLECTIVE_BROADCAST:
    case COLLECTIVE_REDUCE:
        return ranks > 1 ? 1 : 0;
    case COLLECTIVE_BARRIER:
        break;
    }
    return 0;
}

static double bound(const struct plan_options *options)
{
    double bytes = vectors_least(options->collective, options->ranks) * (double)options->bytes;
    double rate = options->network.port_Bps;
    double hops = ceil(log2(options->ranks));
    return fmax(rate > 0 ? bytes / rate : 0, hops * options->network.latency_s);
}

const char *plan_time_bound_text(enum collective collective)
{
    switch (collective) {
    case COLLECTIVE_ALL_REDUCE:
        return "2(n-1)/n S/B, and ceil(log2 n) latencies";
    case COLLECTIVE_REDUCE_SCATTER:
    case COLLECTIVE_ALL_GATHER:
        return "(n-1)/n S/B, and ceil(log2 n) latencies";
    case COLLECTIVE_BROADCAST:
    case COLLECTIVE_REDUCE:
        return "S/B, and ceil(log2 n) latencies";
    case COLLECTIVE_BARRIER:
        break;
    }
    return "ceil(log2 n) latencies";
}

double plan_time_bus_Bps(const struct plan_options *options, double seconds)
{
    double bytes = vectors_least(options->collective, options->ranks) * (double)options->bytes;
    return seconds > 0 ? bytes / seconds : 0;
}

kolo_status plan_time(struct plan_time *time, const struct plan_options *options,
                      const struct algorithm *algorithm)
{
    struct network network = {.uniform = options->network, .size = options->ranks};
    struct simulation simulation = {0};
    kolo_status status = simulate(&simulation, &network, algorithm, options->root, options->bytes);
    if (status == KOLO_OK) {
        *time = (struct plan_time){
            .simulated_s = simulation.seconds,
            .formula_s = algorithm->seconds(&options->network, options->ranks, options->bytes),
            .bound_s = bound(options),
            .messages = simulation.messages,
            .sent_bytes = simulation.bytes_sent_most};
    }
    return status;
}
