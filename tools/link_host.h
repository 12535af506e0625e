/* link_host: what an end of a measurement says of itself: its name, its processors, its devices. */
#ifndef KOLO_TOOLS_LINK_HOST_H
#define KOLO_TOOLS_LINK_HOST_H

#include "runtime/base/wire.h"
#include "tools/link.h"

/** Describe this host: name, processors, and whether it has a working RDMA device, as `end` chooses it. Never fails: what cannot be
 *  told is empty. */
void link_host_describe(struct link_host *host, const struct link_end *end);

void link_host_put(struct wire_writer *writer, const struct link_host *host);
void link_host_get(struct wire_reader *reader, struct link_host *host);

#endif
