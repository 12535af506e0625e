/* link_bind: where a measurement runs: its threads on a core or a NUMA node, its memory on a node (hwloc). */
#ifndef KOLO_TOOLS_LINK_BIND_H
#define KOLO_TOOLS_LINK_BIND_H

#include <kolo/kolo.h>
#include <stddef.h>

#include "tools/link_request.h"

/** Put the calling thread, and those that it starts, where this end is to run: its core, else its NUMA node; nowhere if neither is
 *  chosen. KOLO_ERR_ARGUMENT if there is no such core or node here: says which there are. */
kolo_status link_bind_thread(const struct link_end *end);

/** Put memory on a NUMA node, before it is touched. KOLO_ERR_ARGUMENT if there is no such node, KOLO_ERR_SYSTEM. */
kolo_status link_bind_memory(void *memory, size_t bytes, int numa_node);

#endif
