/* log: one line at a time to standard error (or KOLO_LOG_FILE), filtered by KOLO_LOG = none, error, warn, info, debug.
 * The default is warn. Lines carry the time, host, process and rank. Not for the data path: formatting costs microseconds. */
#ifndef KOLO_BASE_LOG_H
#define KOLO_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_NONE = 0, LOG_ERROR = 1, LOG_WARN = 2, LOG_INFO = 3, LOG_DEBUG = 4 };

/** Is anything at this level shown? Ask before work that only a log line needs. Any thread. */
bool log_shows(enum log_level level);

/** Write one line. The text needs no newline. Any thread; lines do not mix. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Put "rank R" into every later line of this process; -1 takes it out again. */
void log_set_rank(int rank);

#endif
