/* Devices: listing, opening and querying them, and making the world. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/transport/verbs/fake/world.h"

#define PORT_MESSAGE_BYTES_MAX 0x80000000u

#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if ((field) == 0) {                                                                        \
            (field) = (value);                                                                     \
        }                                                                                          \
    } while (0)

static void set_limits(struct ibv_device_attr *limits, unsigned index, unsigned ports)
{
    snprintf(limits->fw_ver, sizeof limits->fw_ver, "1.0.%u", index);
    limits->node_guid = htobe64(0xfa6e000000000000u + index);
    limits->sys_image_guid = limits->node_guid;
    limits->phys_port_cnt = (uint8_t)ports;
    limits->atomic_cap = IBV_ATOMIC_HCA;
    DEFAULT(limits->max_mr_size, UINT64_MAX);
    DEFAULT(limits->page_size_cap, 0xfffff000u);
    DEFAULT(limits->max_qp, (int)WORLD_PAIRS_MAX);
    DEFAULT(limits->max_qp_wr, 16384);
    DEFAULT(limits->max_sge, (int)WORLD_SGES_MAX);
    DEFAULT(limits->max_sge_rd, (int)WORLD_SGES_MAX);
    DEFAULT(limits->max_cq, 4096);
    DEFAULT(limits->max_cqe, 1 << 20);
    DEFAULT(limits->max_mr, (int)WORLD_REGIONS_MAX);
    DEFAULT(limits->max_pd, 4096);
    DEFAULT(limits->max_qp_rd_atom, 16);
    DEFAULT(limits->max_qp_init_rd_atom, 16);
    DEFAULT(limits->max_res_rd_atom, 65536);
    DEFAULT(limits->max_srq, 4096);
    DEFAULT(limits->max_srq_wr, 16384);
    DEFAULT(limits->max_srq_sge, (int)WORLD_SGES_MAX);
    DEFAULT(limits->max_pkeys, 1);
    DEFAULT(limits->local_ca_ack_delay, 15);
}

/* An IPv4 address becomes ::ffff:a.b.c.d, as RoCE has it. */
static void set_gid(union ibv_gid *gid, const char *text)
{
    struct in_addr v4;
    memset(gid, 0, sizeof *gid);
    if (inet_pton(AF_INET, text, &v4) == 1) {
        gid->raw[10] = gid->raw[11] = 0xff;
        memcpy(gid->raw + 12, &v4, sizeof v4);
    } else if (inet_pton(AF_INET6, text, gid->raw) != 1) {
        fprintf(stderr, "fake: '%s' is no address\n", text);
        abort();
    }
}

static void set_gids(struct hca *hca, unsigned index, unsigned port)
{
    struct fake_gid *gid = hca->shape.port[port].gid;
    bool any = false;
    for (unsigned i = 0; i < FAKE_GIDS_MAX; i++) {
        any |= gid[i].address != NULL;
        if (gid[i].address != NULL) {
            set_gid(&hca->gid[port][i], gid[i].address);
        }
    }
    if (any) {
        return;
    }
    char local[INET6_ADDRSTRLEN], global[INET6_ADDRSTRLEN];
    snprintf(local, sizeof local, "fe80::%x:%x", index + 1, port + 1);
    snprintf(global, sizeof global, "10.77.%u.%u", index, port + 1);
    set_gid(&hca->gid[port][0], local);
    if (hca->shape.port[port].infiniband) {
        gid[0] = (struct fake_gid){"", IBV_GID_TYPE_IB};
        return;
    }
    set_gid(&hca->gid[port][1], local);
    set_gid(&hca->gid[port][2], global);
    gid[0] = (struct fake_gid){"", IBV_GID_TYPE_ROCE_V1};
    gid[1] = (struct fake_gid){"", IBV_GID_TYPE_ROCE_V2};
    gid[2] = (struct fake_gid){"", IBV_GID_TYPE_ROCE_V2};
}

static void hca_make(struct hca *hca, unsigned index, const struct fake_device *shape)
{
    memset(hca, 0, sizeof *hca);
    hca->index = index;
    if (shape != NULL) {
        hca->shape = *shape;
    }
    DEFAULT(hca->shape.ports, 1);
    DEFAULT(hca->shape.inline_bytes_max, WORLD_INLINE_DEFAULT);
    assert(hca->shape.ports <= FAKE_PORTS_MAX);
    for (unsigned p = 0; p < hca->shape.ports; p++) {
        struct fake_port *port = &hca->shape.port[p];
        DEFAULT(port->lid, (uint16_t)(port->infiniband ? 1 + FAKE_PORTS_MAX * index + p : 0));
        DEFAULT(port->mtu, IBV_MTU_4096);
        DEFAULT(port->width, 2);
        DEFAULT(port->speed, 32);
        set_gids(hca, index, p);
    }
    set_limits(&hca->shape.limits, index, hca->shape.ports);
    snprintf(hca->name, sizeof hca->name, "fake%u", index);
    struct ibv_device *device = &hca->device;
    device->node_type = hca->shape.iwarp ? IBV_NODE_RNIC : IBV_NODE_CA;
    device->transport_type = hca->shape.iwarp ? IBV_TRANSPORT_IWARP : IBV_TRANSPORT_IB;
    snprintf(device->name, sizeof device->name, "%s",
             hca->shape.name != NULL ? hca->shape.name : hca->name);
    snprintf(device->dev_name, sizeof device->dev_name, "uverbs%u", index);
    snprintf(device->ibdev_path, sizeof device->ibdev_path, "/sys/class/infiniband/%.64s",
             device->name);
    snprintf(device->dev_path, sizeof device->dev_path, "/sys/class/infiniband_verbs/%.64s",
             device->dev_name);
}

void fake_start(unsigned devices, const struct fake_device *device)
{
    assert(devices <= FAKE_DEVICES_MAX);
    if (fake_leaks() > 0) {
        fprintf(stderr, "fake: a new world cannot begin while these are open\n");
        abort();
    }
    world_lock();
    world.hcas = devices;
    for (unsigned i = 0; i < devices; i++) {
        hca_make(&world.hca[i], i, device != NULL ? &device[i] : NULL);
    }
    memset(world.path, 0, sizeof world.path);
    memset(world.fault, 0, sizeof world.fault);
    world.order = FAKE_PROMPT;
    world.random = 1;
    world.garbage = false;
    world.holds_resolving = false;
    world.speed = 1;
    world.device_memory = NULL;
    world_unlock();
}

static struct hca *hca_of(const struct ibv_device *device)
{
    return WORLD_OWNER(device, struct hca, device);
}

struct ibv_device **ibv_get_device_list(int *count)
{
    world_lock();
    int error = world_verb(FAKE_VERB_GET_DEVICE_LIST, NULL);
    struct ibv_device **list =
        error == 0 ? calloc((size_t)world.hcas + 1, sizeof(struct ibv_device *)) : NULL;
    int listed = 0;
    for (unsigned i = 0; list != NULL && i < world.hcas; i++) {
        if (!world.hca[i].gone) {
            list[listed++] = &world.hca[i].device;
        }
    }
    world_unlock();
    if (error != 0) {
        errno = error;
    }
    if (count != NULL) {
        *count = listed;
    }
    return list;
}

void ibv_free_device_list(struct ibv_device **list)
{
    free(list);
}

const char *ibv_get_device_name(struct ibv_device *device)
{
    return device->name;
}

int ibv_get_device_index(struct ibv_device *device)
{
    return (int)hca_of(device)->index;
}

__be64 ibv_get_device_guid(struct ibv_device *device)
{
    return hca_of(device)->shape.limits.node_guid;
}

/* True if the port exists; else EINVAL is to be returned. */
static bool has_port(const struct ibv_context *context, unsigned port)
{
    return port >= 1 && port <= context_of(context)->hca->shape.ports;
}

int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attr)
{
    world_lock();
    const struct hca *hca = context_of(context)->hca;
    int error = world_verb(FAKE_VERB_QUERY_DEVICE, hca);
    if (error == 0) {
        *attr = hca->shape.limits;
    }
    world_unlock();
    return error;
}

static int query_port(struct ibv_context *context, uint8_t number, struct ibv_port_attr *attr,
                      size_t bytes)
{
    world_lock();
    const struct hca *hca = context_of(context)->hca;
    int error = world_verb(FAKE_VERB_QUERY_PORT, hca);
    if (error == 0 && !has_port(context, number)) {
        error = EINVAL;
    }
    if (error == 0) {
        const struct fake_port *port = &hca->shape.port[number - 1];
        struct ibv_port_attr a = {
            .state = port->down ? IBV_PORT_DOWN : IBV_PORT_ACTIVE,
            .max_mtu = IBV_MTU_4096,
            .active_mtu = port->mtu,
            .gid_tbl_len = FAKE_GIDS_MAX,
            .port_cap_flags = port->infiniband ? 0 : IBV_PORT_IP_BASED_GIDS,
            .max_msg_sz = PORT_MESSAGE_BYTES_MAX,
            .pkey_tbl_len = 1,
            .lid = port->lid,
            .sm_lid = port->infiniband ? 1 : 0,
            .active_width = port->width,
            .active_speed = port->speed,
            .phys_state = port->down ? 3 : 5, /* disabled, link up */
            .link_layer = port->infiniband ? IBV_LINK_LAYER_INFINIBAND : IBV_LINK_LAYER_ETHERNET,
        };
        memcpy(attr, &a, bytes < sizeof a ? bytes : sizeof a);
    }
    world_unlock();
    return error;
}

/* The old entry, which knows a shorter structure; those compiled against today's header come through verbs_context. */
int(ibv_query_port)(struct ibv_context *context, uint8_t number, struct _compat_ibv_port_attr *attr)
{
    return query_port(context, number, (struct ibv_port_attr *)(void *)attr,
                      offsetof(struct ibv_port_attr, port_cap_flags2));
}

/* False: the slot is empty. */
static bool gid_at(struct ibv_gid_entry *entry, const struct hca *hca, unsigned port,
                   unsigned index)
{
    const struct fake_gid *gid = &hca->shape.port[port].gid[index];
    *entry = (struct ibv_gid_entry){.gid = hca->gid[port][index],
                                    .gid_index = index,
                                    .port_num = port + 1,
                                    .gid_type = gid->type};
    return gid->address != NULL;
}

int _ibv_query_gid_ex(struct ibv_context *context, uint32_t port, uint32_t index,
                      struct ibv_gid_entry *entry, uint32_t flags, size_t bytes)
{
    world_lock();
    const struct hca *hca = context_of(context)->hca;
    int error = world_verb(FAKE_VERB_QUERY_GID, hca);
    struct ibv_gid_entry found;
    if (error == 0 && (flags != 0 || !has_port(context, port) || index >= FAKE_GIDS_MAX)) {
        error = EINVAL;
    }
    if (error == 0 && !gid_at(&found, hca, port - 1, index)) {
        error = ENODATA;
    }
    if (error == 0) {
        memcpy(entry, &found, bytes < sizeof found ? bytes : sizeof found);
    }
    world_unlock();
    return error;
}

/* Older than the other: an empty slot is all zeros, and an error is -1. */
int ibv_query_gid(struct ibv_context *context, uint8_t port, int index, union ibv_gid *gid)
{
    world_lock();
    const struct hca *hca = context_of(context)->hca;
    int error = world_verb(FAKE_VERB_QUERY_GID, hca);
    if (error == 0 && (!has_port(context, port) || index < 0 || index >= FAKE_GIDS_MAX)) {
        error = EINVAL;
    }
    if (error == 0) {
        *gid = hca->gid[port - 1][index];
    }
    world_unlock();
    errno = error != 0 ? error : errno;
    return error != 0 ? -1 : 0;
}

ssize_t _ibv_query_gid_table(struct ibv_context *context, struct ibv_gid_entry *entries,
                             size_t entries_max, uint32_t flags, size_t bytes)
{
    world_lock();
    const struct hca *hca = context_of(context)->hca;
    int error = world_verb(FAKE_VERB_QUERY_GID_TABLE, hca);
    size_t count = 0;
    if (error == 0 && (flags != 0 || bytes < sizeof *entries)) {
        error = EOPNOTSUPP;
    }
    for (unsigned p = 0; error == 0 && p < hca->shape.ports; p++) {
        for (unsigned i = 0; error == 0 && i < FAKE_GIDS_MAX; i++) {
            struct ibv_gid_entry entry;
            if (gid_at(&entry, hca, p, i)) {
                error = count == entries_max ? EINVAL : 0;
                memcpy((uint8_t *)entries + count * bytes, &entry, error == 0 ? sizeof entry : 0);
                count += error == 0;
            }
        }
    }
    world_unlock();
    return error != 0 ? -error : (ssize_t)count;
}

int ibv_query_pkey(struct ibv_context *context, uint8_t port, int index, __be16 *pkey)
{
    world_lock();
    int error = world_verb(FAKE_VERB_QUERY_PKEY, context_of(context)->hca);
    if (error == 0 && (!has_port(context, port) || index != 0)) {
        error = EINVAL;
    }
    world_unlock();
    if (error != 0) {
        errno = error;
        return -1;
    }
    *pkey = htobe16(0xffff);
    return 0;
}

int ibv_get_pkey_index(struct ibv_context *context, uint8_t port, __be16 pkey)
{
    return has_port(context, port) && pkey == htobe16(0xffff) ? 0 : -1;
}

/* What users call through the structures instead of by name. */
static void context_fill(struct context *context)
{
    struct verbs_context *verbs = &context->verbs;
    verbs->sz = sizeof *verbs;
    verbs->query_port = query_port;
    verbs->context.device = &context->hca->device;
    verbs->context.ops.poll_cq = completions_poll;
    verbs->context.ops.req_notify_cq = completions_notify;
    verbs->context.ops.post_send = post_send;
    verbs->context.ops.post_recv = post_receive;
    verbs->context.ops.post_srq_recv = shared_post;
    verbs->context.cmd_fd = -1;
    verbs->context.async_fd = context->events.fd;
    verbs->context.num_comp_vectors = 1;
    verbs->context.abi_compat = __VERBS_ABI_IS_EXTENDED;
    pthread_mutex_init(&verbs->context.mutex, NULL);
}

struct ibv_context *ibv_open_device(struct ibv_device *device)
{
    struct hca *hca = hca_of(device);
    struct context *context = calloc(1, sizeof *context);
    world_lock();
    int error = context == NULL ? ENOMEM : world_verb(FAKE_VERB_OPEN_DEVICE, hca);
    if (error == 0) {
        error = events_open(&context->events);
    }
    if (error == 0) {
        context->hca = hca;
        context_fill(context);
        object_open(&context->object, "context of device", hca->index);
    }
    world_unlock();
    if (error != 0) {
        free(context);
        errno = error;
        return NULL;
    }
    fabric_start();
    return &context->verbs.context;
}

int ibv_close_device(struct ibv_context *ibv)
{
    struct context *context = context_of(ibv);
    world_lock();
    int error = object_close(&context->object);
    if (error == 0) {
        events_close(&context->events);
    }
    world_unlock();
    if (error != 0) {
        errno = error;
        return -1;
    }
    fabric_end();
    pthread_mutex_destroy(&ibv->mutex);
    free(context);
    return 0;
}

int ibv_fork_init(void)
{
    world_lock();
    int error = world_verb(FAKE_VERB_FORK_INIT, NULL);
    world_unlock();
    return error;
}

enum ibv_fork_status ibv_is_fork_initialized(void)
{
    return IBV_FORK_UNNEEDED;
}
