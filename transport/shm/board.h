/* board: where a process shows messages to all its peers at once (transport_ops.show and look). Every transport has one board, in
 * memory that all its peers map, and only its owner can write. A message is written once, however many read it, and none of
 * them says that it has: two cells, used in turn, are enough, since a process shows a message only after it has found the one
 * before of every peer, and so every peer has been done with the one before that. */
#ifndef KOLO_TRANSPORT_SHM_BOARD_H
#define KOLO_TRANSPORT_SHM_BOARD_H

#include <stdalign.h>
#include <stdatomic.h>

#include "transport/shm/ring.h"

#define SHM_CELLS 2u

/** In shared memory. A short message is one cache line: number, length, header, 16 bytes. */
struct shm_cell {
    alignas(SHM_LINE_PAIR) _Atomic uint64_t number; /* written last, read first */
    _Atomic uint64_t length;
    uint8_t header[TRANSPORT_HEADER_BYTES];
    uint8_t data[TRANSPORT_SHOWN_BYTES];
};

struct shm_board {
    struct shm_cell cell[SHM_CELLS];
};

_Static_assert(offsetof(struct shm_cell, data) % 8 == 0, "elements are aligned");

/** Make a board. Out: board: shm_board_unmap(); fd: for peers, the caller's. KOLO_ERR_SYSTEM. */
kolo_status shm_board_create(struct shm_board **board, int *fd);

/** Map a peer's. As shm_segment_map(). */
kolo_status shm_board_map(const struct shm_board **board, int fd);

/** NULL is allowed. */
void shm_board_unmap(const struct shm_board *board);

/** The owner shows a message. */
void shm_board_write(struct shm_board *board, uint64_t number, const uint8_t *header,
                     const void *data, size_t length);

/** The owner takes a message back. */
void shm_board_withdraw(struct shm_board *board, uint64_t number);

/** Look at a peer's. LOOK_NEVER: what lies there is nonsense. */
static inline enum look shm_board_read(struct shown *shown, const struct shm_board *board,
                                       uint64_t number)
{
    const struct shm_cell *cell = &board->cell[number % SHM_CELLS];
    uint64_t there = atomic_load_explicit(&cell->number, memory_order_acquire);
    if (there < number) {
        return LOOK_NOT_YET;
    }
    size_t length = atomic_load_explicit(&cell->length, memory_order_relaxed);
    if (there > number || length > TRANSPORT_SHOWN_BYTES) {
        return LOOK_NEVER;
    }
    *shown = (struct shown){.header = cell->header, .data = cell->data, .length = length};
    return LOOK_HERE;
}

#endif
