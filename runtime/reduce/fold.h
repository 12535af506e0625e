/* fold: the reduction loops of one element type. Included once a type, with
 *   TYPE         i8 ... f64: what is in memory
 *   ACC          its accumulator: TYPE itself, f32 for f16, a pair of f32 for bf16
 *   VECTORS      1: vector.h is there; 0: an element at a time
 *   VECTOR_DIVIDES  1: vdivide_ACC exists
 * Four vectors at a time hide the latency of the arithmetic and share the cost of walking through many sources. All loads of
 * a step come before its stores, so that a destination may be a source. */

#define PASTE2(a, b) a##_##b
#define PASTE(a, b) PASTE2(a, b)
#define NUMBER PASTE(number, ACC)
#define VECTOR PASTE(vector, ACC)
#define CALL PASTE(call, TYPE)
#define QUAD PASTE(quad, TYPE)
#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef struct {
    void *first, *second;
    const void *const *source;
    unsigned sources;
    size_t count;
    unsigned divisor;
} CALL;

#if VECTORS
#define LANES (sizeof(VECTOR) / sizeof(NUMBER))
typedef struct {
    VECTOR a, b, c, d;
} QUAD;

ALWAYS_INLINE QUAD PASTE(load4, TYPE)(const void *source, size_t i)
{
    return (QUAD){PASTE(load, TYPE)(source, i), PASTE(load, TYPE)(source, i + LANES),
                  PASTE(load, TYPE)(source, i + 2 * LANES),
                  PASTE(load, TYPE)(source, i + 3 * LANES)};
}

ALWAYS_INLINE QUAD PASTE(apply4, TYPE)(QUAD x, QUAD y, VECTOR (*vop)(VECTOR, VECTOR))
{
    return (QUAD){vop(x.a, y.a), vop(x.b, y.b), vop(x.c, y.c), vop(x.d, y.d)};
}

ALWAYS_INLINE void PASTE(store4, TYPE)(void *destination, size_t i, QUAD x)
{
    PASTE(store, TYPE)(destination, i, x.a);
    PASTE(store, TYPE)(destination, i + LANES, x.b);
    PASTE(store, TYPE)(destination, i + 2 * LANES, x.c);
    PASTE(store, TYPE)(destination, i + 3 * LANES, x.d);
}

#if VECTOR_DIVIDES
ALWAYS_INLINE QUAD PASTE(divide4, TYPE)(QUAD x, unsigned divisor)
{
    return (QUAD){PASTE(vdivide, ACC)(x.a, divisor), PASTE(vdivide, ACC)(x.b, divisor),
                  PASTE(vdivide, ACC)(x.c, divisor), PASTE(vdivide, ACC)(x.d, divisor)};
}
#endif

/* Returns the number of elements done. */
ALWAYS_INLINE size_t PASTE(fold4, TYPE)(const CALL *call, VECTOR (*vop)(VECTOR, VECTOR))
{
    const void *source0 = call->source[0];
    const void *source1 = call->sources > 1 ? call->source[1] : NULL;
    size_t i = 0;
    for (; call->count - i >= 4 * LANES; i += 4 * LANES) {
        QUAD x = PASTE(load4, TYPE)(source0, i);
        if (source1 != NULL) {
            x = PASTE(apply4, TYPE)(x, PASTE(load4, TYPE)(source1, i), vop);
        }
        for (unsigned s = 2; s < call->sources; s++) {
            x = PASTE(apply4, TYPE)(x, PASTE(load4, TYPE)(call->source[s], i), vop);
        }
#if VECTOR_DIVIDES
        if (call->divisor != 0) {
            x = PASTE(divide4, TYPE)(x, call->divisor);
        }
#endif
        PASTE(store4, TYPE)(call->first, i, x);
        if (call->second != NULL) {
            PASTE(store4, TYPE)(call->second, i, x);
        }
    }
    return i;
}

/* From element `i` on; returns the number of elements done. */
ALWAYS_INLINE size_t PASTE(fold1, TYPE)(const CALL *call, size_t i, VECTOR (*vop)(VECTOR, VECTOR))
{
    for (; call->count - i >= LANES; i += LANES) {
        VECTOR x = PASTE(load, TYPE)(call->source[0], i);
        for (unsigned s = 1; s < call->sources; s++) {
            x = vop(x, PASTE(load, TYPE)(call->source[s], i));
        }
#if VECTOR_DIVIDES
        if (call->divisor != 0) {
            x = PASTE(vdivide, ACC)(x, call->divisor);
        }
#endif
        PASTE(store, TYPE)(call->first, i, x);
        if (call->second != NULL) {
            PASTE(store, TYPE)(call->second, i, x);
        }
    }
    return i;
}
#endif

/* What is left, an element at a time. */
ALWAYS_INLINE void PASTE(fold0, TYPE)(const CALL *call, size_t i, NUMBER (*op)(NUMBER, NUMBER))
{
    for (; i < call->count; i++) {
        NUMBER x = PASTE(get, TYPE)(call->source[0], i);
        for (unsigned s = 1; s < call->sources; s++) {
            x = op(x, PASTE(get, TYPE)(call->source[s], i));
        }
        if (call->divisor != 0) {
            x = PASTE(divide, ACC)(x, call->divisor);
        }
        PASTE(put, TYPE)(call->first, i, x);
        if (call->second != NULL) {
            PASTE(put, TYPE)(call->second, i, x);
        }
    }
}

#if VECTORS
#define KERNEL(operator)                                                                           \
    static void PASTE(PASTE(kernel, TYPE), operator)(void *first, void *second,                    \
                                                     const void *const *source, unsigned sources,  \
                                                     size_t count, unsigned divisor)               \
    {                                                                                              \
        const CALL call = {first, second, source, sources, count, divisor};                        \
        size_t done = 0;                                                                           \
        if (divisor == 0 || VECTOR_DIVIDES) {                                                      \
            done = PASTE(fold4, TYPE)(&call, PASTE(v##operator, ACC));                             \
            done = PASTE(fold1, TYPE)(&call, done, PASTE(v##operator, ACC));                       \
        }                                                                                          \
        PASTE(fold0, TYPE)(&call, done, PASTE(operator, ACC));                                     \
    }
#else
#define KERNEL(operator)                                                                           \
    static void PASTE(PASTE(kernel, TYPE), operator)(void *first, void *second,                    \
                                                     const void *const *source, unsigned sources,  \
                                                     size_t count, unsigned divisor)               \
    {                                                                                              \
        const CALL call = {first, second, source, sources, count, divisor};                        \
        PASTE(fold0, TYPE)(&call, 0, PASTE(operator, ACC));                                        \
    }
#endif

KERNEL(sum)
KERNEL(prod)
KERNEL(min)
KERNEL(max)

#undef KERNEL
#undef LANES
#undef PASTE2
#undef PASTE
#undef NUMBER
#undef CALL
#undef QUAD
#undef VECTOR
#undef ALWAYS_INLINE
#undef TYPE
#undef ACC
#undef VECTOR_DIVIDES
