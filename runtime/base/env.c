#include "runtime/base/env.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"

const char *env_text(const char *name)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

kolo_status parse_int(int *value, const char *text, const char *name, int least, int most)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || number < least || number > most) {
        return fail(KOLO_ERR_ARGUMENT, "%s=%s is not a whole number from %d to %d", name, text,
                    least, most);
    }
    *value = (int)number;
    return KOLO_OK;
}

kolo_status parse_seconds(double *value, const char *text, const char *name)
{
    char *end = NULL;
    errno = 0;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !isfinite(number) || number <= 0) {
        return fail(KOLO_ERR_ARGUMENT, "%s=%s is not a number of seconds above 0", name, text);
    }
    *value = number;
    return KOLO_OK;
}

kolo_status parse_bytes(uint64_t *value, const char *text, const char *name)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (end != text) {
        shift = *end == 'K' || *end == 'k'   ? 10
                : *end == 'M' || *end == 'm' ? 20
                : *end == 'G' || *end == 'g' ? 30
                                             : 0;
        end += shift != 0;
    }
    if (end == text || *end != '\0' || text[0] == '-' || errno != 0 ||
        number > UINT64_MAX >> shift) {
        return fail(KOLO_ERR_ARGUMENT,
                    "%s=%s is not a number of bytes (for example 4096, 64K, 16M, 1G)", name, text);
    }
    *value = (uint64_t)number << shift;
    return KOLO_OK;
}

kolo_status env_int(int *value, const char *name, int least, int most)
{
    const char *text = env_text(name);
    return text == NULL ? KOLO_OK : parse_int(value, text, name, least, most);
}

kolo_status env_seconds(double *value, const char *name)
{
    const char *text = env_text(name);
    return text == NULL ? KOLO_OK : parse_seconds(value, text, name);
}

kolo_status env_bytes(uint64_t *value, const char *name)
{
    const char *text = env_text(name);
    return text == NULL ? KOLO_OK : parse_bytes(value, text, name);
}

kolo_status env_bool(bool *value, const char *name)
{
    static const char *const words[] = {"0", "1", "no", "yes", "off", "on", "false", "true"};
    const char *text = env_text(name);
    if (text == NULL) {
        return KOLO_OK;
    }
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *value = i % 2 == 1;
            return KOLO_OK;
        }
    }
    return fail(KOLO_ERR_ARGUMENT, "%s=%s is none of: 0, 1, no, yes, off, on, false, true", name,
                text);
}
