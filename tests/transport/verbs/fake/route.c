/* Routes: from a port, through an address, to another port and the queue pair behind it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/transport/verbs/fake/world.h"

static bool port_has_gid(const struct hca *hca, unsigned port, const union ibv_gid *gid,
                         enum ibv_gid_type type)
{
    for (unsigned i = 0; i < FAKE_GIDS_MAX; i++) {
        const struct fake_gid *slot = &hca->shape.port[port].gid[i];
        if (slot->address != NULL && slot->type == type &&
            memcmp(&hca->gid[port][i], gid, sizeof *gid) == 0) {
            return true;
        }
    }
    return false;
}

/* Does the address mean this port? On InfiniBand the LID counts within a subnet, which a fabric is here. */
static bool port_is_meant(const struct hca *hca, unsigned port, const struct hca *from,
                          unsigned from_port, const struct ibv_ah_attr *to)
{
    const struct fake_port *here = &hca->shape.port[port];
    const struct fake_port *there = &from->shape.port[from_port];
    if (here->fabric != there->fabric || here->infiniband != there->infiniband) {
        return false;
    }
    if (here->infiniband) {
        return here->lid == to->dlid;
    }
    return port_has_gid(hca, port, &to->grh.dgid, there->gid[to->grh.sgid_index].type);
}

bool route_find(unsigned *device, unsigned *port, const struct hca *from, unsigned from_port,
                const struct ibv_ah_attr *to)
{
    for (unsigned d = 0; d < world.hcas; d++) {
        const struct hca *hca = &world.hca[d];
        for (unsigned p = 0; p < hca->shape.ports; p++) {
            if (port_is_meant(hca, p, from, from_port, to)) {
                *device = d;
                *port = p;
                return true;
            }
        }
    }
    return false;
}

struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr)
{
    (void)attr;
    struct domain *domain = WORLD_OWNER(pd, struct domain, pd);
    struct address_handle *handle = calloc(1, sizeof *handle);
    world_lock();
    while (world.holds_resolving) {
        pthread_cond_wait(&world.resolved, &world.lock);
    }
    int error =
        handle == NULL ? ENOMEM : world_verb(FAKE_VERB_CREATE_AH, context_of(pd->context)->hca);
    if (error == 0) {
        handle->ah = (struct ibv_ah){.context = pd->context, .pd = pd};
        object_open(&handle->object, "address handle of device",
                    context_of(pd->context)->hca->index);
        object_needs(&handle->object, &domain->object);
    }
    world_unlock();
    if (error != 0) {
        free(handle);
        errno = error;
        return NULL;
    }
    return &handle->ah;
}

int ibv_destroy_ah(struct ibv_ah *ah)
{
    struct address_handle *handle = WORLD_OWNER(ah, struct address_handle, ah);
    world_lock();
    int error = object_close(&handle->object);
    world_unlock();
    if (error == 0) {
        free(handle);
    }
    return error;
}

/* Whether the far end takes packets of this pair at all. */
static bool peer_listens(const struct queue_pair *peer, const struct queue_pair *pair)
{
    enum ibv_qp_state state = peer->attr.qp_state;
    return (state == IBV_QPS_RTR || state == IBV_QPS_RTS) && !peer->hca->gone &&
           peer->attr.dest_qp_num == pair->qp.qp_num && peer->attr.rq_psn == pair->attr.sq_psn;
}

struct queue_pair *route_peer(const struct queue_pair *pair, uint64_t *delay_ns)
{
    unsigned device, port, from = pair->attr.port_num - 1u;
    const struct hca *hca = pair->hca;
    if (hca->gone || hca->shape.port[from].down ||
        !route_find(&device, &port, hca, from, &pair->attr.ah_attr)) {
        return NULL;
    }
    const struct path *path = &world.path[hca->index][from][device][port];
    if (path->cut || world.hca[device].shape.port[port].down) {
        return NULL;
    }
    *delay_ns = path->delay_ns;
    struct queue_pair *peer = pair_find(pair->attr.dest_qp_num);
    bool there = peer != NULL && peer->hca == &world.hca[device] && peer->attr.port_num == port + 1;
    return there && peer_listens(peer, pair) ? peer : NULL;
}
