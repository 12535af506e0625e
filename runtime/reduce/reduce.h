/* reduce: the arithmetic. n sources in, m destinations out, accumulated in the wider type and rounded once (f16 and bf16 in
 * f32). Kernels are chosen once, at the first call, for what the processor has (AVX2, AVX-512, F16C; KOLO_SIMD=scalar|avx2|
 * avx512 overrides downwards); all give the same bits. Knows nothing of ranks or links. */
#ifndef KOLO_REDUCE_REDUCE_H
#define KOLO_REDUCE_REDUCE_H

#include <kolo/kolo.h>
#include <stddef.h>

#define REDUCE_SOURCES_MAX 256 /* more are folded in groups, still left to right */

/** destination[d][i] = ((source[0][i] op source[1][i]) op source[2][i]) ... for all d and 0 <= i < count.
 *
 *  divisor: 0: none. Else the result is divided by it before it is rounded (AVG's last step; op is then KOLO_SUM or KOLO_AVG,
 *           which mean the same here): floats in the accumulator's type, integers truncated toward zero.
 *  sources: >= 1. One source is a copy (divided, if asked). A destination may be the same memory as a source, else nothing
 *           overlaps. Any alignment that suits the type (spans may be aligned to the element only).
 *  destinations: 1 or 2. The second is for putting the result into a send slot in the same pass.
 *  MIN and MAX of a NaN and anything is a NaN (quiet; which one is the same on every kernel). Never fails. Any thread. */
void reduce(void *const *destination, unsigned destinations, const void *const *source,
            unsigned sources, size_t count, kolo_type type, kolo_operator op, unsigned divisor);

/** The kernels in use: "avx512", "avx2", "scalar". */
const char *reduce_kernels(void);

#endif
