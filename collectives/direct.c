/* Direct algorithms: one step, everyone to everyone (or to the root, or from it). What is reduced is put into one slot for
 * each rank and folded in the order of the ranks, on every rank alike: so all have the same bits. Peers are taken in turn from
 * the neighbour on, so that no rank is everybody's first. */
#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

void direct_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    *instructions = 2 * (uint64_t)size + 2;
    *dependencies = 4 * (uint64_t)size + 2;
}

static uint32_t after(uint32_t rank, uint32_t steps, uint32_t size)
{
    return (rank + steps) % size;
}

static uint32_t before(uint32_t rank, uint32_t steps, uint32_t size)
{
    return (rank + size - steps) % size;
}

/* Everyone's contribution to `chunk` into the slots. */
static void receive_slots(struct build *build, uint32_t rank, uint32_t size, uint32_t chunk)
{
    for (uint32_t i = 1; i < size; i++) {
        uint32_t peer = before(rank, i, size);
        build_receive_slot(build, peer, peer, chunk, 1);
    }
}

void direct_all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_ALL_REDUCE, rank, size, root, 1, size};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    for (uint32_t i = 1; i < size; i++) {
        build_send(&build, after(rank, i, size), 0, 0, 1);
    }
    receive_slots(&build, rank, size, 0);
    build_fold(&build, 0, 1);
    build_end(&build);
}

void direct_reduce_scatter(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_REDUCE_SCATTER, rank, size, root, 1, size};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    for (uint32_t i = 1; i < size; i++) {
        uint32_t peer = after(rank, i, size);
        build_send(&build, peer, 0, peer, 1);
    }
    receive_slots(&build, rank, size, rank);
    build_fold(&build, rank, 1);
    build_end(&build);
}

void direct_all_gather(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_ALL_GATHER, rank, size, root, 1, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    for (uint32_t i = 1; i < size; i++) {
        build_send(&build, after(rank, i, size), 0, rank, 1);
        uint32_t peer = before(rank, i, size);
        build_receive(&build, peer, 0, peer, 1);
    }
    build_settle(&build, rank, 1);
    build_end(&build);
}

void direct_broadcast(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_BROADCAST, rank, size, root, 1, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    if (rank == root) {
        for (uint32_t i = 1; i < size; i++) {
            build_send(&build, after(rank, i, size), 0, 0, 1);
        }
        build_settle(&build, 0, 1);
    } else {
        build_receive(&build, root, 0, 0, 1);
    }
    build_end(&build);
}

void direct_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_REDUCE, rank, size, root, 1, rank == root ? size : 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    if (rank == root) {
        receive_slots(&build, rank, size, 0);
        build_fold(&build, 0, 1);
    } else {
        build_send(&build, root, 0, 0, 1);
    }
    build_end(&build);
}

void direct_barrier(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_BARRIER, rank, size, root, 0, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    for (uint32_t i = 1; i < size; i++) {
        build_signal(&build, after(rank, i, size));
    }
    for (uint32_t i = 1; i < size; i++) {
        build_await(&build, before(rank, i, size));
    }
    build_end(&build);
}

/* ---- formulas ----------------------------------------------------------------------------------------------------- */

/* Every source but the first is folded, as they come. */
static double fold_s(const struct network_uniform *network, uint32_t size, double bytes)
{
    return cost_reduce(network, (size - 1) * bytes);
}

double direct_all_reduce_seconds(const struct network_uniform *network, uint32_t size,
                                 uint64_t bytes)
{
    double all = (double)bytes;
    return size == 1 ? 0 : cost_exchange(network, size - 1, all, fold_s(network, size, all));
}

double direct_reduce_scatter_seconds(const struct network_uniform *network, uint32_t size,
                                     uint64_t bytes)
{
    double block = (double)bytes / size;
    return size == 1 ? 0 : cost_exchange(network, size - 1, block, fold_s(network, size, block));
}

double direct_all_gather_seconds(const struct network_uniform *network, uint32_t size,
                                 uint64_t bytes)
{
    return size == 1 ? 0 : cost_exchange(network, size - 1, (double)bytes / size, 0);
}

double direct_broadcast_seconds(const struct network_uniform *network, uint32_t size,
                                uint64_t bytes)
{
    return size == 1 ? 0 : cost_fan(network, size - 1, (double)bytes, 0);
}

double direct_reduce_seconds(const struct network_uniform *network, uint32_t size, uint64_t bytes)
{
    double all = (double)bytes;
    return size == 1 ? 0 : cost_fan(network, size - 1, all, fold_s(network, size, all));
}

double direct_barrier_seconds(const struct network_uniform *network, uint32_t size, uint64_t bytes)
{
    (void)bytes;
    return size == 1 ? 0 : cost_exchange(network, size - 1, 0, 0);
}

double direct_all_reduce_shown_seconds(const struct network_uniform *network, uint32_t size,
                                       uint64_t bytes)
{
    double all = (double)bytes;
    return size == 1 ? 0 : cost_show(network, size - 1, all, fold_s(network, size, all));
}

double direct_reduce_scatter_shown_seconds(const struct network_uniform *network, uint32_t size,
                                           uint64_t bytes)
{
    double all = (double)bytes, block = all / size;
    return size == 1 ? 0 : cost_show(network, size - 1, all, fold_s(network, size, block));
}

double direct_all_gather_shown_seconds(const struct network_uniform *network, uint32_t size,
                                       uint64_t bytes)
{
    return size == 1 ? 0 : cost_show(network, size - 1, (double)bytes, 0);
}

double direct_barrier_shown_seconds(const struct network_uniform *network, uint32_t size,
                                    uint64_t bytes)
{
    (void)bytes;
    return size == 1 ? 0 : cost_show(network, size - 1, 0, 0);
}

double direct_all_reduce_sent(uint32_t size)
{
    return size - 1;
}

double direct_half_sent(uint32_t size)
{
    return (double)(size - 1) / size;
}

double direct_broadcast_sent(uint32_t size)
{
    return size - 1;
}

double direct_reduce_sent(uint32_t size)
{
    return size == 1 ? 0 : 1;
}

double direct_barrier_sent(uint32_t size)
{
    (void)size;
    return 0;
}
