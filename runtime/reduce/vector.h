/* vector: the arithmetic of number.h on VECTOR_BYTES at a time, in the vectors of GCC and Clang, which either turns into the
 * instructions of the processor that the including file is compiled for. vector_A is an accumulator; load_T and store_T move as
 * many elements of type T as a vector_A has. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "runtime/reduce/number.h"

/* Which half of a word in memory has the lower address. */
#define LOW_FIRST (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

#define VECTOR_OF(type, bytes) type __attribute__((vector_size(bytes)))

/* mask ? yes : no, lane by lane; a lane of the mask is all ones or all zeros. */
#define SELECT(acc, mask, yes, no)                                                                 \
    ((vector_##acc)((((mask_##acc)(yes)) & (mask)) | (((mask_##acc)(no)) & ~(mask))))

#define VECTOR_TYPES(acc, lane_mask, lane_bits)                                                    \
    typedef VECTOR_OF(number_##acc, VECTOR_BYTES) vector_##acc;                                    \
    typedef VECTOR_OF(lane_mask, VECTOR_BYTES) mask_##acc;                                         \
    typedef VECTOR_OF(lane_bits, VECTOR_BYTES) bits_##acc;

#define INTEGER_VECTOR(acc)                                                                        \
    static inline vector_##acc vsum_##acc(vector_##acc a, vector_##acc b)                          \
    {                                                                                              \
        return (vector_##acc)((bits_##acc)a + (bits_##acc)b);                                      \
    }                                                                                              \
    static inline vector_##acc vprod_##acc(vector_##acc a, vector_##acc b)                         \
    {                                                                                              \
        return (vector_##acc)((bits_##acc)a * (bits_##acc)b);                                      \
    }                                                                                              \
    static inline vector_##acc vmin_##acc(vector_##acc a, vector_##acc b)                          \
    {                                                                                              \
        return SELECT(acc, b < a, b, a);                                                           \
    }                                                                                              \
    static inline vector_##acc vmax_##acc(vector_##acc a, vector_##acc b)                          \
    {                                                                                              \
        return SELECT(acc, b > a, b, a);                                                           \
    }                                                                                              \
    static inline vector_##acc canonical_vector_##acc(vector_##acc value)                          \
    {                                                                                              \
        return value;                                                                              \
    }

#define FLOAT_VECTOR(acc, nan_bits)                                                                \
    static inline vector_##acc vsum_##acc(vector_##acc a, vector_##acc b)                          \
    {                                                                                              \
        return a + b;                                                                              \
    }                                                                                              \
    static inline vector_##acc vprod_##acc(vector_##acc a, vector_##acc b)                         \
    {                                                                                              \
        return a * b;                                                                              \
    }                                                                                              \
    static inline vector_##acc vmin_##acc(vector_##acc a, vector_##acc b)                          \
    {                                                                                              \
        return SELECT(acc, (b < a) | (b != b), b, a);                                              \
    }                                                                                              \
    static inline vector_##acc vmax_##acc(vector_##acc a, vector_##acc b)                          \
    {                                                                                              \
        return SELECT(acc, (b > a) | (b != b), b, a);                                              \
    }                                                                                              \
    static inline vector_##acc vdivide_##acc(vector_##acc a, unsigned divisor)                     \
    {                                                                                              \
        return a / (number_##acc)divisor;                                                          \
    }                                                                                              \
    static inline vector_##acc canonical_vector_##acc(vector_##acc value)                          \
    {                                                                                              \
        const bits_##acc quiet = (bits_##acc){0} + nan_bits;                                       \
        return SELECT(acc, value == value, value, quiet);                                          \
    }

#define PLAIN_VECTOR(type)                                                                         \
    static inline vector_##type load_##type(const void *memory, size_t i)                          \
    {                                                                                              \
        vector_##type value;                                                                       \
        memcpy(&value, (const char *)memory + i * sizeof(number_##type), sizeof value);            \
        return value;                                                                              \
    }                                                                                              \
    static inline void store_##type(void *memory, size_t i, vector_##type value)                   \
    {                                                                                              \
        value = canonical_vector_##type(value);                                                    \
        memcpy((char *)memory + i * sizeof(number_##type), &value, sizeof value);                  \
    }

VECTOR_TYPES(i8, int8_t, uint8_t)
VECTOR_TYPES(u8, int8_t, uint8_t)
VECTOR_TYPES(i32, int32_t, uint32_t)
VECTOR_TYPES(u32, int32_t, uint32_t)
VECTOR_TYPES(i64, int64_t, uint64_t)
VECTOR_TYPES(u64, int64_t, uint64_t)
VECTOR_TYPES(f32, int32_t, uint32_t)
VECTOR_TYPES(f64, int64_t, uint64_t)

INTEGER_VECTOR(i8)
INTEGER_VECTOR(u8)
INTEGER_VECTOR(i32)
INTEGER_VECTOR(u32)
INTEGER_VECTOR(i64)
INTEGER_VECTOR(u64)
FLOAT_VECTOR(f32, NAN_F32)
FLOAT_VECTOR(f64, NAN_F64)

PLAIN_VECTOR(i8)
PLAIN_VECTOR(u8)
PLAIN_VECTOR(i32)
PLAIN_VECTOR(u32)
PLAIN_VECTOR(i64)
PLAIN_VECTOR(u64)
PLAIN_VECTOR(f32)
PLAIN_VECTOR(f64)

/* bf16: a word of memory holds two, and each is the upper half of an f32: the even ones are shifted into place, the odd ones
 * are there already. Nothing has to move between lanes. */

typedef struct {
    vector_f32 even, odd;
} vector_pair;

#define PAIR_OPERATOR(operator)                                                                    \
    static inline vector_pair v##operator##_pair(vector_pair a, vector_pair b)                     \
    {                                                                                              \
        return (vector_pair){v##operator##_f32(a.even, b.even), v##operator##_f32(a.odd, b.odd)};  \
    }

PAIR_OPERATOR(sum)
PAIR_OPERATOR(prod)
PAIR_OPERATOR(min)
PAIR_OPERATOR(max)

static inline vector_pair vdivide_pair(vector_pair a, unsigned divisor)
{
    return (vector_pair){vdivide_f32(a.even, divisor), vdivide_f32(a.odd, divisor)};
}

static inline vector_pair load_bf16(const void *memory, size_t i)
{
    bits_f32 words;
    memcpy(&words, (const char *)memory + i * sizeof(uint16_t), sizeof words);
    return LOW_FIRST ? (vector_pair){(vector_f32)(words << 16), (vector_f32)(words & 0xffff0000)}
                     : (vector_pair){(vector_f32)(words & 0xffff0000), (vector_f32)(words << 16)};
}

/* To nearest, ties to even: the result is in the upper half, the lower half is anything. */
static inline bits_f32 round_bf16(vector_f32 value)
{
    bits_f32 bits = (bits_f32)canonical_vector_f32(value);
    return bits + 0x7fff + (bits >> 16 & 1);
}

static inline void store_bf16(void *memory, size_t i, vector_pair value)
{
    bits_f32 low = round_bf16(LOW_FIRST ? value.even : value.odd);
    bits_f32 high = round_bf16(LOW_FIRST ? value.odd : value.even);
    bits_f32 words = low >> 16 | (high & 0xffff0000);
    memcpy((char *)memory + i * sizeof(uint16_t), &words, sizeof words);
}

/* f16: half as many bytes in memory as in the accumulator. */

typedef VECTOR_OF(uint16_t, VECTOR_BYTES / 2) vector_half;

static inline vector_half load_half(const void *memory, size_t i)
{
    vector_half value;
    memcpy(&value, (const char *)memory + i * sizeof(uint16_t), sizeof value);
    return value;
}

static inline void store_half(void *memory, size_t i, vector_half value)
{
    memcpy((char *)memory + i * sizeof(uint16_t), &value, sizeof value);
}

/* Clang 14 sees through a conversion and its use in a selection, and takes both apart into single elements: 30 times slower. */
#if defined(__clang__)
#define KEEP_WHOLE(vector) __asm__("" : "+x"(vector))
#else
#define KEEP_WHOLE(vector) (void)0
#endif

#if defined(__AVX512F__)
static inline vector_f32 load_f16(const void *memory, size_t i)
{
    __m512 number = _mm512_cvtph_ps((__m256i)load_half(memory, i));
    KEEP_WHOLE(number);
    return (vector_f32)number;
}

static inline void store_f16(void *memory, size_t i, vector_f32 value)
{
    __m512 number = (__m512)canonical_vector_f32(value);
    store_half(memory, i, (vector_half)_mm512_cvtps_ph(number, _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__F16C__)
static inline vector_f32 load_f16(const void *memory, size_t i)
{
    __m256 number = _mm256_cvtph_ps((__m128i)load_half(memory, i));
    KEEP_WHOLE(number);
    return (vector_f32)number;
}

static inline void store_f16(void *memory, size_t i, vector_f32 value)
{
    __m256 number = (__m256)canonical_vector_f32(value);
    store_half(memory, i, (vector_half)_mm256_cvtps_ph(number, _MM_FROUND_TO_NEAREST_INT));
}
#else
/* As number.h does it, with selections for branches. */
static inline vector_f32 load_f16(const void *memory, size_t i)
{
    mask_f32 half = __builtin_convertvector(load_half(memory, i), mask_f32);
    mask_f32 rest = half & 0x7fff;
    mask_f32 normal = (rest << 13) + ((127 - 15) << 23);
    mask_f32 special = rest << 13 | 0x7f800000; /* infinity, NaN */
    vector_f32 value = SELECT(f32, rest >= 0x7c00, special, normal);
    vector_f32 subnormal = __builtin_convertvector(rest, vector_f32) * 0x1p-24F;
    value = SELECT(f32, rest < 0x0400, subnormal, value);
    return (vector_f32)((bits_f32)value | (bits_f32)(half & 0x8000) << 16);
}

static inline void store_f16(void *memory, size_t i, vector_f32 value)
{
    bits_f32 bits = (bits_f32)canonical_vector_f32(value);
    bits_f32 sign = bits >> 16 & 0x8000;
    mask_f32 rest = (mask_f32)(bits & 0x7fffffff);
    mask_f32 subnormal = (mask_f32)((vector_f32)rest + 0.5F) - 0x3f000000;
    mask_f32 normal = (rest - ((127 - 15) << 23) + 0xfff + (rest >> 13 & 1)) >> 13;
    const mask_f32 infinity = (mask_f32){0} + 0x7c00;
    const mask_f32 quiet = (mask_f32){0} + 0x7e00;
    vector_f32 half = SELECT(f32, rest < 0x38800000, subnormal, normal);
    half = SELECT(f32, rest >= 0x477ff000, infinity, half);
    half = SELECT(f32, rest > 0x7f800000, quiet, half);
    store_half(memory, i, __builtin_convertvector((bits_f32)half | sign, vector_half));
}
#endif
