/* The `kolo` command: finds the subcommand and runs it. */
#include <stdio.h>
#include <string.h>

#include <kolo/kolo.h>

#include "tools/command.h"

static const struct command *const commands[] = {&command_run,    &command_plan,  &command_perf,
                                                 &command_doctor, &command_train, NULL};

static void print_help(FILE *to)
{
    fprintf(to,
            "kolo %d.%d.%d: collectives between the processes of a training run, peer to peer\n\n",
            KOLO_VERSION_MAJOR, KOLO_VERSION_MINOR, KOLO_VERSION_PATCH);
    fputs("Usage: kolo COMMAND [OPTIONS]\n\n", to);
    for (unsigned i = 0; commands[i] != NULL; i++) {
        fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->what);
    }
    fputs("\n  --help     this text; `kolo COMMAND --help` tells of one command\n"
          "  --version  the version\n",
          to);
}

static int unknown(const char *name)
{
    fprintf(stderr, "kolo: there is no command \"%s\"; there is:", name);
    for (unsigned i = 0; commands[i] != NULL; i++) {
        fprintf(stderr, "%s %s", i == 0 ? "" : ",", commands[i]->name);
    }
    fputs("\nSee: kolo --help\n", stderr);
    return COMMAND_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return COMMAND_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return COMMAND_OK;
    }
    if (strcmp(name, "--version") == 0) {
        printf("kolo %d.%d.%d\n", KOLO_VERSION_MAJOR, KOLO_VERSION_MINOR, KOLO_VERSION_PATCH);
        return COMMAND_OK;
    }
    for (unsigned i = 0; commands[i] != NULL; i++) {
        if (strcmp(name, commands[i]->name) == 0) {
            return commands[i]->main(argc - 1, argv + 1);
        }
    }
    return unknown(name);
}
