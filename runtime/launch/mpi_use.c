#include "runtime/launch/mpi_use.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define LIBRARY_START "libmpi" /* libmpi.so.12, libmpich.so.12, libmpi_cray.so.12 ... */
#define THREAD_FUNNELED                                                                            \
    1 /* the highest level at which one thread is all that calls; 0 is MPI_THREAD_SINGLE */

typedef int asks(int *answer);

/* All take a pointer to int, in every MPI library. */
struct questions {
    asks *initialized, *finalized, *query_thread, *is_thread_main;
};

static asks *find(void *library, const char *name)
{
    asks *function = NULL;
    void *symbol = dlsym(library, name);
    memcpy(&function, &symbol, sizeof function);
    return function;
}

static bool find_all(struct questions *questions, void *library)
{
    questions->initialized = find(library, "MPI_Initialized");
    questions->finalized = find(library, "MPI_Finalized");
    questions->query_thread = find(library, "MPI_Query_thread");
    questions->is_thread_main = find(library, "MPI_Is_thread_main");
    return questions->initialized != NULL && questions->finalized != NULL &&
           questions->query_thread != NULL && questions->is_thread_main != NULL;
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

static bool says(asks *question)
{
    int answer = 0;
    return question(&answer) == 0 && answer != 0;
}

enum mpi_use mpi_use_now(void)
{
    struct questions questions;
    if (!find_all(&questions, RTLD_DEFAULT) && !find_hidden(&questions)) {
        return MPI_UNUSED;
    }
    if (says(questions.finalized)) {
        return MPI_OVER;
    }
    if (!says(questions.initialized)) {
        return MPI_UNUSED;
    }
    int level = THREAD_FUNNELED + 1;
    bool alone = questions.query_thread(&level) == 0 && level <= THREAD_FUNNELED &&
                 says(questions.is_thread_main);
    return alone ? MPI_IDLE : MPI_SHARED;
}
