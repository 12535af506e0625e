#include "transport/verbs/device.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/verbs/gid.h"
#include "transport/verbs/rate.h"
#include "transport/verbs/wish.h"

#define SURVEY_PORTS_MAX 32 /* usable ports of a host that are compared; any more are not seen */
#define LIST_TEXT_BYTES 256

/* What was found to work, before the choice. Contexts are shared by a device's ports. */
struct survey {
    struct device_port port[SURVEY_PORTS_MAX];
    unsigned ports;
};

/* ---- a port ------------------------------------------------------------------------------------------------------- */

static int read_numa_node(const struct ibv_device *device)
{
    char path[IBV_SYSFS_PATH_MAX + 32];
    int node = -1;
    snprintf(path, sizeof path, "%s/device/numa_node", device->ibdev_path);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -1;
    }
    if (fscanf(file, "%d", &node) != 1) {
        node = -1;
    }
    fclose(file);
    return node;
}

static const char *state_cure(const struct ibv_port_attr *attributes)
{
    if (attributes->state == IBV_PORT_INIT) {
        return "the fabric has no subnet manager that has seen it: start opensm";
    }
    return attributes->link_layer == IBV_LINK_LAYER_ETHERNET
               ? "set its network interface up (ip link set ... up) and look at the cable"
               : "look at the cable and the switch";
}

/* Says so if it is down or cannot be used: an error that the caller may only want to note. */
static kolo_status port_usable(const struct device_port *port,
                               const struct ibv_port_attr *attributes)
{
    if (attributes->state != IBV_PORT_ACTIVE) {
        return fail_quietly(KOLO_ERR_SYSTEM, "RDMA port %s:%u is %s: %s", port->name, port->number,
                            ibv_port_state_str(attributes->state), state_cure(attributes));
    }
    enum ibv_transport_type transport = port->context->device->transport_type;
    if (transport != IBV_TRANSPORT_IB && transport != IBV_TRANSPORT_IWARP) {
        return fail_quietly(KOLO_ERR_SYSTEM,
                            "RDMA device %s offers no reliable connected queue pairs", port->name);
    }
    return KOLO_OK;
}

/* InfiniBand is reached by LID, and GID 0 says which subnet that is in. iWARP's only GID is its hardware address. */
static const struct ibv_gid_entry *choose_gid(const struct device_port *port,
                                              const struct ibv_gid_entry *table, size_t count,
                                              int wished)
{
    if (wished >= 0) {
        return gid_at(table, count, port->number, (uint32_t)wished);
    }
    return port->ethernet && !port->iwarp ? gid_choose(table, count, port->number)
                                          : gid_at(table, count, port->number, 0);
}

static const char *why_gid(const struct device_port *port, int wished)
{
    if (wished >= 0) {
        return "as asked for";
    }
    if (port->iwarp) {
        return "iWARP: connected by rdma_cm";
    }
    if (!port->ethernet) {
        return port->grh ? "reached by LID, with a route header as the port demands"
                         : "reached by LID";
    }
    bool routable = gid_reach(&port->gid) == GID_ROUTABLE;
    if (port->roce_v2) {
        return routable ? "the first RoCE v2 GID that can be routed"
                        : "RoCE v2, but of this link only: the interface has no routable address";
    }
    return "RoCE v1, this Ethernet only: the port has no RoCE v2 GID";
}

static kolo_status set_gid(struct device_port *port, const struct device_wish *wish)
{
    struct ibv_gid_entry table[GID_TABLE_MAX];
    char list[LIST_TEXT_BYTES];
    ssize_t count = ibv_query_gid_table(port->context, table, GID_TABLE_MAX, 0);
    if (count < 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "cannot read the GID table of %s: %s", port->name,
                            strerror((int)-count));
    }
    const struct ibv_gid_entry *chosen = choose_gid(port, table, (size_t)count, wish->gid_index);
    if (chosen == NULL && port->iwarp && wish->gid_index < 0) {
        return KOLO_OK; /* not needed */
    }
    if (chosen == NULL && wish->gid_index >= 0) {
        return fail_quietly(KOLO_ERR_ARGUMENT, "%s:%u has no GID %d; it has: %s", port->name,
                            port->number, wish->gid_index,
                            gid_list(list, sizeof list, table, (size_t)count, port->number));
    }
    if (chosen == NULL) {
        return fail_quietly(KOLO_ERR_SYSTEM,
                            "%s:%u has no GID: give its network interface an address", port->name,
                            port->number);
    }
    port->gid = chosen->gid;
    port->gid_index = (uint8_t)chosen->gid_index;
    port->roce_v2 = port->ethernet && chosen->gid_type == IBV_GID_TYPE_ROCE_V2;
    port->interface = chosen->ndev_ifindex;
    return KOLO_OK;
}

/* Fill in everything that depends on the number. */
static kolo_status port_look(struct device_port *port, const struct device_wish *wish)
{
    struct ibv_port_attr attributes = {0};
    int error = ibv_query_port(port->context, port->number, &attributes);
    if (error != 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "cannot query RDMA port %s:%u: %s", port->name,
                            port->number, strerror(error));
    }
    kolo_status status = port_usable(port, &attributes);
    port->ethernet = attributes.link_layer == IBV_LINK_LAYER_ETHERNET;
    port->iwarp = port->context->device->transport_type == IBV_TRANSPORT_IWARP;
    port->grh = !port->ethernet && (attributes.flags & IBV_QPF_GRH_REQUIRED) != 0;
    port->lid = attributes.lid;
    port->mtu = attributes.active_mtu;
    if (status == KOLO_OK) {
        status = set_gid(port, wish);
    }
    port->rate_Bps = rate_of_port(&attributes, port->interface);
    return status;
}

/* ---- a device ----------------------------------------------------------------------------------------------------- */

static kolo_status open_failed(const char *name, int error)
{
    if (error == EACCES || error == EPERM) {
        return fail_quietly(
            KOLO_ERR_SYSTEM,
            "RDMA device %s: no permission to open /dev/infiniband/uverbs*: add this "
            "user to the group that owns them, or pass them into the container",
            name);
    }
    if (error == ENOENT || error == ENODEV) {
        return fail_quietly(
            KOLO_ERR_SYSTEM,
            "RDMA device %s has no file in /dev/infiniband: load ib_uverbs, or pass "
            "the files into the container",
            name);
    }
    return fail_quietly(KOLO_ERR_SYSTEM, "RDMA device %s cannot be opened: %s", name,
                        strerror(error));
}

/* Out: port: with all that is common to the device's ports. */
static kolo_status device_open(struct device_port *port, struct ibv_device *device)
{
    memset(port, 0, sizeof *port);
    snprintf(port->name, sizeof port->name, "%s", ibv_get_device_name(device));
    errno = 0;
    port->context = ibv_open_device(device);
    if (port->context == NULL) {
        return open_failed(port->name, errno);
    }
    errno = 0;
    port->pd = ibv_alloc_pd(port->context);
    int error = port->pd == NULL ? errno : ibv_query_device(port->context, &port->limits);
    if (error == 0 && port->pd != NULL) {
        port->numa_node = read_numa_node(device);
        return KOLO_OK;
    }
    kolo_status status = fail_quietly(
        KOLO_ERR_SYSTEM, "RDMA device %s: cannot %s: %s", port->name,
        port->pd == NULL ? "allocate a protection domain" : "query it", strerror(error));
    if (port->pd != NULL) {
        ibv_dealloc_pd(port->pd);
    }
    ibv_close_device(port->context);
    return status;
}

static void device_close(const struct device_port *port)
{
    int error = ibv_dealloc_pd(port->pd);
    if (error != 0) {
        log_line(LOG_WARN, "RDMA device %s: protection domain not freed: %s", port->name,
                 strerror(error));
    }
    ibv_close_device(port->context);
}

/* Add port `number` (0: every one that can be used) of a device. KOLO_OK if at least one was; else why the last was not. */
static kolo_status survey_device(struct survey *survey, struct ibv_device *device, unsigned number,
                                 const struct device_wish *wish)
{
    struct device_port found;
    kolo_status status = device_open(&found, device);
    if (status != KOLO_OK) {
        return status;
    }
    unsigned before = survey->ports;
    if (number > found.limits.phys_port_cnt) {
        status = fail_quietly(KOLO_ERR_ARGUMENT, "RDMA device %s has no port %u, but %u of them",
                              found.name, number, found.limits.phys_port_cnt);
    }
    for (unsigned i = 1; i <= found.limits.phys_port_cnt && survey->ports < SURVEY_PORTS_MAX; i++) {
        if (number == 0 || number == i) {
            struct device_port *port = &survey->port[survey->ports];
            *port = found;
            port->number = (uint8_t)i;
            kolo_status look = port_look(port, wish);
            survey->ports += look == KOLO_OK;
            status = look != KOLO_OK ? look : status;
        }
    }
    if (survey->ports == before) {
        device_close(&found);
        return status;
    }
    return KOLO_OK;
}

/* ---- the choice --------------------------------------------------------------------------------------------------- */

static const char *names_of(char *text, size_t bytes, struct ibv_device **list, int count)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < count && used < bytes; i++) {
        int more = snprintf(text + used, bytes - used, "%s%s", i > 0 ? ", " : "",
                            ibv_get_device_name(list[i]));
        used += more > 0 ? (size_t)more : 0;
    }
    return count > 0 ? text : "none";
}

/* The kernel may have a device for which libibverbs has no driver. */
static kolo_status no_such_device(const char *name, struct ibv_device **list, int count)
{
    char path[sizeof "/sys/class/infiniband/" + IBV_SYSFS_NAME_MAX];
    char names[LIST_TEXT_BYTES];
    snprintf(path, sizeof path, "/sys/class/infiniband/%s", name);
    if (access(path, F_OK) == 0) {
        return fail_quietly(KOLO_ERR_SYSTEM,
                            "RDMA device %s has no user-space provider: install ibverbs-providers "
                            "(rdma-core), and load ib_uverbs",
                            name);
    }
    return fail_quietly(KOLO_ERR_ARGUMENT, "there is no RDMA device \"%s\" here; there are: %s",
                        name, names_of(names, sizeof names, list, count));
}

static kolo_status survey_named(struct survey *survey, struct ibv_device **list, int count,
                                const struct device_wish *wish)
{
    struct wish_port wanted[DEVICE_RAILS_MAX];
    unsigned wants = 0;
    kolo_status status = wish_parse(wanted, &wants, wish->names);
    for (unsigned i = 0; i < wants && status == KOLO_OK; i++) {
        struct ibv_device *device = NULL;
        for (int j = 0; j < count; j++) {
            if (strcmp(ibv_get_device_name(list[j]), wanted[i].device) == 0) {
                device = list[j];
            }
        }
        status = device != NULL ? survey_device(survey, device, wanted[i].number, wish)
                                : no_such_device(wanted[i].device, list, count);
    }
    if (status != KOLO_OK) {
        log_line(LOG_ERROR, "%s: %s", kolo_status_name(status), kolo_last_error());
    }
    return status;
}

static int faster_first(const void *a, const void *b)
{
    const struct device_port *left = a, *right = b;
    if (left->rate_Bps != right->rate_Bps) {
        return left->rate_Bps < right->rate_Bps ? 1 : -1;
    }
    int order = strcmp(left->name, right->name);
    return order != 0 ? order : (int)left->number - (int)right->number;
}

/* A GID index that a port lacks is an error here, too: it was asked for. */
static kolo_status survey_all(struct survey *survey, struct ibv_device **list, int count,
                              const struct device_wish *wish)
{
    kolo_status status = KOLO_OK;
    for (int i = 0; i < count; i++) {
        // cppcheck-suppress nullPointerRedundantCheck ; there are none without a list
        kolo_status each = survey_device(survey, list[i], 0, wish);
        status = each == KOLO_ERR_ARGUMENT ? each : status;
    }
    if (survey->ports == 0) {
        if (status != KOLO_OK) {
            log_line(LOG_ERROR, "%s: %s", kolo_status_name(status), kolo_last_error());
        }
        return status;
    }
    qsort(survey->port, survey->ports, sizeof survey->port[0], faster_first);
    return KOLO_OK;
}

static bool shares(const struct device_port *port, const struct device_port *others, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (others[i].context == port->context) {
            return true;
        }
    }
    return false;
}

/* Close each context of `ports` once, but for those that `kept` uses. */
static void close_contexts(const struct device_port *ports, unsigned count,
                           const struct devices *kept)
{
    for (unsigned i = 0; i < count; i++) {
        if (!shares(&ports[i], ports, i) && !shares(&ports[i], kept->port, kept->ports)) {
            device_close(&ports[i]);
        }
    }
}

static void explain_choice(struct device_port *port, const struct device_wish *wish, unsigned found)
{
    char gid[GID_TEXT_BYTES];
    char place[64];
    if (wish->names != NULL) {
        snprintf(place, sizeof place, "port named by the user");
    } else if (found > 1) {
        snprintf(place, sizeof place, "one of %u ports that are up", found);
    } else {
        snprintf(place, sizeof place, "the only port that is up");
    }
    snprintf(port->reason, sizeof port->reason, "%s; GID %u (%s): %s", place, port->gid_index,
             gid_text(gid, &port->gid), why_gid(port, wish->gid_index));
}

static unsigned pairs_of(const struct device_wish *wish)
{
    return wish->queue_pairs > 0 ? wish->queue_pairs : 1;
}

/* Ports that are named are all wanted. */
static kolo_status check_pairs(const struct survey *survey, const struct device_wish *wish)
{
    unsigned pairs = pairs_of(wish), ports = wish->names != NULL ? survey->ports : 1;
    if (pairs == 1 || pairs * ports <= DEVICE_RAILS_MAX) {
        return KOLO_OK; /* of more ports than that, the first are used */
    }
    return fail(
        KOLO_ERR_LIMIT,
        "%u queue pairs on each of %u RDMA port%s (%s): a link has at most %d; ask for fewer "
        "queue pairs or name fewer ports",
        pairs, ports, ports == 1 ? "" : "s", wish->names != NULL ? wish->names : "any",
        DEVICE_RAILS_MAX);
}

static void keep_best(struct devices *devices, struct survey *survey,
                      const struct device_wish *wish)
{
    unsigned pairs = pairs_of(wish);
    for (unsigned i = 0; i < survey->ports && i < DEVICE_RAILS_MAX / pairs; i++) {
        char text[160];
        struct device_port *port = &devices->port[i];
        *port = survey->port[i];
        devices->ports = i + 1;
        explain_choice(port, wish, survey->ports);
        log_line(LOG_INFO, "RDMA: using %s: %s; %u queue pair%s a link",
                 device_describe(text, sizeof text, port), port->reason, pairs,
                 pairs == 1 ? "" : "s");
    }
    if (pairs > 1 && survey->ports > devices->ports) {
        log_line(LOG_WARN,
                 "RDMA: %u of %u ports are used, with %u queue pairs each: a link has at most %d",
                 devices->ports, survey->ports, pairs, DEVICE_RAILS_MAX);
    }
    for (unsigned ports = devices->ports; devices->ports < ports * pairs; devices->ports++) {
        devices->port[devices->ports] = devices->port[devices->ports - ports];
    }
    close_contexts(survey->port, survey->ports, devices);
}

kolo_status devices_open(struct devices *devices, const struct device_wish *wish)
{
    memset(devices, 0, sizeof *devices);
    int count = 0;
    struct survey *survey = calloc(1, sizeof *survey);
    if (survey == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for the list of RDMA ports");
    }
    struct ibv_device **list = ibv_get_device_list(&count); /* NULL: none, or no kernel support */
    count = list != NULL ? count : 0;
    kolo_status status = wish->names != NULL ? survey_named(survey, list, count, wish)
                                             : survey_all(survey, list, count, wish);
    if (status == KOLO_OK) {
        status = check_pairs(survey, wish);
    }
    if (status == KOLO_OK && survey->ports > 0) {
        keep_best(devices, survey, wish);
    } else {
        close_contexts(survey->port, survey->ports, devices);
    }
    if (status == KOLO_OK && devices->ports == 0) {
        log_line(LOG_DEBUG, "RDMA: no port to use: %d device%s, none with a port that is up", count,
                 count == 1 ? "" : "s");
    }
    if (list != NULL) {
        ibv_free_device_list(list);
    }
    free(survey);
    return status;
}

void devices_close(struct devices *devices)
{
    static const struct devices none;
    close_contexts(devices->port, devices->ports, &none);
    devices->ports = 0;
}

static const char *kind_of(const struct device_port *port)
{
    if (port->iwarp) {
        return "iWARP";
    }
    return port->ethernet
               ? gid_type_name(port->roce_v2 ? IBV_GID_TYPE_ROCE_V2 : IBV_GID_TYPE_ROCE_V1)
               : "InfiniBand";
}

const char *device_describe(char *text, size_t bytes, const struct device_port *port)
{
    char gid[GID_TEXT_BYTES];
    char rate[32] = "rate unknown";
    char lid[16] = "";
    assert(bytes > 0 && port->mtu <= IBV_MTU_4096);
    if (port->rate_Bps > 0) {
        snprintf(rate, sizeof rate, "%.4g GB/s", (double)port->rate_Bps / 1e9);
    }
    if (!port->ethernet) {
        snprintf(lid, sizeof lid, "LID %u, ", port->lid);
    }
    snprintf(text, bytes, "%s:%u, %s, %sGID %u (%s), MTU %u, %s", port->name, port->number,
             kind_of(port), lid, port->gid_index, gid_text(gid, &port->gid),
             port->mtu > 0 ? 128u << port->mtu : 0, rate);
    return text;
}
