/* status: how an error is made and explained. Whoever decides that it is an error calls fail(); everyone above forwards the
 * status unchanged, or adds what only they know with fail_more(). The explanation is the thread's (kolo_last_error). */
#ifndef KOLO_BASE_STATUS_H
#define KOLO_BASE_STATUS_H

#include <kolo/kolo.h>
#include <stdarg.h>

#define STATUS_TEXT_MAX                                                                            \
    512 /* bytes of an explanation, the final zero included; longer ones are cut */

/** Record the explanation of an error in this thread, log it at level `error`, and return `status`.
 *  Usage: return fail(KOLO_ERR_SYSTEM, "bind to port %d failed: %s; choose another KOLO_PORT", port, strerror(errno)); */
kolo_status fail(kolo_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** The same without a log line: for errors that a caller may well expect and handle (a probe that fails). */
kolo_status fail_quietly(kolo_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Put "<text>: " before this thread's explanation and return `status`. */
kolo_status fail_more(kolo_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Set this thread's explanation to a saved one (an error that another thread found), without a log line. */
kolo_status fail_again(kolo_status status, const char *text);

#endif
