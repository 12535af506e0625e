/* perf_mesh_agent: how `kolo perf mesh` has two other hosts measure the way between them. It keeps a connection to an agent on each
 * host (a guest of the measuring server there, link_guest.h) and tells one of them whom to measure with and what; the agent is then
 * an ordinary client (link_measure) of the other host's server, and sends the figures back.
 *
 * Frames (link_control.h): LINK_FRAME_REQUEST: host, port, tests, a link_request. LINK_FRAME_RESULT: a mesh_figure. */
#ifndef KOLO_TOOLS_PERF_MESH_AGENT_H
#define KOLO_TOOLS_PERF_MESH_AGENT_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/link.h"
#include "tools/link_control.h"

#define MESH_TEXT_MAX 320
#define MESH_HOST_MAX 256

/** What an agent is told to do. */
struct mesh_task {
    char host[MESH_HOST_MAX]; /* whom to measure with, as the caller names it */
    uint16_t port;
    uint32_t tests; /* as in link_goal */
    struct link_request request;
};

/** How it went: of the records, the best bandwidth and the lowest latency. */
struct mesh_figure {
    kolo_status status;
    char why[MESH_TEXT_MAX]; /* if it failed */
    char test[16];           /* "write", "tcp" */
    double bandwidth_Bps;    /* 0: not measured */
    double latency_us;       /* median; 0: not measured */
    double latency_p99_us;
    double rate_Bps; /* of the slower port; 0: unknown */
};

/** Answer one caller on a welcomed connection until it leaves. For link_guest. */
void mesh_agent_serve(int fd);

/** Connect to the agent of a host. Out: control, to be closed. The errors of link_hello_dial(). */
kolo_status mesh_agent_open(struct link_control *control, const char *host, int port,
                            uint64_t deadline_ns);

/** Tell it what to do; the answer comes later. */
kolo_status mesh_agent_tell(struct link_control *control, const struct mesh_task *task);

/** Its answer, if that has come. Out: got, figure. An error: the agent is lost. Does not block. */
kolo_status mesh_agent_hear(struct link_control *control, bool *got, struct mesh_figure *figure);

/** As they travel. A reader is marked failed by what cannot be. */
void mesh_task_put(struct wire_writer *writer, const struct mesh_task *task);
kolo_status mesh_task_get(struct mesh_task *task, struct wire_reader *reader);
void mesh_figure_put(struct wire_writer *writer, const struct mesh_figure *figure);
void mesh_figure_get(struct mesh_figure *figure, struct wire_reader *reader);

#endif
