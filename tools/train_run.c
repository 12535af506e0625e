#include "tools/train_run.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"

#define VALIDATION_ROWS 512 /* at a time, at least */

kolo_status train_run_init(struct train_run *run, const struct train_options *options,
                           const struct train_text *text, kolo_comm *comm)
{
    memset(run, 0, sizeof *run);
    run->options = options;
    run->text = text;
    run->comm = comm;
    int rows = text->sample_count > VALIDATION_ROWS ? text->sample_count : VALIDATION_ROWS;
    kolo_status status = train_model_init(&run->model, options, rows);
    if (status != KOLO_OK) {
        return status;
    }
    run->contexts = malloc((size_t)rows * (size_t)options->context);
    run->targets = malloc((size_t)rows);
    status = train_adam_init(&run->adam, run->model.parameter_count);
    if (status != KOLO_OK || run->contexts == NULL || run->targets == NULL) {
        train_run_free(run);
        return KOLO_ERR_MEMORY;
    }
    status = kolo_queue_create(&run->queue, comm);
    if (status ==
        KOLO_OK) { /* the same seed has made the same: this holds whatever the machines are */
        status = kolo_broadcast(comm, run->model.parameters, run->model.parameters,
                                run->model.parameter_count, KOLO_F32, 0, NULL);
    }
    if (status != KOLO_OK) {
        train_run_free(run);
    }
    return status;
}

void train_run_free(struct train_run *run)
{
    kolo_queue_destroy(run->queue); /* first: it may still use the gradients */
    train_model_free(&run->model);
    train_adam_free(&run->adam);
    train_curve_free(&run->curve);
    free(run->contexts);
    free(run->targets);
}

/* The mean over all peers' validation samples. */
static kolo_status validate(struct train_run *run, int step)
{
    double sum[2] = {0, run->text->validation_count}; /* of losses, of samples */
    for (int first = 0; first < run->text->validation_count;) {
        int rest = run->text->validation_count - first;
        int count = rest < run->model.rows ? rest : run->model.rows;
        train_text_validation(run->text, run->contexts, run->targets, first, count);
        sum[0] += count * train_model_loss(&run->model, run->contexts, run->targets, count);
        first += count;
    }
    kolo_status status = kolo_all_reduce(run->comm, sum, sum, 2, KOLO_F64, KOLO_SUM, NULL);
    if (status != KOLO_OK) {
        return status;
    }
    run->progress.validation = sum[0] / sum[1];
    return train_curve_add(&run->curve.validation, step, run->progress.validation);
}

/* Gradients are final: average them over the peers while the next ones are computed. */
static kolo_status send_off(void *context, size_t first, size_t count)
{
    struct train_run *run = context;
    float *gradients = run->model.gradients + first;
    return kolo_all_reduce(run->comm, gradients, gradients, count, KOLO_F32, KOLO_AVG, run->queue);
}

static kolo_status average_gradients(struct train_run *run, int step)
{
    int count = run->text->sample_count;
    struct train_model *model = &run->model;
    train_text_batch(run->text, run->contexts, run->targets, (uint64_t)step);
    double loss = train_model_loss(model, run->contexts, run->targets, count);
    model->gradients[model->parameter_count] = (float)loss;
    kolo_status status =
        train_model_gradients(model, run->contexts, run->targets, count, send_off, run);
    if (status != KOLO_OK) {
        return status;
    }
    uint64_t begin_ns = clock_now_ns();
    status = kolo_queue_wait(run->queue, -1);
    run->progress.waited_ns += clock_now_ns() - begin_ns;
    return status;
}

static kolo_status take_step(struct train_run *run, int step)
{
    struct train_model *model = &run->model;
    kolo_status status = average_gradients(run, step);
    if (status != KOLO_OK) {
        return status;
    }
    float loss = model->gradients[model->parameter_count];
    if (!isfinite(loss)) {
        return KOLO_ERR_ARGUMENT;
    }
    train_adam_step(&run->adam, model->parameters, model->gradients, run->options->rate);
    return train_curve_add(&run->curve.training, step, (double)loss);
}

kolo_status train_run_steps(struct train_run *run)
{
    int steps = run->options->steps;
    train_progress_begin(&run->progress, run->comm, steps);
    kolo_status status = validate(run, 0);
    for (int step = 1; step <= steps && status == KOLO_OK; step++) {
        status = take_step(run, step);
        bool validated = step % run->options->validate_every == 0 || step == steps;
        if (status == KOLO_OK && validated) {
            status = validate(run, step);
        }
        if (status == KOLO_OK && kolo_rank(run->comm) == 0) {
            train_progress_step(&run->progress, step, train_run_loss(run), validated);
        }
    }
    return status;
}

double train_run_loss(const struct train_run *run)
{
    assert(run->curve.training.count > 0);
    return run->curve.training.losses[run->curve.training.count - 1];
}
