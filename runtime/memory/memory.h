/* memory: where buffers come from and what kind they are. Private buffers of a communicator are counted against its budget.
 * kolo_alloc() and kolo_free() live here. */
#ifndef KOLO_MEMORY_MEMORY_H
#define KOLO_MEMORY_MEMORY_H

#include <kolo/kolo.h>
#include <stddef.h>

/** Zeroed, aligned to 64 bytes; 0 bytes is allowed and gives a pointer of its own.
 *  Returns KOLO_OK, or KOLO_ERR_MEMORY: the text says how much was asked for and what for ("the receive slots of 8 links").
 *  Out: memory, on success only; the caller's, to be given to memory_free(). Any thread. */
kolo_status memory_get(void **memory, size_t bytes, const char *what);

/** Free what memory_get() gave; NULL is allowed. Any thread. */
void memory_free(void *memory);

#endif
