/* command: one subcommand of the `kolo` tool. Each lives in a file of its own (tools/<name>.c, helpers in tools/<name>_*.c)
 * which exports nothing but its row, `const struct command command_<name>`; main.c holds the table of rows. */
#ifndef KOLO_TOOLS_COMMAND_H
#define KOLO_TOOLS_COMMAND_H

/** What the tool exits with. */
enum command_exit {
    COMMAND_OK = 0,
    COMMAND_FAILED = 1, /* the work could not be done, or its result is wrong */
    COMMAND_USAGE = 2   /* the command line has no meaning; nothing was done */
};

struct command {
    const char *name; /* "plan" */
    const char *what; /* one line for `kolo --help`, under 60 characters */

    /** Run it. argv[0] is the subcommand's name, so getopt_long works as it is; "--help" is the subcommand's own. Returns the exit
     *  status (enum command_exit, or what a child ended with). Main thread. */
    int (*main)(int argc, char **argv);
};

/** Say on standard error "kolo <name>: <text>" and where to read on ("kolo <name> --help"). Returns COMMAND_USAGE.
 *  Usage: return command_usage(&command_plan, "--ranks %s is not a number", optarg); */
int command_usage(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Say on standard error "kolo <name>: <text>". Returns COMMAND_FAILED. */
int command_failed(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

extern const struct command command_doctor;
extern const struct command command_perf;
extern const struct command command_plan;
extern const struct command command_run;
extern const struct command command_train;

#endif
