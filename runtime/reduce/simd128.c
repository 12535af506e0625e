/* For processors with nothing wider: 16 bytes at a time, in the vectors that x86-64 (SSE2) and 64-bit ARM (NEON) always have. */
#include "runtime/reduce/kernel.h"

#define VECTOR_BYTES 16
#include "runtime/reduce/vector.h"

#define VECTORS 1
#define TABLE reduce_simd128
#define TABLE_NAME "simd128"
#include "runtime/reduce/table.h"
