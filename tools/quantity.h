/* quantity: rates, times and sizes as people write them, with a unit, read and printed. Reading is strict: a number, perhaps with
 * a fraction, and a unit right after it or after one space. */
#ifndef KOLO_TOOLS_QUANTITY_H
#define KOLO_TOOLS_QUANTITY_H

#include "tools/command.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUANTITY_TEXT_MAX 32 /* bytes of a printed quantity, the final zero included */

/** Each returns true; or says "kolo <command>: <name> <text> ..." with what would be understood, and returns false. `name` as
 *  it is typed ("--rate"). Out: the value, on success only. */

/** A rate in bytes a second: bit, kbit, Mbit, Gbit, Tbit (bits a second, powers of 1000; "bit/s" and "bps" as well), or B, kB,
 *  MB, GB, TB, KiB, MiB, GiB, TiB (bytes a second; with "/s" if you like). Above 0. */
bool quantity_rate(double *rate_Bps, const struct command *command, const char *name,
                   const char *text);

/** A time in seconds: ns, us, ms, s. 0 is allowed, with no unit as well. */
bool quantity_seconds(double *seconds, const struct command *command, const char *name,
                      const char *text);

/** Print into `text` (QUANTITY_TEXT_MAX bytes), three or four digits and a unit; returns `text`. */
const char *quantity_print_seconds(char *text, double seconds); /* "37.66 ms" */
const char *quantity_print_bytes(char *text, uint64_t bytes);   /* "64 MiB", "1000 B" */
const char *quantity_print_bits(char *text, double rate_Bps);   /* "25 Gbit/s" */
const char *quantity_print_rate(char *text, double rate_Bps);   /* "3.125 GB/s" */

#endif
