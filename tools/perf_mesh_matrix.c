#include "tools/perf_mesh_matrix.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The standard deviation of a normal distribution, in median absolute deviations (Rousseeuw and Croux, 1993). */
#define MAD_TO_DEVIATION 1.4826
#define DEVIATIONS 4
/* However much figures spread, a link at less than a fifth of the median is sick. */
#define SURELY_BELOW 0.8
/* Latency is judged more kindly: it depends on who else runs. */
#define LATENCY_KINDNESS 4

bool mesh_matrix_init(struct mesh_matrix *matrix, unsigned hosts)
{
    assert(hosts > 0 && hosts <= MESH_HOSTS_MAX);
    memset(matrix, 0, sizeof *matrix);
    matrix->hosts = hosts;
    matrix->host = calloc(hosts, sizeof *matrix->host);
    matrix->cell = calloc((size_t)hosts * hosts, sizeof *matrix->cell);
    if (matrix->host == NULL || matrix->cell == NULL) {
        mesh_matrix_free(matrix);
        return false;
    }
    return true;
}

void mesh_matrix_free(struct mesh_matrix *matrix)
{
    free(matrix->host);
    free(matrix->cell);
    matrix->host = NULL;
    matrix->cell = NULL;
}

struct mesh_cell *mesh_at(const struct mesh_matrix *matrix, unsigned from, unsigned to)
{
    assert(from < matrix->hosts && to < matrix->hosts);
    return &matrix->cell[(size_t)from * matrix->hosts + to];
}

void mesh_note(struct mesh_matrix *matrix, unsigned from, unsigned to,
               const struct mesh_figure *figure)
{
    struct mesh_cell *cell = mesh_at(matrix, from, to);
    if (figure->status != KOLO_OK) {
        cell->outcome = MESH_FAILED;
        snprintf(cell->why, sizeof cell->why, "%s", figure->why);
        return;
    }
    if (cell->outcome == MESH_FAILED) {
        return; /* half of it failed before */
    }
    cell->outcome = MESH_MEASURED;
    if (figure->bandwidth_Bps > 0) {
        cell->bandwidth_Bps = figure->bandwidth_Bps;
    }
    if (figure->latency_us > 0) {
        cell->latency_us = figure->latency_us;
        cell->latency_p99_us = figure->latency_p99_us;
    }
    cell->rate_Bps = figure->rate_Bps;
    bool first = matrix->test[0] == '\0';
    if (first || strcmp(matrix->test, figure->test) != 0) {
        snprintf(matrix->test, sizeof matrix->test, "%s", first ? figure->test : "mixed");
    }
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right ? 1 : 0;
}

static double median(double *values, unsigned count)
{
    if (count == 0) {
        return 0;
    }
    qsort(values, count, sizeof *values, compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* The median and its deviation. `values` is used up. */
static double describe(double *deviation, double *values, unsigned count)
{
    double middle = median(values, count);
    for (unsigned i = 0; i < count; i++) {
        values[i] = fabs(values[i] - middle);
    }
    *deviation = MAD_TO_DEVIATION * median(values, count);
    return middle;
}

static void describe_all(struct mesh_matrix *matrix, double *values)
{
    unsigned all = matrix->hosts * matrix->hosts, count = 0;
    for (unsigned i = 0; i < all; i++) {
        const struct mesh_cell *cell = &matrix->cell[i];
        matrix->measured += cell->outcome == MESH_MEASURED ? 1 : 0;
        matrix->failed += cell->outcome == MESH_FAILED ? 1 : 0;
        if (cell->outcome == MESH_MEASURED && cell->bandwidth_Bps > 0) {
            values[count++] = cell->bandwidth_Bps;
        }
    }
    matrix->median_Bps = describe(&matrix->deviation_Bps, values, count);
    count = 0;
    for (unsigned i = 0; i < all; i++) {
        if (matrix->cell[i].outcome == MESH_MEASURED && matrix->cell[i].latency_us > 0) {
            values[count++] = matrix->cell[i].latency_us;
        }
    }
    matrix->median_us = describe(&matrix->deviation_us, values, count);
}

static void mark_cells(struct mesh_matrix *matrix, double threshold)
{
    double low = fmax(threshold * matrix->median_Bps,
                      fmin(DEVIATIONS * matrix->deviation_Bps, SURELY_BELOW * matrix->median_Bps));
    double high =
        fmax(LATENCY_KINDNESS * threshold * matrix->median_us, DEVIATIONS * matrix->deviation_us);
    for (unsigned i = 0; i < matrix->hosts * matrix->hosts; i++) {
        struct mesh_cell *cell = &matrix->cell[i];
        if (cell->outcome == MESH_MEASURED) {
            cell->slow_bandwidth =
                cell->bandwidth_Bps > 0 && cell->bandwidth_Bps < matrix->median_Bps - low;
            cell->slow_latency = cell->latency_us > matrix->median_us + high;
            matrix->slow += cell->slow_bandwidth || cell->slow_latency ? 1 : 0;
        }
    }
}

static void mark_host(struct mesh_matrix *matrix, unsigned host)
{
    unsigned slow = 0, all = 0;
    for (unsigned other = 0; other < matrix->hosts; other++) {
        const struct mesh_cell *to = mesh_at(matrix, host, other);
        const struct mesh_cell *from = mesh_at(matrix, other, host);
        all += to->outcome == MESH_MEASURED ? 1 : 0;
        all += from->outcome == MESH_MEASURED ? 1 : 0;
        slow += to->slow_bandwidth ? 1 : 0;
        slow += from->slow_bandwidth ? 1 : 0;
    }
    matrix->host[host].slow = all > 2 && 2 * slow > all;
}

void mesh_judge(struct mesh_matrix *matrix, double threshold)
{
    double *values = calloc((size_t)matrix->hosts * matrix->hosts, sizeof *values);
    matrix->measured = matrix->failed = matrix->slow = matrix->silent = 0;
    if (values == NULL) {
        return; /* no judgement without memory; the figures stand */
    }
    describe_all(matrix, values);
    free(values);
    mark_cells(matrix, threshold);
    for (unsigned i = 0; i < matrix->hosts; i++) {
        matrix->silent += matrix->host[i].answers ? 0 : 1;
        mark_host(matrix, i);
    }
}
