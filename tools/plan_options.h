/* plan_options: the command line of `kolo plan`. */
#ifndef KOLO_TOOLS_PLAN_OPTIONS_H
#define KOLO_TOOLS_PLAN_OPTIONS_H

#include "collectives/algorithm.h"
#include "tools/command.h"

#define PLAN_RANK_ALL (-1)

struct plan_options {
    enum collective collective;
    const struct algorithm *algorithm; /* NULL: all of the collective */
    uint32_t ranks, root;
    int rank; /* the one whose instructions are listed, or PLAN_RANK_ALL */
    uint64_t bytes;
    struct network_uniform network;
    const char *svg; /* file name, or NULL; borrowed from the command line */
    bool full;       /* no listing is cut short */
    bool prove;
};

enum plan_action { PLAN_RUN, PLAN_HELP, PLAN_LIST, PLAN_WRONG };

/** Read the command line. Returns what to do; PLAN_WRONG: it has been said what is wrong. Out: options. */
enum plan_action plan_options_read(struct plan_options *options, const struct command *command,
                                   int argc, char **argv);

void plan_options_help(void);

#endif
