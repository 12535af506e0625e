/* link_session: the serving end of one client, from its request to its last measurement. Runs in a process of its own, so that
 * whatever goes wrong in it ends with it. */
#ifndef KOLO_TOOLS_LINK_SESSION_H
#define KOLO_TOOLS_LINK_SESSION_H

#include "tools/link_bench.h"

#define LINK_SESSION_IDLE_NS                                                                       \
    30000000000ULL /* a client that wants nothing for so long is sent away */

struct link_session {
    int control_fd; /* the client's, welcomed; becomes the session's */
    int streams_fd; /* see link_stream.h; borrowed */
    uint64_t token;
    struct link_end end; /* where the client does not choose */
};

/** Serve. Returns KOLO_OK when the client has left, else why it ended. */
kolo_status link_session_serve(const struct link_session *session);

#endif
