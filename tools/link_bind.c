#include "tools/link_bind.h"

#include <errno.h>
#include <hwloc.h>
#include <string.h>

#include "runtime/base/status.h"

static kolo_status topology_make(hwloc_topology_t *topology)
{
    if (hwloc_topology_init(topology) != 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "hwloc cannot start");
    }
    if (hwloc_topology_load(*topology) != 0) {
        hwloc_topology_destroy(*topology);
        return fail_quietly(KOLO_ERR_SYSTEM, "hwloc cannot read this machine's topology");
    }
    return KOLO_OK;
}

/* The core or node with that logical number. */
static kolo_status find(hwloc_obj_t *object, hwloc_topology_t topology, hwloc_obj_type_t type,
                        int number)
{
    int count = hwloc_get_nbobjs_by_type(topology, type);
    *object = hwloc_get_obj_by_type(topology, type, (unsigned)number);
    if (*object == NULL) {
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "there is no %s %d on this host: it has %d that this process may use",
                            type == HWLOC_OBJ_CORE ? "core" : "NUMA node", number,
                            count > 0 ? count : 0);
    }
    return KOLO_OK;
}

kolo_status link_bind_thread(const struct link_end *end)
{
    if (end->core < 0 && end->numa_node < 0) {
        return KOLO_OK;
    }
    hwloc_topology_t topology;
    hwloc_obj_t object = NULL;
    kolo_status status = topology_make(&topology);
    if (status != KOLO_OK) {
        return status;
    }
    status = end->core >= 0 ? find(&object, topology, HWLOC_OBJ_CORE, end->core)
                            : find(&object, topology, HWLOC_OBJ_NUMANODE, end->numa_node);
    if (status == KOLO_OK &&
        hwloc_set_cpubind(topology, object->cpuset, HWLOC_CPUBIND_THREAD) != 0) {
        status = fail_quietly(KOLO_ERR_SYSTEM, "cannot bind to the chosen core or node: %s",
                              strerror(errno));
    }
    hwloc_topology_destroy(topology);
    return status;
}

kolo_status link_bind_memory(void *memory, size_t bytes, int numa_node)
{
    hwloc_topology_t topology;
    hwloc_obj_t object = NULL;
    kolo_status status = topology_make(&topology);
    if (status != KOLO_OK) {
        return status;
    }
    status = find(&object, topology, HWLOC_OBJ_NUMANODE, numa_node);
    if (status == KOLO_OK &&
        hwloc_set_area_membind(topology, memory, bytes, object->nodeset, HWLOC_MEMBIND_BIND,
                               HWLOC_MEMBIND_BYNODESET) != 0) {
        status = fail_quietly(KOLO_ERR_SYSTEM, "cannot put memory on NUMA node %d: %s", numa_node,
                              strerror(errno));
    }
    hwloc_topology_destroy(topology);
    return status;
}
