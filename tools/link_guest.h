/* link_guest: other questions that a measuring server (link.h) answers on its port, beside its clients: those of `kolo perf mesh`
 * and of `kolo doctor`. Each guest gets a process of its own, so that nothing that it does or suffers outlives it. */
#ifndef KOLO_TOOLS_LINK_GUEST_H
#define KOLO_TOOLS_LINK_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LINK_GUESTS_MAX 32 /* at once; more are refused as busy */

/** A kind of guest: what its hello says (link_hello.h), and who answers. */
struct link_guest {
    uint16_t purpose;

    /** Answer on `fd` (welcomed, non-blocking), in a process that ends when this returns and has no other descriptors of the
     *  server. Every wait must be bounded. */
    void (*serve)(int fd);
};

/** Those being answered. Zero-initialise. */
struct link_guests {
    pid_t child[LINK_GUESTS_MAX]; /* 0: free */
};

/** The kind of guest with this purpose; NULL if there is none. A row without `serve` ends the list; NULL is an empty one. */
const struct link_guest *link_guest_find(const struct link_guest *kinds, uint16_t purpose);

/** Is there room for one more? Forgets those that have ended. */
bool link_guests_room(struct link_guests *guests);

/** Answer one more, in a new process. There is room. `fd` stays the caller's. False with errno set if there can be no process. */
bool link_guests_start(struct link_guests *guests, const struct link_guest *kind, int fd);

/** End all that are left, and wait for them. */
void link_guests_end(struct link_guests *guests);

#endif
