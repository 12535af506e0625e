#include "tools/train_weights.h"

#include <assert.h>

#include "tools/whole_file.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "parameters are written as they are");

void train_weights_digest(uint8_t digest[SHA256_BYTES], const struct train_model *model)
{
    sha256(digest, model->parameters, model->parameter_count * sizeof(float));
}

static void put(FILE *stream, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        fputc((int)(value >> 8 * i & 0xff), stream);
    }
}

static void write_weights(FILE *stream, const struct train_model *model)
{
    uint8_t digest[SHA256_BYTES];
    train_weights_digest(digest, model);
    fputs("kololm01", stream);
    put(stream, (uint64_t)model->context, 4);
    put(stream, (uint64_t)model->embedding, 4);
    put(stream, (uint64_t)model->layer[0].outputs, 4);
    put(stream, (uint64_t)model->layers - 1, 4);
    put(stream, model->parameter_count, 8);
    fwrite(model->parameters, sizeof(float), model->parameter_count, stream);
    fwrite(digest, 1, sizeof digest, stream);
}

bool train_weights_save(const struct train_model *model, const char *path)
{
    struct whole_file file;
    if (!whole_file_open(&file, path)) {
        return false;
    }
    write_weights(file.stream, model);
    return whole_file_close(&file);
}
