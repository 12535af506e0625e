/* perf_collective: what `kolo perf` must know of each collective: how it is called, how large its buffers are, which part of
 * the bus bandwidth it is measured against (as nccl-tests' PERFORMANCE.md defines it), and what must come out. */
#ifndef KOLO_TOOLS_PERF_COLLECTIVE_H
#define KOLO_TOOLS_PERF_COLLECTIVE_H

#include <kolo/kolo.h>
#include <stdbool.h>

/** The arguments of one call; each collective takes what it needs. */
struct perf_call {
    kolo_comm *comm;
    void *out;
    const void *in;
    size_t count;
    kolo_type type;
    kolo_operator op;
    int root;
    kolo_queue *queue;
};

struct perf_collective {
    const char *name; /* "all-reduce" */
    bool reduces;     /* takes an operator */
    bool rooted;      /* takes a root */
    bool moves;       /* takes buffers, a count and a type */
    bool scatters;    /* `in` holds `size` times `count` elements */
    bool gathers;     /* `out` holds `size` times `count` elements */

    kolo_status (*call)(const struct perf_call *call);

    /** Bus bandwidth divided by algorithm bandwidth for `size` ranks. */
    double (*bus_factor)(int size);
};

/** The collective of that name; NULL if there is none. */
const struct perf_collective *perf_collective_find(const char *name);

/** All of them, ended by NULL. */
extern const struct perf_collective *const perf_collectives[];

#endif
