/* train_adam: the optimiser (Kingma and Ba, 2015, algorithm 1). Every peer keeps a whole one: equal gradients make equal steps. */
#ifndef KOLO_TOOLS_TRAIN_ADAM_H
#define KOLO_TOOLS_TRAIN_ADAM_H

#include <kolo/kolo.h>
#include <stddef.h>

struct train_adam {
    float *mean;   /* of the gradients */
    float *square; /* of their squares */
    size_t count;
    double mean_left,
        square_left; /* powers of the decay rates: what the zeros at the start still weigh */
};

/** For `count` parameters. KOLO_ERR_MEMORY. Freed by train_adam_free(). */
kolo_status train_adam_init(struct train_adam *adam, size_t count);
void train_adam_free(struct train_adam *adam);

/** One step against the gradients. */
void train_adam_step(struct train_adam *adam, float *parameters, const float *gradients,
                     double rate);

#endif
