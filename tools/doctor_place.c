/* The check of what is near what: network devices and the processors that this process may use, GPUs and network devices. */
#include <hwloc.h>
#include <stdio.h>
#include <string.h>

#include "tools/doctor_check.h"

#define PCI_DISPLAY 0x03 /* the class of GPUs, upper byte */
#define VENDOR_NVIDIA 0x10de
#define VENDOR_AMD 0x1002
#define SET_TEXT_MAX 64

/* What the kernel tells is enough. These ask display servers (at any length, behind a firewall), start the run-time libraries of
 * GPUs, or read names of devices that nobody asks for. */
static void leave_out(hwloc_topology_t machine)
{
#if HWLOC_API_VERSION >= 0x00020100
    static const char *const components[] = {"pci",  "gl",   "opencl",   "cuda",
                                             "nvml", "rsmi", "levelzero"};
    for (size_t i = 0; i < sizeof components / sizeof components[0]; i++) {
        (void)hwloc_topology_set_components(machine, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST,
                                            components[i]);
    }
#else
    (void)machine;
#endif
}

/* The machine, with its devices. NULL if hwloc cannot read it. */
static hwloc_topology_t load(const struct doctor_view *view)
{
    hwloc_topology_t machine;
    if (hwloc_topology_init(&machine) != 0) {
        return NULL;
    }
    leave_out(machine);
    if ((view->topology_xml != NULL && hwloc_topology_set_xml(machine, view->topology_xml) != 0) ||
        hwloc_topology_set_io_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_ALL) != 0 ||
        hwloc_topology_load(machine) != 0) {
        hwloc_topology_destroy(machine);
        return NULL;
    }
    return machine;
}

/* Where this process may run. NULL if that is not known. */
static hwloc_bitmap_t read_binding(hwloc_topology_t machine, const struct doctor_view *view)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    int found = set == NULL ? -1 : 0;
    if (found == 0 && view->binding != NULL) {
        found = hwloc_bitmap_list_sscanf(set, view->binding);
    } else if (found == 0 && hwloc_topology_is_thissystem(machine)) {
        found = hwloc_get_cpubind(machine, set, HWLOC_CPUBIND_PROCESS);
    } else if (found == 0) {
        found = hwloc_bitmap_copy(set, hwloc_topology_get_allowed_cpuset(machine));
    }
    if (found != 0) {
        hwloc_bitmap_free(set);
        return NULL;
    }
    return set;
}

/* "1" or "0-1": the memory that a device is at. */
static const char *node_text(char text[SET_TEXT_MAX], hwloc_const_bitmap_t nodes)
{
    hwloc_bitmap_list_snprintf(text, SET_TEXT_MAX, nodes);
    return text;
}

static bool is_rdma(hwloc_obj_t device)
{
    return device->type == HWLOC_OBJ_OS_DEVICE &&
           device->attr->osdev.type == HWLOC_OBJ_OSDEV_OPENFABRICS;
}

/* A network interface that is up and has an address. */
static bool is_network(hwloc_obj_t device, const struct doctor_view *view)
{
    if (device->type != HWLOC_OBJ_OS_DEVICE ||
        device->attr->osdev.type != HWLOC_OBJ_OSDEV_NETWORK || device->name == NULL) {
        return false;
    }
    for (unsigned i = 0; i < view->addresses; i++) {
        if (view->address[i].up && strcmp(view->address[i].name, device->name) == 0) {
            return true;
        }
    }
    return false;
}

static void check_near(struct doctor_findings *findings, hwloc_topology_t machine,
                       hwloc_const_bitmap_t binding, hwloc_obj_t device)
{
    char nodes[SET_TEXT_MAX], own[SET_TEXT_MAX];
    hwloc_obj_t place = hwloc_get_non_io_ancestor_obj(machine, device);
    if (hwloc_bitmap_intersects(place->cpuset, binding)) {
        doctor_add(findings, "place", DOCTOR_OK,
                   "%s is at NUMA node %s, whose processors may be used", device->name,
                   node_text(nodes, place->nodeset));
        return;
    }
    hwloc_bitmap_list_snprintf(own, sizeof own, binding);
    struct doctor_finding *finding = doctor_add(
        findings, "place", DOCTOR_WARNING,
        "%s is at NUMA node %s, but this process may only use processors %s, at other nodes",
        device->name, node_text(nodes, place->nodeset), own);
    doctor_why(finding, "every byte crosses between processors: less bandwidth, more latency");
    doctor_cure(finding,
                "numactl --cpunodebind=%s --membind=%s COMMAND   (Slurm: --cpu-bind; "
                "Kubernetes: the topology manager)",
                nodes, nodes);
}

static bool is_ancestor(hwloc_obj_t above, hwloc_obj_t below)
{
    while (below != NULL && below != above) {
        below = below->parent;
    }
    return below != NULL;
}

enum distance { UNDER_ONE_SWITCH = 0, AT_ONE_NODE, BETWEEN_NODES, NO_DEVICE };

static enum distance measure(hwloc_topology_t machine, hwloc_obj_t gpu, hwloc_obj_t device)
{
    hwloc_obj_t shared = gpu;
    while (!is_ancestor(shared, device)) {
        shared = shared->parent;
    }
    if (shared->type == HWLOC_OBJ_PCI_DEVICE ||
        (shared->type == HWLOC_OBJ_BRIDGE &&
         shared->attr->bridge.upstream_type == HWLOC_OBJ_BRIDGE_PCI)) {
        return UNDER_ONE_SWITCH;
    }
    hwloc_obj_t one = hwloc_get_non_io_ancestor_obj(machine, gpu);
    hwloc_obj_t other = hwloc_get_non_io_ancestor_obj(machine, device);
    return hwloc_bitmap_intersects(one->nodeset, other->nodeset) ? AT_ONE_NODE : BETWEEN_NODES;
}

/* The device nearest to the GPU: RDMA devices, or network interfaces where there are none. */
static enum distance find_nearest(hwloc_obj_t *nearest, hwloc_topology_t machine, hwloc_obj_t gpu,
                                  const struct doctor_view *view, bool rdma)
{
    enum distance best = NO_DEVICE;
    for (hwloc_obj_t at = hwloc_get_next_osdev(machine, NULL); at != NULL;
         at = hwloc_get_next_osdev(machine, at)) {
        if (rdma ? !is_rdma(at) : !is_network(at, view)) {
            continue;
        }
        enum distance distance = measure(machine, gpu, at);
        if (distance < best) {
            best = distance;
            *nearest = at;
        }
    }
    return best;
}

static bool is_gpu(hwloc_obj_t device)
{
    const struct hwloc_pcidev_attr_s *pci = &device->attr->pcidev;
    return pci->class_id >> 8 == PCI_DISPLAY &&
           (pci->vendor_id == VENDOR_NVIDIA || pci->vendor_id == VENDOR_AMD);
}

static void check_gpu(struct doctor_findings *findings, hwloc_topology_t machine, hwloc_obj_t gpu,
                      const struct doctor_view *view, bool rdma)
{
    char bus[32], nodes[SET_TEXT_MAX], other[SET_TEXT_MAX];
    hwloc_obj_t nearest = NULL;
    const struct hwloc_pcidev_attr_s *pci = &gpu->attr->pcidev;
    enum distance distance = find_nearest(&nearest, machine, gpu, view, rdma);
    snprintf(bus, sizeof bus, "%04x:%02x:%02x.%x", (unsigned)pci->domain, pci->bus, pci->dev,
             pci->func);
    if (distance == NO_DEVICE) {
        return;
    }
    node_text(nodes, hwloc_get_non_io_ancestor_obj(machine, gpu)->nodeset);
    node_text(other, hwloc_get_non_io_ancestor_obj(machine, nearest)->nodeset);
    struct doctor_finding *finding;
    if (distance == UNDER_ONE_SWITCH) {
        doctor_add(findings, "place", DOCTOR_OK, "GPU %s and %s are under one PCIe switch", bus,
                   nearest->name);
        return;
    }
    if (distance == AT_ONE_NODE) {
        finding = doctor_add(findings, "place", DOCTOR_NOTE,
                             "GPU %s and %s are at NUMA node %s, but under no common PCIe switch",
                             bus, nearest->name, nodes);
        doctor_why(finding, "what goes directly between them passes the processor's root complex, "
                            "which some processors do slowly");
        doctor_cure(finding,
                    "lstopo   (put GPU and card under one switch, if the machine has one)");
        return;
    }
    finding = doctor_add(findings, "place", DOCTOR_WARNING,
                         "GPU %s is at NUMA node %s, and no network device is: the nearest, %s, is "
                         "at node %s",
                         bus, nodes, nearest->name, other);
    doctor_why(finding, "what the GPU sends crosses between processors: less bandwidth, and no "
                        "direct transfers on many machines");
    doctor_cure(finding,
                "lstopo   (move the card to a slot of node %s, or use a GPU at node %s: "
                "CUDA_VISIBLE_DEVICES)",
                nodes, other);
}

static void check_devices(struct doctor_findings *findings, hwloc_topology_t machine,
                          hwloc_const_bitmap_t binding, const struct doctor_view *view)
{
    bool rdma = false;
    for (hwloc_obj_t at = hwloc_get_next_osdev(machine, NULL); at != NULL;
         at = hwloc_get_next_osdev(machine, at)) {
        rdma = rdma || is_rdma(at);
        if (is_rdma(at) || is_network(at, view)) {
            check_near(findings, machine, binding, at);
        }
    }
    for (hwloc_obj_t at = hwloc_get_next_pcidev(machine, NULL); at != NULL;
         at = hwloc_get_next_pcidev(machine, at)) {
        if (is_gpu(at)) {
            check_gpu(findings, machine, at, view, rdma);
        }
    }
}

void doctor_place(struct doctor_findings *findings, const struct doctor_view *view)
{
    hwloc_topology_t machine = load(view);
    if (machine == NULL) {
        struct doctor_finding *finding =
            doctor_add(findings, "place", DOCTOR_NOTE, "hwloc cannot read this machine");
        doctor_why(finding, "which device is near which processor is not known");
        doctor_cure(finding, "lstopo   (shows hwloc's own message)");
        return;
    }
    hwloc_bitmap_t binding = read_binding(machine, view);
    if (binding != NULL) {
        check_devices(findings, machine, binding, view);
    }
    hwloc_bitmap_free(binding);
    hwloc_topology_destroy(machine);
}
