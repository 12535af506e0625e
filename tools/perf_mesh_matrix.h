/* perf_mesh_matrix: what was measured between every two hosts, in each direction, and what sticks out: hosts that do not answer,
 * pairs and directions that are slow. "Slow" is judged against the median of all, by the median absolute deviation: a few sick
 * links move neither. */
#ifndef KOLO_TOOLS_PERF_MESH_MATRIX_H
#define KOLO_TOOLS_PERF_MESH_MATRIX_H

#include <stdbool.h>

#include "tools/perf_mesh_agent.h"
#include "tools/perf_mesh_round.h"

enum mesh_outcome {
    MESH_NOT_TRIED = 0, /* the diagonal, and pairs of a host that does not answer */
    MESH_MEASURED,
    MESH_FAILED
};

/** From a row's host to a column's. */
struct mesh_cell {
    enum mesh_outcome outcome;
    char why[MESH_TEXT_MAX]; /* MESH_FAILED */
    double bandwidth_Bps, latency_us, latency_p99_us;
    double rate_Bps;                   /* of the slower port; 0: unknown */
    bool slow_bandwidth, slow_latency; /* see mesh_judge() */
};

struct mesh_host {
    char name[MESH_HOST_MAX];    /* as the user gave it */
    char address[MESH_HOST_MAX]; /* without the port */
    int port;
    bool answers;
    char why[MESH_TEXT_MAX]; /* if not */
    bool slow;               /* most of its directions are: it is the host, not a cable */
};

struct mesh_matrix {
    unsigned hosts;
    struct mesh_host *host; /* [hosts] */
    struct mesh_cell *cell; /* [hosts * hosts], row by row */
    char test[16];          /* what was measured: "write", "tcp"; "mixed" if pairs differ */
    unsigned measured;      /* cells */
    double median_Bps,
        deviation_Bps; /* of the bandwidths; deviation: 1.4826 x median absolute deviation */
    double median_us, deviation_us; /* of the latencies */
    unsigned slow;                  /* directions with slow bandwidth or latency */
    unsigned failed;                /* directions */
    unsigned silent;                /* hosts that do not answer */
};

/** Room for so many hosts, all zero. False without memory. */
bool mesh_matrix_init(struct mesh_matrix *matrix, unsigned hosts);
void mesh_matrix_free(struct mesh_matrix *matrix);

struct mesh_cell *mesh_at(const struct mesh_matrix *matrix, unsigned from, unsigned to);

/** Put a figure where it belongs: what it has of bandwidth and latency, or why it failed. */
void mesh_note(struct mesh_matrix *matrix, unsigned from, unsigned to,
               const struct mesh_figure *figure);

/** Judge all cells: fill in medians, deviations, counts and the marks. A direction is slow if its bandwidth is below the median, or
 *  its latency above it, by more than `threshold` (0.25: a quarter; four times that for
 *  latency) and by more than four deviations (or, for bandwidth, four fifths of the median). A host is slow if more than half of
 *  its directions have a slow bandwidth. */
void mesh_judge(struct mesh_matrix *matrix, double threshold);

#endif
