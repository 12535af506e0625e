/* train_text: the text that is trained on, of which every peer reads only its own parts.
 *
 * The first nine tenths are for training. They are cut into as many equal strata as a batch has samples, and sample i of every
 * batch is drawn from stratum i, at a place that depends on the seed, the step and i only. Peer r of n has the samples
 * r*batch/n .. (r+1)*batch/n - 1, so it needs one contiguous part of the file, and the batches are the same whatever the
 * number of peers. The last tenth is for validation: the same places every time, shared out likewise. */
#ifndef KOLO_TOOLS_TRAIN_TEXT_H
#define KOLO_TOOLS_TRAIN_TEXT_H

#include <kolo/kolo.h>
#include <stddef.h>
#include <stdint.h>

#define TRAIN_TEXT_VALIDATION_MAX 4096 /* samples, over all peers */

/** A range of the file that is in memory. */
struct train_shard {
    uint8_t *bytes;
    uint64_t first; /* offset in the file */
    size_t length;
};

struct train_text {
    uint64_t bytes;       /* of the file */
    uint64_t train_bytes; /* its first part */
    int context;          /* bytes before each target */
    uint64_t seed;
    int batch;                              /* samples of a step, over all peers */
    int sample_first, sample_count;         /* this peer's of a batch */
    int validation;                         /* samples, over all peers */
    int validation_first, validation_count; /* this peer's */
    struct train_shard train_shard, validation_shard;
};

/** Find out how long the file is and how it will be cut. In: context, batch >= 1. Opens no peer's part yet.
 *  Returns NULL, or what is wrong: a line for the user, in `why` (of `why_bytes`). */
const char *train_text_measure(struct train_text *text, char *why, size_t why_bytes,
                               const char *path, int context, int batch, uint64_t seed);

/** Read this peer's parts. `batch` % size == 0. Returns NULL, or what is wrong, as above. Freed by train_text_free(). */
const char *train_text_read(struct train_text *text, char *why, size_t why_bytes, const char *path,
                            int rank, int size);

void train_text_free(struct train_text *text);

/** This peer's samples of a step: `contexts` is sample_count x context bytes, `targets` sample_count bytes. */
void train_text_batch(const struct train_text *text, uint8_t *contexts, uint8_t *targets,
                      uint64_t step);

/** This peer's samples for validation, first .. first + count - 1 of validation_count. */
void train_text_validation(const struct train_text *text, uint8_t *contexts, uint8_t *targets,
                           int first, int count);

#endif
