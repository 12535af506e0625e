#include "tools/train_model.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/train_blas.h"

static void add_layer(struct train_model *model, int inputs, int outputs)
{
    struct train_layer *layer = &model->layer[model->layers++];
    layer->inputs = inputs;
    layer->outputs = outputs;
    layer->weights = model->parameter_count;
    layer->biases = layer->weights + (size_t)inputs * (size_t)outputs;
    model->parameter_count = layer->biases + (size_t)outputs;
}

static void lay_out(struct train_model *model, const struct train_options *options)
{
    model->context = options->context;
    model->embedding = options->embedding;
    model->parameter_count = (size_t)TRAIN_MODEL_BYTES * (size_t)options->embedding;
    int width = options->context * options->embedding;
    for (int i = 0; i < options->layers; i++) {
        add_layer(model, width, options->hidden);
        width = options->hidden;
    }
    add_layer(model, width, TRAIN_MODEL_BYTES);
}

/* A number from -1 to 1 that depends on the state only; steps the state (xorshift64*, Vigna 2016). */
static float draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (float)(*state * 0x2545f4914f6cdd1d >> 40) / 8388608.0f - 1.0f;
}

/* Variance 2/inputs before a ReLU (He et al., 2015), 1/inputs before the softmax; embeddings of size about 1. */
static void seed_parameters(struct train_model *model, uint64_t seed)
{
    uint64_t state = seed * 2 + 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < model->layer[0].weights; i++) {
        model->parameters[i] = draw(&state);
    }
    for (int l = 0; l < model->layers; l++) {
        const struct train_layer *layer = &model->layer[l];
        double variance = (l + 1 < model->layers ? 2.0 : 1.0) / layer->inputs;
        float scale = (float)sqrt(3 * variance);
        for (size_t i = layer->weights; i < layer->biases; i++) {
            model->parameters[i] = scale * draw(&state);
        }
    }
}

static float *allocate(size_t rows, int width)
{
    return calloc(rows * (size_t)width, sizeof(float));
}

static bool allocate_all(struct train_model *model)
{
    size_t rows = (size_t)model->rows;
    int widest = TRAIN_MODEL_BYTES;
    bool all = true;
    model->parameters = calloc(model->parameter_count, sizeof(float));
    model->gradients = kolo_alloc((model->parameter_count + 1) * sizeof(float));
    for (int l = 0; l <= model->layers; l++) {
        int width = l < model->layers ? model->layer[l].inputs : TRAIN_MODEL_BYTES;
        widest = width > widest ? width : widest;
        model->values[l] = allocate(rows, width);
        all = all && model->values[l] != NULL;
    }
    model->slopes[0] = allocate(rows, widest);
    model->slopes[1] = allocate(rows, widest);
    return all && model->parameters != NULL && model->gradients != NULL &&
           model->slopes[0] != NULL && model->slopes[1] != NULL;
}

kolo_status train_model_init(struct train_model *model, const struct train_options *options,
                             int rows)
{
    assert(rows >= 1 && options->layers >= 1 && options->layers <= TRAIN_LAYERS_MAX);
    memset(model, 0, sizeof *model);
    lay_out(model, options);
    model->rows = rows;
    if (!allocate_all(model)) {
        train_model_free(model);
        return KOLO_ERR_MEMORY;
    }
    seed_parameters(model, options->seed);
    return KOLO_OK;
}

void train_model_free(struct train_model *model)
{
    free(model->parameters);
    kolo_free(model->gradients);
    for (int l = 0; l <= model->layers; l++) {
        free(model->values[l]);
    }
    free(model->slopes[0]);
    free(model->slopes[1]);
}

/* The embeddings of all bytes of all contexts. */
static void look_up(struct train_model *model, const uint8_t *contexts, int count)
{
    size_t width = (size_t)model->embedding, bytes = (size_t)count * (size_t)model->context;
    for (size_t i = 0; i < bytes; i++) {
        memcpy(model->values[0] + i * width, model->parameters + contexts[i] * width,
               width * sizeof(float));
    }
}

static void add_biases(float *values, const float *biases, int count, int width)
{
    for (int row = 0; row < count; row++) {
        for (int i = 0; i < width; i++) {
            values[(size_t)row * (size_t)width + (size_t)i] += biases[i];
        }
    }
}

static void rectify(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = values[i] > 0 ? values[i] : 0;
    }
}

/* Scores to probabilities, in place. Returns minus the logarithm of the target's. */
static double softmax(float *scores, uint8_t target)
{
    float most = scores[0];
    for (int i = 1; i < TRAIN_MODEL_BYTES; i++) {
        most = scores[i] > most ? scores[i] : most;
    }
    double sum = 0, target_score = (double)scores[target] - (double)most;
    for (int i = 0; i < TRAIN_MODEL_BYTES; i++) {
        scores[i] = expf(scores[i] - most);
        sum += (double)scores[i];
    }
    float scale = (float)(1 / sum);
    for (int i = 0; i < TRAIN_MODEL_BYTES; i++) {
        scores[i] *= scale;
    }
    return log(sum) - target_score;
}

double train_model_loss(struct train_model *model, const uint8_t *contexts, const uint8_t *targets,
                        int count)
{
    assert(count >= 1 && count <= model->rows);
    look_up(model, contexts, count);
    for (int l = 0; l < model->layers; l++) {
        const struct train_layer *layer = &model->layer[l];
        float *out = model->values[l + 1];
        train_blas_multiply(out, model->values[l], model->parameters + layer->weights, count,
                            layer->outputs, layer->inputs);
        add_biases(out, model->parameters + layer->biases, count, layer->outputs);
        if (l + 1 < model->layers) {
            rectify(out, (size_t)count * (size_t)layer->outputs);
        }
    }
    double loss = 0;
    for (int row = 0; row < count; row++) {
        loss +=
            softmax(model->values[model->layers] + (size_t)row * TRAIN_MODEL_BYTES, targets[row]);
    }
    return loss / count;
}

/* The slopes of the mean loss by the scores: probability minus one where the target is, over the number of samples. */
static void begin_slopes(struct train_model *model, const uint8_t *targets, int count)
{
    float *slopes = model->slopes[0], scale = 1.0f / (float)count;
    const float *probabilities = model->values[model->layers];
    for (size_t i = 0; i < (size_t)count * TRAIN_MODEL_BYTES; i++) {
        slopes[i] = probabilities[i] * scale;
    }
    for (size_t row = 0; row < (size_t)count; row++) {
        slopes[row * TRAIN_MODEL_BYTES + targets[row]] -= scale;
    }
}

/* The gradients of a layer's matrix and biases from the slopes by its outputs. */
static void layer_gradients(struct train_model *model, const struct train_layer *layer,
                            const float *inputs, const float *slopes, int count)
{
    train_blas_multiply_left_transposed(model->gradients + layer->weights, inputs, slopes,
                                        layer->inputs, layer->outputs, count);
    float *biases = model->gradients + layer->biases;
    memset(biases, 0, (size_t)layer->outputs * sizeof *biases);
    for (int row = 0; row < count; row++) {
        for (int i = 0; i < layer->outputs; i++) {
            biases[i] += slopes[(size_t)row * (size_t)layer->outputs + (size_t)i];
        }
    }
}

/* No slope passes where the ReLU gave 0. */
static void mask(float *slopes, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        slopes[i] = values[i] > 0 ? slopes[i] : 0;
    }
}

static void embedding_gradients(struct train_model *model, const uint8_t *contexts,
                                const float *slopes, int count)
{
    size_t width = (size_t)model->embedding, bytes = (size_t)count * (size_t)model->context;
    memset(model->gradients, 0, model->layer[0].weights * sizeof(float));
    for (size_t i = 0; i < bytes; i++) {
        float *to = model->gradients + contexts[i] * width;
        for (size_t j = 0; j < width; j++) {
            to[j] += slopes[i * width + j];
        }
    }
}

kolo_status train_model_gradients(struct train_model *model, const uint8_t *contexts,
                                  const uint8_t *targets, int count, train_ready *ready,
                                  void *ready_context)
{
    float *slopes = model->slopes[0], *next = model->slopes[1];
    size_t end = model->parameter_count + 1; /* the loss goes with the output layer */
    kolo_status status = KOLO_OK;
    begin_slopes(model, targets, count);
    for (int l = model->layers - 1; l >= 0 && status == KOLO_OK; l--) {
        const struct train_layer *layer = &model->layer[l];
        layer_gradients(model, layer, model->values[l], slopes, count);
        if (l > 0) { /* on their way while the next layer is worked on */
            status = ready(ready_context, layer->weights, end - layer->weights);
            end = layer->weights;
        }
        train_blas_multiply_right_transposed(next, slopes, model->parameters + layer->weights,
                                             count, layer->inputs, layer->outputs);
        if (l > 0) {
            mask(next, model->values[l], (size_t)count * (size_t)layer->inputs);
        }
        float *done = slopes;
        slopes = next;
        next = done;
    }
    if (status != KOLO_OK) {
        return status;
    }
    embedding_gradients(model, contexts, slopes, count);
    return ready(ready_context, 0, end);
}
