/* registration: makes memory known to devices. A cache of registrations of *regions* (runtime/base/region.h): memory that kolo_alloc()
 * gave or the user registered, of which kolo knows when it goes; other pointers are never registered, because nobody tells when
 * free() or munmap() takes the pages away, and a stale registration would send old bytes. Those are copied through slots. */
#ifndef KOLO_VERBS_REGISTRATION_H
#define KOLO_VERBS_REGISTRATION_H

#include <infiniband/verbs.h>
#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/region.h"
#include "transport/verbs/device.h"

struct registrations; /* of one transport: all its devices */

/** `devices` is borrowed for life. KOLO_ERR_MEMORY. */
kolo_status registrations_open(struct registrations **registrations, const struct devices *devices);
void registrations_close(struct registrations *registrations); /* NULL is allowed */

/** The registration, on the device of port `rail`, of the region that holds [address, address + bytes): all of the region, made
 *  now if need be (the first time blocks while its pages are locked). NULL if the memory is no region, or cannot be
 *  registered (logged once a region, with limit and cure): then the caller copies. Local and remote write and remote read, with
 *  relaxed ordering. Valid until the region goes or registrations_close(). Calls are serialised by the caller; regions may
 *  go in any thread. */
struct ibv_mr *registrations_find(struct registrations *registrations, unsigned rail,
                                  const void *address, size_t bytes);

/** Register memory of our own (slots), with relaxed ordering where `relaxed` and the device allows it. KOLO_ERR_SYSTEM: names the limit
 *  (RLIMIT_MEMLOCK with its value, the cgroup's rdma.max, the device's max_mr or max_mr_size) and the cure. Undone by ibv_dereg_mr(). */
kolo_status registration_make(struct ibv_mr **mr, const struct device_port *port, void *address,
                              size_t bytes, unsigned access, bool relaxed);

/** Device (GPU) memory: how it can be registered. Found by trying, once a device. */
enum registration_device_memory {
    REGISTRATION_NONE = 0 /* stage through the host */,
    REGISTRATION_DMABUF,
    REGISTRATION_PEER_MEMORY
};
enum registration_device_memory registration_probe(const struct device_port *port);

/** Is a module loaded through which plain ibv_reg_mr() takes GPU pointers? `root`: where sysfs is mounted. */
bool registration_peer_memory(const char *root);

#endif
