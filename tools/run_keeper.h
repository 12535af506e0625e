/* run_keeper: a process that does nothing but make sure. It leads the process group that all peers are put into, and
 * waits for the launcher's end of a pipe to close. If the launcher is killed, the keeper kills the whole group (what the
 * peers have started included) and removes the run's folder. */
#ifndef KOLO_TOOLS_RUN_KEEPER_H
#define KOLO_TOOLS_RUN_KEEPER_H

#include <sys/types.h>

struct run_keeper {
    pid_t group; /* the process group, and the keeper's own id */
    int alive;   /* the launcher's end of the pipe; closes on exec */
};

/** Start one. `folder` is removed if the launcher is killed; "": none. Returns 0, or the exit code after saying what failed. */
int run_keeper_start(struct run_keeper *keeper, const char *folder);

/** Kill what is left of the group, the keeper included, and wait for the keeper. */
void run_keeper_stop(struct run_keeper *keeper);

#endif
