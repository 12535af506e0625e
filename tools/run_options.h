/* run_options: the command line of `kolo run`, read and checked. It starts nothing. */
#ifndef KOLO_TOOLS_RUN_OPTIONS_H
#define KOLO_TOOLS_RUN_OPTIONS_H

#include <stdbool.h>

#include "tools/run_bind.h"

#define RUN_PEERS_MAX 4096
#define RUN_ENV_MAX 64   /* --env options */
#define RUN_GRACE_S 30.0 /* what the others have, after one has failed, to end by themselves */
#define RUN_PORT_FIRST                                                                             \
    29400 /* the port of a run over ssh lies in RUN_PORT_FIRST .. + RUN_PORTS - 1, by its run id: */
#define RUN_PORTS 1000 /* below the ports that Linux gives to outgoing connections */

struct run_options {
    unsigned peers;    /* 0: as many as the hosts have places */
    const char *hosts; /* "a,b:2"; NULL: this machine. Borrowed from argv, as all texts here */
    const char *ssh;   /* the program that reaches a host, with arguments separated by spaces */
    int port;          /* of the first contacts, with hosts; 0: from the run id */
    bool prefix;       /* write "[rank] " before each line */
    bool verbose;      /* tell how each ended even if all is well */
    bool others_go_on; /* after a failure: leave the others alone */
    double grace_s;    /* else they have this long */
    enum run_binding bind;
    unsigned variables;          /* --env */
    char *variable[RUN_ENV_MAX]; /* "NAME=VALUE", or "NAME": as it is here */
    char **command;              /* program and arguments, NULL at the end */
};

/** Read the command line (see command.h for argc and argv). Returns -1 if there is something to run, else what to exit with:
 *  help was asked for, or the command line has no meaning and that has been said. Out: options, when -1 is returned. */
int run_options_read(struct run_options *options, int argc, char **argv);

#endif
