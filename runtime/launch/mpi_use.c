#include "runtime/launch/mpi_use.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY_START "libmpi" /* libmpi.so.12, libmpich.so.12, libmpi_cray.so.12 ... */
#define THREAD_FUNNELED 1      /* up to here one thread does all calls; 0 is MPI_THREAD_SINGLE */
#define VERSION_MAX 16384 /* the longest text of a version that a library may give: 8192 bytes */

/* All take pointers to int, in every MPI library. */
struct questions {
    int (*initialized)(int *answer);
    int (*finalized)(int *answer);
    int (*query_thread)(int *level);
    int (*is_thread_main)(int *answer);
    int (*get_library_version)(char *text, int *length);
};

/* POSIX, not C, lets a function's address stand in a data pointer: hence the copy. */
static bool find_all(struct questions *questions, void *library)
{
    const struct {
        void *function;
        const char *name;
    } wanted[] = {
        {&questions->initialized, "MPI_Initialized"},
        {&questions->finalized, "MPI_Finalized"},
        {&questions->query_thread, "MPI_Query_thread"},
        {&questions->is_thread_main, "MPI_Is_thread_main"},
        {&questions->get_library_version, "MPI_Get_library_version"},
    };
    bool all = true;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = dlsym(library, wanted[i].name);
        memcpy(wanted[i].function, &symbol, sizeof symbol);
        all = all && symbol != NULL;
    }
    return all;
}

static int is_mpi(struct dl_phdr_info *object, size_t bytes, void *context)
{
    (void)bytes;
    const char *slash = strrchr(object->dlpi_name, '/');
    const char *name = slash != NULL ? slash + 1 : object->dlpi_name;
    if (strncmp(name, LIBRARY_START, strlen(LIBRARY_START)) != 0) {
        return 0;
    }
    const char **found = context;
    *found = object->dlpi_name;
    return 1;
}

/* A plugin (a module of Python) may have brought one that the program itself does not see. */
static bool find_hidden(struct questions *questions)
{
    const char *name = NULL;
    dl_iterate_phdr(is_mpi, &name);
    void *library = name != NULL ? dlopen(name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    if (library == NULL) {
        return false;
    }
    bool found = find_all(questions, library);
    dlclose(library); /* only the count of our look; whoever loaded it keeps it */
    return found;
}

static bool find_any(struct questions *questions)
{
    return find_all(questions, RTLD_DEFAULT) || find_hidden(questions);
}

static bool says(int (*question)(int *))
{
    int answer = 0;
    return question(&answer) == 0 && answer != 0;
}

enum mpi_use mpi_use_now(void)
{
    struct questions questions;
    if (!find_any(&questions)) {
        return MPI_ABSENT;
    }
    if (says(questions.finalized)) {
        return MPI_OVER;
    }
    if (!says(questions.initialized)) {
        return MPI_LOADED;
    }
    int level = THREAD_FUNNELED + 1;
    bool alone = questions.query_thread(&level) == 0 && level <= THREAD_FUNNELED &&
                 says(questions.is_thread_main);
    return alone ? MPI_IDLE : MPI_SHARED;
}

int mpi_use_open_mpi(void)
{
    static const char start[] = "Open MPI v";
    struct questions questions;
    char text[VERSION_MAX] = "";
    int length = 0;
    bool known = find_any(&questions) && questions.get_library_version(text, &length) == 0 &&
                 strncmp(text, start, strlen(start)) == 0;
    return known ? atoi(text + strlen(start)) : 0;
}
