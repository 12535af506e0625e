#include "tools/run_bind.h"

#include <hwloc.h>
#include <stdlib.h>

#include "tools/command.h"

struct run_bind {
    hwloc_topology_t topology;
    unsigned cores;
};

int run_bind_make(struct run_bind **bind, unsigned peers, enum run_binding binding)
{
    struct run_bind *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return command_failed(&command_run, "out of memory");
    }
    if (hwloc_topology_init(&made->topology) != 0) {
        free(made);
        return command_failed(&command_run, "--bind: hwloc cannot start");
    }
    if (hwloc_topology_load(made->topology) != 0) {
        run_bind_free(made);
        return command_failed(&command_run, "--bind: hwloc cannot read this machine's topology");
    }
    int cores = hwloc_get_nbobjs_by_type(made->topology, HWLOC_OBJ_CORE);
    made->cores = cores > 0 ? (unsigned)cores : 0;
    if (made->cores == 0 || (binding == RUN_BIND_CORE && made->cores < peers)) {
        unsigned found = made->cores;
        run_bind_free(made);
        return command_usage(
            &command_run,
            "--bind core: %u peers, but this process may use %u core%s; try --bind share", peers,
            found, found == 1 ? "" : "s");
    }
    *bind = made;
    return 0;
}

bool run_bind_apply(const struct run_bind *bind, unsigned rank)
{
    hwloc_obj_t core = hwloc_get_obj_by_type(bind->topology, HWLOC_OBJ_CORE, rank % bind->cores);
    return core != NULL &&
           hwloc_set_cpubind(bind->topology, core->cpuset, HWLOC_CPUBIND_PROCESS) == 0;
}

void run_bind_free(struct run_bind *bind)
{
    if (bind != NULL) {
        hwloc_topology_destroy(bind->topology);
        free(bind);
    }
}
