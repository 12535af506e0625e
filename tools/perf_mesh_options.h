/* perf_mesh_options: the command line of `kolo perf mesh`. */
#ifndef KOLO_TOOLS_PERF_MESH_OPTIONS_H
#define KOLO_TOOLS_PERF_MESH_OPTIONS_H

#include <stdbool.h>

#include "tools/command.h"
#include "tools/perf_mesh_matrix.h"

struct mesh_options {
    bool serve;
    int port;
    unsigned hosts;
    struct mesh_host host[MESH_HOSTS_MAX]; /* names, addresses and ports */
    uint32_t tests;      /* bits 1 << enum link_test; 0: the best that both ends have */
    uint64_t size_bytes; /* of bandwidth */
    double duration_s;   /* of each measurement */
    int pairs;           /* queue pairs or TCP streams */
    double connect_timeout_s;
    double threshold;       /* 0.25: slow is a quarter from the median */
    const char *json, *svg; /* files to be written; NULL: none. Borrowed from argv */
};

enum mesh_options_next {
    MESH_OPTIONS_RUN,
    MESH_OPTIONS_HELP, /* help was asked for and has been printed */
    MESH_OPTIONS_WRONG /* the mistake has been explained on standard error */
};

/** Read the command line of `command`. Out: options, complete on MESH_OPTIONS_RUN. */
enum mesh_options_next mesh_options_read(struct mesh_options *options,
                                         const struct command *command, int argc, char **argv);

#endif
