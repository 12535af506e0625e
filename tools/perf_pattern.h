/* perf_pattern: buffers whose reduction is known and exact in every element type, so that results can be compared bit for bit.
 * All values are small integers; the sum over the ranks, and every partial sum, is a number that the type holds exactly. The
 * pattern repeats after a prime number of elements, so that a chunk in the wrong place shows. */
#ifndef KOLO_TOOLS_PERF_PATTERN_H
#define KOLO_TOOLS_PERF_PATTERN_H

#include <kolo/kolo.h>
#include <stddef.h>

#define PERF_PATTERN_PERIOD 4093 /* elements */

/** What the values depend on besides rank and index. */
struct perf_pattern {
    kolo_type type;
    kolo_operator op; /* the operator that the values will be reduced with */
    int size;         /* ranks */
};

/** Write the input of `rank`: elements first .. first + count - 1 of its pattern. */
void perf_pattern_fill(void *buffer, const struct perf_pattern *pattern, int rank, size_t first,
                       size_t count);

/** Elements of `buffer` that differ from those of `rank`'s input. */
size_t perf_pattern_differs(const void *buffer, const struct perf_pattern *pattern, int rank,
                            size_t first, size_t count);

/** Elements of `buffer` that differ from the reduction over all ranks. */
size_t perf_pattern_differs_reduced(const void *buffer, const struct perf_pattern *pattern,
                                    size_t first, size_t count);

#endif
