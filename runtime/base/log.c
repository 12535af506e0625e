#include "runtime/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static const char *const level_names[] = {"none", "error", "warn", "info", "debug"};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static enum log_level shown = LOG_WARN;
static int log_fd = STDERR_FILENO;
static atomic_int log_rank = -1;

static void read_environment(void)
{
    const char *path = getenv("KOLO_LOG_FILE");
    if (path != NULL && path[0] != '\0') {
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (fd >= 0) {
            log_fd = fd;
        } else {
            dprintf(STDERR_FILENO,
                    "kolo: KOLO_LOG_FILE=%s cannot be opened (%s); logging to standard error\n",
                    path, strerror(errno));
        }
    }
    const char *wanted = getenv("KOLO_LOG");
    if (wanted == NULL || wanted[0] == '\0') {
        return;
    }
    for (int level = LOG_NONE; level <= LOG_DEBUG; level++) {
        if (strcmp(wanted, level_names[level]) == 0) {
            shown = (enum log_level)level;
            return;
        }
    }
    dprintf(log_fd, "kolo: KOLO_LOG=%s is none of: none, error, warn, info, debug; using warn\n",
            wanted);
}

bool log_shows(enum log_level level)
{
    pthread_once(&once, read_environment);
    return level <= shown;
}

void log_set_rank(int rank)
{
    atomic_store(&log_rank, rank);
}

static size_t line_start(char *line, enum log_level level)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm local;
    localtime_r(&now.tv_sec, &local);
    char host[64] = "?";
    gethostname(host, sizeof host - 1);
    int rank = atomic_load(&log_rank);
    int used = snprintf(line, LINE_MAX_BYTES, "kolo %02d:%02d:%02d.%03ld %s/%d", local.tm_hour,
                        local.tm_min, local.tm_sec, now.tv_nsec / 1000000, host, (int)getpid());
    if (rank >= 0) {
        used += snprintf(line + used, LINE_MAX_BYTES - (size_t)used, " rank %d", rank);
    }
    used += snprintf(line + used, LINE_MAX_BYTES - (size_t)used, " %s: ", level_names[level]);
    return (size_t)used;
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_shows(level)) {
        return;
    }
    char line[LINE_MAX_BYTES + 1];
    size_t used = line_start(line, level);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + used, LINE_MAX_BYTES - used, format, arguments);
    va_end(arguments);
    used = more < 0 ? used : used + (size_t)more;
    used = used < LINE_MAX_BYTES ? used : LINE_MAX_BYTES - 1;
    line[used++] = '\n';
    ssize_t written =
        write(log_fd, line, used); /* one write: lines of several processes do not mix */
    (void)written;
}
