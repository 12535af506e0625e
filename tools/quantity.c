#include "tools/quantity.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double factor;
};

static const struct unit rate_units[] = {
    {"bit", 1e0 / 8},   {"kbit", 1e3 / 8}, {"Kbit", 1e3 / 8}, {"Mbit", 1e6 / 8}, {"Gbit", 1e9 / 8},
    {"Tbit", 1e12 / 8}, {"bps", 1e0 / 8},  {"kbps", 1e3 / 8}, {"Mbps", 1e6 / 8}, {"Gbps", 1e9 / 8},
    {"Tbps", 1e12 / 8}, {"B", 1e0},        {"kB", 1e3},       {"KB", 1e3},       {"MB", 1e6},
    {"GB", 1e9},        {"TB", 1e12},      {"KiB", 0x1p10},   {"MiB", 0x1p20},   {"GiB", 0x1p30},
    {"TiB", 0x1p40},    {NULL, 0}};

static const struct unit time_units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"\xC2\xB5s", 1e-6},
                                         {"ms", 1e-3}, {"s", 1},     {NULL, 0}};

static const struct unit *find_unit(const struct unit *units, const char *name)
{
    for (const struct unit *unit = units; unit->name != NULL; unit++) {
        if (strcmp(unit->name, name) == 0) {
            return unit;
        }
    }
    return NULL;
}

/* The number before the unit. Returns where the unit begins, NULL if there is no such number. */
static const char *read_number(double *number, const char *text)
{
    char *end = NULL;
    if (strspn(text, "0123456789.") == 0) {
        return NULL; /* a sign, a space, "inf", "nan" */
    }
    errno = 0;
    *number = strtod(text, &end);
    if (end == text || errno != 0 || !isfinite(*number) || strpbrk(text, "xX") != NULL) {
        return NULL;
    }
    return *end == ' ' ? end + 1 : end;
}

bool quantity_rate(double *rate_Bps, const struct command *command, const char *name,
                   const char *text)
{
    double number = 0;
    const char *rest = read_number(&number, text);
    char unit_name[16] = "";
    if (rest != NULL && strlen(rest) < sizeof unit_name) {
        snprintf(unit_name, sizeof unit_name, "%s", rest);
        size_t length = strlen(unit_name);
        if (length > 2 && strcmp(unit_name + length - 2, "/s") == 0) {
            unit_name[length - 2] = '\0';
        }
    }
    const struct unit *unit = find_unit(rate_units, unit_name);
    if (rest == NULL || unit == NULL || !(number * unit->factor > 0)) {
        command_usage(command,
                      "%s %s is not a rate above 0 (for example 25Gbit, 100Mbit: bits a second; "
                      "3GB, 500MiB: bytes a second)",
                      name, text);
        return false;
    }
    *rate_Bps = number * unit->factor;
    return true;
}

bool quantity_seconds(double *seconds, const struct command *command, const char *name,
                      const char *text)
{
    double number = 0;
    const char *rest = read_number(&number, text);
    const struct unit *unit = rest == NULL ? NULL : find_unit(time_units, rest);
    bool plain_zero = rest != NULL && *rest == '\0' && !(number > 0);
    if (unit == NULL && !plain_zero) {
        command_usage(command, "%s %s is not a time (for example 200ns, 5us, 1ms, 0)", name, text);
        return false;
    }
    *seconds = plain_zero ? 0 : number * unit->factor;
    return true;
}

/* Four digits, no zeros at the end. */
static const char *print_scaled(char *text, double number, const char *unit)
{
    snprintf(text, QUANTITY_TEXT_MAX, "%.4g %s", number, unit);
    return text;
}

/* The largest unit of which there is one at least, so that no exponent is printed. */
static const char *print_in(char *text, double value, const struct unit *units, unsigned count)
{
    unsigned best = 0;
    while (best + 1 < count && value >= 0.99995 * units[best + 1].factor) {
        best++;
    }
    return print_scaled(text, value / units[best].factor, units[best].name);
}

#define COUNT(units) ((unsigned)(sizeof(units) / sizeof((units)[0])))

const char *quantity_print_seconds(char *text, double seconds)
{
    static const struct unit units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
    return seconds > 0 ? print_in(text, seconds, units, COUNT(units)) : strcpy(text, "0 s");
}

const char *quantity_print_bits(char *text, double rate_Bps)
{
    static const struct unit units[] = {
        {"bit/s", 1}, {"kbit/s", 1e3}, {"Mbit/s", 1e6}, {"Gbit/s", 1e9}, {"Tbit/s", 1e12}};
    return print_in(text, rate_Bps * 8, units, COUNT(units));
}

const char *quantity_print_rate(char *text, double rate_Bps)
{
    static const struct unit units[] = {
        {"B/s", 1}, {"kB/s", 1e3}, {"MB/s", 1e6}, {"GB/s", 1e9}, {"TB/s", 1e12}};
    return print_in(text, rate_Bps, units, COUNT(units));
}

const char *quantity_print_bytes(char *text, uint64_t bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    while (unit + 1 < COUNT(names) && bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, QUANTITY_TEXT_MAX, "%llu %s", (unsigned long long)bytes, names[unit]);
    return text;
}
