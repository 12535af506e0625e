/* Routes: from a port, through an address, to another port and the queue pair behind it. */
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
