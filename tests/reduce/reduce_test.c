/* What reduce() means, value by value. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/reduce/number.h"
#include "runtime/reduce/reduce.h"
#include "tests/reduce/random.h"

/* One destination, two sources of one element. */
#define PAIR(out, type, a, b, op)                                                                  \
    do {                                                                                           \
        const void *sources_[] = {&(a), &(b)};                                                     \
        void *out_ = &(out);                                                                       \
        reduce(&out_, 1, sources_, 2, 1, type, op, 0);                                             \
    } while (0)

static void integers_wrap(void **state)
{
    (void)state;
    int8_t a8 = 127;
    int8_t b8 = 1;
    int8_t r8 = 0;
    PAIR(r8, KOLO_I8, a8, b8, KOLO_SUM);
    assert_int_equal(r8, -128);
    uint8_t c8 = 200;
    uint8_t d8 = 100;
    uint8_t s8 = 0;
    PAIR(s8, KOLO_U8, c8, d8, KOLO_SUM);
    assert_int_equal(s8, 44);
    PAIR(s8, KOLO_U8, c8, d8, KOLO_PROD);
    assert_int_equal(s8, 20000 % 256);
    int32_t a32 = INT32_MAX;
    int32_t b32 = INT32_MAX;
    int32_t r32 = 0;
    PAIR(r32, KOLO_I32, a32, b32, KOLO_SUM);
    assert_int_equal(r32, -2);
    PAIR(r32, KOLO_I32, a32, b32, KOLO_PROD);
    assert_int_equal(r32, 1);
    int64_t a64 = INT64_MIN;
    int64_t b64 = -1;
    int64_t r64 = 0;
    PAIR(r64, KOLO_I64, a64, b64, KOLO_SUM);
    assert_true(r64 == INT64_MAX);
    PAIR(r64, KOLO_I64, a64, b64, KOLO_PROD);
    assert_true(r64 == INT64_MIN);
}

static void signs_count_in_min_and_max(void **state)
{
    (void)state;
    int8_t a = -1;
    int8_t b = 1;
    int8_t r = 0;
    PAIR(r, KOLO_I8, a, b, KOLO_MIN);
    assert_int_equal(r, -1);
    PAIR(r, KOLO_I8, a, b, KOLO_MAX);
    assert_int_equal(r, 1);
    PAIR(r, KOLO_U8, a, b, KOLO_MAX); /* 255 */
    assert_int_equal((uint8_t)r, 255);
    uint64_t c = UINT64_MAX;
    uint64_t d = 1;
    uint64_t s = 0;
    PAIR(s, KOLO_U64, c, d, KOLO_MIN);
    assert_true(s == 1);
    PAIR(s, KOLO_I64, c, d, KOLO_MIN);
    assert_true(s == UINT64_MAX);
}

static void averages_of_integers_are_truncated(void **state)
{
    (void)state;
    static const struct {
        int32_t sum;
        unsigned divisor;
        int32_t average;
    } cases[] = {{7, 2, 3},
                 {-7, 2, -3},
                 {-1, 3, 0},
                 {INT32_MAX, 1, INT32_MAX},
                 {9, 10, 0},
                 {10, 10, 1},
                 {INT32_MIN, 1, INT32_MIN},
                 {INT32_MIN, 2, INT32_MIN / 2},
                 {-11, 10, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const void *source = &cases[i].sum;
        int32_t out = 99;
        void *destination = &out;
        reduce(&destination, 1, &source, 1, 1, KOLO_I32, KOLO_AVG, cases[i].divisor);
        assert_int_equal(out, cases[i].average);
    }
}

/* The scalar kernel divides 32-bit integers in f64; that this truncates right is claimed in number.h. */
static void quotients_near_an_integer_are_exact(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    for (int i = 0; i < 200000; i++) {
        uint32_t divisor = 1 + (uint32_t)random_next(&random) % 70000;
        uint32_t value = (uint32_t)random_next(&random) / divisor * divisor - (uint32_t)(i % 3) + 1;
        assert_int_equal(divide_u32(value, divisor), value / divisor);
        int64_t wide = (int32_t)value;
        assert_int_equal(divide_i32((int32_t)value, divisor), wide / (int64_t)divisor);
    }
}

static void wide_integers_divide(void **state)
{
    (void)state;
    int64_t values[] = {INT64_MIN, INT64_MAX, -9007199254740993, 9007199254740993};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        int64_t out = 0;
        const void *source = &values[i];
        void *destination = &out;
        reduce(&destination, 1, &source, 1, 1, KOLO_I64, KOLO_SUM, 1);
        assert_true(out == values[i]);
        reduce(&destination, 1, &source, 1, 1, KOLO_U64, KOLO_SUM, 3);
        assert_true((uint64_t)out == (uint64_t)values[i] / 3);
    }
}

static void nan_wins_in_min_and_max(void **state)
{
    (void)state;
    float nan = f32_from_bits(0xffc12345);
    float number = -3;
    float out = 0;
    for (int op = KOLO_MIN; op <= KOLO_MAX; op++) {
        PAIR(out, KOLO_F32, nan, number, (kolo_operator)op);
        assert_int_equal(f32_bits(out), NAN_F32);
        PAIR(out, KOLO_F32, number, nan, (kolo_operator)op);
        assert_int_equal(f32_bits(out), NAN_F32);
    }
    uint16_t half_nan = 0xfc01;
    uint16_t half = 0x3c00;
    uint16_t half_out = 0;
    PAIR(half_out, KOLO_F16, half, half_nan, KOLO_MAX);
    assert_int_equal(half_out, 0x7e00);
    PAIR(half_out, KOLO_BF16, half_nan, half,
         KOLO_MAX); /* as bf16 it is a number, and the smaller one */
    assert_int_equal(half_out, 0x3c00);
}

static void a_nan_sum_is_canonical(void **state)
{
    (void)state;
    double a = INFINITY;
    double b = -INFINITY;
    double out = 0;
    uint64_t bits = 0;
    PAIR(out, KOLO_F64, a, b, KOLO_SUM);
    memcpy(&bits, &out, sizeof bits);
    assert_true(bits == NAN_F64);
}

/* One source without a divisor is a copy: not even a NaN changes. */
static void one_source_is_copied(void **state)
{
    (void)state;
    uint32_t bits[3] = {0xff812345, 0x80000000, 1};
    uint32_t first[3] = {0};
    uint32_t second[3] = {0};
    const void *source = bits;
    void *destination[2] = {first, second};
    reduce(destination, 2, &source, 1, 3, KOLO_F32, KOLO_MAX, 0);
    assert_memory_equal(first, bits, sizeof bits);
    assert_memory_equal(second, bits, sizeof bits);
}

/* In f16, 2048 + 1 is 2048 again (a tie to even); accumulated in f32 and rounded once, both ones count. */
static void halves_are_rounded_once(void **state)
{
    (void)state;
    uint16_t big = f16_from_f32(2048);
    uint16_t one = f16_from_f32(1);
    const void *source[] = {&big, &one, &one};
    uint16_t out = 0;
    void *destination = &out;
    reduce(&destination, 1, source, 3, 1, KOLO_F16, KOLO_SUM, 0);
    assert_true(f32_from_f16(out) == 2050);
    big = bf16_from_f32(256);
    one = bf16_from_f32(1);
    reduce(&destination, 1, source, 3, 1, KOLO_BF16, KOLO_SUM, 0);
    assert_true(f32_from_bf16(out) == 258);
}

/* More sources than REDUCE_SOURCES_MAX are accumulated in f32 all the same. */
static void many_sources(void **state)
{
    (void)state;
    enum { SOURCES = REDUCE_SOURCES_MAX + 45 };
    static uint16_t in[SOURCES][70];
    const void *source[SOURCES];
    for (int s = 0; s < SOURCES; s++) {
        source[s] = in[s];
        for (int i = 0; i < 70; i++) {
            in[s][i] = bf16_from_f32(s == 0 ? 256 : 1);
        }
    }
    uint16_t out[70];
    void *destination = out;
    reduce(&destination, 1, source, SOURCES, 70, KOLO_BF16, KOLO_SUM, 0);
    for (int i = 0; i < 70; i++) {
        assert_int_equal(out[i], bf16_from_f32(256 + SOURCES - 1));
    }
    reduce(&destination, 1, source, SOURCES, 70, KOLO_BF16, KOLO_AVG, SOURCES);
    assert_int_equal(out[69], bf16_from_f32((256 + SOURCES - 1) / (float)SOURCES));
}

/* Sources are folded from left to right: the order shows in the bits. */
static void left_to_right(void **state)
{
    (void)state;
    float big = 0x1p24F;
    float one = 1;
    float less = -0x1p24F;
    float out = 0;
    void *destination = &out;
    const void *ones_first[] = {&one, &big, &less};
    reduce(&destination, 1, ones_first, 3, 1, KOLO_F32, KOLO_SUM, 0);
    assert_true(out == 0); /* (1 + 2^24) is 2^24 in f32 */
    const void *ones_last[] = {&big, &less, &one};
    reduce(&destination, 1, ones_last, 3, 1, KOLO_F32, KOLO_SUM, 0);
    assert_true(out == 1);
}

static void subnormals_survive(void **state)
{
    (void)state;
    float tiny = 0x1p-149F;
    float out = 0;
    PAIR(out, KOLO_F32, tiny, tiny, KOLO_SUM);
    assert_true(out == 0x1p-148F);
    uint16_t half = 1;
    uint16_t half_out = 0;
    PAIR(half_out, KOLO_F16, half, half, KOLO_SUM);
    assert_int_equal(half_out, 2);
    PAIR(half_out, KOLO_BF16, half, half, KOLO_SUM);
    assert_int_equal(half_out, 2);
}

static void averages_of_floats(void **state)
{
    (void)state;
    double a = 1;
    double b = 1;
    double c = -1.5;
    double out = 0;
    const void *source[] = {&a, &b, &c};
    void *destination = &out;
    reduce(&destination, 1, source, 3, 1, KOLO_F64, KOLO_AVG, 3);
    assert_true(out == 0.5 / 3);
    uint16_t half = f16_from_f32(65504); /* the sum overflows f16, the average does not */
    uint16_t half_out = 0;
    const void *halves[] = {&half, &half};
    void *half_destination = &half_out;
    reduce(&half_destination, 1, halves, 2, 1, KOLO_F16, KOLO_AVG, 2);
    assert_int_equal(half_out, half);
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    uint8_t out[2] = {7, 7};
    uint8_t in[2] = {1, 1};
    const void *source[] = {in, in};
    void *destination[] = {out, out + 1};
    reduce(destination, 2, source, 2, 0, KOLO_U8, KOLO_SUM, 0);
    reduce(destination, 2, source, 1, 0, KOLO_U8, KOLO_SUM, 0);
    assert_int_equal(out[0], 7);
    assert_int_equal(out[1], 7);
}

static void names_and_sizes(void **state)
{
    (void)state;
    static const struct {
        kolo_type type;
        const char *name;
        size_t bytes;
    } types[] = {{KOLO_I8, "i8", 1},   {KOLO_U8, "u8", 1},     {KOLO_I32, "i32", 4},
                 {KOLO_U32, "u32", 4}, {KOLO_I64, "i64", 8},   {KOLO_U64, "u64", 8},
                 {KOLO_F16, "f16", 2}, {KOLO_BF16, "bf16", 2}, {KOLO_F32, "f32", 4},
                 {KOLO_F64, "f64", 8}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        assert_string_equal(kolo_type_name(types[i].type), types[i].name);
        assert_int_equal(kolo_type_size(types[i].type), types[i].bytes);
    }
    static const char *const operators[] = {"sum", "prod", "min", "max", "avg"};
    for (int op = 0; op < KOLO_OPERATORS; op++) {
        assert_string_equal(kolo_operator_name((kolo_operator)op), operators[op]);
    }
    assert_int_equal(kolo_type_size((kolo_type)KOLO_TYPES), 0);
    assert_int_equal(kolo_type_size((kolo_type)-1), 0);
    assert_null(kolo_type_name((kolo_type)KOLO_TYPES));
    assert_null(kolo_operator_name((kolo_operator)KOLO_OPERATORS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_wrap),
        cmocka_unit_test(signs_count_in_min_and_max),
        cmocka_unit_test(averages_of_integers_are_truncated),
        cmocka_unit_test(quotients_near_an_integer_are_exact),
        cmocka_unit_test(wide_integers_divide),
        cmocka_unit_test(nan_wins_in_min_and_max),
        cmocka_unit_test(a_nan_sum_is_canonical),
        cmocka_unit_test(one_source_is_copied),
        cmocka_unit_test(halves_are_rounded_once),
        cmocka_unit_test(many_sources),
        cmocka_unit_test(left_to_right),
        cmocka_unit_test(subnormals_survive),
        cmocka_unit_test(averages_of_floats),
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(names_and_sizes),
    };
    return cmocka_run_group_tests_name("reduce", tests, NULL, NULL);
}
