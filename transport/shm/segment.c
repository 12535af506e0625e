#include "transport/shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/status.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; some hosts allow no other kind */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static size_t whole_pages(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static kolo_status map(void **memory, int fd, size_t bytes, int protection)
{
    void *place = mmap(NULL, whole_pages(bytes), protection, MAP_SHARED, fd, 0);
    if (place == MAP_FAILED) {
        return fail(KOLO_ERR_SYSTEM, "mmap of %zu bytes of shared memory failed: %s", bytes,
                    strerror(errno));
    }
    *memory = place;
    return KOLO_OK;
}

static int open_memory(void)
{
    int fd = memfd_create("kolo", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) {
        fd = memfd_create("kolo", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    return fd;
}

static kolo_status sizing_failed(size_t bytes)
{
    return fail(KOLO_ERR_SYSTEM, "sizing and sealing %zu bytes of shared memory failed: %s", bytes,
                strerror(errno));
}

/* Sealing comes last: what is sealed against writing must have been mapped before. */
static kolo_status size_map_seal(void **memory, int fd, size_t bytes, bool shown)
{
    if (ftruncate(fd, (off_t)whole_pages(bytes)) != 0) {
        return sizing_failed(bytes);
    }
    kolo_status status = map(memory, fd, bytes, PROT_READ | PROT_WRITE);
    if (status != KOLO_OK) {
        return status;
    }
    bool sealed = shown && fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_FUTURE_WRITE) == 0;
    if (!sealed && fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
        status = sizing_failed(bytes);
        shm_segment_unmap(*memory, bytes);
    }
    return status;
}

static kolo_status create(int *fd, void **memory, size_t bytes, bool shown)
{
    int made = open_memory();
    if (made < 0) {
        return fail(KOLO_ERR_SYSTEM, "memfd_create failed: %s; KOLO_TRANSPORT=tcp does without",
                    strerror(errno));
    }
    kolo_status status = size_map_seal(memory, made, bytes, shown);
    if (status != KOLO_OK) {
        close(made);
        return status;
    }
    *fd = made;
    return KOLO_OK;
}

kolo_status shm_segment_create(int *fd, void **memory, size_t bytes)
{
    return create(fd, memory, bytes, false);
}

kolo_status shm_segment_create_shown(int *fd, void **memory, size_t bytes)
{
    return create(fd, memory, bytes, true);
}

static kolo_status map_of_peer(void **memory, int fd, size_t bytes, int protection)
{
    struct stat about;
    int seals = fcntl(fd, F_GET_SEALS);
    bool sane = seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &about) == 0 &&
                about.st_size == (off_t)whole_pages(bytes);
    if (!sane) {
        return fail_quietly(KOLO_ERR_PROTOCOL,
                            "the peer's shared memory is not a sealed segment "
                            "of %zu bytes",
                            bytes);
    }
    return map(memory, fd, bytes, protection);
}

kolo_status shm_segment_map(void **memory, int fd, size_t bytes)
{
    return map_of_peer(memory, fd, bytes, PROT_READ | PROT_WRITE);
}

kolo_status shm_segment_map_shown(const void **memory, int fd, size_t bytes)
{
    void *place = NULL;
    kolo_status status = map_of_peer(&place, fd, bytes, PROT_READ);
    *memory = place;
    return status;
}

void shm_segment_unmap(const void *memory, size_t bytes)
{
    if (memory) {
        munmap((void *)(uintptr_t)memory, whole_pages(bytes));
    }
}
