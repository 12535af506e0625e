/* The inputs of `kolo perf` and their exact reductions, checked against plain arithmetic on decoded numbers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/perf_pattern.h"

#define COUNT (2 * PERF_PATTERN_PERIOD + 17)
#define STRIDE 271 /* of the elements looked at one by one */
#define TABLE 4096

static const int sizes[] = {1, 2, 3, 4, 5, 8, 64, 200};

static double decode_half(uint16_t bits, int mantissa_bits, int bias)
{
    if (bits == 0) {
        return 0;
    }
    int exponent = (bits & 0x7fff) >> mantissa_bits;
    double fraction = ldexp(bits & ((1 << mantissa_bits) - 1), -mantissa_bits);
    return ldexp(1 + fraction, exponent - bias);
}

static double decode(const void *at, kolo_type type)
{
    uint64_t bits = 0;
    float single;
    double wide;
    memcpy(&bits, at, kolo_type_size(type)); /* little-endian */
    memcpy(&single, &bits, sizeof single);
    memcpy(&wide, &bits, sizeof wide);
    switch (type) {
    case KOLO_F16:
        return decode_half((uint16_t)bits, 10, 15);
    case KOLO_BF16:
        return decode_half((uint16_t)bits, 7, 127);
    case KOLO_F32:
        return (double)single;
    case KOLO_F64:
        return wide;
    default: /* no value is negative */
        return (double)bits;
    }
}

/* Integers up to here are all exact in the type. */
static double exact_up_to(kolo_type type)
{
    static const double limits[KOLO_TYPES] = {
        [KOLO_I8] = 127,       [KOLO_U8] = 255,   [KOLO_I32] = 2147483647, [KOLO_U32] = 4294967295,
        [KOLO_I64] = 1e15,     [KOLO_U64] = 1e15, [KOLO_F16] = 2048,       [KOLO_BF16] = 256,
        [KOLO_F32] = 16777216, [KOLO_F64] = 1e15};
    return limits[type];
}

static double fold(kolo_operator op, double left, double right)
{
    return op == KOLO_PROD  ? left * right
           : op == KOLO_MIN ? fmin(left, right)
           : op == KOLO_MAX ? fmax(left, right)
                            : left + right;
}

/* The bits of an integer in a half format, found by decoding all of them. */
static uint16_t encode_half(double value, kolo_type type)
{
    static uint16_t found[2][TABLE];
    uint16_t *table = found[type == KOLO_F16];
    for (uint16_t bits = 1; bits < 0x7c00 && table[1] == 0; bits++) { /* filled once */
        uint16_t first = (uint16_t)(0x7c00 - bits);
        double decoded = decode(&first, type);
        if (decoded < TABLE && decoded == floor(decoded)) {
            table[(size_t)decoded] = first;
        }
    }
    assert_true(value < TABLE);
    return table[(size_t)value];
}

static void encode(void *to, double value, kolo_type type)
{
    int64_t whole = (int64_t)value;
    float single = (float)value;
    uint16_t half;
    switch (type) {
    case KOLO_F16:
    case KOLO_BF16:
        half = encode_half(value, type);
        memcpy(to, &half, sizeof half);
        return;
    case KOLO_F32:
        memcpy(to, &single, sizeof single);
        return;
    case KOLO_F64:
        memcpy(to, &value, sizeof value);
        return;
    default:
        memcpy(to, &whole, kolo_type_size(type));
    }
}

static double value_of(const struct perf_pattern *pattern, int rank, size_t index)
{
    uint8_t input[8];
    perf_pattern_fill(input, pattern, rank, index, 1);
    return decode(input, pattern->type);
}

static void check_pattern(kolo_type type, kolo_operator op, int size)
{
    struct perf_pattern pattern = {.type = type, .op = op, .size = size};
    for (size_t i = 0; i < COUNT; i += STRIDE) {
        double expected = value_of(&pattern, 0, i);
        for (int rank = 1; rank < size; rank++) {
            expected = fold(op, expected, value_of(&pattern, rank, i));
            assert_true(expected >= 0 && expected == floor(expected));
            assert_true(expected <= exact_up_to(type)); /* so are all partial results */
        }
        expected = op == KOLO_AVG ? expected / size : expected;
        assert_true(expected == floor(expected));
        uint8_t reduced[8] = {0};
        encode(reduced, expected, type);
        assert_int_equal(perf_pattern_differs_reduced(reduced, &pattern, i, 1), 0);
        reduced[0] ^= 1;
        assert_int_equal(perf_pattern_differs_reduced(reduced, &pattern, i, 1), 1);
    }
}

static void all_types_operators_and_sizes(void **state)
{
    (void)state;
    for (int type = 0; type < KOLO_TYPES; type++) {
        for (int op = 0; op < KOLO_OPERATORS; op++) {
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                bool counts = exact_up_to((kolo_type)type) >= sizes[s]; /* i8 and many ranks: no */
                if (counts || op == KOLO_SUM) {
                    check_pattern((kolo_type)type, (kolo_operator)op, sizes[s]);
                }
            }
        }
    }
}

/* A buffer filled in one go is what its elements are one by one, and every changed element is counted, once. */
static void buffers_and_wrong_elements(void **state)
{
    (void)state;
    static uint32_t buffer[COUNT];
    struct perf_pattern pattern = {.type = KOLO_U32, .op = KOLO_SUM, .size = 4};
    perf_pattern_fill(buffer, &pattern, 2, 1000, COUNT);
    for (size_t i = 0; i < COUNT; i += STRIDE) {
        assert_true((double)buffer[i] == value_of(&pattern, 2, 1000 + i));
    }
    assert_int_equal(perf_pattern_differs(buffer, &pattern, 2, 1000, COUNT), 0);
    buffer[0] ^= 1U << 31;
    buffer[PERF_PATTERN_PERIOD] ^= 1;
    buffer[COUNT - 1] ^= 2;
    assert_int_equal(perf_pattern_differs(buffer, &pattern, 2, 1000, COUNT), 3);
    assert_true(perf_pattern_differs(buffer, &pattern, 1, 1000, COUNT) > COUNT / 2);
    assert_true(perf_pattern_differs(buffer, &pattern, 2, 1001, COUNT) > COUNT / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_types_operators_and_sizes),
                                       cmocka_unit_test(buffers_and_wrong_elements)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
