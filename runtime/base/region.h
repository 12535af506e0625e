/* region: memory of this process whose life kolo knows: kolo_alloc() made it, or the user registered it. Transports may keep
 * registrations of regions, because they are told before one goes. A process-wide table; any thread. */
#ifndef KOLO_BASE_REGION_H
#define KOLO_BASE_REGION_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum region_kind { REGION_HOST = 0, REGION_DEVICE /* GPU memory: never dereferenced here */ };

/* Who ends it: kolo_free() the one, kolo_unregister() the other. */
enum region_owner { REGION_ALLOCATED = 0, REGION_REGISTERED };

struct region {
    uint8_t *base;
    size_t bytes;
    uint64_t
        serial; /* different for every region ever added: a new one at an old address is another one */
    enum region_kind kind;
    enum region_owner owner;
    int dmabuf_fd; /* REGION_DEVICE: a dma-buf that covers it, borrowed from who added it; -1: none */
    uint64_t dmabuf_offset; /* of `base` in the dma-buf */
};

/** Make memory a region (serial is filled in). KOLO_ERR_ARGUMENT (it overlaps one, wraps around, is NULL or empty),
 *  KOLO_ERR_MEMORY; neither is logged. */
kolo_status region_add(const struct region *region);

/** Forget the region of `owner` that begins at `base`; every listener is told first. False if there is none. The memory is
 *  freed or given up afterwards. */
bool region_remove(const void *base, enum region_owner owner);

/** The region that holds all of [address, address + bytes). Out: region, a copy. False if none does. Cheap when it is the one
 *  found last by this thread. */
bool region_find(struct region *region, const void *address, size_t bytes);

/** Be told, before a region goes, in the thread that removes it, under the table's lock: call nothing of this file in it. */
typedef void region_gone(void *context, const struct region *region);

/** KOLO_ERR_MEMORY, not logged. */
kolo_status region_listen(region_gone *gone, void *context);

/** No call is under way, and none comes, when this returns. */
void region_unlisten(region_gone *gone, void *context);

#endif
