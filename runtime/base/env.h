/* env: reading the environment with exact errors. Each function leaves `*value` alone when the variable is unset or empty. */
#ifndef KOLO_BASE_ENV_H
#define KOLO_BASE_ENV_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The variable's value, or NULL if it is unset or empty. Borrowed from the environment. */
const char *env_text(const char *name);

/** A whole decimal number in least..most. KOLO_ERR_ARGUMENT names variable, value and range. */
kolo_status env_int(int *value, const char *name, int least, int most);

/** Seconds, a decimal number > 0 (0.5, 300). */
kolo_status env_seconds(double *value, const char *name);

/** Bytes: a whole number with an optional K, M or G (powers of 1024). */
kolo_status env_bytes(uint64_t *value, const char *name);

/** 0, 1, no, yes, off, on, false, true. */
kolo_status env_bool(bool *value, const char *name);

/** The same readings for a text from elsewhere (a tool's argument); `name` is used in the error only. */
kolo_status parse_int(int *value, const char *text, const char *name, int least, int most);
kolo_status parse_seconds(double *value, const char *text, const char *name);
kolo_status parse_bytes(uint64_t *value, const char *text, const char *name);

#endif
