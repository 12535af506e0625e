#include "transport/shm/board.h"

#include <assert.h>

#include "transport/shm/copy.h"
#include "transport/shm/segment.h"

kolo_status shm_board_create(struct shm_board **board, int *fd)
{
    void *memory = NULL;
    kolo_status status = shm_segment_create_shown(fd, &memory, sizeof **board);
    *board = memory;
    return status;
}

kolo_status shm_board_map(const struct shm_board **board, int fd)
{
    const void *memory = NULL;
    kolo_status status = shm_segment_map_shown(&memory, fd, sizeof **board);
    *board = memory;
    return status;
}

void shm_board_unmap(const struct shm_board *board)
{
    shm_segment_unmap(board, sizeof *board);
}

void shm_board_write(struct shm_board *board, uint64_t number, const uint8_t *header,
                     const void *data, size_t length)
{
    assert(number > 0 && length <= TRANSPORT_SHOWN_BYTES);
    struct shm_cell *cell = &board->cell[number % SHM_CELLS];
    memcpy(cell->header, header, TRANSPORT_HEADER_BYTES);
    shm_copy_to_board(cell->data, data, length);
    atomic_store_explicit(&cell->length, length, memory_order_relaxed);
    atomic_store_explicit(&cell->number, number, memory_order_release);
}

void shm_board_withdraw(struct shm_board *board, uint64_t number)
{
    atomic_store_explicit(&board->cell[number % SHM_CELLS].number, 0, memory_order_release);
}
