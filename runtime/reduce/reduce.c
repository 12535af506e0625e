#include "runtime/reduce/reduce.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "runtime/base/env.h"
#include "runtime/base/log.h"
#include "runtime/reduce/kernel.h"

static _Atomic(const struct reduce_kernels *) chosen;

#if defined(__x86_64__)
/* Clang 14's __builtin_cpu_supports does not know it. That the system saves the wide registers is asked for AVX2. */
static bool has_f16c(void)
{
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

unsigned reduce_kernels_here(const struct reduce_kernels *kernels[REDUCE_KERNELS_MAX])
{
    unsigned count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && has_f16c();
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        kernels[count++] = &reduce_avx512;
    }
    if (avx2) {
        kernels[count++] = &reduce_avx2;
    }
#endif
    kernels[count++] = &reduce_simd128;
    kernels[count++] = &reduce_scalar;
    return count;
}

/* The best, or what KOLO_SIMD names if the processor has it. Two threads that come here at once choose the same. */
static const struct reduce_kernels *choose(void)
{
    const struct reduce_kernels *here[REDUCE_KERNELS_MAX];
    unsigned count = reduce_kernels_here(here);
    const struct reduce_kernels *best = here[0];
    const char *wanted = env_text("KOLO_SIMD");
    if (wanted != NULL) {
        unsigned i = 0;
        while (i < count && strcmp(here[i]->name, wanted) != 0) {
            i++;
        }
        if (i < count) {
            best = here[i];
        } else {
            log_line(LOG_WARN,
                     "KOLO_SIMD=%s is unknown (avx512, avx2, simd128, scalar) or not in this "
                     "processor; using %s",
                     wanted, best->name);
        }
    }
    atomic_store_explicit(&chosen, best, memory_order_release);
    return best;
}

static inline const struct reduce_kernels *kernels(void)
{
    const struct reduce_kernels *now = atomic_load_explicit(&chosen, memory_order_acquire);
    return now != NULL ? now : choose();
}

static void copy(void *const *destination, unsigned destinations, const void *source, size_t bytes)
{
    for (unsigned d = 0; d < destinations; d++) {
        if (destination[d] != source && bytes > 0) {
            memcpy(destination[d], source, bytes);
        }
    }
}

void reduce(void *const *destination, unsigned destinations, const void *const *source,
            unsigned sources, size_t count, kolo_type type, kolo_operator op, unsigned divisor)
{
    assert(sources >= 1 && destinations >= 1 && destinations <= 2);
    assert((unsigned)type < KOLO_TYPES && (unsigned)op < KOLO_OPERATORS);
    assert(divisor == 0 || op == KOLO_SUM || op == KOLO_AVG);
    if (sources == 1 && divisor == 0) {
        copy(destination, destinations, source[0], count * kolo_type_size(type));
        return;
    }
    kolo_operator fold = op == KOLO_AVG ? KOLO_SUM : op;
    kernels()->kernel[type][fold](destination[0], destinations > 1 ? destination[1] : NULL, source,
                                  sources, count, divisor);
}

const char *reduce_kernels(void)
{
    return kernels()->name;
}
