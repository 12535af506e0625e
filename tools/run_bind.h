/* run_bind: a core of this machine for each peer (`kolo run --bind core` or `share`). hwloc knows which cores this process may use. */
#ifndef KOLO_TOOLS_RUN_BIND_H
#define KOLO_TOOLS_RUN_BIND_H

#include <stdbool.h>

enum run_binding {
    RUN_BIND_NONE = 0,
    RUN_BIND_CORE, /* one a peer */
    RUN_BIND_SHARE /* rank modulo cores: peers take turns, evenly spread */
};

struct run_bind; /* the cores of this machine */

/** Look at the cores. Returns 0, or the exit code after saying what is wrong: more peers than cores (RUN_BIND_CORE). Out: bind, to be freed
 *  with run_bind_free(). */
int run_bind_make(struct run_bind **bind, unsigned peers, enum run_binding binding);

/** Let this process run on the core of `rank` only. Called in the new process before it becomes the command. */
bool run_bind_apply(const struct run_bind *bind, unsigned rank);

/** NULL is allowed. */
void run_bind_free(struct run_bind *bind);

#endif
