#include "runtime/plan/costs.h"

#include <string.h>

/* Measured on small x86-64 machines with `kolo perf`; a wrong guess costs some speed near the crossings, nothing else. */
static const struct network_uniform guesses[] = {
    [COSTS_SHARED_MEMORY] = {.latency_s = 0.15e-6,
                             .overhead_s = 0.06e-6,
                             .link_Bps = 8e9,
                             .port_Bps = 8e9,
                             .reduce_Bps = 12e9},
    [COSTS_LOOPBACK] = {.latency_s = 1e-6,
                        .overhead_s = 4e-6,
                        .link_Bps = 4e9,
                        .port_Bps = 4e9,
                        .reduce_Bps = 12e9},
    [COSTS_RDMA] = {.latency_s = 2e-6,
                    .overhead_s = 0.4e-6,
                    .link_Bps = 12.5e9,
                    .port_Bps = 12.5e9,
                    .reduce_Bps = 12e9},
    [COSTS_NETWORK] = {.latency_s = 20e-6,
                       .overhead_s = 2e-6,
                       .link_Bps = 1.25e9,
                       .port_Bps = 1.25e9,
                       .reduce_Bps = 12e9},
};

#define SWITCH_S 2e-6 /* to give the processor to another process and get it back */

/* Processes take turns on a processor. It moves the bytes of shared memory itself, so they share its rate. Of loopback TCP, what
 * counts is the time of all in the kernel: the plans add it up (crowd), and a message's overhead includes waking its receiver. */
static void share_processors(struct network_uniform *costs, enum costs_wire wire, double share)
{
    if (wire == COSTS_LOOPBACK) {
        costs->crowd = share;
        return;
    }
    costs->latency_s += SWITCH_S * share;
    costs->overhead_s *= share;
    costs->reduce_Bps /= share;
    if (wire == COSTS_SHARED_MEMORY) {
        costs->link_Bps /= share;
        costs->port_Bps /= share;
    }
}

struct network_uniform costs_of(enum costs_wire wire, unsigned local_peers, unsigned processors,
                                double port_Bps)
{
    struct network_uniform costs = guesses[wire];
    if ((wire == COSTS_NETWORK || wire == COSTS_RDMA) && port_Bps > 0) {
        costs.link_Bps = port_Bps;
        costs.port_Bps = port_Bps;
    }
    if (processors > 0 && local_peers > processors) {
        share_processors(&costs, wire, (double)local_peers / processors);
    }
    return costs;
}

static double lower(double a, double b)
{
    return a == 0 ? b : b == 0 ? a : a < b ? a : b; /* 0: not limited */
}

static double fewer(double a, double b)
{
    return a < b ? a : b;
}

static double higher(double a, double b)
{
    return a > b ? a : b;
}

void costs_worst(struct network_uniform *worst, const struct network_uniform *other)
{
    worst->latency_s = higher(worst->latency_s, other->latency_s);
    worst->overhead_s = higher(worst->overhead_s, other->overhead_s);
    worst->link_Bps = lower(worst->link_Bps, other->link_Bps);
    worst->port_Bps = lower(worst->port_Bps, other->port_Bps);
    worst->reduce_Bps = lower(worst->reduce_Bps, other->reduce_Bps);
    worst->crowd = higher(worst->crowd, other->crowd);
    worst->shown_bytes = fewer(worst->shown_bytes, other->shown_bytes);
}

/* More than any rate, and any time in seconds. */
#define FIGURE_MOST 1e18

static double get_figure(struct wire_reader *reader)
{
    double value = wire_get_f64(reader);
    reader->failed |= value >= FIGURE_MOST;
    return reader->failed ? 0 : value;
}

void costs_put(struct wire_writer *writer, const struct network_uniform *network)
{
    wire_put_f64(writer, network->latency_s);
    wire_put_f64(writer, network->overhead_s);
    wire_put_f64(writer, network->link_Bps);
    wire_put_f64(writer, network->port_Bps);
    wire_put_f64(writer, network->reduce_Bps);
    wire_put_f64(writer, network->crowd);
    wire_put_f64(writer, network->shown_bytes);
}

void costs_get(struct wire_reader *reader, struct network_uniform *network)
{
    network->latency_s = get_figure(reader);
    network->overhead_s = get_figure(reader);
    network->link_Bps = get_figure(reader);
    network->port_Bps = get_figure(reader);
    network->reduce_Bps = get_figure(reader);
    network->crowd = get_figure(reader);
    network->shown_bytes = get_figure(reader);
}
