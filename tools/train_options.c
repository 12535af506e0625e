#include "tools/train_options.h"

#include <getopt.h>
#include <stdio.h>

#include "tools/option.h"

#define BATCH_MAX (1 << 20)
#define WIDTH_MAX (1 << 14)

static const char help[] =
    "Usage: kolo train FILE [OPTIONS], on every peer: kolo run -n 4 kolo train FILE\n"
    "\n"
    "Trains a byte-level language model on a text, data-parallel: each peer reads its own part of\n"
    "FILE, and the gradients are averaged over the peers in every step. The last tenth of the "
    "text\n"
    "is for validation. All peers end with the same weights and print their SHA-256 digest.\n"
    "\n"
    "  --steps N            optimiser steps (default 500)\n"
    "  --batch N            samples of a step, shared out among the peers (default: 256, or a few\n"
    "                       more if the peers cannot share 256 out evenly)\n"
    "  --batch-per-peer N   instead: samples of a step on each peer\n"
    "  --layers 1|2         hidden layers (default 1)\n"
    "  --hidden N           their width (default 256)\n"
    "  --context N          bytes that the next one is guessed from (default 16)\n"
    "  --embedding N        numbers that stand for a byte (default 16)\n"
    "  --rate X             learning rate of Adam (default 0.002)\n"
    "  --seed N             of the first weights and the choice of samples (default 1)\n"
    "  --validate-every N   steps between validations (default: a tenth of --steps)\n"
    "  --save FILE          write the weights (rank 0; format: train_weights.h)\n"
    "  --svg FILE           draw the loss curve (rank 0)\n"
    "  --csv FILE           write the loss of every step (rank 0)\n"
    "\n"
    "The same --batch gives the same curve on any number of peers, to rounding. BLAS is loaded at\n"
    "start; KOLO_BLAS names a library. Exit status: 0, 1 if a file could not be read or written,\n"
    "2 for a wrong command line, 3 if the peers could not go on together.\n";

enum {
    OPTION_STEPS = 256,
    OPTION_BATCH,
    OPTION_BATCH_PER_PEER,
    OPTION_LAYERS,
    OPTION_HIDDEN,
    OPTION_CONTEXT,
    OPTION_EMBEDDING,
    OPTION_RATE,
    OPTION_SEED,
    OPTION_VALIDATE_EVERY,
    OPTION_SAVE,
    OPTION_SVG,
    OPTION_CSV
};

static const struct option long_options[] = {
    {"steps", required_argument, NULL, OPTION_STEPS},
    {"batch", required_argument, NULL, OPTION_BATCH},
    {"batch-per-peer", required_argument, NULL, OPTION_BATCH_PER_PEER},
    {"layers", required_argument, NULL, OPTION_LAYERS},
    {"hidden", required_argument, NULL, OPTION_HIDDEN},
    {"context", required_argument, NULL, OPTION_CONTEXT},
    {"embedding", required_argument, NULL, OPTION_EMBEDDING},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"validate-every", required_argument, NULL, OPTION_VALIDATE_EVERY},
    {"save", required_argument, NULL, OPTION_SAVE},
    {"svg", required_argument, NULL, OPTION_SVG},
    {"csv", required_argument, NULL, OPTION_CSV},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0}};

static bool read_number(struct train_options *o, const struct command *command, int option,
                        const char *text)
{
    switch (option) {
    case OPTION_STEPS:
        return option_int(&o->steps, command, "--steps", text, 1, INT32_MAX);
    case OPTION_BATCH:
        return option_int(&o->batch, command, "--batch", text, 1, BATCH_MAX);
    case OPTION_BATCH_PER_PEER:
        return option_int(&o->batch_per_peer, command, "--batch-per-peer", text, 1, BATCH_MAX);
    case OPTION_LAYERS:
        return option_int(&o->layers, command, "--layers", text, 1, TRAIN_LAYERS_MAX);
    case OPTION_HIDDEN:
        return option_int(&o->hidden, command, "--hidden", text, 1, WIDTH_MAX);
    case OPTION_CONTEXT:
        return option_int(&o->context, command, "--context", text, 1, 1024);
    case OPTION_EMBEDDING:
        return option_int(&o->embedding, command, "--embedding", text, 1, 256);
    case OPTION_RATE:
        return option_positive(&o->rate, command, "--rate", text, 1e6);
    case OPTION_SEED:
        return option_u64(&o->seed, command, "--seed", text, 0, UINT64_MAX);
    case OPTION_VALIDATE_EVERY:
        return option_int(&o->validate_every, command, "--validate-every", text, 1, INT32_MAX);
    default: /* getopt_long has said what is wrong */
        command_usage(command, "the command line has no meaning");
        return false;
    }
}

static bool read_option(struct train_options *o, const struct command *command, int option,
                        const char *text)
{
    switch (option) {
    case OPTION_SAVE:
        o->save = text;
        return true;
    case OPTION_SVG:
        o->svg = text;
        return true;
    case OPTION_CSV:
        o->csv = text;
        return true;
    default:
        return read_number(o, command, option, text);
    }
}

static bool complete(struct train_options *o, const struct command *command, char **names,
                     int count)
{
    if (count != 1) {
        command_usage(command, count == 0 ? "name a file with text" : "name only one file");
        return false;
    }
    if (o->batch > 0 && o->batch_per_peer > 0) {
        command_usage(command, "--batch and --batch-per-peer exclude each other");
        return false;
    }
    o->file = names[0];
    if (o->validate_every == 0) {
        o->validate_every = o->steps >= 10 ? o->steps / 10 : 1;
    }
    return true;
}

enum train_options_next train_options_read(struct train_options *options,
                                           const struct command *command, int argc, char **argv)
{
    struct train_options read = {.steps = 500,
                                 .layers = 1,
                                 .hidden = 256,
                                 .context = 16,
                                 .embedding = 16,
                                 .rate = 0.002,
                                 .seed = 1};
    int option;
    while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return TRAIN_OPTIONS_HELP;
        }
        if (!read_option(&read, command, option, optarg)) {
            return TRAIN_OPTIONS_WRONG;
        }
    }
    if (!complete(&read, command, argv + optind, argc - optind)) {
        return TRAIN_OPTIONS_WRONG;
    }
    *options = read;
    return TRAIN_OPTIONS_RUN;
}
