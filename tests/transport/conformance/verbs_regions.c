#include "tests/transport/conformance/verbs_regions.h"

#include <malloc.h>
#include <stdlib.h>

#include "runtime/base/region.h"

static bool begun;
static _Thread_local bool inside; /* the table of regions has memory of its own */

void verbs_regions_begin(void)
{
    begun = true;
}

/* The linker's names for what it wraps (ld(1), --wrap). */
void *__real_malloc(size_t bytes); // NOLINT(bugprone-reserved-identifier)
void __real_free(void *memory);    // NOLINT(bugprone-reserved-identifier)
void *__wrap_malloc(size_t bytes); // NOLINT(bugprone-reserved-identifier)
void __wrap_free(void *memory);    // NOLINT(bugprone-reserved-identifier)

void *__wrap_malloc(size_t bytes)
{
    void *memory = __real_malloc(bytes);
    if (begun && !inside && memory != NULL && bytes >= VERBS_REGIONS_BYTES) {
        struct region region = {
            .base = memory, .bytes = bytes, .owner = REGION_REGISTERED, .dmabuf_fd = -1};
        inside = true;
        (void)region_add(&region); /* or it is just memory */
        inside = false;
    }
    return memory;
}

void __wrap_free(void *memory)
{
    if (begun && !inside && memory != NULL && malloc_usable_size(memory) >= VERBS_REGIONS_BYTES) {
        inside = true;
        (void)region_remove(memory, REGION_REGISTERED);
        inside = false;
    }
    __real_free(memory);
}
