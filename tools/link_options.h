/* link_options: the command line of `kolo perf link`. */
#ifndef KOLO_TOOLS_LINK_OPTIONS_H
#define KOLO_TOOLS_LINK_OPTIONS_H

#include "tools/command.h"
#include "tools/link.h"

struct link_options {
    bool serve;
    struct link_service service; /* serve */
    struct link_goal goal;       /* else */
    double least_Bps;            /* --min-gbps; 0: none */
    const char *json, *plot;     /* files to be written; NULL: none. Borrowed from argv */
};

enum link_options_next {
    LINK_OPTIONS_RUN,  /* all is well */
    LINK_OPTIONS_HELP, /* help was asked for and has been printed */
    LINK_OPTIONS_WRONG /* the mistake has been explained on standard error */
};

/** Read the command line of `command`. Assigns `options` on LINK_OPTIONS_RUN. */
enum link_options_next link_options_read(struct link_options *options,
                                         const struct command *command, int argc, char **argv);

#endif
