#include "tools/command.h"

#include <stdarg.h>
#include <stdio.h>

static void say(const struct command *command, const char *format, va_list arguments)
{
    fflush(stdout); /* what was printed before stays before */
    fprintf(stderr, "kolo %s: ", command->name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int command_usage(const struct command *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(command, format, arguments);
    va_end(arguments);
    fprintf(stderr, "See: kolo %s --help\n", command->name);
    return COMMAND_USAGE;
}

int command_failed(const struct command *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(command, format, arguments);
    va_end(arguments);
    return COMMAND_FAILED;
}
