#include "runtime/launch/nodelist.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

struct name {
    char *text; /* borrowed */
    size_t capacity, length;
};

static bool append(struct name *name, const char *text, size_t length)
{
    if (length >= name->capacity - name->length) {
        return false;
    }
    memcpy(name->text + name->length, text, length);
    name->length += length;
    name->text[name->length] = '\0';
    return true;
}

/* "[01-03,7]" at `*at`: append "01" and go behind the bracket. */
static bool append_bracket(struct name *name, const char **at)
{
    const char *number = *at + 1;
    const char *close = strchr(number, ']');
    size_t digits = 0;
    while (isdigit((unsigned char)number[digits])) {
        digits++;
    }
    if (close == NULL || digits == 0 || strchr("-,]", number[digits]) == NULL) {
        return false;
    }
    *at = close + 1;
    return append(name, number, digits);
}

bool nodelist_first(char *host, size_t host_bytes, const char *list)
{
    assert(host_bytes > 0);
    struct name name = {host, host_bytes, 0};
    const char *at = list;
    while (*at != '\0' && *at != ',') {
        bool fits = true;
        if (*at == '[') {
            fits = append_bracket(&name, &at);
        } else if (*at == ']') {
            return false;
        } else {
            fits = append(&name, at++, 1);
        }
        if (!fits) {
            return false;
        }
    }
    return name.length > 0;
}
