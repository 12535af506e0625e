#include "transport/verbs/registration.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/verbs/limit.h"

#define FIRST_ENTRIES 16 /* of the cache; doubled when full */

/* What every device knows of one region. */
struct entry {
    uint64_t serial;                     /* of the region */
    struct ibv_mr *mr[DEVICE_RAILS_MAX]; /* by rail; rails of one device share theirs */
    bool refused[DEVICE_RAILS_MAX];      /* tried, logged, not tried again */
};

struct registrations {
    const struct devices *devices;
    enum registration_device_memory device_memory[DEVICE_RAILS_MAX];
    bool probed[DEVICE_RAILS_MAX];
    uint64_t last_serial
        [DEVICE_RAILS_MAX]; /* the caller's: what was found last. Serials are not used twice, so that */
    struct ibv_mr *last[DEVICE_RAILS_MAX]; /* a region that has gone is never found here again */
    pthread_mutex_t lock;                  /* over the entries: regions go in any thread */
    struct entry *entries;                 /* by serial, ascending */
    size_t count, room;
};

/* ---- one registration --------------------------------------------------------------------------------------------- */

static kolo_status make_failed(const struct device_port *port, const void *address, size_t bytes,
                               int error)
{
    char memlock[LIMIT_TEXT_BYTES] = "", cgroup[LIMIT_TEXT_BYTES] = "";
    if (error == ENOMEM || error == EAGAIN || error == EPERM) {
        limit_memlock(memlock);
        limit_cgroup(cgroup, port->name);
    }
    if (bytes > port->limits.max_mr_size) {
        return fail_quietly(KOLO_ERR_SYSTEM,
                            "%s cannot register %zu bytes: its max_mr_size is %llu: use smaller "
                            "buffers",
                            port->name, bytes, (unsigned long long)port->limits.max_mr_size);
    }
    if (error == EFAULT) {
        return fail_quietly(
            KOLO_ERR_SYSTEM,
            "%s cannot register %p + %zu bytes: not all of it is mapped and writable", port->name,
            address, bytes);
    }
    return fail_quietly(KOLO_ERR_SYSTEM, "%s cannot register %zu bytes: %s%s%s%s%s (max_mr is %d)",
                        port->name, bytes, strerror(error), memlock[0] != 0 ? "; " : "", memlock,
                        cgroup[0] != 0 ? "; " : "", cgroup, port->limits.max_mr);
}

static kolo_status make_quietly(struct ibv_mr **mr, const struct device_port *port, void *address,
                                size_t bytes, unsigned access, bool relaxed)
{
    access |=
        relaxed ? IBV_ACCESS_RELAXED_ORDERING : 0; /* optional: dropped where it is not known */
    errno = 0;
    struct ibv_mr *made = ibv_reg_mr(port->pd, address, bytes, access);
    if (made == NULL) {
        return make_failed(port, address, bytes, errno);
    }
    *mr = made;
    return KOLO_OK;
}

kolo_status registration_make(struct ibv_mr **mr, const struct device_port *port, void *address,
                              size_t bytes, unsigned access, bool relaxed)
{
    kolo_status status = make_quietly(mr, port, address, bytes, access, relaxed);
    if (status != KOLO_OK) {
        log_line(LOG_ERROR, "%s: %s", kolo_status_name(status), kolo_last_error());
    }
    return status;
}

/* ---- device memory ------------------------------------------------------------------------------------------------ */

bool registration_peer_memory(const char *root)
{
    static const char *const clients[] = {"module/nvidia_peermem", "module/nv_peer_mem",
                                          "kernel/mm/memory_peers/nv_mem",
                                          "kernel/mm/memory_peers/amdkfd"};
    char path[256];
    for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", root, clients[i]);
        if (access(path, F_OK) == 0) {
            return true;
        }
    }
    return false;
}

/* A kernel and driver that know dma-bufs look at the descriptor, and find that it is none. */
static bool knows_dmabuf(const struct device_port *port)
{
    errno = 0;
    struct ibv_mr *mr = ibv_reg_dmabuf_mr(port->pd, 0, (size_t)sysconf(_SC_PAGESIZE), 0, -1,
                                          IBV_ACCESS_LOCAL_WRITE);
    if (mr != NULL) {
        ibv_dereg_mr(mr);
        return true;
    }
    return errno == EBADF;
}

enum registration_device_memory registration_probe(const struct device_port *port)
{
    if (knows_dmabuf(port)) {
        return REGISTRATION_DMABUF;
    }
    return registration_peer_memory("/sys") ? REGISTRATION_PEER_MEMORY : REGISTRATION_NONE;
}

static enum registration_device_memory device_memory(struct registrations *registrations,
                                                     unsigned rail)
{
    static const char *const names[] = {"staging through the host", "dma-buf", "peer memory"};
    if (!registrations->probed[rail]) {
        enum registration_device_memory way =
            registration_probe(&registrations->devices->port[rail]);
        registrations->device_memory[rail] = way;
        registrations->probed[rail] = true;
        log_line(LOG_INFO, "RDMA: GPU memory on %s by %s", registrations->devices->port[rail].name,
                 names[way]);
    }
    return registrations->device_memory[rail];
}

/* ---- the cache ---------------------------------------------------------------------------------------------------- */

/* Registered regions are written by puts of peers, and read when fetched again after a failure. */
static unsigned region_access(void)
{
    return IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
}

/* Where the first entry of this serial or a later one stands. */
static size_t place_of(const struct registrations *registrations, uint64_t serial)
{
    size_t low = 0, high = registrations->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (registrations->entries[middle].serial < serial) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct entry *entry_of(struct registrations *registrations, uint64_t serial)
{
    size_t at = place_of(registrations, serial);
    return at < registrations->count && registrations->entries[at].serial == serial
               ? &registrations->entries[at]
               : NULL;
}

/* NULL: out of memory. */
static struct entry *entry_add(struct registrations *registrations, uint64_t serial)
{
    size_t at = place_of(registrations, serial);
    if (registrations->count == registrations->room) {
        size_t room = registrations->room > 0 ? 2 * registrations->room : FIRST_ENTRIES;
        struct entry *more = reallocarray(registrations->entries, room, sizeof *more);
        if (more == NULL) {
            return NULL;
        }
        registrations->entries = more;
        registrations->room = room;
    }
    struct entry *entry = &registrations->entries[at];
    memmove(entry + 1, entry, (registrations->count - at) * sizeof *entry);
    registrations->count++;
    *entry = (struct entry){.serial = serial};
    return entry;
}

static void entry_drop(const struct entry *entry)
{
    for (unsigned i = 0; i < DEVICE_RAILS_MAX; i++) {
        bool shared = false;
        for (unsigned j = 0; j < i; j++) {
            shared = shared || entry->mr[j] == entry->mr[i];
        }
        int error = entry->mr[i] != NULL && !shared ? ibv_dereg_mr(entry->mr[i]) : 0;
        if (error != 0) {
            log_line(LOG_WARN, "RDMA: a region is still registered: %s", strerror(error));
        }
    }
}

static void forget(void *context, const struct region *region)
{
    struct registrations *registrations = context;
    pthread_mutex_lock(&registrations->lock);
    struct entry *entry = entry_of(registrations, region->serial);
    if (entry != NULL) {
        entry_drop(entry);
        registrations->count--;
        size_t at = (size_t)(entry - registrations->entries);
        memmove(entry, entry + 1, (registrations->count - at) * sizeof *entry);
    }
    pthread_mutex_unlock(&registrations->lock);
}

static kolo_status register_device_memory(struct ibv_mr **mr, struct registrations *registrations,
                                          unsigned rail, const struct region *region)
{
    const struct device_port *port = &registrations->devices->port[rail];
    enum registration_device_memory way = device_memory(registrations, rail);
    if (way == REGISTRATION_DMABUF && region->dmabuf_fd >= 0) {
        errno = 0;
        *mr = ibv_reg_dmabuf_mr(port->pd, region->dmabuf_offset, region->bytes,
                                (uintptr_t)region->base, region->dmabuf_fd, (int)region_access());
        return *mr != NULL ? KOLO_OK : make_failed(port, region->base, region->bytes, errno);
    }
    if (way == REGISTRATION_PEER_MEMORY || registration_peer_memory("/sys")) {
        return make_quietly(mr, port, region->base, region->bytes, region_access(), true);
    }
    return fail_quietly(
        KOLO_ERR_SYSTEM,
        "%s cannot reach GPU memory: neither dma-buf (Linux 5.12 and a driver that has "
        "it) nor a peer memory module (nvidia_peermem) is there",
        port->name);
}

/* Another rail of the same device may have tried already: what came of it. False: none has. */
static bool shared_mr(struct ibv_mr **mr, const struct registrations *registrations, unsigned rail,
                      const struct entry *entry)
{
    const struct device_port *ports = registrations->devices->port;
    for (unsigned i = 0; i < registrations->devices->ports; i++) {
        if (ports[i].pd == ports[rail].pd && (entry->mr[i] != NULL || entry->refused[i])) {
            *mr = entry->mr[i];
            return true;
        }
    }
    return false;
}

static void register_region(struct registrations *registrations, unsigned rail, struct entry *entry,
                            const struct region *region)
{
    struct ibv_mr *mr = NULL;
    kolo_status status = KOLO_OK;
    if (!shared_mr(&mr, registrations, rail, entry)) {
        status = region->kind == REGION_DEVICE
                     ? register_device_memory(&mr, registrations, rail, region)
                     : make_quietly(&mr, &registrations->devices->port[rail], region->base,
                                    region->bytes, region_access(), true);
    }
    if (status != KOLO_OK) {
        log_line(LOG_WARN, "RDMA: %s; its bytes are copied instead", kolo_last_error());
        mr = NULL;
    }
    entry->mr[rail] = mr;
    entry->refused[rail] = mr == NULL;
}

static struct ibv_mr *find_slowly(struct registrations *registrations, unsigned rail,
                                  const struct region *region)
{
    struct ibv_mr *mr = NULL;
    pthread_mutex_lock(&registrations->lock);
    struct entry *entry = entry_of(registrations, region->serial);
    if (entry == NULL) {
        entry = entry_add(registrations, region->serial);
    }
    if (entry != NULL && entry->mr[rail] == NULL && !entry->refused[rail]) {
        register_region(registrations, rail, entry, region);
    }
    mr = entry != NULL ? entry->mr[rail] : NULL;
    pthread_mutex_unlock(&registrations->lock);
    return mr;
}

struct ibv_mr *registrations_find(struct registrations *registrations, unsigned rail,
                                  const void *address, size_t bytes)
{
    struct region region;
    assert(rail < registrations->devices->ports);
    if (!region_find(&region, address, bytes)) {
        return NULL;
    }
    if (registrations->last_serial[rail] != region.serial) {
        registrations->last[rail] = find_slowly(registrations, rail, &region);
        registrations->last_serial[rail] = region.serial;
    }
    return registrations->last[rail];
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

kolo_status registrations_open(struct registrations **registrations, const struct devices *devices)
{
    struct registrations *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for the registrations of RDMA devices");
    }
    made->devices = devices;
    pthread_mutex_init(&made->lock, NULL);
    kolo_status status = region_listen(forget, made);
    if (status != KOLO_OK) {
        pthread_mutex_destroy(&made->lock);
        free(made);
        return fail(status, "out of memory for the registrations of RDMA devices");
    }
    *registrations = made;
    return KOLO_OK;
}

void registrations_close(struct registrations *registrations)
{
    if (registrations == NULL) {
        return;
    }
    region_unlisten(forget, registrations);
    for (size_t i = 0; i < registrations->count; i++) {
        entry_drop(&registrations->entries[i]);
    }
    free(registrations->entries);
    pthread_mutex_destroy(&registrations->lock);
    free(registrations);
}
