/* kolo_register and kolo_unregister: the user's promise that memory of theirs stays where it is. Nothing is pinned here; a
 * transport that can use the promise does so when the memory first moves. */
#include <errno.h>
#include <kolo/kolo.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/base/region.h"
#include "runtime/base/status.h"

/* MS_ASYNC writes nothing back: it only looks whether all of it is mapped. */
static bool is_mapped(uintptr_t address, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = address / page * page;
    return msync((void *)first, address - first + bytes, MS_ASYNC) == 0 || errno != ENOMEM;
}

kolo_status kolo_register(void *memory, size_t bytes)
{
    struct region region = {
        .base = memory, .bytes = bytes, .owner = REGION_REGISTERED, .dmabuf_fd = -1};
    uintptr_t address = (uintptr_t)memory;
    if (memory != NULL && bytes > 0 && bytes <= UINTPTR_MAX - address &&
        !is_mapped(address, bytes)) {
        return fail(KOLO_ERR_ARGUMENT,
                    "kolo_register(%p, %zu): not all of it is mapped host memory", memory, bytes);
    }
    kolo_status status = region_add(&region);
    if (status != KOLO_OK) {
        fail_more(status, "kolo_register(%p, %zu)", memory, bytes);
        log_line(LOG_ERROR, "%s: %s", kolo_status_name(status), kolo_last_error());
    }
    return status;
}

kolo_status kolo_unregister(void *memory)
{
    if (memory != NULL && !region_remove(memory, REGION_REGISTERED)) {
        return fail(KOLO_ERR_ARGUMENT,
                    "kolo_unregister(%p): kolo_register has not been given this address, or it has "
                    "been unregistered since",
                    memory);
    }
    return KOLO_OK;
}
