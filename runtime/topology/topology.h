/* topology: what this machine looks like (hwloc): processors this process may use, packages, NUMA nodes, cores; who shares the
 * host. For binding, and for the spin budget. */
#ifndef KOLO_TOPOLOGY_TOPOLOGY_H
#define KOLO_TOPOLOGY_TOPOLOGY_H

#include <kolo/kolo.h>
#include <stddef.h>
#include <stdint.h>

#define TOPOLOGY_HOST_BYTES 16

struct topology {
    uint8_t host
        [TOPOLOGY_HOST_BYTES]; /* the running kernel: from /proc/sys/kernel/random/boot_id; all zero if unreadable */
    unsigned processors; /* that this process may run on (affinity and cgroup) */
    uint64_t
        processor_set; /* a hash of which ones: processes that may use the same ones have the same */
    unsigned processors_online; /* of the machine */
    unsigned packages, numa_nodes, cores;
    uint64_t l2_bytes, l3_bytes; /* of one; 0: unknown */
    uint64_t page_bytes;
    int spin_us; /* KOLO_SPIN_US; -1: not set */
};

/** Look at this machine. Returns KOLO_OK, KOLO_ERR_SYSTEM if hwloc cannot, or KOLO_ERR_ARGUMENT if KOLO_SPIN_US has no meaning.
 *  Out: topology, on success only. A few milliseconds; the outcome of the first call is kept. Any thread. */
kolo_status topology_read(struct topology *topology);

/** How long a waiting thread may spin before it sleeps, in nanoseconds, when `local_peers` processes of this communicator
 *  share this process's processors: 0 if they are more than those. KOLO_SPIN_US overrides. */
uint64_t topology_spin_ns(const struct topology *topology, unsigned local_peers);

#endif
