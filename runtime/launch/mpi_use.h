/* mpi_use: does this process use an MPI library, and could that be talking with the launcher just now?
 *
 * Looks for a library that is loaded already, and asks it only what may be asked at any time. Links with none, loads none. */
#ifndef KOLO_LAUNCH_MPI_USE_H
#define KOLO_LAUNCH_MPI_USE_H

enum mpi_use {
    MPI_ABSENT, /* none is loaded */
    MPI_LOADED, /* not initialised: that may be yet to come */
    MPI_IDLE, /* initialised, and by MPI's own rules only the calling thread may be inside it: so nobody is */
    MPI_SHARED, /* initialised so that another thread may be inside it at any moment */
    MPI_OVER    /* finalised: its connection with the launcher is closed */
};

/** Any thread; never waits. */
enum mpi_use mpi_use_now(void);

/** The major version of the Open MPI that is loaded; 0: none is, or another MPI library. */
int mpi_use_open_mpi(void);

#endif
