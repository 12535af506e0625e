/* link_meter: how fast bytes arrive or are acknowledged: a warm-up, then a measurement cut into equal intervals, either of time
 * or of bytes. It begins and ends at moments at which something happened, so that a rate is never that of a part of a message.
 * Pure but for the struct; one thread. */
#ifndef KOLO_TOOLS_LINK_METER_H
#define KOLO_TOOLS_LINK_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/wire.h"
#include "tools/link_request.h"

#define LINK_METER_INTERVALS 20

struct link_meter {
    bool by_bytes;         /* intervals of bytes instead of time */
    bool done;             /* the measurement is complete */
    uint64_t bytes;        /* since the start */
    uint64_t mark;         /* where the next interval ends: in bytes, or a time */
    uint64_t first;        /* the measurement's begin, in the same unit */
    uint64_t length, step; /* of the measurement, of an interval */
    uint64_t start_ns;
    unsigned taken; /* of the readings */
    struct {
        uint64_t ns, bytes;
    } reading[LINK_METER_INTERVALS + 1];
};

/** What a meter has found. */
struct link_rate {
    double mean_Bps, median_Bps, peak_Bps;
    uint64_t bytes; /* within the measurement */
    uint64_t ns;
};

/** Begin to warm up. `streams`: how many pairs' messages are counted here. */
void link_meter_start(struct link_meter *meter, const struct link_request *request,
                      uint64_t size_bytes, uint32_t streams, uint64_t now_ns);

void link_meter_read(struct link_meter *meter, uint64_t at, uint64_t now_ns); /* for the next one */

/** So many more bytes are through. Returns true as soon as the measurement is complete. */
static inline bool link_meter_add(struct link_meter *meter, uint64_t bytes, uint64_t now_ns)
{
    meter->bytes += bytes;
    uint64_t at = meter->by_bytes ? meter->bytes : now_ns;
    if (at >= meter->mark) {
        link_meter_read(meter, at, now_ns);
    }
    return meter->done;
}

/** The rate of several meters that ran at the same time. Zeros if nothing was measured. */
void link_meter_rate(struct link_rate *rate, const struct link_meter *meters, size_t count);

void link_rate_put(struct wire_writer *writer, const struct link_rate *rate);
void link_rate_get(struct wire_reader *reader, struct link_rate *rate);

#endif
