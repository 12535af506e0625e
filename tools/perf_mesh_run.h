/* perf_mesh_run: the tournament: connects to all agents, has every pair measured, and fills in the matrix. */
#ifndef KOLO_TOOLS_PERF_MESH_RUN_H
#define KOLO_TOOLS_PERF_MESH_RUN_H

#include "tools/perf_mesh_matrix.h"
#include "tools/perf_mesh_options.h"

/** Measure. Takes about rounds x 4 x duration; a host that does not answer is noted, and the rest goes on. False without memory.
 *  Out: matrix, judged, to be freed. `progress` is called before each round; NULL: not wanted. */
bool mesh_run(struct mesh_matrix *matrix, const struct mesh_options *options,
              void (*progress)(unsigned round, unsigned rounds));

#endif
