/* perf_options: the command line of `kolo perf`, which keeps the letters and long names of nccl-tests where it can. */
#ifndef KOLO_TOOLS_PERF_OPTIONS_H
#define KOLO_TOOLS_PERF_OPTIONS_H

#include "tools/command.h"
#include "tools/perf_collective.h"

#include <stdint.h>

#define PERF_CALLS_MAX 1000000
#define PERF_QUEUE_DEPTH_MAX 1024
#define PERF_BYTES_MAX (UINT64_C(1) << 40)

struct perf_options {
    const struct perf_collective *collective;
    uint64_t first_bytes, last_bytes; /* of the whole array */
    uint64_t step_bytes;              /* 0: multiply instead */
    uint64_t factor;
    int calls;       /* timed calls of each size; 0: as many as fit into the budget */
    double budget_s; /* for the timed calls of each size and placement */
    int warmups;
    int check;          /* 1: compare all results */
    int type_first;     /* kolo_type; first..last are measured */
    int type_last;      /* kolo_type */
    int operator_first; /* kolo_operator */
    int operator_last;  /* kolo_operator */
    int root;
    int queue_depth;  /* calls in flight on a queue; 0: blocking calls */
    bool shareable;   /* buffers from kolo_alloc instead of malloc */
    const char *json; /* file to be written; NULL: none. Borrowed from argv, as the following */
    const char *transport; /* NULL: the default */
    const char *algorithm; /* NULL: the cost model's choice */
};

enum perf_options_next {
    PERF_OPTIONS_RUN,  /* all is well */
    PERF_OPTIONS_HELP, /* help was asked for and has been printed */
    PERF_OPTIONS_WRONG /* the mistake has been explained on standard error */
};

/** Read the command line of `command`. Assigns `options` on PERF_OPTIONS_RUN. */
enum perf_options_next perf_options_read(struct perf_options *options,
                                         const struct command *command, int argc, char **argv);

#endif
