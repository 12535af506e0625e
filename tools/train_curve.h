/* train_curve: the losses of a run as they come, to be drawn or written at its end. */
#ifndef KOLO_TOOLS_TRAIN_CURVE_H
#define KOLO_TOOLS_TRAIN_CURVE_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>

struct train_line {
    double *steps;
    double *losses;
    size_t count, room;
};

/** Zero-initialise. Steps count from 1; a validation before the first is at 0. */
struct train_curve {
    struct train_line training, validation;
};

/** Add a point. KOLO_ERR_MEMORY. */
kolo_status train_curve_add(struct train_line *line, double step, double loss);

void train_curve_free(struct train_curve *curve);

/** Draw it. Returns false with errno set. `subtitle`: a line about the run. */
bool train_curve_write_svg(const struct train_curve *curve, const char *path, const char *subtitle);

/** Lines of "step,training,validation", the last field empty where there was no validation. Returns false with errno set. */
bool train_curve_write_csv(const struct train_curve *curve, const char *path);

#endif
