/* simulate_events: what is still to happen, soonest first; events of the same time in the order they were added. */
#ifndef KOLO_COLLECTIVES_SIMULATE_EVENTS_H
#define KOLO_COLLECTIVES_SIMULATE_EVENTS_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

struct event {
    double time;      /* seconds */
    double tail;      /* for whoever handles it: when the last byte follows */
    uint16_t kind;    /* for whoever handles it */
    uint16_t rank;    /* for whoever handles it */
    uint32_t subject; /* for whoever handles it: a lane or a step */
    uint32_t next;    /* private: in the list of its moment, or of free places */
};

/** Events of the same time that were added one after the other: ranks that do the same do it at the same time, and a list costs
 *  less than a place in the heap for each. */
struct moment {
    double time;
    uint64_t order; /* of two moments of one time the earlier one first */
    uint32_t first; /* event */
};

struct events {
    struct event *event; /* [capacity] places, in lists */
    uint32_t events, capacity, free_first;
    struct moment *heap; /* of `moments`: each at most as soon as its four children */
    uint32_t moments, heap_capacity;
    uint64_t added;       /* moments so far */
    double newest_time;   /* of the newest moment */
    uint32_t newest_last; /* its last event; none if it has been taken up */
    struct moment now;    /* the moment that is being taken */
};

/** No events, no memory. */
void events_init(struct events *events);
void events_free(struct events *events);

/** Returns KOLO_OK, KOLO_ERR_MEMORY. */
kolo_status events_add(struct events *events, struct event event);

/** Take the soonest. Returns false if there is none. Out: event. */
bool events_take(struct events *events, struct event *event);

#endif
