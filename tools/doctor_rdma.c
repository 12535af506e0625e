/* The checks of RDMA devices and their ports. The kernel's side is read from /sys/class/infiniband; what libibverbs says of it is
 * in the view. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor_check.h"

#define GIDS_MAX 256
#define ROCE_HEADERS                                                                               \
    70 /* of RoCE v2 over IPv6: IP, UDP, transport with address and immediate, checksum */
#define MTU_BEST 4096

/* Calls `see` for each port of each device of the kernel. */
static void each_port(void (*see)(struct doctor_findings *findings, const struct doctor_view *view,
                                  const char *device, unsigned port),
                      struct doctor_findings *findings, const struct doctor_view *view)
{
    char devices[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX], ports[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    unsigned count = doctor_list(devices, view, "/sys/class/infiniband");
    for (unsigned i = 0; i < count; i++) {
        unsigned port_count =
            doctor_list(ports, view, "/sys/class/infiniband/%s/ports", devices[i]);
        for (unsigned k = 0; k < port_count; k++) {
            see(findings, view, devices[i], (unsigned)strtoul(ports[k], NULL, 10));
        }
    }
}

/* "4: ACTIVE" is state 4. */
static long long port_state(const struct doctor_view *view, const char *device, unsigned port)
{
    long long state = 0;
    doctor_read_number(&state, view, "/sys/class/infiniband/%s/ports/%u/state", device, port);
    return state;
}

#define STATE_DOWN 1
#define STATE_INIT 2
#define STATE_ACTIVE 4
#define PHYSICAL_DISABLED 3

static bool is_ethernet(const struct doctor_view *view, const char *device, unsigned port)
{
    char layer[32];
    return doctor_read(layer, sizeof layer, view, "/sys/class/infiniband/%s/ports/%u/link_layer",
                       device, port) &&
           strcmp(layer, "Ethernet") == 0;
}

/* The network interface under an Ethernet port: "" if it is not known. */
static const char *port_interface(char name[DOCTOR_NAME_MAX], const struct doctor_view *view,
                                  const char *device, unsigned port)
{
    if (!doctor_read(name, DOCTOR_NAME_MAX, view,
                     "/sys/class/infiniband/%s/ports/%u/gid_attrs/ndevs/0", device, port) &&
        !doctor_read(name, DOCTOR_NAME_MAX, view, "/sys/class/infiniband/%s/parent", device)) {
        name[0] = '\0';
    }
    return name;
}

void doctor_provider(struct doctor_findings *findings, const struct doctor_view *view)
{
    char devices[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX], driver[DOCTOR_NAME_MAX];
    unsigned count = doctor_list(devices, view, "/sys/class/infiniband");
    if (count == 0) {
        doctor_add(findings, "provider", DOCTOR_OK, "no RDMA device: peers use TCP between hosts");
        return;
    }
    if (!view->verbs_built) {
        struct doctor_finding *finding =
            doctor_add(findings, "provider", DOCTOR_WARNING,
                       "%s is an RDMA device, but this kolo was built without RDMA", devices[0]);
        doctor_why(finding, "peers talk over TCP, at a fraction of what the device can");
        doctor_cure(finding, "apt install libibverbs-dev librdmacm-dev, then build kolo with "
                             "-DKOLO_VERBS=on");
        return;
    }
    char modules[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    if (doctor_list(modules, view, "/sys/class/infiniband_verbs") == 0) {
        struct doctor_finding *finding =
            doctor_add(findings, "provider", DOCTOR_ERROR,
                       "%s is there, but no programs can reach it (no uverbs device)", devices[0]);
        doctor_why(finding, "the kernel's module for programs is not loaded: RDMA is not used");
        doctor_cure(finding, "sudo modprobe ib_uverbs rdma_ucm");
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        if (doctor_device_named(view, devices[i]) != NULL) {
            doctor_add(findings, "provider", DOCTOR_OK, "%s: libibverbs has its provider",
                       devices[i]);
            continue;
        }
        bool known = doctor_read_link(driver, sizeof driver, view,
                                      "/sys/class/infiniband/%s/device/driver", devices[i]);
        struct doctor_finding *finding =
            doctor_add(findings, "provider", DOCTOR_ERROR,
                       "the kernel has %s%s%s%s, but libibverbs does not "
                       "list it",
                       devices[i], known ? " (driver " : "", known ? driver : "", known ? ")" : "");
        doctor_why(finding, "its user-space provider library is missing or too old, so RDMA is not "
                            "used");
        doctor_cure(finding, "apt install ibverbs-providers   (RHEL: dnf install libibverbs; in a "
                             "container: in the image, too)");
    }
}

static void open_failed(struct doctor_findings *findings, const struct doctor_view *view,
                        const struct doctor_device *device)
{
    bool folder = doctor_exists(view, "/dev/infiniband");
    struct doctor_finding *finding =
        doctor_add(findings, "uverbs", DOCTOR_ERROR, "%s cannot be opened: %s%s", device->name,
                   strerror(device->open_error), folder ? "" : " (there is no /dev/infiniband)");
    doctor_why(finding, "this process may not use the device, so RDMA is not used");
    if (!folder || device->open_error == ENOENT || device->open_error == ENODEV) {
        doctor_cure(finding, "in a container: docker run --device=/dev/infiniband --ulimit "
                             "memlock=-1; on the host: sudo modprobe ib_uverbs");
    } else if (device->open_error == EACCES || device->open_error == EPERM) {
        doctor_cure(finding, "sudo chmod 666 /dev/infiniband/uverbs* /dev/infiniband/rdma_cm   (in "
                             "a container: docker run --device=/dev/infiniband)");
    } else {
        doctor_cure(finding, "dmesg | grep -i %s", device->name);
    }
}

void doctor_uverbs(struct doctor_findings *findings, const struct doctor_view *view)
{
    for (unsigned i = 0; i < view->devices; i++) {
        if (view->device[i].open_error != 0) {
            open_failed(findings, view, &view->device[i]);
        } else {
            doctor_add(findings, "uverbs", DOCTOR_OK, "%s can be opened", view->device[i].name);
        }
    }
    if (view->devices > 0 && !doctor_exists(view, "/dev/infiniband/rdma_cm")) {
        struct doctor_finding *finding =
            doctor_add(findings, "uverbs", DOCTOR_NOTE, "there is no /dev/infiniband/rdma_cm");
        doctor_why(finding, "iWARP devices and routed RoCE need it; others work without");
        doctor_cure(finding, "sudo modprobe rdma_ucm   (in a container: docker run "
                             "--device=/dev/infiniband)");
    }
}

static bool any_active(const struct doctor_view *view)
{
    char devices[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX], ports[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    unsigned count = doctor_list(devices, view, "/sys/class/infiniband");
    for (unsigned i = 0; i < count; i++) {
        unsigned port_count =
            doctor_list(ports, view, "/sys/class/infiniband/%s/ports", devices[i]);
        for (unsigned k = 0; k < port_count; k++) {
            if (port_state(view, devices[i], (unsigned)strtoul(ports[k], NULL, 10)) ==
                STATE_ACTIVE) {
                return true;
            }
        }
    }
    return false;
}

static void cure_port(struct doctor_finding *finding, const struct doctor_view *view,
                      const char *device, unsigned port)
{
    char interface[DOCTOR_NAME_MAX];
    long long physical = 0;
    doctor_read_number(&physical, view, "/sys/class/infiniband/%s/ports/%u/phys_state", device,
                       port);
    if (is_ethernet(view, device, port)) {
        port_interface(interface, view, device, port);
        doctor_cure(finding,
                    "sudo ip link set dev %s up; if it stays down: cable, transceiver, the "
                    "switch's port",
                    interface[0] != '\0' ? interface : "INTERFACE");
    } else if (physical == PHYSICAL_DISABLED) {
        doctor_cure(finding, "sudo ibportstate -C %s -P %u -D 0 %u enable", device, port, port);
    } else {
        doctor_cure(finding, "look at cable, transceiver and the switch's port: ibstat %s %u",
                    device, port);
    }
}

static void see_port(struct doctor_findings *findings, const struct doctor_view *view,
                     const char *device, unsigned port)
{
    char text[64], physical[64];
    long long state = port_state(view, device, port);
    doctor_read(text, sizeof text, view, "/sys/class/infiniband/%s/ports/%u/state", device, port);
    doctor_read(physical, sizeof physical, view, "/sys/class/infiniband/%s/ports/%u/phys_state",
                device, port);
    if (state == STATE_ACTIVE) {
        doctor_add(findings, "port", DOCTOR_OK, "%s:%u is active", device, port);
        return;
    }
    bool spare = any_active(view);
    struct doctor_finding *finding = doctor_add(
        findings, "port", spare ? DOCTOR_NOTE : DOCTOR_ERROR,
        "%s:%u is not active: state %s, physical state %s", device, port, text, physical);
    if (state == STATE_INIT && !is_ethernet(view, device, port)) {
        finding->severity = DOCTOR_ERROR;
        doctor_why(finding, "the cable works, but no subnet manager has given the port an address");
        doctor_cure(finding, "sudo systemctl start opensm   (on one host, or enable the switch's)");
        return;
    }
    doctor_why(finding, spare ? "it is not used; fine if it is a spare port"
                              : "no port of an RDMA device works, so RDMA is not used");
    cure_port(finding, view, device, port);
}

void doctor_port(struct doctor_findings *findings, const struct doctor_view *view)
{
    each_port(see_port, findings, view);
}

/* What GIDs a port has. */
struct gid_table {
    unsigned v1, v2, routable; /* entries; `routable`: RoCE v2, and no link-local address */
};

static bool is_zero_gid(const char *gid)
{
    return strspn(gid, "0:") == strlen(gid);
}

static void read_gids(struct gid_table *table, const struct doctor_view *view, const char *device,
                      unsigned port)
{
    char gid[64], type[64];
    memset(table, 0, sizeof *table);
    for (unsigned i = 0; i < GIDS_MAX; i++) {
        if (!doctor_read(gid, sizeof gid, view, "/sys/class/infiniband/%s/ports/%u/gids/%u", device,
                         port, i)) {
            return;
        }
        if (gid[0] == '\0' || is_zero_gid(gid) ||
            !doctor_read(type, sizeof type, view,
                         "/sys/class/infiniband/%s/ports/%u/gid_attrs/types/%u", device, port, i)) {
            continue; /* an empty place: reading its type is EINVAL */
        }
        bool second = strstr(type, "v2") != NULL;
        table->v2 += second ? 1 : 0;
        table->v1 += second ? 0 : 1;
        table->routable += second && strncmp(gid, "fe80:", 5) != 0 ? 1 : 0;
    }
}

static bool is_iwarp(const struct doctor_view *view, const char *device)
{
    char type[64];
    return doctor_read(type, sizeof type, view, "/sys/class/infiniband/%s/node_type", device) &&
           strstr(type, "RNIC") != NULL;
}

static void see_gids(struct doctor_findings *findings, const struct doctor_view *view,
                     const char *device, unsigned port)
{
    char interface[DOCTOR_NAME_MAX];
    struct gid_table table;
    if (port_state(view, device, port) != STATE_ACTIVE || !is_ethernet(view, device, port) ||
        is_iwarp(view, device)) {
        return;
    }
    port_interface(interface, view, device, port);
    const char *name = interface[0] != '\0' ? interface : "INTERFACE";
    read_gids(&table, view, device, port);
    struct doctor_finding *finding;
    if (table.v1 + table.v2 == 0) {
        finding =
            doctor_add(findings, "gid", DOCTOR_ERROR, "%s:%u has no address (GID)", device, port);
        doctor_why(finding, "its interface %s has no address, so no peer can reach the port", name);
        doctor_cure(finding, "sudo ip addr add ADDRESS/PREFIX dev %s", name);
    } else if (table.v2 == 0) {
        finding = doctor_add(findings, "gid", DOCTOR_WARNING,
                             "%s:%u has %u GIDs, and all are RoCE v1", device, port, table.v1);
        doctor_why(finding,
                   "RoCE v1 is not routed and does not mark congestion; peers with RoCE v2 "
                   "cannot be reached over it");
        doctor_cure(finding,
                    "sudo cma_roce_mode -d %s -p %u -m 2   (and a driver and firmware that "
                    "have RoCE v2)",
                    device, port);
    } else if (table.routable == 0) {
        finding = doctor_add(findings, "gid", DOCTOR_WARNING,
                             "%s:%u has link-local GIDs only (fe80::)", device, port);
        doctor_why(finding,
                   "peers in another subnet cannot be reached, and which interface is meant "
                   "is a guess");
        doctor_cure(finding, "sudo ip addr add ADDRESS/PREFIX dev %s", name);
    } else {
        doctor_add(findings, "gid", DOCTOR_OK, "%s:%u has %u RoCE v2 GIDs with a routable address",
                   device, port, table.routable);
    }
}

void doctor_gid(struct doctor_findings *findings, const struct doctor_view *view)
{
    each_port(see_gids, findings, view);
}

static void see_mtu(struct doctor_findings *findings, const struct doctor_view *view,
                    const char *name, unsigned port)
{
    char interface[DOCTOR_NAME_MAX];
    long long below = 0;
    const struct doctor_device *device = doctor_device_named(view, name);
    if (device == NULL || port == 0 || port > device->ports || device->active_mtu[port - 1] == 0 ||
        port_state(view, name, port) != STATE_ACTIVE) {
        return;
    }
    unsigned active = device->active_mtu[port - 1], most = device->max_mtu[port - 1];
    bool ethernet = is_ethernet(view, name, port);
    port_interface(interface, view, name, port);
    struct doctor_finding *finding;
    if (ethernet && !is_iwarp(view, name) &&
        doctor_read_number(&below, view, "/sys/class/net/%s/mtu", interface) &&
        below < (long long)active + ROCE_HEADERS) {
        finding = doctor_add(findings, "mtu", DOCTOR_ERROR,
                             "%s:%u sends packets of %u bytes and headers, but its interface %s "
                             "takes %lld",
                             name, port, active, interface, below);
        doctor_why(finding,
                   "large packets are dropped: connections come up, and large messages end "
                   "with 'retry exceeded'");
        doctor_cure(finding, "sudo ip link set dev %s mtu %u   (on all hosts, and the switch)",
                    interface, active + ROCE_HEADERS > 4200 ? 9000 : 4200);
    } else if (active < MTU_BEST && active < most) {
        finding = doctor_add(findings, "mtu", DOCTOR_NOTE,
                             "%s:%u sends packets of %u bytes, and could send %u", name, port,
                             active, most);
        doctor_why(finding,
                   "each packet carries about 60 bytes of headers, and costs devices work");
        doctor_cure(finding,
                    ethernet ? "sudo ip link set dev %s mtu 9000   (on all hosts, and the switch)"
                             : "set the subnet manager's MTU to 4096 (opensm: partitions.conf, "
                               "mtu=5)%.0s",
                    interface[0] != '\0' ? interface : "INTERFACE");
    } else {
        doctor_add(findings, "mtu", DOCTOR_OK, "%s:%u sends packets of %u bytes", name, port,
                   active);
    }
}

void doctor_rdma_mtu(struct doctor_findings *findings, const struct doctor_view *view)
{
    each_port(see_mtu, findings, view);
}
