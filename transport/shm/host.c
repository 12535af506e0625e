#include "transport/shm/host.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_boot(uint8_t boot[SHM_BOOT_BYTES])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t got = read(fd, boot, SHM_BOOT_BYTES);
    close(fd);
    return got == SHM_BOOT_BYTES;
}

static bool read_namespace(struct shm_namespace *space, const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        return false;
    }
    space->device = (uint64_t)about.st_dev;
    space->inode = (uint64_t)about.st_ino;
    return true;
}

void shm_host_read(struct shm_host *host)
{
    memset(host, 0, sizeof *host);
    host->uid = (uint32_t)geteuid();
    host->known = read_boot(host->boot) && read_namespace(&host->network, "/proc/self/ns/net") &&
                  read_namespace(&host->user, "/proc/self/ns/user");
}

static bool same_namespace(const struct shm_namespace *a, const struct shm_namespace *b)
{
    return a->device == b->device && a->inode == b->inode;
}

bool shm_host_same(const struct shm_host *a, const struct shm_host *b)
{
    return a->known && b->known && memcmp(a->boot, b->boot, SHM_BOOT_BYTES) == 0 &&
           same_namespace(&a->network, &b->network) && same_namespace(&a->user, &b->user) &&
           a->uid == b->uid;
}

void shm_host_put(struct wire_writer *writer, const struct shm_host *host)
{
    wire_put_u8(writer, host->known);
    wire_put_bytes(writer, host->boot, SHM_BOOT_BYTES);
    wire_put_u64(writer, host->network.device);
    wire_put_u64(writer, host->network.inode);
    wire_put_u64(writer, host->user.device);
    wire_put_u64(writer, host->user.inode);
    wire_put_u32(writer, host->uid);
}

void shm_host_get(struct wire_reader *reader, struct shm_host *host)
{
    host->known = wire_get_u8(reader) == 1;
    wire_get_bytes(reader, host->boot, SHM_BOOT_BYTES);
    host->network.device = wire_get_u64(reader);
    host->network.inode = wire_get_u64(reader);
    host->user.device = wire_get_u64(reader);
    host->user.inode = wire_get_u64(reader);
    host->uid = wire_get_u32(reader);
}
