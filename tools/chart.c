#include "tools/chart.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "tools/whole_file.h"

#define WIDTH 860
#define HEIGHT 500
#define LEFT 76 /* margins around the plot */
#define RIGHT 28
#define TOP 78
#define BOTTOM 64
#define TICKS 6         /* about so many on an axis */
#define POINTS_MAX 2000 /* of a series; longer ones are drawn as the means of neighbours */

/* Colours that differ for colour-blind readers, too (Okabe and Ito, 2008). */
static const char *const colours[CHART_SERIES_MAX] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7"};

/* One axis: values least..most, a tick at every multiple of step, onto pixels begin..end. */
struct axis {
    double least, most, step, begin, end;
};

static double to_pixel(const struct axis *axis, double value)
{
    return axis->begin +
           (value - axis->least) / (axis->most - axis->least) * (axis->end - axis->begin);
}

/* 1, 2 or 5 times a power of ten, such that about TICKS of them make `span`. */
static double round_step(double span)
{
    double rough = span / TICKS, power = pow(10, floor(log10(rough))), digit = rough / power;
    return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

/* The axis that covers all series' values; at least `span_least` wide. */
static struct axis make_axis(double least, double most, double begin, double end)
{
    if (!(most > least)) {
        double room = fabs(least) > 0 ? 0.1 * fabs(least) : 1;
        least -= room;
        most = least + 2 * room;
    }
    struct axis axis = {.step = round_step(most - least), .begin = begin, .end = end};
    axis.least = floor(least / axis.step) * axis.step;
    axis.most = ceil(most / axis.step) * axis.step;
    return axis;
}

static void find_range(double *least, double *most, const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *least = fmin(*least, values[i]);
        *most = fmax(*most, values[i]);
    }
}

/* Text with the characters escaped that mean something in XML. */
static void write_text(FILE *file, const char *text)
{
    for (; *text != 0; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", file);
            break;
        case '>':
            fputs("&gt;", file);
            break;
        case '&':
            fputs("&amp;", file);
            break;
        default:
            fputc((unsigned char)*text < 0x20 ? ' ' : *text, file);
        }
    }
}

static void write_label(FILE *file, double x, double y, const char *style, const char *text)
{
    fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, style);
    write_text(file, text);
    fputs("</text>\n", file);
}

static void write_frame(FILE *file, const struct chart *chart)
{
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\" "
            "font-size=\"13\" fill=\"#333\">\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    write_label(file, LEFT, 32, "font-size=\"19\" font-weight=\"bold\"", chart->title);
    if (chart->subtitle != NULL) {
        write_label(file, LEFT, 54, "fill=\"#777\"", chart->subtitle);
    }
    write_label(file, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 18, "text-anchor=\"middle\"",
                chart->x_label);
    fprintf(file, "<g transform=\"translate(22 %.1f) rotate(-90)\">",
            (TOP + HEIGHT - BOTTOM) / 2.0);
    write_label(file, 0, 0, "text-anchor=\"middle\"", chart->y_label);
    fputs("</g>\n", file);
}

static long ticks_of(const struct axis *axis)
{
    return lround((axis->most - axis->least) / axis->step);
}

/* As many decimals as the step has; no -0. */
static void format_tick(char *text, size_t bytes, const struct axis *axis, long tick)
{
    double value = axis->least + (double)tick * axis->step;
    int decimals = axis->step < 1 ? (int)ceil(-log10(axis->step) - 1e-9) : 0;
    snprintf(text, bytes, "%.*f", decimals, fabs(value) < axis->step / 2 ? 0 : value);
}

static void write_grid(FILE *file, const struct axis *x, const struct axis *y)
{
    char text[64];
    for (long i = 0; i <= ticks_of(y); i++) {
        double at = to_pixel(y, y->least + (double)i * y->step);
        fprintf(file, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", LEFT,
                WIDTH - RIGHT, at, at, i == 0 ? "#888" : "#e4e4e4");
        format_tick(text, sizeof text, y, i);
        write_label(file, LEFT - 8, at + 4.5, "text-anchor=\"end\"", text);
    }
    for (long i = 0; i <= ticks_of(x); i++) {
        double at = to_pixel(x, x->least + (double)i * x->step);
        fprintf(file, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#888\"/>\n", at,
                at, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 5);
        format_tick(text, sizeof text, x, i);
        write_label(file, at, HEIGHT - BOTTOM + 20, "text-anchor=\"middle\"", text);
    }
}

static double mean(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
    }
    return sum / (double)count;
}

static void write_series(FILE *file, const struct chart_series *series, const struct axis *x,
                         const struct axis *y, const char *colour)
{
    size_t together = series->count / POINTS_MAX + 1;
    fprintf(file,
            "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" stroke-linejoin=\"round\" "
            "points=\"",
            colour, series->marked ? "2.2" : "1.4");
    for (size_t i = 0; i < series->count; i += together) {
        size_t count = series->count - i < together ? series->count - i : together;
        fprintf(file, "%.1f,%.1f ", to_pixel(x, mean(series->x + i, count)),
                to_pixel(y, mean(series->y + i, count)));
    }
    fputs("\"/>\n", file);
    for (size_t i = 0; series->marked && i < series->count; i++) {
        fprintf(file, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.4\" fill=\"%s\"/>\n",
                to_pixel(x, series->x[i]), to_pixel(y, series->y[i]), colour);
    }
}

/* In the upper right corner of the plot, where falling curves leave room. */
static void write_legend(FILE *file, const struct chart *chart)
{
    for (size_t i = 0; i < chart->series_count; i++) {
        double top = TOP + 18 + 22 * (double)i, left = WIDTH - RIGHT - 190;
        fprintf(file,
                "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
                "stroke-width=\"3\"/>\n",
                left, left + 26, top, top, colours[i]);
        write_label(file, left + 34, top + 4.5, "", chart->series[i].name);
    }
}

static void write_chart(FILE *file, const struct chart *chart)
{
    double x_least = INFINITY, x_most = -INFINITY, y_least = INFINITY, y_most = -INFINITY;
    for (size_t i = 0; i < chart->series_count; i++) {
        const struct chart_series *series = &chart->series[i];
        find_range(&x_least, &x_most, series->x, series->count);
        find_range(&y_least, &y_most, series->y, series->count);
    }
    if (x_least > x_most) { /* no points at all: empty axes */
        x_least = y_least = 0;
        x_most = y_most = 1;
    }
    struct axis x = make_axis(x_least, x_most, LEFT, WIDTH - RIGHT);
    struct axis y = make_axis(y_least, y_most, HEIGHT - BOTTOM, TOP);
    write_frame(file, chart);
    write_grid(file, &x, &y);
    for (size_t i = 0; i < chart->series_count; i++) {
        write_series(file, &chart->series[i], &x, &y, colours[i]);
    }
    write_legend(file, chart);
    fputs("</svg>\n", file);
}

bool chart_write_svg(const struct chart *chart, const char *path)
{
    assert(chart->series_count <= CHART_SERIES_MAX);
    struct whole_file file;
    if (!whole_file_open(&file, path)) {
        return false;
    }
    write_chart(file.stream, chart);
    return whole_file_close(&file);
}
