/* whole_file: a file that is written whole or not at all: it grows beside its place, and takes its name at the end. */
#ifndef KOLO_TOOLS_WHOLE_FILE_H
#define KOLO_TOOLS_WHOLE_FILE_H

#include <stdbool.h>
#include <stdio.h>

#define WHOLE_FILE_PATH_MAX 4096

struct whole_file {
    FILE *stream; /* to write to; errors are found by whole_file_close() */
    char path[WHOLE_FILE_PATH_MAX];
    char beside[WHOLE_FILE_PATH_MAX]; /* the name it grows under */
};

/** Begin. Returns false with errno set if it cannot be written there. */
bool whole_file_open(struct whole_file *file, const char *path);

/** End: what was written now is the file at its path. Returns false with errno set if anything could not be written; what
 *  was there before is there still. */
bool whole_file_close(struct whole_file *file);

#endif
