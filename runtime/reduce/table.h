/* table: the loops of all element types, and the table of them. Included once by each kernel file, which has set VECTORS,
 * TABLE (the table's name) and TABLE_NAME (as a text). */

#define TYPE i8
#define ACC i8
#define VECTOR_DIVIDES 0
#include "runtime/reduce/fold.h"

#define TYPE u8
#define ACC u8
#define VECTOR_DIVIDES 0
#include "runtime/reduce/fold.h"

#define TYPE i32
#define ACC i32
#define VECTOR_DIVIDES 0
#include "runtime/reduce/fold.h"

#define TYPE u32
#define ACC u32
#define VECTOR_DIVIDES 0
#include "runtime/reduce/fold.h"

#define TYPE i64
#define ACC i64
#define VECTOR_DIVIDES 0
#include "runtime/reduce/fold.h"

#define TYPE u64
#define ACC u64
#define VECTOR_DIVIDES 0
#include "runtime/reduce/fold.h"

#define TYPE f16
#define ACC f32
#define VECTOR_DIVIDES 1
#include "runtime/reduce/fold.h"

#define TYPE bf16
#define ACC pair
#define VECTOR_DIVIDES 1
#include "runtime/reduce/fold.h"

#define TYPE f32
#define ACC f32
#define VECTOR_DIVIDES 1
#include "runtime/reduce/fold.h"

#define TYPE f64
#define ACC f64
#define VECTOR_DIVIDES 1
#include "runtime/reduce/fold.h"

#define ROW(type)                                                                                  \
    {                                                                                              \
        [KOLO_SUM] = kernel_##type##_sum, [KOLO_PROD] = kernel_##type##_prod,                      \
        [KOLO_MIN] = kernel_##type##_min, [KOLO_MAX] = kernel_##type##_max                         \
    }

const struct reduce_kernels TABLE = {
    .name = TABLE_NAME,
    .kernel =
        {
            [KOLO_I8] = ROW(i8),
            [KOLO_U8] = ROW(u8),
            [KOLO_I32] = ROW(i32),
            [KOLO_U32] = ROW(u32),
            [KOLO_I64] = ROW(i64),
            [KOLO_U64] = ROW(u64),
            [KOLO_F16] = ROW(f16),
            [KOLO_BF16] = ROW(bf16),
            [KOLO_F32] = ROW(f32),
            [KOLO_F64] = ROW(f64),
        },
};
