#include "runtime/base/status.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/log.h"

static _Thread_local char last_error[STATUS_TEXT_MAX];

const char *kolo_last_error(void)
{
    return last_error;
}

kolo_status fail(kolo_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    log_line(LOG_ERROR, "%s: %s", kolo_status_name(status), last_error);
    return status;
}

kolo_status fail_quietly(kolo_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    log_line(LOG_DEBUG, "%s: %s", kolo_status_name(status), last_error);
    return status;
}

kolo_status fail_more(kolo_status status, const char *format, ...)
{
    char before[STATUS_TEXT_MAX];
    memcpy(before, last_error, sizeof before);
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    int room = (int)sizeof last_error - used - 3; /* for what was said before, which may be cut */
    if (used >= 0 && room > 0) {
        snprintf(last_error + used, sizeof last_error - (size_t)used, ": %.*s", room, before);
    }
    return status;
}

kolo_status fail_again(kolo_status status, const char *text)
{
    snprintf(last_error, sizeof last_error, "%s", text);
    return status;
}

const char *kolo_status_name(kolo_status status)
{
    switch (status) {
    case KOLO_OK:
        return "KOLO_OK";
    case KOLO_ERR_ARGUMENT:
        return "KOLO_ERR_ARGUMENT";
    case KOLO_ERR_LIMIT:
        return "KOLO_ERR_LIMIT";
    case KOLO_ERR_STATE:
        return "KOLO_ERR_STATE";
    case KOLO_ERR_PEER_LOST:
        return "KOLO_ERR_PEER_LOST";
    case KOLO_ERR_MISMATCH:
        return "KOLO_ERR_MISMATCH";
    case KOLO_ERR_TIMEOUT:
        return "KOLO_ERR_TIMEOUT";
    case KOLO_ERR_PROTOCOL:
        return "KOLO_ERR_PROTOCOL";
    case KOLO_ERR_ABORTED:
        return "KOLO_ERR_ABORTED";
    case KOLO_ERR_SYSTEM:
        return "KOLO_ERR_SYSTEM";
    case KOLO_ERR_MEMORY:
        return "KOLO_ERR_MEMORY";
    case KOLO_ERR_INTERNAL:
        return "KOLO_ERR_INTERNAL";
    }
    return "KOLO_ERR_UNKNOWN";
}
