/* chart: a line chart as an SVG file, for loss curves and the like: some series over one pair of axes, with a title, labelled
 * ticks at round numbers and a legend. It is written whole or not at all. */
#ifndef KOLO_TOOLS_CHART_H
#define KOLO_TOOLS_CHART_H

#include <stdbool.h>
#include <stddef.h>

#define CHART_SERIES_MAX 4

/** Points with ascending x. Borrowed. */
struct chart_series {
    const char *name; /* for the legend */
    const double *x;
    const double *y; /* finite */
    size_t count;
    bool marked; /* a dot at every point: for few points */
};

struct chart {
    const char *title;    /* texts are borrowed; UTF-8 */
    const char *subtitle; /* smaller, under the title; NULL: none */
    const char *x_label;
    const char *y_label;
    struct chart_series series[CHART_SERIES_MAX]; /* drawn in this order */
    size_t series_count;
};

/** Write the chart to `path`. Returns false with errno set if it could not be written; nothing has then changed there. */
bool chart_write_svg(const struct chart *chart, const char *path);

#endif
