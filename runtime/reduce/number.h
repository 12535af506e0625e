/* number: the arithmetic of one element. number_A is an accumulator; get_T and put_T move an element of type T between memory
 * and its accumulator (f16 and bf16: f32). The vectors in vector.h follow this file operation by operation.
 *
 * Integers wrap around. A NaN result is stored as the one canonical quiet NaN: which of two NaNs an addition returns, and
 * with what sign, depends on the processor and on the operand order that a compiler chose. MIN and MAX keep the first of two
 * equal values (-0 and +0 are equal). */
#ifndef KOLO_REDUCE_NUMBER_H
#define KOLO_REDUCE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NAN_F32 UINT32_C(0x7fc00000)
#define NAN_F64 UINT64_C(0x7ff8000000000000)

/* Bits. */

static inline uint32_t f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float f32_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* bf16: the upper half of an f32. */

static inline float f32_from_bf16(uint16_t half)
{
    return f32_from_bits((uint32_t)half << 16);
}

/* To nearest, ties to even; `value` is no NaN but the canonical one. */
static inline uint16_t bf16_from_f32(float value)
{
    uint32_t bits = f32_bits(value);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* f16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */

/* A subnormal is fraction * 2^-24, and an f32 holds that exactly. */
static inline float f32_from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t rest = half & 0x7fff;
    if (rest < 0x0400) {
        return f32_from_bits(sign | f32_bits((float)rest * 0x1p-24F));
    }
    if (rest >= 0x7c00) {
        uint32_t quiet = rest > 0x7c00 ? 0x00400000 : 0;
        return f32_from_bits(sign | 0x7f800000 | quiet | (rest & 0x3ff) << 13);
    }
    return f32_from_bits(sign | ((rest << 13) + ((127 - 15) << 23)));
}

/* To nearest, ties to even. */
static inline uint16_t f16_from_f32(float value)
{
    uint32_t bits = f32_bits(value);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t rest = bits & 0x7fffffff;
    if (rest > 0x7f800000) {
        return (uint16_t)(sign | 0x7e00);
    }
    if (rest >= 0x477ff000) { /* 65520: half a step above the largest; rounds to infinity */
        return (uint16_t)(sign | 0x7c00);
    }
    if (rest <
        0x38800000) { /* below 2^-14: adding 0.5 leaves a subnormal's fraction, rounded, in the low bits */
        return (uint16_t)(sign | (f32_bits(f32_from_bits(rest) + 0.5F) - f32_bits(0.5F)));
    }
    uint32_t rounded = rest - ((127 - 15) << 23) + 0xfff + (rest >> 13 & 1);
    return (uint16_t)(sign | rounded >> 13);
}

/* Accumulators and their operators. */

#define INTEGER_NUMBER(acc, signed_or_not, wrapping)                                               \
    typedef signed_or_not number_##acc;                                                            \
    static inline number_##acc sum_##acc(number_##acc a, number_##acc b)                           \
    {                                                                                              \
        return (number_##acc)((wrapping)a + (wrapping)b);                                          \
    }                                                                                              \
    static inline number_##acc prod_##acc(number_##acc a, number_##acc b)                          \
    {                                                                                              \
        return (number_##acc)((wrapping)a * (wrapping)b);                                          \
    }                                                                                              \
    static inline number_##acc min_##acc(number_##acc a, number_##acc b)                           \
    {                                                                                              \
        return b < a ? b : a;                                                                      \
    }                                                                                              \
    static inline number_##acc max_##acc(number_##acc a, number_##acc b)                           \
    {                                                                                              \
        return b > a ? b : a;                                                                      \
    }

#define FLOAT_NUMBER(acc, type)                                                                    \
    typedef type number_##acc;                                                                     \
    static inline number_##acc sum_##acc(number_##acc a, number_##acc b)                           \
    {                                                                                              \
        return a + b;                                                                              \
    }                                                                                              \
    static inline number_##acc prod_##acc(number_##acc a, number_##acc b)                          \
    {                                                                                              \
        return a * b;                                                                              \
    }                                                                                              \
    static inline number_##acc min_##acc(number_##acc a, number_##acc b)                           \
    {                                                                                              \
        return b < a || b != b ? b : a;                                                            \
    }                                                                                              \
    static inline number_##acc max_##acc(number_##acc a, number_##acc b)                           \
    {                                                                                              \
        return b > a || b != b ? b : a;                                                            \
    }                                                                                              \
    static inline number_##acc divide_##acc(number_##acc a, unsigned divisor)                      \
    {                                                                                              \
        return a / (number_##acc)divisor;                                                          \
    }

INTEGER_NUMBER(i8, int8_t, uint8_t)
INTEGER_NUMBER(u8, uint8_t, uint8_t)
INTEGER_NUMBER(i32, int32_t, uint32_t)
INTEGER_NUMBER(u32, uint32_t, uint32_t)
INTEGER_NUMBER(i64, int64_t, uint64_t)
INTEGER_NUMBER(u64, uint64_t, uint64_t)
FLOAT_NUMBER(f32, float)
FLOAT_NUMBER(pair, float) /* bf16's: in vectors, it is two of f32 */
FLOAT_NUMBER(f64, double)

/* Truncated toward zero. A quotient of two 32-bit integers that is no integer is at least 2^-31 of its size away from one,
 * so that an f64 cannot round it to one: truncating is exact, and much faster than a division of integers. */
#define NARROW_DIVIDE(acc)                                                                         \
    static inline number_##acc divide_##acc(number_##acc a, unsigned divisor)                      \
    {                                                                                              \
        return (number_##acc)((double)a / (double)divisor);                                        \
    }

NARROW_DIVIDE(i8)
NARROW_DIVIDE(u8)
NARROW_DIVIDE(i32)
NARROW_DIVIDE(u32)

static inline number_i64 divide_i64(number_i64 a, unsigned divisor)
{
    return a / (int64_t)divisor;
}

static inline number_u64 divide_u64(number_u64 a, unsigned divisor)
{
    return a / divisor;
}

/* Memory. Elements are aligned to themselves at most, and no type is known to the compiler: hence memcpy. */

#define PLAIN_ELEMENT(type)                                                                        \
    static inline number_##type get_##type(const void *memory, size_t i)                           \
    {                                                                                              \
        number_##type value;                                                                       \
        memcpy(&value, (const char *)memory + i * sizeof value, sizeof value);                     \
        return value;                                                                              \
    }                                                                                              \
    static inline void write_##type(void *memory, size_t i, number_##type value)                   \
    {                                                                                              \
        memcpy((char *)memory + i * sizeof value, &value, sizeof value);                           \
    }

PLAIN_ELEMENT(i8)
PLAIN_ELEMENT(u8)
PLAIN_ELEMENT(i32)
PLAIN_ELEMENT(u32)
PLAIN_ELEMENT(i64)
PLAIN_ELEMENT(u64)
PLAIN_ELEMENT(f32)
PLAIN_ELEMENT(f64)

#define INTEGER_PUT(type)                                                                          \
    static inline void put_##type(void *memory, size_t i, number_##type value)                     \
    {                                                                                              \
        write_##type(memory, i, value);                                                            \
    }

INTEGER_PUT(i8)
INTEGER_PUT(u8)
INTEGER_PUT(i32)
INTEGER_PUT(u32)
INTEGER_PUT(i64)
INTEGER_PUT(u64)

static inline float canonical_f32(float value)
{
    return value == value ? value : f32_from_bits(NAN_F32);
}

static inline void put_f32(void *memory, size_t i, float value)
{
    write_f32(memory, i, canonical_f32(value));
}

static inline void put_f64(void *memory, size_t i, double value)
{
    static const uint64_t nan_bits = NAN_F64;
    const void *bits = &value;
    memcpy((char *)memory + i * sizeof value, value == value ? bits : &nan_bits, sizeof value);
}

#define HALF_ELEMENT(type)                                                                         \
    static inline float get_##type(const void *memory, size_t i)                                   \
    {                                                                                              \
        uint16_t half;                                                                             \
        memcpy(&half, (const char *)memory + i * sizeof half, sizeof half);                        \
        return f32_from_##type(half);                                                              \
    }                                                                                              \
    static inline void put_##type(void *memory, size_t i, float value)                             \
    {                                                                                              \
        uint16_t half = type##_from_f32(canonical_f32(value));                                     \
        memcpy((char *)memory + i * sizeof half, &half, sizeof half);                              \
    }

HALF_ELEMENT(f16)
HALF_ELEMENT(bf16)

#endif
