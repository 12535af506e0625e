/* kolo_alloc and kolo_free. A block is its own mapping: one page in front holds what kolo_free has to know. From HUGE_PAGE_BYTES
 * on, the block starts on a huge page and asks for them: large sums and devices then miss their TLBs far less. A block is a
 * region, so that transports may register it: they are told before it goes. */
#include <assert.h>
#include <errno.h>
#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/base/region.h"
#include "runtime/base/status.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define BLOCK_MAGIC UINT64_C(0x6b6f6c6f626c6f63) /* "kolobloc" */

struct block {
    uint64_t magic;
    void *memory;        /* what kolo_alloc returned: a copied header is not taken for one */
    size_t mapped_bytes; /* from the header on */
};

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* Map `front` + `bytes` so that what follows `front` is aligned. All are multiples of the page. NULL if it cannot be. */
static uint8_t *map_aligned(size_t front, size_t bytes, size_t alignment)
{
    size_t mapped = front + bytes + alignment;
    uint8_t *start = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    size_t before = round_up((uintptr_t)start + front, alignment) - front - (uintptr_t)start;
    assert(before < alignment);
    if (before > 0) {
        munmap(start, before);
    }
    munmap(start + before + front + bytes, alignment - before);
    return start + before;
}

void *kolo_alloc(size_t bytes)
{
    size_t page = page_bytes();
    if (bytes > SIZE_MAX / 2) {
        fail(KOLO_ERR_MEMORY, "kolo_alloc(%zu): more than an address space", bytes);
        return NULL;
    }
    bool huge = bytes >= HUGE_PAGE_BYTES;
    size_t rounded = round_up(bytes > 0 ? bytes : 1, page);
    uint8_t *start = map_aligned(page, rounded, huge ? HUGE_PAGE_BYTES : page);
    if (start == NULL) {
        fail(KOLO_ERR_MEMORY, "kolo_alloc(%zu): out of memory (mmap: %s)", bytes, strerror(errno));
        return NULL;
    }
    if (huge) {
        madvise(start + page, rounded, MADV_HUGEPAGE); /* advice: a kernel without them is fine */
    }
    struct region region = {.base = start + page, .bytes = rounded, .dmabuf_fd = -1};
    if (region_add(&region) != KOLO_OK) {
        munmap(start, page + rounded);
        fail(KOLO_ERR_MEMORY, "kolo_alloc(%zu): out of memory (table of regions)", bytes);
        return NULL;
    }
    *(struct block *)(void *)start = (struct block){BLOCK_MAGIC, start + page, page + rounded};
    return start + page;
}

void kolo_free(void *memory)
{
    if (memory == NULL) {
        return;
    }
    if (!region_remove(memory, REGION_ALLOCATED)) { /* nor may what lies before it be looked at */
        log_line(LOG_ERROR, "kolo_free(%p): not from kolo_alloc; nothing is freed", memory);
        return;
    }
    struct block *block = (struct block *)(void *)((uint8_t *)memory - page_bytes());
    assert(block->magic == BLOCK_MAGIC && block->memory == memory);
    munmap(block, block->mapped_bytes);
}
