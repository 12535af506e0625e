/* option: numbers on a command line, checked against their range. The functions write `*value` only if the text is a number
 * in range, and say what was wrong otherwise; they are made to stand in the switch of a getopt_long loop. */
#ifndef KOLO_TOOLS_OPTION_H
#define KOLO_TOOLS_OPTION_H

#include "tools/command.h"

#include <stdbool.h>
#include <stdint.h>

/** Each returns true, or says "kolo <command>: <name> <text> ..." with the range allowed and returns false. `name` as it is
 *  typed ("--steps"). */

/** A whole decimal number in least..most. */
bool option_int(int *value, const struct command *command, const char *name, const char *text,
                int least, int most);

/** The same in 64 bits. */
bool option_u64(uint64_t *value, const struct command *command, const char *name, const char *text,
                uint64_t least, uint64_t most);

/** Bytes: a whole number, with K, M or G (or KiB, MiB, GiB) for powers of 1024; at most 2^62. */
bool option_bytes(uint64_t *value, const struct command *command, const char *name,
                  const char *text);

/** A decimal number above 0 and at most `most`. */
bool option_positive(double *value, const struct command *command, const char *name,
                     const char *text, double most);

#endif
