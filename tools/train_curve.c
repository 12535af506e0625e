#include "tools/train_curve.h"

#include <stdlib.h>

#include "tools/chart.h"
#include "tools/whole_file.h"

#define ROOM_FIRST 256

static bool grow(double **values, size_t room)
{
    double *grown = realloc(*values, room * sizeof *grown);
    if (grown != NULL) {
        *values = grown;
    }
    return grown != NULL;
}

kolo_status train_curve_add(struct train_line *line, double step, double loss)
{
    if (line->count == line->room) {
        size_t room = line->room > 0 ? 2 * line->room : ROOM_FIRST;
        if (!grow(&line->steps, room) || !grow(&line->losses, room)) {
            return KOLO_ERR_MEMORY;
        }
        line->room = room;
    }
    line->steps[line->count] = step;
    line->losses[line->count++] = loss;
    return KOLO_OK;
}

void train_curve_free(struct train_curve *curve)
{
    free(curve->training.steps);
    free(curve->training.losses);
    free(curve->validation.steps);
    free(curve->validation.losses);
}

static struct chart_series make_series(const struct train_line *line, const char *name, bool marked)
{
    return (struct chart_series){
        .name = name, .x = line->steps, .y = line->losses, .count = line->count, .marked = marked};
}

bool train_curve_write_svg(const struct train_curve *curve, const char *path, const char *subtitle)
{
    struct chart chart = {.title = "Loss of the language model",
                          .subtitle = subtitle,
                          .x_label = "step",
                          .y_label = "loss (nats a byte)",
                          .series = {make_series(&curve->training, "training", false),
                                     make_series(&curve->validation, "validation", true)},
                          .series_count = 2};
    return chart_write_svg(&chart, path);
}

bool train_curve_write_csv(const struct train_curve *curve, const char *path)
{
    const struct train_line *training = &curve->training, *validation = &curve->validation;
    struct whole_file file;
    if (!whole_file_open(&file, path)) {
        return false;
    }
    fputs("step,training,validation\n", file.stream);
    size_t next = 0;
    if (validation->count > 0 && validation->steps[0] < 1) {
        fprintf(file.stream, "0,,%.9g\n", validation->losses[next++]);
    }
    for (size_t i = 0; i < training->count; i++) {
        fprintf(file.stream, "%.0f,%.9g,", training->steps[i], training->losses[i]);
        if (next < validation->count && validation->steps[next] <= training->steps[i]) {
            fprintf(file.stream, "%.9g", validation->losses[next++]);
        }
        fputc('\n', file.stream);
    }
    return whole_file_close(&file);
}
