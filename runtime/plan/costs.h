/* costs: what the cost model assumes of a wire before anything has been measured. Each rank says what it knows of its worst link;
 * the group takes the worst of all (costs_worst), so that all ranks choose alike. */
#ifndef KOLO_PLAN_COSTS_H
#define KOLO_PLAN_COSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "collectives/network.h"
#include "runtime/base/wire.h"

enum costs_wire { COSTS_SHARED_MEMORY, COSTS_LOOPBACK, COSTS_NETWORK, COSTS_RDMA };

/** The figures of a wire. `local_peers` processes share `processors`; `port_Bps`: of the network interface, 0 if unknown. */
struct network_uniform costs_of(enum costs_wire wire, unsigned local_peers, unsigned processors,
                                double port_Bps);

/** Into `worst`: the longer latency and overhead, the lower rates. */
void costs_worst(struct network_uniform *worst, const struct network_uniform *other);

/** To peers and from them, exactly: all ranks must compute the same. */
void costs_put(struct wire_writer *writer, const struct network_uniform *network);
void costs_get(struct wire_reader *reader, struct network_uniform *network);

#endif
