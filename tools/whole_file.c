#include "tools/whole_file.h"

#include <errno.h>
#include <unistd.h>

bool whole_file_open(struct whole_file *file, const char *path)
{
    /* cppcheck-suppress ctuuninitvar; the paths are written here, not read */
    int length = snprintf(file->path, sizeof file->path, "%s", path);
    int beside = snprintf(file->beside, sizeof file->beside, "%s.%ld", path, (long)getpid());
    if (length < 0 || beside < 0 || (size_t)beside >= sizeof file->beside) {
        errno = ENAMETOOLONG;
        return false;
    }
    file->stream = fopen(file->beside, "wx");
    return file->stream != NULL;
}

bool whole_file_close(struct whole_file *file)
{
    bool written =
        fflush(file->stream) == 0 && !ferror(file->stream) && fsync(fileno(file->stream)) == 0;
    int error = errno;
    if (fclose(file->stream) != 0 && written) {
        written = false;
        error = errno;
    }
    if (written && rename(file->beside, file->path) == 0) {
        return true;
    }
    error = written ? errno : error;
    unlink(file->beside);
    errno = error;
    return false;
}
