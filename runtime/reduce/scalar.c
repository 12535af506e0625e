/* An element at a time: what the other kernel files are compared with. */
#include "runtime/reduce/kernel.h"
#include "runtime/reduce/number.h"

#define VECTORS 0
#define TABLE reduce_scalar
#define TABLE_NAME "scalar"
#include "runtime/reduce/table.h"
