/* How fast the ports are that a transport uses: for the cost model. */
#include "transport/verbs/link.h"
#include "transport/verbs/verbs.h"

uint64_t verbs_rate_Bps(const struct transport *transport)
{
    const struct devices *devices = &((const struct verbs *)transport)->devices;
    uint64_t slowest = 0;
    for (unsigned i = 0; i < devices->ports; i++) {
        uint64_t rate_Bps = devices->port[i].rate_Bps;
        slowest = slowest == 0 || (rate_Bps > 0 && rate_Bps < slowest) ? rate_Bps : slowest;
    }
    return slowest;
}
