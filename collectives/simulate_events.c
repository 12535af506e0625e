#include "collectives/simulate_events.h"

#include <assert.h>
#include <stdlib.h>

#include "runtime/base/status.h"

#define CHILDREN                                                                                   \
    4 /* of a heap node: half the depth of a binary heap, in neighbouring cache lines */
#define CAPACITY_FIRST 1024
#define CAPACITY_MAX (UINT32_MAX / 8)
#define NONE UINT32_MAX

void events_init(struct events *events)
{
    *events = (struct events){.free_first = NONE, .newest_last = NONE, .now = {.first = NONE}};
}

void events_free(struct events *events)
{
    free(events->event);
    free(events->heap);
    events_init(events);
}

/* ---- the heap of moments -------------------------------------------------------------------------------------------- */

static inline bool sooner(const struct moment *a, const struct moment *b)
{
    return a->time < b->time || (a->time <= b->time && a->order < b->order);
}

static void heap_add(struct events *events, struct moment moment)
{
    assert(events->moments < events->heap_capacity);
    uint32_t at = events->moments++;
    while (at > 0 && sooner(&moment, &events->heap[(at - 1) / CHILDREN])) {
        events->heap[at] = events->heap[(at - 1) / CHILDREN];
        at = (at - 1) / CHILDREN;
    }
    events->heap[at] = moment;
}

static uint32_t soonest_child(const struct events *events, uint32_t at)
{
    uint32_t first = at * CHILDREN + 1, best = first;
    for (uint32_t c = first + 1; c < first + CHILDREN && c < events->moments; c++) {
        if (sooner(&events->heap[c], &events->heap[best])) {
            best = c;
        }
    }
    return best;
}

static struct moment heap_take(struct events *events)
{
    assert(events->moments > 0);
    struct moment taken = events->heap[0], moved = events->heap[--events->moments];
    uint32_t at = 0;
    while (at * CHILDREN + 1 < events->moments) {
        uint32_t child = soonest_child(events, at);
        if (!sooner(&events->heap[child], &moved)) {
            break;
        }
        events->heap[at] = events->heap[child];
        at = child;
    }
    events->heap[at] = moved;
    return taken;
}

/* ---- events ----------------------------------------------------------------------------------------------------------- */

/* Room for one more event, and for one more moment. */
static kolo_status grow(struct events *events)
{
    uint32_t capacity = events->capacity == 0 ? CAPACITY_FIRST : events->capacity * 2;
    if (capacity > CAPACITY_MAX) {
        return fail(KOLO_ERR_LIMIT, "more than %u simulated events at once", CAPACITY_MAX);
    }
    struct event *event = realloc(events->event, capacity * sizeof *event);
    if (event != NULL) {
        events->event = event;
    }
    struct moment *heap = realloc(events->heap, capacity * sizeof *heap);
    if (heap != NULL) {
        events->heap = heap;
    }
    if (event == NULL || heap == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory for %u simulated events", capacity);
    }
    events->capacity = events->heap_capacity = capacity;
    return KOLO_OK;
}

kolo_status events_add(struct events *events, struct event event)
{
    uint32_t place = events->free_first;
    if (place != NONE) {
        events->free_first = events->event[place].next;
    } else {
        kolo_status status = events->events == events->capacity ? grow(events) : KOLO_OK;
        if (status != KOLO_OK) {
            return status;
        }
        place = events->events++;
    }
    event.next = NONE;
    events->event[place] = event;
    bool same = events->newest_last != NONE && !(event.time < events->newest_time) &&
                !(event.time > events->newest_time);
    if (same) {
        events->event[events->newest_last].next = place;
    } else {
        heap_add(events,
                 (struct moment){.time = event.time, .order = events->added++, .first = place});
    }
    events->newest_time = event.time;
    events->newest_last = place;
    return KOLO_OK;
}

bool events_take(struct events *events, struct event *event)
{
    if (events->now.first == NONE) {
        if (events->moments == 0) {
            return false;
        }
        events->now = heap_take(events);
    }
    uint32_t place = events->now.first;
    *event = events->event[place];
    events->now.first = event->next;
    if (place == events->newest_last) {
        events->newest_last = NONE; /* nothing can be added behind it any more */
    }
    events->event[place].next = events->free_first;
    events->free_first = place;
    return true;
}
