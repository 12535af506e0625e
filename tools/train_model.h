/* train_model: the byte-level language model of Bengio et al. (2003) in f32: the embeddings of the last `context` bytes, one
 * after the other, go through one or two hidden layers (ReLU) to a softmax over the next byte. It computes losses and
 * gradients; it knows neither peers nor files. */
#ifndef KOLO_TOOLS_TRAIN_MODEL_H
#define KOLO_TOOLS_TRAIN_MODEL_H

#include <kolo/kolo.h>
#include <stdint.h>

#include "tools/train_options.h"

#define TRAIN_MODEL_BYTES 256                     /* values of a byte: embeddings, outputs */
#define TRAIN_MODEL_LAYERS (TRAIN_LAYERS_MAX + 1) /* the output layer included */

/** A layer's parameters: a row-major matrix of inputs x outputs, then the biases. */
struct train_layer {
    int inputs, outputs;
    size_t weights; /* where the matrix begins among the parameters */
    size_t biases;
};

/** Parameters and gradients are one array each, in the order: embeddings, first layer, ..., output layer. */
struct train_model {
    int context, embedding;
    int layers; /* the output layer included */
    struct train_layer layer[TRAIN_MODEL_LAYERS];
    size_t parameter_count;
    float *parameters;
    float *gradients; /* one more: the loss, so that it is averaged with the output layer's */
    int rows;         /* samples that there is room for */
    float
        *values[TRAIN_MODEL_LAYERS + 1]; /* rows x width: inputs of each layer, then the outputs */
    float *slopes[2];                    /* rows x the largest width: of the loss by the values */
};

/** Told that gradients first .. first + count - 1 are final, in the order in which they come to be: from the end. */
typedef kolo_status train_ready(void *context, size_t first, size_t count);

/** Make a model for at most `rows` samples at a time; the parameters are drawn by options->seed. KOLO_ERR_MEMORY.
 *  Freed by train_model_free(). */
kolo_status train_model_init(struct train_model *model, const struct train_options *options,
                             int rows);

void train_model_free(struct train_model *model);

/** The mean loss, in nats a byte, of count <= rows samples (contexts: count x context bytes); keeps what gradients need. */
double train_model_loss(struct train_model *model, const uint8_t *contexts, const uint8_t *targets,
                        int count);

/** The gradients of the mean loss that train_model_loss() has just computed for the same samples. `ready` is called after
 *  each layer; what it returns, if not KOLO_OK, ends the work and is returned. */
kolo_status train_model_gradients(struct train_model *model, const uint8_t *contexts,
                                  const uint8_t *targets, int count, train_ready *ready,
                                  void *ready_context);

#endif
