/* plan_time: how long an algorithm takes on a network: simulated, by its closed formula, and what no algorithm can beat. */
#ifndef KOLO_TOOLS_PLAN_TIME_H
#define KOLO_TOOLS_PLAN_TIME_H

#include "tools/plan_options.h"

struct plan_time {
    double simulated_s;
    double formula_s;
    double bound_s; /* of any algorithm of this collective; 0 if the network has no limit at all */
    uint64_t messages;
    double sent_bytes; /* by the rank that sends most */
};

/** Time one algorithm with the ranks, bytes and network of the options. Returns what simulate() returns. Out: time. */
kolo_status plan_time(struct plan_time *time, const struct plan_options *options,
                      const struct algorithm *algorithm);

/** What plan_time.bound_s is, as a formula: "2(n-1)/n S/B, at least ceil(log2 n) latencies". */
const char *plan_time_bound_text(enum collective collective);

/** Bytes a second as nccl-tests defines its bus bandwidth, for a call of `seconds`; 0 for a barrier. */
double plan_time_bus_Bps(const struct plan_options *options, double seconds);

#endif
