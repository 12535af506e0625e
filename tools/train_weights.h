/* train_weights: the trained parameters as a file and as a digest.
 *
 * The file, all numbers little-endian:
 *    8 bytes  "kololm01"
 *    4 x u32  context, embedding, hidden, hidden layers
 *    u64      number of parameters P
 *    P x f32  256 embeddings; then for each hidden layer, and the output layer of 256: matrix inputs x outputs (row-major), biases
 *   32 bytes  SHA-256 of the P parameters, as they stand in the file: the digest that the peers print */
#ifndef KOLO_TOOLS_TRAIN_WEIGHTS_H
#define KOLO_TOOLS_TRAIN_WEIGHTS_H

#include <stdbool.h>

#include "tools/sha256.h"
#include "tools/train_model.h"

/** SHA-256 of the parameters as the file has them. */
void train_weights_digest(uint8_t digest[SHA256_BYTES], const struct train_model *model);

/** Write the file. Returns false with errno set if it could not be written; what was there before is there still. */
bool train_weights_save(const struct train_model *model, const char *path);

#endif
