/* perf_mesh_report: a judged matrix as people read it, as a JSON document, and as a picture. */
#ifndef KOLO_TOOLS_PERF_MESH_REPORT_H
#define KOLO_TOOLS_PERF_MESH_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "tools/perf_mesh_matrix.h"
#include "tools/perf_mesh_options.h"

/** Bandwidths and latencies as tables, then what sticks out, a line each. */
void mesh_report_print(FILE *to, const struct mesh_matrix *matrix);

/** Write the document: kolo, configuration, hosts, directions (each with its figures), medians, slow, failed, silent. False with errno
 *  set if that failed; nothing has then changed at `path`. */
bool mesh_report_json(const struct mesh_matrix *matrix, const struct mesh_options *options,
                      const char *path);

/** Draw the bandwidths as a heat map (SVG), rows from and columns to. As above. (perf_mesh_heat.c) */
bool mesh_report_svg(const struct mesh_matrix *matrix, const char *path);

/** How far a bandwidth is below the median, in percent; negative: above. */
double mesh_percent_below(const struct mesh_matrix *matrix, double bandwidth_Bps);

#endif
