/* f16 and bf16, against a reference that knows only their definition: value = fraction * 2^exponent. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/reduce/kernel.h"
#include "runtime/reduce/number.h"
#include "tests/reduce/random.h"

struct format {
    int fraction_bits, exponent_bits;
    uint16_t (*encode)(float value);
    float (*decode)(uint16_t half);
};

static const struct format f16 = {10, 5, f16_from_f32, f32_from_f16};
static const struct format bf16 = {7, 8, bf16_from_f32, f32_from_bf16};

static int bias(const struct format *format)
{
    return (1 << (format->exponent_bits - 1)) - 1;
}

static uint16_t infinity(const struct format *format)
{
    return (uint16_t)(((1U << format->exponent_bits) - 1) << format->fraction_bits);
}

static double reference_decode(const struct format *format, uint16_t half)
{
    int exponent = (half & 0x7fff) >> format->fraction_bits;
    int fraction = half & ((1 << format->fraction_bits) - 1);
    double sign = half & 0x8000 ? -1 : 1;
    if ((half & 0x7fff) >= infinity(format)) {
        return fraction == 0 ? sign * INFINITY : NAN;
    }
    if (exponent == 0) {
        return sign * ldexp(fraction, 1 - bias(format) - format->fraction_bits);
    }
    return sign * ldexp(fraction + (1 << format->fraction_bits),
                        exponent - bias(format) - format->fraction_bits);
}

/* The nearest half, ties to even: halves in the order of their bits are in the order of their values. */
static uint16_t reference_encode(const struct format *format, double value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double size = fabs(value);
    unsigned low = 0;
    unsigned high = infinity(format);
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        *(reference_decode(format, (uint16_t)middle) <= size ? &low : &high) = middle;
    }
    double above =
        high == infinity(format) /* the value that would follow, had the format more exponents */
            ? ldexp(1, bias(format) + 1)
            : reference_decode(format, (uint16_t)high);
    double middle = (reference_decode(format, (uint16_t)low) + above) / 2;
    bool up = size > middle || (size == middle && low % 2 == 1);
    return (uint16_t)(sign | (up ? high : low));
}

static void check_encode(const struct format *format, float value)
{
    uint16_t expected = reference_encode(format, value);
    uint16_t found = format->encode(value);
    if (found != expected) {
        fail_msg("%a (bits %08x): 0x%04x, expected 0x%04x", (double)value, f32_bits(value), found,
                 expected);
    }
}

static void every_half_decodes(const struct format *format)
{
    for (unsigned half = 0; half <= UINT16_MAX; half++) {
        double expected = reference_decode(format, (uint16_t)half);
        double found = format->decode((uint16_t)half);
        if (isnan(expected) ? !isnan(found)
                            : found != expected || signbit(found) != signbit(expected)) {
            fail_msg("0x%04x: %a, expected %a", half, found, expected);
        }
    }
}

static void every_half_comes_back(const struct format *format)
{
    for (unsigned half = 0; half <= UINT16_MAX; half++) {
        float value = format->decode((uint16_t)half);
        if (!isnan(value)) {
            assert_int_equal(format->encode(value), half);
        }
    }
}

/* Halfway between two neighbours, and one f32 step to either side. */
static void every_tie_rounds_to_even(const struct format *format)
{
    for (unsigned half = 0; half < infinity(format); half++) {
        double low = reference_decode(format, (uint16_t)half);
        double high = half + 1U == infinity(format)
                          ? ldexp(1, bias(format) + 1)
                          : reference_decode(format, (uint16_t)(half + 1));
        float middle = (float)((low + high) / 2);
        for (int sign = -1; sign <= 1; sign += 2) {
            check_encode(format, (float)sign * middle);
            check_encode(format, (float)sign * nextafterf(middle, 0));
            check_encode(format, (float)sign * nextafterf(middle, INFINITY));
        }
    }
}

static void random_values_round(const struct format *format)
{
    uint64_t state = random_seed();
    for (int i = 0; i < 500000; i++) {
        float value = f32_from_bits((uint32_t)random_next(&state));
        if (!isnan(value)) {
            check_encode(format, value);
        }
    }
}

static void check_format(void **state)
{
    const struct format *format = *state;
    every_half_decodes(format);
    every_half_comes_back(format);
    every_tie_rounds_to_even(format);
    random_values_round(format);
    assert_int_equal(format->encode(INFINITY), infinity(format));
    assert_int_equal(format->encode(-INFINITY), 0x8000 | infinity(format));
    uint16_t quiet = (uint16_t)(infinity(format) | 1U << (format->fraction_bits - 1));
    assert_int_equal(format->encode(f32_from_bits(NAN_F32)), quiet);
}

/* The same through every kernel table: divided by one, each half must come back, with NaNs made canonical. */
static void check_round_trip(const struct reduce_kernels *kernels, kolo_type type,
                             const struct format *format)
{
    static uint16_t in[UINT16_MAX + 1];
    static uint16_t out[UINT16_MAX + 1];
    for (unsigned half = 0; half <= UINT16_MAX; half++) {
        in[half] = (uint16_t)half;
    }
    const void *source = in;
    kernels->kernel[type][KOLO_SUM](out, NULL, &source, 1, UINT16_MAX + 1, 1);
    for (unsigned half = 0; half <= UINT16_MAX; half++) {
        bool nan = (half & 0x7fff) > infinity(format);
        unsigned quiet = infinity(format) | 1U << (format->fraction_bits - 1);
        if (out[half] != (nan ? quiet : half)) {
            fail_msg("%s: 0x%04x became 0x%04x", kernels->name, half, out[half]);
        }
    }
}

static void kernels_round_trip(void **state)
{
    (void)state;
    const struct reduce_kernels *here[REDUCE_KERNELS_MAX];
    unsigned count = reduce_kernels_here(here);
    assert_true(count >= 2);
    for (unsigned i = 0; i < count; i++) {
        check_round_trip(here[i], KOLO_F16, &f16);
        check_round_trip(here[i], KOLO_BF16, &bf16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(check_format, (void *)(uintptr_t)&f16),
        cmocka_unit_test_prestate(check_format, (void *)(uintptr_t)&bf16),
        cmocka_unit_test(kernels_round_trip),
    };
    return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}
