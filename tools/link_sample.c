#include "tools/link_sample.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool link_sample_init(struct link_sample *sample, size_t room)
{
    assert(room >= 2);
    *sample = (struct link_sample){.room = room, .stride = 1, .least = UINT64_MAX};
    sample->ns = malloc(room * sizeof *sample->ns);
    return sample->ns != NULL;
}

void link_sample_free(struct link_sample *sample)
{
    free(sample->ns);
    sample->ns = NULL;
}

void link_sample_thin(struct link_sample *sample)
{
    size_t kept = 0;
    for (size_t i = 0; i < sample->count; i += 2) {
        sample->ns[kept++] = sample->ns[i];
    }
    sample->count = kept;
    sample->stride *= 2;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* The smallest duration that `share` of them do not exceed. */
static double quantile(const struct link_sample *sample, double share)
{
    double rank = ceil(share * (double)sample->count);
    return (double)sample->ns[rank < 1 ? 0 : (size_t)rank - 1];
}

void link_sample_times(struct link_times *times, struct link_sample *sample, double scale)
{
    memset(times, 0, sizeof *times);
    if (sample->count == 0) {
        return;
    }
    qsort(sample->ns, sample->count, sizeof *sample->ns, compare);
    double to_us = scale / 1e3, sum = 0, squares = 0;
    for (size_t i = 0; i < sample->count; i++) {
        sum += (double)sample->ns[i];
    }
    double mean = sum / (double)sample->count;
    for (size_t i = 0; i < sample->count; i++) {
        squares += ((double)sample->ns[i] - mean) * ((double)sample->ns[i] - mean);
    }
    *times = (struct link_times){.min = (double)sample->least * to_us,
                                 .median = quantile(sample, 0.5) * to_us,
                                 .mean = mean * to_us,
                                 .deviation = sqrt(squares / (double)sample->count) * to_us,
                                 .p99 = quantile(sample, 0.99) * to_us,
                                 .p999 = quantile(sample, 0.999) * to_us,
                                 .max = (double)sample->most * to_us};
}

/* In this order on the wire. */
static double *field(struct link_times *times, unsigned i)
{
    double *const fields[] = {&times->min, &times->median, &times->mean, &times->deviation,
                              &times->p99, &times->p999,   &times->max};
    return i < sizeof fields / sizeof *fields ? fields[i] : NULL;
}

void link_times_put(struct wire_writer *writer, const struct link_times *times)
{
    struct link_times copy = *times;
    for (unsigned i = 0; field(&copy, i) != NULL; i++) {
        uint64_t bits;
        memcpy(&bits, field(&copy, i), sizeof bits);
        wire_put_u64(writer, bits);
    }
}

void link_times_get(struct wire_reader *reader, struct link_times *times)
{
    for (unsigned i = 0; field(times, i) != NULL; i++) {
        uint64_t bits = wire_get_u64(reader);
        memcpy(field(times, i), &bits, sizeof bits);
    }
}
