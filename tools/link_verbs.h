/* link_verbs: the RDMA tests, as far as the rest of the tool must know: is there a device? (The tests themselves are the row of that
 * name in link_bench.h.) Without verbs in this kolo there is never one. */
#ifndef KOLO_TOOLS_LINK_VERBS_H
#define KOLO_TOOLS_LINK_VERBS_H

#include "tools/link.h"

#ifdef KOLO_HAVE_VERBS
/** Fill in verbs, iwarp, device, description and rate of a host if there is a working device as `end` chooses it. */
void link_verbs_probe(struct link_host *host, const struct link_end *end);
#else
static inline void link_verbs_probe(struct link_host *host, const struct link_end *end)
{
    (void)host;
    (void)end;
}
#endif

#endif
