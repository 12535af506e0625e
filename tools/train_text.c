#include "tools/train_text.h"

#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A well-mixed number from a counter (splitmix64: Steele, Lea and Flood, 2014). */
static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

/* The first byte of stratum i. */
static uint64_t stratum_begin(const struct train_text *text, int i)
{
    return text->train_bytes * (uint64_t)i / (uint64_t)text->batch;
}

const char *train_text_measure(struct train_text *text, char *why, size_t why_bytes,
                               const char *path, int context, int batch, uint64_t seed)
{
    assert(context >= 1 && batch >= 1);
    struct stat about;
    if (stat(path, &about) != 0) {
        snprintf(why, why_bytes, "%s: %s", path, strerror(errno));
        return why;
    }
    if (!S_ISREG(about.st_mode)) {
        snprintf(why, why_bytes, "%s is not a regular file", path);
        return why;
    }
    uint64_t bytes = (uint64_t)about.st_size, validation = bytes / 10;
    *text = (struct train_text){.bytes = bytes,
                                .train_bytes = bytes - validation,
                                .context = context,
                                .seed = seed,
                                .batch = batch};
    /* Two bytes a stratum, so that there is a choice; the first stratum must hold a context, the last tenth, too. */
    uint64_t least = 20 * (uint64_t)(context + 1);
    if (bytes < least || text->train_bytes / (uint64_t)batch < 2 ||
        stratum_begin(text, 1) <= (uint64_t)context) {
        uint64_t strata = (uint64_t)batch * (uint64_t)(context > 1 ? context + 2 : 3) * 10 / 9 + 2;
        snprintf(why, why_bytes,
                 "%s has %" PRIu64 " bytes, too few for a context of %d and %d samples a step: use "
                 "a text of at least %" PRIu64 " bytes, or a smaller --batch",
                 path, bytes, context, batch, strata > least ? strata : least);
        return why;
    }
    uint64_t places = validation - (uint64_t)context;
    text->validation = places < TRAIN_TEXT_VALIDATION_MAX ? (int)places : TRAIN_TEXT_VALIDATION_MAX;
    return NULL;
}

/* Read bytes first .. end - 1. */
static const char *read_shard(struct train_shard *shard, char *why, size_t why_bytes, int file,
                              const char *path, uint64_t first, uint64_t end)
{
    shard->first = first;
    shard->length = (size_t)(end - first);
    shard->bytes = malloc(shard->length > 0 ? shard->length : 1);
    if (shard->bytes == NULL) {
        snprintf(why, why_bytes, "%s: no memory for %zu bytes", path, shard->length);
        return why;
    }
    for (size_t done = 0; done < shard->length;) {
        ssize_t got = pread(file, shard->bytes + done, shard->length - done, (off_t)(first + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            snprintf(why, why_bytes, "%s: reading at byte %" PRIu64 ": %s", path, first + done,
                     got == 0 ? "the file has become shorter" : strerror(errno));
            return why;
        }
        done += (size_t)got;
    }
    return NULL;
}

/* Offset in the file of validation sample i's target. */
static uint64_t validation_place(const struct train_text *text, int i)
{
    uint64_t first = text->train_bytes + (uint64_t)text->context;
    return first + (text->bytes - first) * (uint64_t)i / (uint64_t)text->validation;
}

/* The bytes before a shard's first place: its context, as far as there are any. */
static uint64_t before(uint64_t place, int context)
{
    return place > (uint64_t)context ? place - (uint64_t)context : 0;
}

static const char *read_shards(struct train_text *text, char *why, size_t why_bytes, int file,
                               const char *path)
{
    uint64_t begin = before(stratum_begin(text, text->sample_first), text->context);
    uint64_t end = stratum_begin(text, text->sample_first + text->sample_count);
    const char *wrong = read_shard(&text->train_shard, why, why_bytes, file, path, begin, end);
    if (wrong != NULL || text->validation_count == 0) {
        return wrong;
    }
    begin = before(validation_place(text, text->validation_first), text->context);
    end = validation_place(text, text->validation_first + text->validation_count - 1) + 1;
    return read_shard(&text->validation_shard, why, why_bytes, file, path, begin, end);
}

const char *train_text_read(struct train_text *text, char *why, size_t why_bytes, const char *path,
                            int rank, int size)
{
    assert(text->batch % size == 0);
    text->sample_count = text->batch / size;
    text->sample_first = rank * text->sample_count;
    text->validation_first = (int)((int64_t)text->validation * rank / size);
    text->validation_count =
        (int)((int64_t)text->validation * (rank + 1) / size) - text->validation_first;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        snprintf(why, why_bytes, "%s: %s", path, strerror(errno));
        return why;
    }
    const char *wrong = read_shards(text, why, why_bytes, file, path);
    close(file);
    return wrong;
}

void train_text_free(struct train_text *text)
{
    free(text->train_shard.bytes);
    free(text->validation_shard.bytes);
}

/* The sample whose target is at `place` of the file. */
static void copy_sample(const struct train_text *text, uint8_t *context, uint8_t *target,
                        const struct train_shard *shard, uint64_t place)
{
    assert(place >= shard->first + (uint64_t)text->context);
    assert(place < shard->first + shard->length);
    const uint8_t *at = shard->bytes + (place - shard->first);
    memcpy(context, at - text->context, (size_t)text->context);
    *target = *at;
}

void train_text_batch(const struct train_text *text, uint8_t *contexts, uint8_t *targets,
                      uint64_t step)
{
    for (int i = 0; i < text->sample_count; i++) {
        int sample = text->sample_first + i;
        uint64_t begin = stratum_begin(text, sample), end = stratum_begin(text, sample + 1);
        if (begin < (uint64_t)text->context) {
            begin = (uint64_t)text->context;
        }
        uint64_t random = mix(mix(mix(text->seed) ^ step) ^ (uint64_t)sample);
        copy_sample(text, contexts + (size_t)i * (size_t)text->context, targets + i,
                    &text->train_shard, begin + random % (end - begin));
    }
}

void train_text_validation(const struct train_text *text, uint8_t *contexts, uint8_t *targets,
                           int first, int count)
{
    assert(first >= 0 && count >= 0 && first + count <= text->validation_count);
    for (int i = 0; i < count; i++) {
        uint64_t place = validation_place(text, text->validation_first + first + i);
        copy_sample(text, contexts + (size_t)i * (size_t)text->context, targets + i,
                    &text->validation_shard, place);
    }
}
