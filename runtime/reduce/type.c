/* Names and sizes of element types and operators: the public questions about them. */
#include <kolo/kolo.h>

static const struct {
    const char *name;
    size_t bytes;
} types[KOLO_TYPES] = {
    [KOLO_I8] = {"i8", 1},   [KOLO_U8] = {"u8", 1},     [KOLO_I32] = {"i32", 4},
    [KOLO_U32] = {"u32", 4}, [KOLO_I64] = {"i64", 8},   [KOLO_U64] = {"u64", 8},
    [KOLO_F16] = {"f16", 2}, [KOLO_BF16] = {"bf16", 2}, [KOLO_F32] = {"f32", 4},
    [KOLO_F64] = {"f64", 8},
};

static const char *const operators[KOLO_OPERATORS] = {
    [KOLO_SUM] = "sum", [KOLO_PROD] = "prod", [KOLO_MIN] = "min",
    [KOLO_MAX] = "max", [KOLO_AVG] = "avg",
};

size_t kolo_type_size(kolo_type type)
{
    return (unsigned)type < KOLO_TYPES ? types[type].bytes : 0;
}

const char *kolo_type_name(kolo_type type)
{
    return (unsigned)type < KOLO_TYPES ? types[type].name : NULL;
}

const char *kolo_operator_name(kolo_operator op)
{
    return (unsigned)op < KOLO_OPERATORS ? operators[op] : NULL;
}
