/* doctor_options: the command line of `kolo doctor`. */
#ifndef KOLO_TOOLS_DOCTOR_OPTIONS_H
#define KOLO_TOOLS_DOCTOR_OPTIONS_H

#include <stdbool.h>

#include "tools/command.h"

#define DOCTOR_HOST_MAX 256

struct doctor_options {
    char host[DOCTOR_HOST_MAX]; /* whose connection with this host is tried; "": none */
    int port;                   /* there, or with `serve` here */
    double timeout_s;           /* for each step with the host */
    bool serve;
    bool verbose;
    const char *json; /* file to be written; NULL: none. Borrowed from argv */
};

enum doctor_options_next {
    DOCTOR_OPTIONS_RUN,
    DOCTOR_OPTIONS_HELP, /* help was asked for and has been printed */
    DOCTOR_OPTIONS_WRONG /* the mistake has been explained on standard error */
};

/** Read the command line of `command`. Assigns `options` on DOCTOR_OPTIONS_RUN. */
enum doctor_options_next doctor_options_read(struct doctor_options *options,
                                             const struct command *command, int argc, char **argv);

#endif
