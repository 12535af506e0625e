/* link_sample: durations, collected while they are measured and looked at afterwards. Memory is taken before; when it is full,
 * every second duration from then on is kept (then every fourth, ...), but the least and the greatest of all are known.
 * One thread. */
#ifndef KOLO_TOOLS_LINK_SAMPLE_H
#define KOLO_TOOLS_LINK_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/wire.h"
#include "tools/link.h"

#define LINK_SAMPLE_ROOM (1u << 20)

struct link_sample {
    uint64_t *ns; /* [room] */
    size_t room, count;
    uint64_t stride, skip; /* one of `stride` is kept; so many are still to be left out */
    uint64_t all;          /* seen */
    uint64_t least, most;
};

/** Returns false if there is no memory. Freed by link_sample_free(). */
bool link_sample_init(struct link_sample *sample, size_t room);
void link_sample_free(struct link_sample *sample); /* a zeroed one is allowed */

void link_sample_thin(struct link_sample *sample); /* for the next one */

static inline void link_sample_add(struct link_sample *sample, uint64_t ns)
{
    sample->all++;
    sample->least = ns < sample->least ? ns : sample->least;
    sample->most = ns > sample->most ? ns : sample->most;
    if (sample->skip > 0) {
        sample->skip--;
        return;
    }
    if (sample->count == sample->room) {
        link_sample_thin(sample);
    }
    sample->ns[sample->count++] = ns;
    sample->skip = sample->stride - 1;
}

/** The distribution of `scale` x duration, in microseconds; quantiles by nearest rank. Sorts the sample: nothing can be added
 *  afterwards. Zeros if it is empty. */
void link_sample_times(struct link_times *times, struct link_sample *sample, double scale);

void link_times_put(struct wire_writer *writer, const struct link_times *times);
void link_times_get(struct wire_reader *reader, struct link_times *times);

#endif
