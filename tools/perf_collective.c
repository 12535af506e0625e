#include "tools/perf_collective.h"

#include <string.h>

static kolo_status call_all_reduce(const struct perf_call *c)
{
    return kolo_all_reduce(c->comm, c->out, c->in, c->count, c->type, c->op, c->queue);
}

static kolo_status call_reduce_scatter(const struct perf_call *c)
{
    return kolo_reduce_scatter(c->comm, c->out, c->in, c->count, c->type, c->op, c->queue);
}

static kolo_status call_all_gather(const struct perf_call *c)
{
    return kolo_all_gather(c->comm, c->out, c->in, c->count, c->type, c->queue);
}

static kolo_status call_broadcast(const struct perf_call *c)
{
    return kolo_broadcast(c->comm, c->out, c->in, c->count, c->type, c->root, c->queue);
}

static kolo_status call_reduce(const struct perf_call *c)
{
    return kolo_reduce(c->comm, c->out, c->in, c->count, c->type, c->op, c->root, c->queue);
}

static kolo_status call_barrier(const struct perf_call *c)
{
    return kolo_barrier(c->comm, c->queue);
}

/* Every byte must leave and reach each rank but for the share that is at home already: once to be reduced and once to be
 * handed out in an all-reduce, once in its halves, and all of it where one rank is the source or the sink. */
static double factor_twice(int size)
{
    return 2.0 * (size - 1) / size;
}

static double factor_once(int size)
{
    return (double)(size - 1) / size;
}

static double factor_whole(int size)
{
    (void)size;
    return 1;
}

static const struct perf_collective all_reduce = {.name = "all-reduce",
                                                  .reduces = true,
                                                  .moves = true,
                                                  .call = call_all_reduce,
                                                  .bus_factor = factor_twice};
static const struct perf_collective reduce_scatter = {.name = "reduce-scatter",
                                                      .reduces = true,
                                                      .moves = true,
                                                      .scatters = true,
                                                      .call = call_reduce_scatter,
                                                      .bus_factor = factor_once};
static const struct perf_collective all_gather = {.name = "all-gather",
                                                  .moves = true,
                                                  .gathers = true,
                                                  .call = call_all_gather,
                                                  .bus_factor = factor_once};
static const struct perf_collective broadcast = {.name = "broadcast",
                                                 .rooted = true,
                                                 .moves = true,
                                                 .call = call_broadcast,
                                                 .bus_factor = factor_whole};
static const struct perf_collective reduce = {.name = "reduce",
                                              .reduces = true,
                                              .rooted = true,
                                              .moves = true,
                                              .call = call_reduce,
                                              .bus_factor = factor_whole};
static const struct perf_collective barrier = {
    .name = "barrier", .call = call_barrier, .bus_factor = factor_whole};

const struct perf_collective *const perf_collectives[] = {
    &all_reduce, &reduce_scatter, &all_gather, &broadcast, &reduce, &barrier, NULL};

const struct perf_collective *perf_collective_find(const char *name)
{
    for (unsigned i = 0; perf_collectives[i] != NULL; i++) {
        if (strcmp(perf_collectives[i]->name, name) == 0) {
            return perf_collectives[i];
        }
    }
    return NULL;
}
