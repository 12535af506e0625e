#include "runtime/memory/memory.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"

#define ALIGNMENT 64 /* a cache line, and the widest vector */

kolo_status memory_get(void **memory, size_t bytes, const char *what)
{
    assert(memory != NULL && what != NULL);
    void *block = NULL;
    if (bytes <= SIZE_MAX - ALIGNMENT) {
        size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        block = aligned_alloc(ALIGNMENT, rounded > 0 ? rounded : ALIGNMENT);
    }
    if (block == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory: %zu bytes for %s", bytes, what);
    }
    memset(block, 0, bytes);
    *memory = block;
    return KOLO_OK;
}

void memory_free(void *memory)
{
    free(memory);
}
