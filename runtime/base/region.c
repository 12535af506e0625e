#include "runtime/base/region.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"

#define FIRST_ROOM 16 /* entries; doubled when full */

struct listener {
    region_gone *gone;
    void *context;
};

/* All under the lock, but `removals`. Regions are sorted by address and do not overlap. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct region *regions;
static size_t region_count, region_room;
static struct listener *listeners;
static size_t listener_count, listener_room;
static uint64_t serials;
static atomic_uint_fast64_t removals; /* since any of them may be what a thread remembers */

/* What this thread found last; good as long as nothing has been removed since. */
static _Thread_local struct region last;
static _Thread_local uint_fast64_t last_removals;

static bool holds(const struct region *region, const uint8_t *address, size_t bytes)
{
    return address >= region->base && bytes <= region->bytes &&
           (size_t)(address - region->base) <= region->bytes - bytes;
}

/* How many regions begin at `address` or before. */
static size_t begun_by(const uint8_t *address)
{
    size_t low = 0, high = region_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (regions[middle].base <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The array, with room for one more: perhaps elsewhere. NULL: out of memory; the array stays. */
static void *with_room(void *array, size_t *room, size_t count, size_t entry_bytes)
{
    if (count < *room) {
        return array;
    }
    size_t more = *room > 0 ? 2 * *room : FIRST_ROOM;
    void *larger = reallocarray(array, more, entry_bytes);
    *room = larger != NULL ? more : *room;
    return larger;
}

static kolo_status insert(const struct region *region)
{
    size_t at = begun_by(region->base);
    const struct region *before = at > 0 ? &regions[at - 1] : NULL;
    const struct region *after = at < region_count ? &regions[at] : NULL;
    const struct region *other =
        before != NULL && region->base < before->base + before->bytes ? before
        : after != NULL && after->base < region->base + region->bytes ? after
                                                                      : NULL;
    if (other != NULL) {
        return fail_quietly(KOLO_ERR_ARGUMENT, "%p + %zu overlaps memory that kolo %s: %p + %zu",
                            (void *)region->base, region->bytes,
                            other->owner == REGION_ALLOCATED ? "allocated" : "has registered",
                            (void *)other->base, other->bytes);
    }
    struct region *roomy = with_room(regions, &region_room, region_count, sizeof *regions);
    if (roomy == NULL) {
        return fail_quietly(KOLO_ERR_MEMORY, "out of memory for the table of regions");
    }
    regions = roomy;
    memmove(&regions[at + 1], &regions[at], (region_count - at) * sizeof *regions);
    regions[at] = *region;
    regions[at].serial = ++serials;
    region_count++;
    return KOLO_OK;
}

kolo_status region_add(const struct region *region)
{
    uintptr_t base = (uintptr_t)region->base;
    if (base == 0 || region->bytes == 0 || region->bytes > UINTPTR_MAX - base) {
        return fail_quietly(KOLO_ERR_ARGUMENT, "%p + %zu is no memory", (void *)region->base,
                            region->bytes);
    }
    pthread_mutex_lock(&lock);
    kolo_status status = insert(region);
    pthread_mutex_unlock(&lock);
    return status;
}

bool region_remove(const void *base, enum region_owner owner)
{
    pthread_mutex_lock(&lock);
    size_t at = begun_by(base);
    bool found = at > 0 && regions[at - 1].base == base && regions[at - 1].owner == owner;
    if (found) {
        at--;
        for (size_t i = 0; i < listener_count; i++) {
            listeners[i].gone(listeners[i].context, &regions[at]);
        }
        atomic_fetch_add_explicit(&removals, 1, memory_order_release);
        region_count--;
        memmove(&regions[at], &regions[at + 1], (region_count - at) * sizeof *regions);
    }
    pthread_mutex_unlock(&lock);
    return found;
}

bool region_find(struct region *region, const void *address, size_t bytes)
{
    if (last.base != NULL && holds(&last, address, bytes) &&
        last_removals == atomic_load_explicit(&removals, memory_order_acquire)) {
        *region = last;
        return true;
    }
    pthread_mutex_lock(&lock);
    size_t at = begun_by(address);
    bool found = at > 0 && holds(&regions[at - 1], address, bytes);
    if (found) {
        last = regions[at - 1];
        last_removals = atomic_load_explicit(&removals, memory_order_relaxed);
        *region = last;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

kolo_status region_listen(region_gone *gone, void *context)
{
    assert(gone != NULL);
    pthread_mutex_lock(&lock);
    struct listener *roomy =
        with_room(listeners, &listener_room, listener_count, sizeof *listeners);
    if (roomy != NULL) {
        listeners = roomy;
        listeners[listener_count++] = (struct listener){gone, context};
    }
    pthread_mutex_unlock(&lock);
    return roomy != NULL
               ? KOLO_OK
               : fail_quietly(KOLO_ERR_MEMORY, "out of memory for the listeners to regions");
}

void region_unlisten(region_gone *gone, void *context)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < listener_count; i++) {
        if (listeners[i].gone == gone && listeners[i].context == context) {
            listeners[i] = listeners[--listener_count];
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}
