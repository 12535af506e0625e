/* perf_mesh_serve: a server that answers everything that is asked on the port of `kolo perf link --serve`: measurements, agents of
 * `kolo perf mesh`, and `kolo doctor HOST`. `kolo perf mesh --serve` and `kolo doctor --serve` are this. */
#ifndef KOLO_TOOLS_PERF_MESH_SERVE_H
#define KOLO_TOOLS_PERF_MESH_SERVE_H

#include "tools/command.h"
#include "tools/link_guest.h"

/** What is answered besides measurements, for link_service.guests. */
extern const struct link_guest mesh_guests[];

/** Serve on this port (0: any; it is printed) until SIGINT or SIGTERM. Returns the exit code, after saying what is wrong. */
int mesh_serve(const struct command *command, int port);

#endif
