/* sum_ranks: a rank of a run of kolo, alone or in one process with an MPI library, started by real launchers.
 *
 *   sum_ranks alone|again|first|last|threads|over [LIBRARY_OF_MPI]
 *
 * alone: no MPI; again: no MPI, two communicators; first: MPI_Init, then kolo; last: kolo, then MPI_Init; threads: kolo with MPI
 * initialised for many threads; over: kolo after MPI_Finalize. Prints "rank R of N on HOST: SUM" for each communicator, the sum
 * over all ranks of rank + 1; or the error. The library is opened, not linked with: that needs no compiler of MPI's, and one program
 * serves for all. */
#include <dlfcn.h>
#include <kolo/kolo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREAD_MULTIPLE 3

static void *mpi;

static void *look_up(const char *name)
{
    void *symbol = dlsym(mpi, name);
    if (symbol == NULL) {
        fprintf(stderr, "no %s: %s\n", name, dlerror());
        exit(2);
    }
    return symbol;
}

static void start_mpi(int level)
{
    int (*init)(int *, char ***, int, int *);
    void *symbol = look_up("MPI_Init_thread");
    memcpy(&init, &symbol, sizeof init);
    if (init(NULL, NULL, level, &level) != 0) {
        exit(3);
    }
}

static void end_mpi(void)
{
    int (*finalize)(void);
    void *symbol = look_up("MPI_Finalize");
    memcpy(&finalize, &symbol, sizeof finalize);
    if (finalize() != 0) {
        exit(3);
    }
}

static int complain(void)
{
    printf("error %s\n", kolo_last_error());
    return 1;
}

static int sum_ranks(void)
{
    kolo_comm *comm = NULL;
    if (kolo_open(&comm, NULL) != KOLO_OK) {
        return complain();
    }
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    int32_t sum = 0;
    const int32_t own = kolo_rank(comm) + 1;
    kolo_status status = kolo_all_reduce(comm, &sum, &own, 1, KOLO_I32, KOLO_SUM, NULL);
    if (status == KOLO_OK) {
        printf("rank %d of %d on %s: %d\n", kolo_rank(comm), kolo_size(comm), host, sum);
        fflush(stdout);
    }
    int result = status == KOLO_OK ? 0 : complain();
    kolo_close(comm);
    return result;
}

static int run(const char *order)
{
    if (strcmp(order, "alone") == 0) {
        return sum_ranks();
    }
    if (strcmp(order, "again") == 0) {
        return sum_ranks() + sum_ranks();
    }
    if (strcmp(order, "over") == 0) {
        start_mpi(0);
        end_mpi();
        return sum_ranks();
    }
    int failed = strcmp(order, "last") == 0 ? sum_ranks() : 0;
    start_mpi(strcmp(order, "threads") == 0 ? THREAD_MULTIPLE : 0);
    failed += strcmp(order, "last") == 0 ? 0 : sum_ranks();
    end_mpi();
    return failed;
}

int main(int arguments, char **argument)
{
    const char *order = arguments > 1 ? argument[1] : "alone";
    if (arguments > 2) {
        mpi = dlopen(argument[2], RTLD_NOW | RTLD_GLOBAL);
        if (mpi == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 2;
        }
    }
    return run(order) != 0;
}
