/* agenda: what is going to happen, in the order of virtual time: a heap of events that live inside what they happen to.
 *
 * Room is reserved when those things are made, so that setting an event never fails. Events of the same time happen in the
 * order in which they were set: the same calls give the same run. */
#ifndef KOLO_TRANSPORT_SIM_AGENDA_H
#define KOLO_TRANSPORT_SIM_AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agenda_event {
    uint64_t time_ns;
    uint64_t order; /* among events of the same time */
    size_t place;   /* 1 + its index in the heap; 0: not on the agenda */
    void (*happen)(struct agenda_event *event);
};

struct agenda {
    struct agenda_event **heap;
    size_t count;
    size_t reserved; /* events that may be on the agenda at once */
    size_t capacity;
    uint64_t orders;
};

/** Room for `events` more at once. False: out of memory. */
bool agenda_reserve(struct agenda *agenda, size_t events);

/** Give that room back; the events must be off the agenda. */
void agenda_unreserve(struct agenda *agenda, size_t events);

void agenda_free(struct agenda *agenda);

/** Put the event at `time_ns`, moving it if it is on the agenda already. */
void agenda_set(struct agenda *agenda, struct agenda_event *event, uint64_t time_ns);

/** Take the event off; allowed if it is not on. */
void agenda_remove(struct agenda *agenda, struct agenda_event *event);

/** The next event, still on the agenda; NULL: none. */
static inline struct agenda_event *agenda_first(const struct agenda *agenda)
{
    return agenda->count > 0 ? agenda->heap[0] : NULL;
}

#endif
