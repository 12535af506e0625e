#include "tools/link_buffer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/base/status.h"
#include "tools/link_bind.h"

/* Bytes of the default huge page; 0 if the kernel has none. */
static size_t huge_page_bytes(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    unsigned long kib = 0;
    while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Hugepagesize: %lu kB", &kib) != 1) {
            kib = 0;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return (size_t)kib * 1024;
}

static kolo_status map_failed(size_t length, size_t page, bool huge, int error)
{
    if (!huge) {
        return fail_quietly(KOLO_ERR_MEMORY, "no memory for a buffer of %zu bytes: %s", length,
                            strerror(error));
    }
    return fail_quietly(KOLO_ERR_SYSTEM,
                        "no huge pages for a buffer of %zu bytes: %s; reserve some: sysctl "
                        "vm.nr_hugepages=%zu",
                        length, strerror(error), length / page + 1);
}

kolo_status link_buffer_make(struct link_buffer *buffer, size_t bytes,
                             const struct link_request *request, enum link_side side)
{
    bool huge = request->huge_pages;
    size_t page = huge ? huge_page_bytes() : (size_t)sysconf(_SC_PAGESIZE);
    if (page == 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "this kernel has no huge pages");
    }
    size_t length = (bytes + page - 1) / page * page;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB : 0), -1, 0);
    if (memory == MAP_FAILED) {
        return map_failed(length, page, huge, errno);
    }
    int node = request->ends[side].numa_node;
    if (node >= 0) {
        kolo_status status = link_bind_memory(memory, length, node);
        if (status != KOLO_OK) {
            munmap(memory, length);
            return status;
        }
    }
    memset(memory, 0, length);
    *buffer = (struct link_buffer){.bytes = memory, .length = length};
    return KOLO_OK;
}

void link_buffer_free(struct link_buffer *buffer)
{
    if (buffer->bytes != NULL) {
        munmap(buffer->bytes, buffer->length);
    }
    *buffer = (struct link_buffer){0};
}

/* splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t mix(uint64_t *state)
{
    uint64_t value = (*state += UINT64_C(0x9e3779b97f4a7c15));
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

void link_buffer_pattern(uint8_t *bytes, size_t length, uint64_t seed)
{
    while (length > 0) {
        uint64_t word = mix(&seed);
        uint8_t little[8];
        for (unsigned i = 0; i < sizeof little; i++) {
            little[i] = (uint8_t)(word >> (8 * i));
        }
        size_t part = length < sizeof little ? length : sizeof little;
        memcpy(bytes, little, part);
        bytes += part;
        length -= part;
    }
}
