/* Compiled for AVX-512 (F, BW, DQ, VL); run only where the processor has it. */
#include "runtime/reduce/kernel.h"

#define VECTOR_BYTES 64
#include "runtime/reduce/vector.h"

#define VECTORS 1
#define TABLE reduce_avx512
#define TABLE_NAME "avx512"
#include "runtime/reduce/table.h"
