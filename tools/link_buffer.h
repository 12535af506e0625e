/* link_buffer: the memory that is sent and received in a measurement: whole pages, on huge pages or on a NUMA node if asked for,
 * touched before it is used; and the pattern that validation looks for in it. */
#ifndef KOLO_TOOLS_LINK_BUFFER_H
#define KOLO_TOOLS_LINK_BUFFER_H

#include <kolo/kolo.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/link_request.h"

struct link_buffer {
    uint8_t *bytes; /* NULL: none */
    size_t length;
};

/** Get zeroed memory for one end. KOLO_ERR_SYSTEM (no huge pages: says how to get some; no such node), KOLO_ERR_MEMORY. */
kolo_status link_buffer_make(struct link_buffer *buffer, size_t bytes,
                             const struct link_request *request, enum link_side side);
void link_buffer_free(struct link_buffer *buffer); /* a zeroed one is allowed */

/** Fill with the pattern of a seed, the same in every process. */
void link_buffer_pattern(uint8_t *bytes, size_t length, uint64_t seed);

#endif
