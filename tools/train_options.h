/* train_options: the command line of `kolo train`. */
#ifndef KOLO_TOOLS_TRAIN_OPTIONS_H
#define KOLO_TOOLS_TRAIN_OPTIONS_H

#include <stdint.h>

#include "tools/command.h"

#define TRAIN_LAYERS_MAX 2      /* hidden ones */
#define TRAIN_BATCH_DEFAULT 256 /* rounded up to a multiple of the number of peers */

struct train_options {
    const char *file; /* the text. Borrowed from argv, as are the other names */
    int steps;
    int batch;          /* samples of a step, all peers together; 0: not given */
    int batch_per_peer; /* 0: not given */
    int layers, hidden, context, embedding;
    double rate;
    uint64_t seed;
    int validate_every; /* steps */
    const char *save;   /* file for the weights; NULL: none */
    const char *svg;    /* file for the loss curve; NULL: none */
    const char *csv;    /* the same as numbers; NULL: none */
};

enum train_options_next { TRAIN_OPTIONS_RUN, TRAIN_OPTIONS_HELP, TRAIN_OPTIONS_WRONG };

/** Read the command line of `command`: help has been printed, mistakes explained. Assigns `options` on TRAIN_OPTIONS_RUN. */
enum train_options_next train_options_read(struct train_options *options,
                                           const struct command *command, int argc, char **argv);

#endif
