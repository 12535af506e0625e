/* train_run: the training itself: batches in, gradients averaged over the peers while the rest is still being computed, a step
 * of the optimiser, now and then a validation. Everything that touches other peers goes through kolo/kolo.h. */
#ifndef KOLO_TOOLS_TRAIN_RUN_H
#define KOLO_TOOLS_TRAIN_RUN_H

#include "tools/train_adam.h"
#include "tools/train_curve.h"
#include "tools/train_model.h"
#include "tools/train_options.h"
#include "tools/train_progress.h"
#include "tools/train_text.h"

struct train_run {
    const struct train_options *options; /* borrowed, as are the next two */
    const struct train_text *text;       /* this peer's parts are read */
    kolo_comm *comm;
    kolo_queue *queue;
    struct train_model model;
    struct train_adam adam;
    uint8_t *contexts, *targets; /* of as many samples as the model has rows */
    struct train_curve curve;    /* the same on all peers */
    struct train_progress progress;
};

/** Make the model, the same on all peers. KOLO_ERR_MEMORY, and what collectives return. Freed by train_run_free(). */
kolo_status train_run_init(struct train_run *run, const struct train_options *options,
                           const struct train_text *text, kolo_comm *comm);

void train_run_free(struct train_run *run);

/** All steps. Returns KOLO_OK, what collectives return, KOLO_ERR_MEMORY, or KOLO_ERR_ARGUMENT if the loss is no number any
 *  more: the learning rate is too high (on all peers alike). */
kolo_status train_run_steps(struct train_run *run);

/** The last training loss. After train_run_steps(). */
double train_run_loss(const struct train_run *run);

#endif
