/* fake_mpi: an MPI library as far as kolo asks one; its state is what FAKE_MPI says: "loaded", "idle", "elsewhere" (for one thread,
 * which is another), "shared" or "over"; its version FAKE_MPI_VERSION. Its file begins with libmpi. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int MPI_Initialized(int *answer);
int MPI_Finalized(int *answer);
int MPI_Query_thread(int *level);
int MPI_Is_thread_main(int *answer);
int MPI_Get_library_version(char *text, int *length);

static bool is(const char *state)
{
    const char *now = getenv("FAKE_MPI");
    return now != NULL && strcmp(now, state) == 0;
}

int MPI_Initialized(int *answer)
{
    *answer = !is("loaded");
    return 0;
}

int MPI_Finalized(int *answer)
{
    *answer = is("over");
    return 0;
}

int MPI_Query_thread(int *level)
{
    *level = is("shared") ? 3 : 1;
    return 0;
}

int MPI_Is_thread_main(int *answer)
{
    *answer = !is("elsewhere");
    return 0;
}

int MPI_Get_library_version(char *text, int *length)
{
    const char *version = getenv("FAKE_MPI_VERSION");
    *length = snprintf(text, 256, "%s", version != NULL ? version : "MPICH Version: 4.0.2");
    return 0;
}
