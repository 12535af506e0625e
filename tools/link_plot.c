/* The picture of link_report: bandwidth over size above, latency over size below, in one SVG file. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/chart.h"
#include "tools/link_report.h"
#include "tools/whole_file.h"

#define PANEL_HEIGHT 500 /* of a chart */
#define PANEL_WIDTH 860
#define POINTS_MAX LINK_SIZES_MAX
#define TITLE_BYTES 512
#define PATH_BYTES 4096

/* What one panel shows of a record. */
struct panel {
    const char *title, *y_label;
    bool latency;
};

struct points {
    double x[CHART_SERIES_MAX][POINTS_MAX], y[CHART_SERIES_MAX][POINTS_MAX];
};

/* One curve for each test, as many as a chart can show. */
static void add_series(struct chart *chart, struct points *points, const struct panel *panel,
                       const struct link_record *records, size_t count)
{
    for (unsigned test = 0; test < LINK_TESTS && chart->series_count < CHART_SERIES_MAX; test++) {
        size_t n = 0;
        double *x = points->x[chart->series_count], *y = points->y[chart->series_count];
        for (size_t i = 0; i < count && n < POINTS_MAX; i++) {
            const struct link_record *record = &records[i];
            if (record->test == (enum link_test)test &&
                (panel->latency ? record->has_latency : record->has_bandwidth)) {
                x[n] = log2((double)record->size_bytes);
                y[n++] =
                    panel->latency ? record->latency_us.median : record->bandwidth_Bps * 8 / 1e9;
            }
        }
        if (n > 0) {
            chart->series[chart->series_count++] =
                (struct chart_series){.name = link_test_name((enum link_test)test),
                                      .x = x,
                                      .y = y,
                                      .count = n,
                                      .marked = true};
        }
    }
}

static bool write_panel(const char *path, const struct panel *panel,
                        const struct link_record *records, size_t count)
{
    struct points points;
    char subtitle[TITLE_BYTES];
    snprintf(subtitle, sizeof subtitle, "%s (%s) to %s (%s)", records[0].hosts[LINK_CLIENT].name,
             records[0].hosts[LINK_CLIENT].device, records[0].hosts[LINK_SERVER].name,
             records[0].hosts[LINK_SERVER].device);
    struct chart chart = {.title = panel->title,
                          .subtitle = subtitle,
                          .x_label = "message size: 2 to the power of x bytes",
                          .y_label = panel->y_label};
    add_series(&chart, &points, panel, records, count);
    return chart_write_svg(&chart, path);
}

/* Put a finished chart into the picture, so far down. */
static bool embed(FILE *to, const char *path, int down)
{
    char piece[4096];
    FILE *from = fopen(path, "re");
    if (from == NULL) {
        return false;
    }
    fprintf(to, "<g transform=\"translate(0 %d)\">\n", down);
    for (size_t got; (got = fread(piece, 1, sizeof piece, from)) > 0;) {
        fwrite(piece, 1, got, to);
    }
    fputs("</g>\n", to);
    fclose(from);
    return true;
}

bool link_report_plot(const char *path, const struct link_record *records, size_t count)
{
    static const struct panel panels[] = {
        {.title = "Bandwidth", .y_label = "Gbit/s"},
        {.title = "Latency (median)", .y_label = "microseconds", .latency = true}};
    char part[PATH_BYTES];
    struct whole_file file;
    bool good = strlen(path) < PATH_BYTES - 16;
    if (!good) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (!whole_file_open(&file, path)) {
        return false;
    }
    fprintf(file.stream,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\">\n",
            PANEL_WIDTH, 2 * PANEL_HEIGHT, PANEL_WIDTH, 2 * PANEL_HEIGHT);
    for (int i = 0; i < 2 && good; i++) {
        snprintf(part, sizeof part, "%s.part", path);
        good = write_panel(part, &panels[i], records, count) &&
               embed(file.stream, part, i * PANEL_HEIGHT);
        int error = errno;
        unlink(part);
        errno = error;
    }
    fputs("</svg>\n", file.stream);
    return whole_file_close(&file) && good;
}
