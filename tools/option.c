#include "tools/option.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BYTES_MOST (UINT64_C(1) << 62)

/* The digits at the start of `text`; `rest` is what follows. False if there are none or too many. */
static bool read_digits(uint64_t *value, const char **rest, const char *text)
{
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    char *end;
    errno = 0;
    unsigned long long read = strtoull(text, &end, 10);
    *value = read;
    *rest = end;
    return errno == 0;
}

bool option_u64(uint64_t *value, const struct command *command, const char *name, const char *text,
                uint64_t least, uint64_t most)
{
    uint64_t read;
    const char *rest;
    if (!read_digits(&read, &rest, text) || *rest != 0 || read < least || read > most) {
        command_usage(command, "%s %s is not a whole number from %" PRIu64 " to %" PRIu64, name,
                      text, least, most);
        return false;
    }
    *value = read;
    return true;
}

bool option_int(int *value, const struct command *command, const char *name, const char *text,
                int least, int most)
{
    uint64_t read;
    if (!option_u64(&read, command, name, text, (uint64_t)least, (uint64_t)most)) {
        return false;
    }
    *value = (int)read;
    return true;
}

/* How far the suffix shifts a number; -1 if it is none. */
static int suffix_shift(const char *suffix)
{
    static const char letters[] = "KMG";
    if (*suffix == 0) {
        return 0;
    }
    const char *letter = strchr(letters, toupper((unsigned char)*suffix));
    bool known = suffix[1] == 0 || strcasecmp(suffix + 1, "iB") == 0;
    return letter != NULL && known ? 10 * (int)(letter - letters + 1) : -1;
}

bool option_bytes(uint64_t *value, const struct command *command, const char *name,
                  const char *text)
{
    uint64_t read;
    const char *rest;
    int shift = read_digits(&read, &rest, text) ? suffix_shift(rest) : -1;
    if (shift < 0 || read > BYTES_MOST >> shift) {
        command_usage(command,
                      "%s %s is not a number of bytes: use a whole number, with K, M or G for "
                      "powers of 1024",
                      name, text);
        return false;
    }
    *value = read << shift;
    return true;
}

bool option_positive(double *value, const struct command *command, const char *name,
                     const char *text, double most)
{
    char *end;
    double read = strtod(text, &end);
    if (end == text || *end != 0 || !isfinite(read) || read <= 0 || read > most) {
        command_usage(command, "%s %s is not a number above 0 and up to %g", name, text, most);
        return false;
    }
    *value = read;
    return true;
}
