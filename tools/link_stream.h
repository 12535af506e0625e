/* link_stream: the data connections of a TCP test. The client dials them; in the server, the process that listens accepts them and
 * passes them to the one that serves the client, through a pair of Unix sockets. */
#ifndef KOLO_TOOLS_LINK_STREAM_H
#define KOLO_TOOLS_LINK_STREAM_H

#include <kolo/kolo.h>
#include <stdint.h>

#include "tools/link_bench.h"

/** Pass an accepted stream on. Returns 0, or -1 with errno set. The descriptor stays the caller's. */
int link_stream_pass(int through, int fd, uint32_t index);

/** All streams of a test, in order, as this end gets them. Out: fds[count], the caller's. On failure none is left open. */
kolo_status link_stream_connect(int *fds, unsigned count, const struct link_place *place,
                                uint64_t deadline_ns);

#endif
