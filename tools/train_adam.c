#include "tools/train_adam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEAN_DECAY 0.9
#define SQUARE_DECAY 0.999
#define EPSILON 1e-8f

kolo_status train_adam_init(struct train_adam *adam, size_t count)
{
    *adam = (struct train_adam){.count = count, .mean_left = 1, .square_left = 1};
    adam->mean = calloc(count, sizeof(float));
    adam->square = calloc(count, sizeof(float));
    if (adam->mean == NULL || adam->square == NULL) {
        train_adam_free(adam);
        return KOLO_ERR_MEMORY;
    }
    return KOLO_OK;
}

void train_adam_free(struct train_adam *adam)
{
    free(adam->mean);
    free(adam->square);
}

void train_adam_step(struct train_adam *adam, float *parameters, const float *gradients,
                     double rate)
{
    adam->mean_left *= MEAN_DECAY;
    adam->square_left *= SQUARE_DECAY;
    float scale = (float)(rate / (1 - adam->mean_left));
    float square_scale = (float)(1 / (1 - adam->square_left));
    float *mean = adam->mean, *square = adam->square;
    for (size_t i = 0; i < adam->count; i++) {
        float gradient = gradients[i];
        mean[i] += (float)(1 - MEAN_DECAY) * (gradient - mean[i]);
        square[i] += (float)(1 - SQUARE_DECAY) * (gradient * gradient - square[i]);
        parameters[i] -= scale * mean[i] / (sqrtf(square[i] * square_scale) + EPSILON);
    }
}
