/* device: which RDMA devices of this host are used, which port of each, and under which address (GID) it is reached. Opens them,
 * and knows what they can do. Used by the transport and by the tools that measure links; not a place for queue pairs. */
#ifndef KOLO_VERBS_DEVICE_H
#define KOLO_VERBS_DEVICE_H

#include <infiniband/verbs.h>
#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_RAILS_MAX 4 /* ports, or queue pairs on them, that one link can be spread over */
#define DEVICE_REASON_BYTES 192

/** What the user asked for. Zero-initialise, then set gid_index to -1: everything is chosen. */
struct device_wish {
    const char *
        names; /* "mlx5_0", "mlx5_0:1,mlx5_1:2": ports in this order; NULL: all that are up. Borrowed */
    unsigned
        queue_pairs; /* of a link on each port: where one cannot fill it, or to spread over paths; 0: 1 */
    int gid_index; /* -1: RoCE v2 with a routable address first, then other RoCE v2, then RoCE v1, InfiniBand: 0 */
};

/** One port of an open device. */
struct device_port {
    struct ibv_context *context; /* several ports may share one: closed once */
    struct ibv_pd *pd;           /* as above */
    char name[IBV_SYSFS_NAME_MAX];
    uint8_t number; /* from 1 */
    uint8_t gid_index;
    bool
        ethernet; /* RoCE or iWARP: reached by GID; else InfiniBand, by LID and, where routed, GID */
    bool iwarp;   /* only rdma_cm can connect it; no immediates */
    bool roce_v2; /* the GID's type; else v1, or no RoCE at all */
    bool grh;     /* InfiniBand: the port demands a global route header */
    uint16_t lid;
    union ibv_gid gid;
    enum ibv_mtu mtu; /* active */
    uint64_t
        rate_Bps; /* of the port, one direction: active speed x width, coding taken off; 0: unknown */
    int numa_node;      /* -1: unknown */
    uint32_t interface; /* index of the network interface behind the GID; 0: none, or unknown */
    struct ibv_device_attr limits;
    char reason[DEVICE_REASON_BYTES]; /* why this port and this GID: one line */
};

/** Where a link has several queue pairs on a port, that port stands here as often: first all ports once, then all again. */
struct devices {
    struct device_port port[DEVICE_RAILS_MAX];
    unsigned ports;
};

/** Open every port wished for that is up; unnamed, the fastest of the host, DEVICE_RAILS_MAX / queue_pairs of them. What was opened and why is logged
 *  at info level. None found is no error when nothing was named: ports is then 0, and the log says at debug level why.
 *  Returns KOLO_OK; KOLO_ERR_ARGUMENT (a name that is none: names those that exist; a GID index that is empty: lists the GIDs);
 *  KOLO_ERR_LIMIT (more queue pairs on the ports named, or asked for, than DEVICE_RAILS_MAX); KOLO_ERR_SYSTEM (a named port is down, the device cannot be opened:
 *  with the cure); KOLO_ERR_MEMORY. Out: devices, for devices_close() in any case. Any thread.
 *
 *  Nothing need be done about fork(): since Linux 5.12 a child gets copies of pages that a device has pinned, so the parent
 *  keeps its own; ibv_fork_init() would split huge pages and make every registration a madvise(). On older kernels
 *  programs that fork() set RDMAV_FORK_SAFE=1, which libibverbs reads. */
kolo_status devices_open(struct devices *devices, const struct device_wish *wish);
void devices_close(struct devices *devices);

/** "rxe0:1, RoCE v2, GID 1 (10.77.0.1), MTU 4096, 2.5 GB/s" for logs and tools. Returns `text`. */
const char *device_describe(char *text, size_t bytes, const struct device_port *port);

#endif
