/* The matrix of perf_mesh_report.h as a picture. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/perf_mesh_report.h"
#include "tools/whole_file.h"

#define CELL 56       /* pixels */
#define LEFT 200      /* for the names of the rows */
#define TOP 96        /* for the title and the names of the columns */
#define BOTTOM 72     /* for the scale */
#define LABELS_MAX 24 /* hosts that have room for figures in their cells */
#define SCALE_STEPS 40
#define NEAR_MEDIAN 1.2

struct colour {
    double red, green, blue;
};

/* From 0, the worst, to 1: dark red, yellow, dark green; in lightness it goes up and down, so that both ends are told without colour
 * by the figures in the cells. */
static struct colour mix(double share)
{
    static const struct colour stops[] = {
        {178, 24, 43}, {244, 165, 80}, {254, 240, 160}, {120, 190, 110}, {26, 122, 70}};
    double place = fmin(fmax(share, 0), 1) * 4;
    unsigned first = place >= 4 ? 3 : (unsigned)place;
    double rest = place - first;
    const struct colour *a = &stops[first], *b = &stops[first + 1];
    return (struct colour){a->red + rest * (b->red - a->red),
                           a->green + rest * (b->green - a->green),
                           a->blue + rest * (b->blue - a->blue)};
}

static void write_escaped(FILE *to, const char *text, unsigned most)
{
    for (unsigned i = 0; i < most && text[i] != '\0'; i++) {
        switch (text[i]) {
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '&':
            fputs("&amp;", to);
            break;
        default:
            fputc((unsigned char)text[i] < 0x20 || (unsigned char)text[i] > 0x7e ? '?' : text[i],
                  to);
        }
    }
}

static void write_names(FILE *to, const struct mesh_matrix *matrix)
{
    for (unsigned i = 0; i < matrix->hosts; i++) {
        unsigned middle = i * CELL + CELL / 2;
        fprintf(to, "<text x=\"%d\" y=\"%u\" text-anchor=\"end\">", LEFT - 8, TOP + middle + 4);
        write_escaped(to, matrix->host[i].name, 24);
        fprintf(to, " %u</text>\n<text x=\"%u\" y=\"%d\" text-anchor=\"middle\">%u</text>\n", i + 1,
                LEFT + middle, TOP - 8, i + 1);
    }
}

static void write_cell(FILE *to, const struct mesh_matrix *matrix, unsigned from, unsigned into,
                       double best_Bps)
{
    const struct mesh_cell *cell = mesh_at(matrix, from, into);
    unsigned x = LEFT + into * CELL, y = TOP + from * CELL;
    if (cell->outcome != MESH_MEASURED) {
        fprintf(to, "<rect x=\"%u\" y=\"%u\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n", x, y,
                CELL - 2, CELL - 2, cell->outcome == MESH_FAILED ? "#333333" : "#eeeeee");
        return;
    }
    double share = best_Bps > 0 ? cell->bandwidth_Bps / best_Bps : 0;
    struct colour colour = mix(share);
    fprintf(to,
            "<rect x=\"%u\" y=\"%u\" width=\"%d\" height=\"%d\" fill=\"rgb(%.0f,%.0f,%.0f)\"%s>"
            "<title>%u to %u: %.4g Gbit/s, %.4g us</title></rect>\n",
            x, y, CELL - 2, CELL - 2, colour.red, colour.green, colour.blue,
            cell->slow_bandwidth || cell->slow_latency ? " stroke=\"#000000\" stroke-width=\"3\""
                                                       : "",
            from + 1, into + 1, cell->bandwidth_Bps * 8 / 1e9, cell->latency_us);
    if (matrix->hosts <= LABELS_MAX) {
        fprintf(to, "<text x=\"%u\" y=\"%u\" text-anchor=\"middle\" fill=\"%s\">%.3g</text>\n",
                x + CELL / 2 - 1, y + CELL / 2 + 4,
                share < 0.15 || share > 0.9 ? "#ffffff" : "#000000", cell->bandwidth_Bps * 8 / 1e9);
    }
}

static void write_scale(FILE *to, unsigned y, double best_Bps)
{
    for (unsigned i = 0; i < SCALE_STEPS; i++) {
        struct colour colour = mix((i + 0.5) / SCALE_STEPS);
        fprintf(
            to,
            "<rect x=\"%u\" y=\"%u\" width=\"7\" height=\"14\" fill=\"rgb(%.0f,%.0f,%.0f)\"/>\n",
            LEFT + 6 * i, y, colour.red, colour.green, colour.blue);
    }
    fprintf(
        to,
        "<text x=\"%d\" y=\"%u\">0</text><text x=\"%d\" y=\"%u\" text-anchor=\"end\">%.3g "
        "Gbit/s and more</text>\n<text x=\"%d\" y=\"%u\">framed: slow; black: failed; grey: not "
        "tried</text>\n",
        LEFT, y + 30, LEFT + 6 * SCALE_STEPS, y + 30, best_Bps * 8 / 1e9, LEFT, y + 48);
}

/* Where the scale ends: the best, but not far above the median, so that one fast pair does not make all others look sick. */
static double best_of(const struct mesh_matrix *matrix)
{
    double best = 0;
    for (unsigned i = 0; i < matrix->hosts * matrix->hosts; i++) {
        best = fmax(best, matrix->cell[i].bandwidth_Bps);
    }
    return matrix->median_Bps > 0 ? fmin(best, NEAR_MEDIAN * matrix->median_Bps) : best;
}

bool mesh_report_svg(const struct mesh_matrix *matrix, const char *path)
{
    struct whole_file file;
    if (!whole_file_open(&file, path)) {
        return false;
    }
    unsigned side = matrix->hosts * CELL;
    unsigned width = LEFT + (side > 6 * SCALE_STEPS + 40 ? side : 6 * SCALE_STEPS + 40) + 16;
    double best_Bps = best_of(matrix);
    fprintf(file.stream,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u "
            "%u\" font-family=\"sans-serif\" font-size=\"12\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
            "<text x=\"%d\" y=\"28\" font-size=\"18\">Bandwidth between hosts, Gbit/s</text>\n"
            "<text x=\"%d\" y=\"48\">%s, from row to column; median %.4g</text>\n",
            width, TOP + side + BOTTOM, width, TOP + side + BOTTOM, 16, 16,
            matrix->test[0] != '\0' ? matrix->test : "nothing measured",
            matrix->median_Bps * 8 / 1e9);
    write_names(file.stream, matrix);
    for (unsigned from = 0; from < matrix->hosts; from++) {
        for (unsigned to = 0; to < matrix->hosts; to++) {
            write_cell(file.stream, matrix, from, to, best_Bps);
        }
    }
    write_scale(file.stream, TOP + side + 14, best_Bps);
    fputs("</svg>\n", file.stream);
    return whole_file_close(&file);
}
