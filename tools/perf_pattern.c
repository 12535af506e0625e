#include "tools/perf_pattern.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define ELEMENT_BYTES_MAX 8
#define VALUE_MAX 4000 /* small enough for every partial sum in f32 up to 4,096 ranks */

/* The largest integer up to which the type holds all integers. */
static int64_t exact_up_to(kolo_type type)
{
    switch (type) {
    case KOLO_I8:
    case KOLO_U8:
        return 127;
    case KOLO_F16:
        return 2048;
    case KOLO_BF16:
        return 256;
    case KOLO_F32:
        return 1 << 24;
    default:
        return INT32_MAX;
    }
}

/* The largest value that every rank may hold such that sums stay exact; 0 if there are too many ranks for any. */
static int64_t value_limit(const struct perf_pattern *pattern)
{
    int64_t limit = exact_up_to(pattern->type) / pattern->size;
    return limit < VALUE_MAX ? limit : VALUE_MAX;
}

static int64_t value_summed(int64_t limit, kolo_type type, int rank, int64_t index)
{
    if (limit ==
        0) { /* more ranks than the type can count: as many as it can hold 0 or 1, the others 0 */
        return rank < exact_up_to(type) ? (index + rank) & 1 : 0;
    }
    return (7 * index + 13 * (int64_t)rank) % (limit + 1);
}

/* Every rank holds the average, but for pairs of ranks that lie one above and one below: the sum divides evenly. */
static int64_t value_averaged(int64_t limit, int size, int rank, int64_t index)
{
    if (limit < 2) {
        return limit * (index & 1);
    }
    int64_t average = 1 + (5 * index) % (limit - 1);
    int partner = rank ^ 1;
    return partner >= size ? average : average + (rank < partner ? 1 : -1);
}

/* All ones, but for two ranks, which go round as the index does. */
static int64_t value_multiplied(int size, int rank, int64_t index)
{
    static const int64_t primes[] = {2, 3, 5};
    int64_t value = index % size == rank ? primes[index % 3] : 1;
    return (index / size) % size == rank ? 7 * value : value;
}

static int64_t value_at(const struct perf_pattern *pattern, int rank, int64_t index)
{
    switch (pattern->op) {
    case KOLO_SUM:
        return value_summed(value_limit(pattern), pattern->type, rank, index);
    case KOLO_AVG:
        return value_averaged(value_limit(pattern), pattern->size, rank, index);
    case KOLO_PROD:
        return value_multiplied(pattern->size, rank, index);
    case KOLO_MIN:
    case KOLO_MAX:
        break;
    }
    return (7 * index + 31 * (int64_t)rank) % 101;
}

static int64_t fold(kolo_operator op, int64_t left, int64_t right)
{
    switch (op) {
    case KOLO_PROD:
        return left * right;
    case KOLO_MIN:
        return left < right ? left : right;
    case KOLO_MAX:
        return left > right ? left : right;
    case KOLO_SUM:
    case KOLO_AVG:
        break;
    }
    return left + right;
}

static int64_t reduced_at(const struct perf_pattern *pattern, int64_t index)
{
    int64_t value = value_at(pattern, 0, index);
    for (int rank = 1; rank < pattern->size; rank++) {
        value = fold(pattern->op, value, value_at(pattern, rank, index));
    }
    if (pattern->op == KOLO_AVG) {
        assert(value % pattern->size == 0);
        value /= pattern->size;
    }
    return value;
}

/* An integer from 0 that the format holds exactly: sign, exponent, `mantissa_bits` bits of mantissa. */
static uint16_t encode_half(int64_t value, int mantissa_bits, int bias)
{
    if (value == 0) {
        return 0;
    }
    int exponent = ilogb((double)value);
    double fraction = ldexp((double)value, -exponent) - 1.0;
    return (uint16_t)((exponent + bias) << mantissa_bits | (int)ldexp(fraction, mantissa_bits));
}

static void store(void *to, kolo_type type, int64_t value)
{
    uint16_t half = encode_half(value, type == KOLO_F16 ? 10 : 7, type == KOLO_F16 ? 15 : 127);
    float single = (float)value;
    double wide = (double)value;
    switch (type) {
    case KOLO_F16:
    case KOLO_BF16:
        memcpy(to, &half, sizeof half);
        return;
    case KOLO_F32:
        memcpy(to, &single, sizeof single);
        return;
    case KOLO_F64:
        memcpy(to, &wide, sizeof wide);
        return;
    default: /* little-endian two's complement of any width */
        memcpy(to, &value, kolo_type_size(type));
    }
}

/* One period of elements, as far as first .. first + count - 1 need it: of a rank's input, or (rank < 0) of the reduction. */
static void make_tile(uint8_t *tile, const struct perf_pattern *pattern, int rank, size_t first,
                      size_t count)
{
    size_t needed = count < PERF_PATTERN_PERIOD ? count : PERF_PATTERN_PERIOD;
    size_t element = kolo_type_size(pattern->type);
    assert(element > 0 && element <= ELEMENT_BYTES_MAX);
    for (size_t j = 0; j < needed; j++) {
        int64_t i = (int64_t)((first + j) % PERF_PATTERN_PERIOD);
        int64_t value = rank < 0 ? reduced_at(pattern, i) : value_at(pattern, rank, i);
        store(tile + (size_t)i * element, pattern->type, value);
    }
}

/* Elements from `index` on up to the end of the tile, at most `count`. */
static size_t run_length(size_t index, size_t count)
{
    size_t rest = PERF_PATTERN_PERIOD - index % PERF_PATTERN_PERIOD;
    return rest < count ? rest : count;
}

static size_t count_differing(const uint8_t *left, const uint8_t *right, size_t count,
                              size_t element)
{
    if (memcmp(left, right, count * element) == 0) {
        return 0;
    }
    size_t differing = 0;
    for (size_t i = 0; i < count; i++) {
        differing += memcmp(left + i * element, right + i * element, element) != 0;
    }
    return differing;
}

static size_t compare(const uint8_t *buffer, const struct perf_pattern *pattern, int rank,
                      size_t first, size_t count)
{
    uint8_t tile[PERF_PATTERN_PERIOD * ELEMENT_BYTES_MAX];
    make_tile(tile, pattern, rank, first, count);
    size_t element = kolo_type_size(pattern->type), differing = 0;
    for (size_t done = 0; done < count;) {
        size_t run = run_length(first + done, count - done);
        const uint8_t *expected = tile + (first + done) % PERF_PATTERN_PERIOD * element;
        differing += count_differing(buffer + done * element, expected, run, element);
        done += run;
    }
    return differing;
}

void perf_pattern_fill(void *buffer, const struct perf_pattern *pattern, int rank, size_t first,
                       size_t count)
{
    assert(rank >= 0 && rank < pattern->size);
    uint8_t tile[PERF_PATTERN_PERIOD * ELEMENT_BYTES_MAX];
    make_tile(tile, pattern, rank, first, count);
    size_t element = kolo_type_size(pattern->type);
    for (size_t done = 0; done < count;) {
        size_t run = run_length(first + done, count - done);
        memcpy((uint8_t *)buffer + done * element,
               tile + (first + done) % PERF_PATTERN_PERIOD * element, run * element);
        done += run;
    }
}

size_t perf_pattern_differs(const void *buffer, const struct perf_pattern *pattern, int rank,
                            size_t first, size_t count)
{
    assert(rank >= 0 && rank < pattern->size);
    return compare(buffer, pattern, rank, first, count);
}

size_t perf_pattern_differs_reduced(const void *buffer, const struct perf_pattern *pattern,
                                    size_t first, size_t count)
{
    return compare(buffer, pattern, -1, first, count);
}
