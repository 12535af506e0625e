#include "runtime/topology/topology.h"

#include <assert.h>
#include <errno.h>
#include <hwloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/env.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/topology/cgroup.h"

/* Waking a sleeper costs both sides a system call, and the sleeper a scheduling delay: measured on a virtual machine with two
 * processors, 5 us (median) to 70 us (99th percentile) from the wake to the woken thread's first instruction. Whoever spins for as
 * long as the sleep would cost is never worse than twice the better choice (Karlin et al., "Competitive randomized algorithms
 * for non-uniform problems", 1990). */
#define SPIN_US 50
#define SPIN_US_MAX 1000000

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct topology machine;
static kolo_status machine_status;
static char machine_error[STATUS_TEXT_MAX];

/* "a1b2c3d4-..." of the running kernel, without the dashes. */
static void read_host(uint8_t host[TOPOLOGY_HOST_BYTES])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file == NULL) {
        return;
    }
    uint8_t read[TOPOLOGY_HOST_BYTES];
    unsigned found = 0;
    unsigned byte = 0;
    while (found < TOPOLOGY_HOST_BYTES && fscanf(file, " %2x", &byte) == 1) {
        read[found++] = (uint8_t)byte;
        int next = fgetc(file);
        if (next != '-' && next != EOF) {
            ungetc(next, file);
        }
    }
    fclose(file);
    if (found == TOPOLOGY_HOST_BYTES) {
        memcpy(host, read, sizeof read);
    }
}

static unsigned count_of(hwloc_topology_t hwloc, hwloc_obj_type_t type)
{
    int count = hwloc_get_nbobjs_by_type(hwloc, type);
    return count > 0 ? (unsigned)count : 0;
}

static uint64_t cache_bytes(hwloc_topology_t hwloc, hwloc_obj_type_t type)
{
    hwloc_obj_t cache = hwloc_get_obj_by_type(hwloc, type, 0);
    return cache == NULL ? 0 : cache->attr->cache.size;
}

/* FNV-1a over the numbers of the processors. */
static uint64_t hash_of(hwloc_const_bitmap_t set)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (int i = hwloc_bitmap_first(set); i >= 0; i = hwloc_bitmap_next(set, i)) {
        hash = (hash ^ (unsigned)i) * 0x100000001b3ULL;
    }
    return hash;
}

/* Processors in both the machine's allowed set and this process's binding. A topology from elsewhere (XML, synthetic) has
 * no binding. */
static void read_allowed(struct topology *topology, hwloc_topology_t hwloc)
{
    hwloc_bitmap_t set = hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(hwloc));
    hwloc_bitmap_t bound = hwloc_bitmap_alloc();
    int count = 0;
    if (set != NULL && bound != NULL) {
        if (hwloc_topology_is_thissystem(hwloc) &&
            hwloc_get_cpubind(hwloc, bound, HWLOC_CPUBIND_PROCESS) == 0) {
            hwloc_bitmap_and(set, set, bound);
        }
        count = hwloc_bitmap_weight(set);
        topology->processor_set = hash_of(set);
    }
    hwloc_bitmap_free(bound);
    hwloc_bitmap_free(set);
    topology->processors = count > 0 ? (unsigned)count : 1;
}

static unsigned within_quota(unsigned processors)
{
    double quota = ceil(cgroup_processors("/proc/self/cgroup", "/sys/fs/cgroup"));
    return quota > 0 && quota < processors ? (unsigned)quota : processors;
}

/* Only what is asked for below: devices and the small caches stay out, which is most of the time hwloc takes. */
static int load(hwloc_topology_t hwloc)
{
    const char *xml = env_text("KOLO_TOPOLOGY_XML");
    if (xml != NULL && hwloc_topology_set_xml(hwloc, xml) != 0) {
        return -1;
    }
    hwloc_topology_set_all_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_NONE);
    static const hwloc_obj_type_t wanted[] = {HWLOC_OBJ_PACKAGE, HWLOC_OBJ_CORE, HWLOC_OBJ_L2CACHE,
                                              HWLOC_OBJ_L3CACHE};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        hwloc_topology_set_type_filter(hwloc, wanted[i], HWLOC_TYPE_FILTER_KEEP_ALL);
    }
    hwloc_topology_set_flags(hwloc, HWLOC_TOPOLOGY_FLAG_NO_DISTANCES |
                                        HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS |
                                        HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS);
    return hwloc_topology_load(hwloc);
}

static kolo_status read_machine(struct topology *topology)
{
    kolo_status status = env_int(&topology->spin_us, "KOLO_SPIN_US", 0, SPIN_US_MAX);
    if (status != KOLO_OK) {
        return status;
    }
    hwloc_topology_t hwloc = NULL;
    if (hwloc_topology_init(&hwloc) != 0) {
        return fail(KOLO_ERR_SYSTEM, "hwloc cannot start: %s", strerror(errno));
    }
    if (load(hwloc) != 0) {
        int error = errno;
        hwloc_topology_destroy(hwloc);
        const char *xml = env_text("KOLO_TOPOLOGY_XML");
        return fail(KOLO_ERR_SYSTEM, "hwloc cannot read the topology of %s: %s",
                    xml != NULL ? xml : "this machine", strerror(error));
    }
    topology->processors_online = count_of(hwloc, HWLOC_OBJ_PU);
    read_allowed(topology, hwloc);
    if (hwloc_topology_is_thissystem(hwloc)) {
        topology->processors = within_quota(topology->processors);
    }
    topology->packages = count_of(hwloc, HWLOC_OBJ_PACKAGE);
    topology->numa_nodes = count_of(hwloc, HWLOC_OBJ_NUMANODE);
    topology->cores = count_of(hwloc, HWLOC_OBJ_CORE);
    topology->l2_bytes = cache_bytes(hwloc, HWLOC_OBJ_L2CACHE);
    topology->l3_bytes = cache_bytes(hwloc, HWLOC_OBJ_L3CACHE);
    hwloc_topology_destroy(hwloc);
    return KOLO_OK;
}

static void read_once(void)
{
    struct topology found = {.spin_us = -1, .page_bytes = (uint64_t)sysconf(_SC_PAGESIZE)};
    read_host(found.host);
    machine_status = read_machine(&found);
    if (machine_status != KOLO_OK) {
        snprintf(machine_error, sizeof machine_error, "%s", kolo_last_error());
        return;
    }
    machine = found;
    log_line(
        LOG_INFO, "this machine: %u of %u processors allowed, %u packages, %u NUMA nodes, %u cores",
        found.processors, found.processors_online, found.packages, found.numa_nodes, found.cores);
}

kolo_status topology_read(struct topology *topology)
{
    pthread_once(&once, read_once);
    if (machine_status != KOLO_OK) {
        return fail_again(machine_status, machine_error);
    }
    *topology = machine;
    return KOLO_OK;
}

uint64_t topology_spin_ns(const struct topology *topology, unsigned local_peers)
{
    assert(topology->processors > 0);
    if (topology->spin_us >= 0) {
        return (uint64_t)topology->spin_us * 1000;
    }
    return local_peers > topology->processors ? 0 : SPIN_US * 1000;
}
