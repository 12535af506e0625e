/* copy: how payload gets into a ring, and onto a board. The lines of a ring are shared with the reader's processor since the last lap: to
 * write one through the cache, the processor must first take it away there, line by line: 2 GB/s between two core
 * complexes, 8 GB/s inside one (EPYC 9004). Stores that go around the cache do not wait for that, and the reader gets the
 * lines from memory at 11 GB/s and more, wherever it runs. For short messages the way through the cache is quicker. */
#ifndef KOLO_TRANSPORT_SHM_COPY_H
#define KOLO_TRANSPORT_SHM_COPY_H

#include <stddef.h>
#include <stdint.h>

#define SHM_COPY_AROUND_BYTES 4096u /* pieces from here on go around the cache */

/** Copy `bytes` into a ring. What is written is ordered before a later release store. */
void shm_copy_to_ring(uint8_t *to, const uint8_t *from, size_t bytes);

/** Copy `bytes` onto a board, through the cache: peers read them at once. The same order. */
void shm_copy_to_board(uint8_t *to, const uint8_t *from, size_t bytes);

#endif
