/* Compiled for AVX2 and F16C; run only where the processor has them. */
#include "runtime/reduce/kernel.h"

#define VECTOR_BYTES 32
#include "runtime/reduce/vector.h"

#define VECTORS 1
#define TABLE reduce_avx2
#define TABLE_NAME "avx2"
#include "runtime/reduce/table.h"
