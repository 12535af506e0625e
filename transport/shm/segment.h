/* segment: memory that processes of one host share. It is a memfd: it has no name, needs no file system (a small or missing
 * /dev/shm does not matter), and vanishes with the last process that holds it, however that one ends. It is sealed so that
 * nobody can shrink it under our feet: touching it never raises SIGBUS. */
#ifndef KOLO_TRANSPORT_SHM_SEGMENT_H
#define KOLO_TRANSPORT_SHM_SEGMENT_H

#include "transport/shm/ring.h"

/** What the two ends of a link share. */
struct shm_segment {
    struct shm_ring
        rings[2][TRANSPORT_LANES]; /* [0]: written by the end that dialled, [1]: by the other */
};

/** Make and map zeroed memory of `bytes`. Out: fd: to be given to the peer, then closed; memory: shm_segment_unmap().
 *  KOLO_ERR_SYSTEM. */
kolo_status shm_segment_create(int *fd, void **memory, size_t bytes);

/** Map memory that a peer made. KOLO_ERR_PROTOCOL if it is not exactly such a segment of `bytes`; KOLO_ERR_SYSTEM. The
 *  descriptor stays the caller's. */
kolo_status shm_segment_map(void **memory, int fd, size_t bytes);

/** The same for memory that only its maker can write, as far as the kernel has that (Linux 5.1). */
kolo_status shm_segment_create_shown(int *fd, void **memory, size_t bytes);

/** Map memory that a peer made, to be read only. As shm_segment_map(). */
kolo_status shm_segment_map_shown(const void **memory, int fd, size_t bytes);

/** NULL is allowed. */
void shm_segment_unmap(const void *memory, size_t bytes);

#endif
