#include "transport/sim/agenda.h"

#include <assert.h>
#include <stdlib.h>

bool agenda_reserve(struct agenda *agenda, size_t events)
{
    size_t reserved = agenda->reserved + events;
    if (reserved > agenda->capacity) {
        size_t capacity = reserved * 2;
        struct agenda_event **heap =
            realloc(agenda->heap, capacity * sizeof(struct agenda_event *));
        if (heap == NULL) {
            return false;
        }
        agenda->heap = heap;
        agenda->capacity = capacity;
    }
    agenda->reserved = reserved;
    return true;
}

void agenda_unreserve(struct agenda *agenda, size_t events)
{
    assert(agenda->reserved >= events && agenda->count <= agenda->reserved - events);
    agenda->reserved -= events;
}

void agenda_free(struct agenda *agenda)
{
    free(agenda->heap);
    *agenda = (struct agenda){0};
}

static bool before(const struct agenda_event *a, const struct agenda_event *b)
{
    return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

static void put(struct agenda *agenda, size_t index, struct agenda_event *event)
{
    agenda->heap[index] = event;
    event->place = index + 1;
}

/* Move the event at `index` up, then down, to where it belongs. */
static void settle(struct agenda *agenda, size_t index)
{
    struct agenda_event *event = agenda->heap[index];
    while (index > 0 && before(event, agenda->heap[(index - 1) / 2])) {
        put(agenda, index, agenda->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * index + 1;
        if (child + 1 < agenda->count && before(agenda->heap[child + 1], agenda->heap[child])) {
            child++;
        }
        if (child >= agenda->count || !before(agenda->heap[child], event)) {
            break;
        }
        put(agenda, index, agenda->heap[child]);
        index = child;
    }
    put(agenda, index, event);
}

void agenda_set(struct agenda *agenda, struct agenda_event *event, uint64_t time_ns)
{
    if (event->place == 0) {
        assert(agenda->count < agenda->reserved);
        put(agenda, agenda->count, event);
        agenda->count++;
    }
    event->time_ns = time_ns;
    event->order = agenda->orders++;
    settle(agenda, event->place - 1);
}

void agenda_remove(struct agenda *agenda, struct agenda_event *event)
{
    if (event->place == 0) {
        return;
    }
    size_t index = event->place - 1;
    assert(agenda->heap[index] == event);
    agenda->count--;
    if (index < agenda->count) {
        put(agenda, index, agenda->heap[agenda->count]);
        settle(agenda, index);
    }
    event->place = 0;
}
