/* host: which machine, and which of its walls (namespaces, users) this process lives in. Two processes can share memory if
 * all of it is the same. Host names and addresses say nothing: containers share them, and clones of machines do. */
#ifndef KOLO_TRANSPORT_SHM_HOST_H
#define KOLO_TRANSPORT_SHM_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/wire.h"

#define SHM_BOOT_BYTES 36 /* a UUID as text, new with every start of the kernel */

/** A namespace's identity on one kernel. */
struct shm_namespace {
    uint64_t device;
    uint64_t inode;
};

struct shm_host {
    uint8_t boot[SHM_BOOT_BYTES];
    struct shm_namespace network; /* names of abstract sockets are known in one network namespace */
    struct shm_namespace user;    /* user ids mean the same in one user namespace */
    uint32_t uid;                 /* effective */
    bool known;                   /* false: /proc does not say; then it is like no other */
};

/** Find out about this process. Does not fail: see `known`. */
void shm_host_read(struct shm_host *host);

/** Can processes there and here share memory, as far as one can tell? */
bool shm_host_same(const struct shm_host *a, const struct shm_host *b);

void shm_host_put(struct wire_writer *writer, const struct shm_host *host);
void shm_host_get(struct wire_reader *reader, struct shm_host *host);

#endif
