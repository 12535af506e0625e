#include "runtime/launch/launcher.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/env.h"
#include "runtime/base/status.h"

#define HASH_DIGITS 16

/* FNV-1a, 64 bits: the same on every host, which is all that is asked of it. */
static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    }
    return hash;
}

bool launcher_has(const char *name)
{
    return env_text(name) != NULL;
}

kolo_status launcher_rank_size(struct launcher_word *word, const char *rank_name,
                               const char *size_name)
{
    int rank = -1;
    int size = 0;
    kolo_status status = env_int(&size, size_name, 1, LAUNCH_SIZE_MAX);
    if (status == KOLO_OK && size == 0) {
        status = fail(KOLO_ERR_ARGUMENT,
                      "%s is not set: this process was not started by that launcher", size_name);
    }
    if (status == KOLO_OK) {
        status = env_int(&rank, rank_name, 0, size - 1);
    }
    if (status == KOLO_OK && rank < 0) {
        status = fail(KOLO_ERR_ARGUMENT, "%s is not set, but %s is %d", rank_name, size_name, size);
    }
    if (status == KOLO_OK) {
        word->rank = rank;
        word->size = size;
    }
    return status;
}

void launcher_run_id(struct launcher_word *word, const char *format, ...)
{
    char text[4 * LAUNCH_HOST_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (strlen(text) < sizeof word->run_id) {
        memcpy(word->run_id, text, strlen(text) + 1);
        return;
    }
    int start = (int)sizeof word->run_id - 1 - HASH_DIGITS;
    snprintf(word->run_id, sizeof word->run_id, "%.*s%016" PRIx64, start, text, hash_text(text));
}

void launcher_hashed_contact(struct launcher_word *word, const char *host)
{
    assert(word->run_id[0] != '\0');
    const uint64_t ports = LAUNCHER_PORT_MOST - LAUNCHER_PORT_LEAST + 1;
    snprintf(word->contact.host, sizeof word->contact.host, "%s", host);
    word->contact.port = LAUNCHER_PORT_LEAST + (int)(hash_text(word->run_id) % ports);
}
