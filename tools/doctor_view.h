/* doctor_view: a host as `kolo doctor` sees it. What the kernel writes into /proc and /sys is read when it is asked for, below
 * `root`, so that a test can put up a host of its own; what needs a call (addresses, rates, RDMA devices, names) is in the
 * structure, filled in by doctor_view_read() or by the test. */
#ifndef KOLO_TOOLS_DOCTOR_VIEW_H
#define KOLO_TOOLS_DOCTOR_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/tcp/interface.h"

#define DOCTOR_LINKS_MAX 64
#define DOCTOR_DEVICES_MAX 32
#define DOCTOR_DEVICE_PORTS_MAX 4
#define DOCTOR_HOST_ADDRESSES_MAX 8
#define DOCTOR_NAME_MAX 64 /* of an entry of a folder; longer ones are left out */
#define DOCTOR_NAMES_MAX 256

/** A network interface as its driver tells (ethtool). */
struct doctor_link {
    char name[IF_NAMESIZE];
    uint32_t speed_Mbps;     /* 0: unknown, or no carrier */
    uint32_t supported_Mbps; /* the fastest mode that it has; 0: unknown */
};

/** A device as libibverbs lists it: one whose provider library was found. */
struct doctor_device {
    char name[DOCTOR_NAME_MAX];
    int open_error; /* errno of opening it; 0: it opens */
    unsigned ports;
    unsigned active_mtu[DOCTOR_DEVICE_PORTS_MAX]; /* bytes; port 1 first */
    unsigned max_mtu[DOCTOR_DEVICE_PORTS_MAX];
};

struct doctor_view {
    const char *root;              /* "", or a folder that stands for / */
    const char *topology_xml;      /* hwloc's description of the machine; NULL: this one */
    const char *binding;           /* processors of this process, "0-3,8"; NULL: ask */
    const char *interfaces_wanted; /* KOLO_INTERFACES; NULL: not set */
    struct interface address[INTERFACES_MAX];
    unsigned prefix_bits[INTERFACES_MAX]; /* of the address's network */
    unsigned addresses;
    struct doctor_link link[DOCTOR_LINKS_MAX];
    unsigned links;
    bool verbs_built; /* this program knows RDMA */
    struct doctor_device device[DOCTOR_DEVICES_MAX];
    unsigned devices;
    uint64_t shm_bytes; /* of /dev/shm; 0: there is none */
    int memfd_error;    /* errno of making one; 0: it works */
    char host[256];     /* what the host calls itself */
    struct port_address host_address[DOCTOR_HOST_ADDRESSES_MAX]; /* what that name resolves to */
    unsigned host_addresses;
    unsigned processors; /* that this process may run on, the quota not counted */
};

/** Look at this host. Names may take seconds to resolve. Out: view, all of it. Main thread. */
void doctor_view_read(struct doctor_view *view);

/** The parts of doctor_view_read() that ask libibverbs (nothing without RDMA in this build), and the network. */
void doctor_view_read_verbs(struct doctor_view *view);
void doctor_view_read_network(struct doctor_view *view);

/** A small file's text without the newline at its end, cut to `bytes`. False if it cannot be read. The path is a format. */
bool doctor_read(char *text, size_t bytes, const struct doctor_view *view, const char *path, ...)
    __attribute__((format(printf, 4, 5)));

/** A file that begins with a whole number. False if there is none. */
bool doctor_read_number(long long *number, const struct doctor_view *view, const char *path, ...)
    __attribute__((format(printf, 3, 4)));

bool doctor_exists(const struct doctor_view *view, const char *path, ...)
    __attribute__((format(printf, 2, 3)));

/** The last part of what a symbolic link points to. False if it is none. */
bool doctor_read_link(char *name, size_t bytes, const struct doctor_view *view, const char *path,
                      ...) __attribute__((format(printf, 4, 5)));

/** The entries of a folder in alphabetical order, without hidden ones; at most DOCTOR_NAMES_MAX. Returns how many. */
unsigned doctor_list(char names[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX], const struct doctor_view *view,
                     const char *path, ...) __attribute__((format(printf, 3, 4)));

/** The device as libibverbs lists it; NULL if it does not. */
const struct doctor_device *doctor_device_named(const struct doctor_view *view, const char *name);

/** What ethtool tells of an interface; NULL if nothing. */
const struct doctor_link *doctor_link_named(const struct doctor_view *view, const char *name);

/** A network interface that stands for no wire of its own: a bridge with only virtual ports, a tunnel. */
enum doctor_virtual { DOCTOR_PHYSICAL = 0, DOCTOR_BRIDGE, DOCTOR_TUNNEL, DOCTOR_WIRELESS };
enum doctor_virtual doctor_interface_kind(const struct doctor_view *view, const char *name);

#endif
