/* Protection domains and memory regions: who may touch which bytes under which key. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/transport/verbs/fake/world.h"

#define REMOTE_KEY 0x80000000u /* remote keys differ from local ones, so that a mix-up shows */
#define KEY_GENERATION_BITS 8
#define KNOWN_ACCESS                                                                               \
    (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |                   \
     IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND | IBV_ACCESS_HUGETLB |                          \
     IBV_ACCESS_RELAXED_ORDERING)

struct ibv_pd *ibv_alloc_pd(struct ibv_context *ibv)
{
    struct context *context = context_of(ibv);
    struct hca *hca = context->hca;
    struct domain *domain = calloc(1, sizeof *domain);
    world_lock();
    int error = domain == NULL ? ENOMEM : world_verb(FAKE_VERB_ALLOC_PD, hca);
    if (error == 0 && hca->counted_pds >= (unsigned)hca->shape.limits.max_pd) {
        error = ENOMEM;
    }
    if (error == 0) {
        domain->pd.context = ibv;
        domain->pd.handle = hca->counted_pds++;
        object_open(&domain->object, "protection domain of device", hca->index);
        object_needs(&domain->object, &context->object);
    }
    world_unlock();
    if (error != 0) {
        free(domain);
        errno = error;
        return NULL;
    }
    return &domain->pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
    struct domain *domain = WORLD_OWNER(pd, struct domain, pd);
    world_lock();
    int error = object_close(&domain->object);
    if (error == 0) {
        context_of(pd->context)->hca->counted_pds--;
    }
    world_unlock();
    if (error == 0) {
        free(domain);
    }
    return error;
}

/* Is there memory at all? Asked of the kernel, since a device would be told. */
static bool is_mapped(const void *address, size_t bytes)
{
    enum { PAGES = 1024 };
    static unsigned char resident[PAGES]; /* under the lock */
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)address & ~(page - 1), to = (uintptr_t)address + bytes;
    for (; from < to; from += PAGES * page) {
        size_t span = to - from < PAGES * page ? to - from : PAGES * page;
        if (mincore((void *)from, span, resident) != 0) {
            return false;
        }
    }
    return true;
}

static bool is_device_memory(const void *address, size_t bytes)
{
    uintptr_t from = (uintptr_t)address, base = (uintptr_t)world.device_memory;
    return world.device_memory != NULL && from < base + world.device_memory_bytes &&
           base < from + bytes;
}

/* What registering would fail with, whatever the memory is. */
static int region_refused(const struct hca *hca, size_t bytes, unsigned access)
{
    const unsigned writes = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC;
    if ((access & ~(unsigned)KNOWN_ACCESS) != 0 ||
        ((access & writes) != 0 && (access & IBV_ACCESS_LOCAL_WRITE) == 0) || bytes == 0) {
        return EINVAL;
    }
    if (bytes > hca->shape.limits.max_mr_size) {
        return EINVAL;
    }
    if (hca->counted_mrs >= (unsigned)hca->shape.limits.max_mr) {
        return ENOMEM;
    }
    uint64_t limit = hca->shape.pinned_bytes_max;
    return limit != 0 && hca->pinned_bytes + bytes > limit ? ENOMEM : 0;
}

/* Give it keys and a place in the table. False: the table is full. */
static bool region_enter(struct region *region)
{
    for (uint32_t i = 0; i < WORLD_REGIONS_MAX; i++) {
        uint32_t serial = ++world.region_serial, index = serial % WORLD_REGIONS_MAX;
        if (world.region[index] == NULL) {
            uint32_t generation =
                (serial / WORLD_REGIONS_MAX + 1) & ((1u << KEY_GENERATION_BITS) - 1);
            world.region[index] = region;
            region->mr.lkey = index << KEY_GENERATION_BITS | generation;
            region->mr.rkey = region->mr.lkey | REMOTE_KEY;
            region->mr.handle = index;
            return true;
        }
    }
    return false;
}

static int region_make(struct region *region, struct ibv_pd *pd, void *address, size_t bytes,
                       uint64_t iova, uint8_t *host, unsigned access)
{
    struct hca *hca = context_of(pd->context)->hca;
    int error = region_refused(hca, bytes, access);
    if (error != 0) {
        return error;
    }
    region->mr.context = pd->context;
    region->mr.pd = pd;
    region->mr.addr = address;
    region->mr.length = bytes;
    region->iova = iova;
    region->host = host;
    region->access = access;
    if (!region_enter(region)) {
        return ENOMEM;
    }
    hca->counted_mrs++;
    hca->pinned_bytes += bytes;
    object_open(&region->object, "memory region", region->mr.lkey);
    object_needs(&region->object, &WORLD_OWNER(pd, struct domain, pd)->object);
    return 0;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *address, size_t bytes, uint64_t iova,
                                unsigned int access)
{
    const struct hca *hca = context_of(pd->context)->hca;
    struct region *region = calloc(1, sizeof *region);
    world_lock();
    int error = region == NULL ? ENOMEM : world_verb(FAKE_VERB_REG_MR, hca);
    if (error == 0 && is_device_memory(address, bytes)) {
        error = hca->shape.peer_memory ? 0 : EFAULT;
    } else if (error == 0 && !is_mapped(address, bytes)) {
        error = EFAULT;
    }
    if (error == 0) {
        error = region_make(region, pd, address, bytes, iova, address, access);
    }
    world_unlock();
    if (error != 0) {
        free(region);
        errno = error;
        return NULL;
    }
    return &region->mr;
}

struct ibv_mr *(ibv_reg_mr)(struct ibv_pd *pd, void *address, size_t bytes, int access)
{
    return ibv_reg_mr_iova2(pd, address, bytes, (uintptr_t)address, (unsigned)access);
}

struct ibv_mr *(ibv_reg_mr_iova)(struct ibv_pd *pd, void *address, size_t bytes, uint64_t iova,
                                 int access)
{
    return ibv_reg_mr_iova2(pd, address, bytes, iova, (unsigned)access);
}

/* Map what the descriptor stands for, from the page that holds `offset` on. Returns an errno. */
static int dmabuf_map(struct region *region, uint64_t offset, size_t bytes, int fd, unsigned access)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), skip = offset % page;
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0 || offset > (uint64_t)end || bytes > (uint64_t)end - offset) {
        return EINVAL;
    }
    region->mapping_bytes = skip + bytes;
    int protection = PROT_READ | ((access & IBV_ACCESS_LOCAL_WRITE) != 0 ? PROT_WRITE : 0);
    void *mapping =
        mmap(NULL, region->mapping_bytes, protection, MAP_SHARED, fd, (off_t)(offset - skip));
    if (mapping == MAP_FAILED) {
        return errno;
    }
    region->mapping = mapping;
    region->host = (uint8_t *)mapping + skip;
    return 0;
}

/* In the order in which the kernel looks: no support is told before a bad descriptor. */
static int dmabuf_make(struct region *region, struct ibv_pd *pd, uint64_t offset, size_t bytes,
                       uint64_t iova, int fd, unsigned access)
{
    const struct hca *hca = context_of(pd->context)->hca;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (!hca->shape.dmabuf) {
        return EOPNOTSUPP;
    }
    if (offset % page != iova % page || bytes == 0) {
        return EINVAL;
    }
    if (fcntl(fd, F_GETFD) < 0) {
        return EBADF;
    }
    int error = dmabuf_map(region, offset, bytes, fd, access);
    if (error == 0) {
        error = region_make(region, pd, NULL, bytes, iova, region->host, access);
    }
    if (error != 0 && region->mapping != NULL) {
        munmap(region->mapping, region->mapping_bytes);
    }
    return error;
}

struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t bytes, uint64_t iova,
                                 int fd, int access)
{
    const struct hca *hca = context_of(pd->context)->hca;
    struct region *region = calloc(1, sizeof *region);
    world_lock();
    int error = region == NULL ? ENOMEM : world_verb(FAKE_VERB_REG_DMABUF_MR, hca);
    if (error == 0) {
        error = dmabuf_make(region, pd, offset, bytes, iova, fd, (unsigned)access);
    }
    world_unlock();
    if (error != 0) {
        free(region);
        errno = error;
        return NULL;
    }
    return &region->mr;
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
    struct region *region = WORLD_OWNER(mr, struct region, mr);
    world_lock();
    int error = object_close(&region->object);
    if (error == 0) {
        struct hca *hca = context_of(mr->context)->hca;
        hca->counted_mrs--;
        hca->pinned_bytes -= mr->length;
        world.region[mr->handle] = NULL;
    }
    world_unlock();
    if (error == 0) {
        if (region->mapping != NULL) {
            munmap(region->mapping, region->mapping_bytes);
        }
        free(region);
    }
    return error;
}

static bool region_reach(struct stretch *stretch, const struct ibv_pd *pd, uint32_t key,
                         uint64_t address, uint64_t bytes, unsigned access, bool remote)
{
    const struct region *region =
        world.region[(key & ~REMOTE_KEY) >> KEY_GENERATION_BITS & (WORLD_REGIONS_MAX - 1)];
    if (region == NULL || (remote ? region->mr.rkey : region->mr.lkey) != key ||
        region->mr.pd != pd || (region->access & access) != access || address < region->iova ||
        bytes > region->mr.length || address - region->iova > region->mr.length - bytes) {
        return false;
    }
    *stretch = (struct stretch){region->host + (address - region->iova), bytes};
    return true;
}

bool region_local(struct stretch *stretch, const struct ibv_pd *pd, const struct ibv_sge *sge,
                  unsigned sges, unsigned access)
{
    for (unsigned i = 0; i < sges; i++) {
        stretch[i] = (struct stretch){NULL, 0};
        if (sge[i].length > 0 && !region_reach(&stretch[i], pd, sge[i].lkey, sge[i].addr,
                                               sge[i].length, access, false)) {
            return false;
        }
    }
    return true;
}

/* Nothing is looked at when there are no bytes: volume 1, 9.7.4.1.3. */
bool region_remote(struct stretch *stretch, const struct ibv_pd *pd, uint32_t rkey,
                   uint64_t address, uint64_t bytes, unsigned access)
{
    *stretch = (struct stretch){NULL, 0};
    return bytes == 0 || region_reach(stretch, pd, rkey, address, bytes, access, true);
}
