/* The gradients of the model against differences of its loss, and how it starts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/train_adam.h"
#include "tools/train_blas.h"
#include "tools/train_model.h"

#define ROWS 16 /* as many as there are different contexts */
#define CONTEXT 3
#define PROBES 400

static uint8_t contexts[ROWS * CONTEXT], targets[ROWS];

static struct train_options small_options(int layers)
{
    return (struct train_options){
        .layers = layers, .hidden = 10, .context = CONTEXT, .embedding = 4, .seed = 5};
}

static int prepare(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof contexts; i++) {
        contexts[i] = (uint8_t)("the ring turns, "[i * 7 % 16]);
    }
    for (size_t i = 0; i < sizeof targets; i++) {
        targets[i] = (uint8_t)("peers with no server"[i * 3 % 20]);
    }
    return train_blas_load() == NULL;
}

/* What was said to be ready: ranges from the end, without gaps. */
struct ready {
    size_t begin;
    int calls;
};

static kolo_status note_ready(void *context, size_t first, size_t count)
{
    struct ready *ready = context;
    assert_int_equal(first + count, ready->begin);
    ready->begin = first;
    ready->calls++;
    return KOLO_OK;
}

static double loss_with(struct train_model *model, size_t parameter, float value)
{
    float before = model->parameters[parameter];
    model->parameters[parameter] = value;
    double loss = train_model_loss(model, contexts, targets, ROWS);
    model->parameters[parameter] = before;
    return loss;
}

/* The slope by two-sided differences at parameter p, to within what f32 and the kinks of the ReLU allow. */
static void check_slope(struct train_model *model, size_t p, double *worst)
{
    const float step = 2e-3f;
    float at = model->parameters[p];
    double slope =
        (loss_with(model, p, at + step) - loss_with(model, p, at - step)) / (2 * (double)step);
    double error = fabs(slope - (double)model->gradients[p]);
    *worst = fmax(*worst, error / (0.01 + fabs(slope)));
}

static void check_gradients(int layers)
{
    struct train_options options = small_options(layers);
    struct train_model model;
    assert_int_equal(train_model_init(&model, &options, ROWS), KOLO_OK);
    assert_int_equal(model.layers, layers + 1);
    train_model_loss(&model, contexts, targets, ROWS);
    struct ready ready = {.begin = model.parameter_count + 1};
    assert_int_equal(train_model_gradients(&model, contexts, targets, ROWS, note_ready, &ready),
                     KOLO_OK);
    assert_int_equal(ready.begin, 0);
    assert_int_equal(ready.calls, layers + 1);
    double worst = 0;
    for (size_t i = 0; i < PROBES; i++) {
        check_slope(&model, i * 2654435761u % model.parameter_count, &worst);
        check_slope(&model, contexts[i % sizeof contexts] * 4u + i % 4, &worst);
    }
    assert_true(worst < 0.1);
    train_model_free(&model);
}

static void gradients_are_the_slopes_of_the_loss(void **state)
{
    (void)state;
    check_gradients(1);
    check_gradients(2);
}

static void it_knows_nothing_at_first_and_learns(void **state)
{
    (void)state;
    struct train_options options = small_options(1);
    struct train_model model, twin;
    struct train_adam adam;
    assert_int_equal(train_model_init(&model, &options, ROWS), KOLO_OK);
    assert_int_equal(train_model_init(&twin, &options, ROWS), KOLO_OK);
    assert_memory_equal(model.parameters, twin.parameters, model.parameter_count * sizeof(float));
    assert_int_equal(train_adam_init(&adam, model.parameter_count), KOLO_OK);
    double first = train_model_loss(&model, contexts, targets, ROWS), last = first;
    assert_true(fabs(first - log(256)) < 0.7);
    for (int step = 0; step < 100; step++) {
        struct ready ready = {.begin = model.parameter_count + 1};
        train_model_gradients(&model, contexts, targets, ROWS, note_ready, &ready);
        train_adam_step(&adam, model.parameters, model.gradients, 0.02);
        last = train_model_loss(&model, contexts, targets, ROWS);
    }
    assert_true(last < 0.2);
    train_adam_free(&adam);
    train_model_free(&model);
    train_model_free(&twin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients_are_the_slopes_of_the_loss),
                                       cmocka_unit_test(it_knows_nothing_at_first_and_learns)};
    return cmocka_run_group_tests(tests, prepare, NULL);
}
