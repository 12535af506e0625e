/* kernel: one table of reduction loops for each kind of processor. All tables give the same bits for the same input; they
 * differ in speed only. reduce.c picks one; tests run all that the processor has. */
#ifndef KOLO_REDUCE_KERNEL_H
#define KOLO_REDUCE_KERNEL_H

#include <kolo/kolo.h>
#include <stddef.h>

/** first[i] = second[i] = (source[0][i] op source[1][i]) op ... / divisor, for 0 <= i < count.
 *  In: second:  NULL: none.
 *      sources: >= 1.
 *      divisor: 0: none.
 *  A destination may be the same memory as a source. */
typedef void reduce_kernel(void *first, void *second, const void *const *source, unsigned sources,
                           size_t count, unsigned divisor);

struct reduce_kernels {
    const char *name;                            /* also for KOLO_SIMD */
    reduce_kernel *kernel[KOLO_TYPES][KOLO_AVG]; /* KOLO_SUM to KOLO_MAX */
};

extern const struct reduce_kernels reduce_scalar; /* an element at a time: the reference */
extern const struct reduce_kernels
    reduce_simd128; /* the vectors that every processor of this family has */
#if defined(__x86_64__)
extern const struct reduce_kernels reduce_avx2;   /* AVX2, F16C */
extern const struct reduce_kernels reduce_avx512; /* AVX-512 F, BW, DQ, VL */
#endif

/** The tables that this processor can run, best first. Returns how many. Out: kernels. */
#define REDUCE_KERNELS_MAX 4
unsigned reduce_kernels_here(const struct reduce_kernels *kernels[REDUCE_KERNELS_MAX]);

#endif
