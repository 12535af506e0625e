/* The star: rank 0 as a parameter server. All send their whole vector to it; it adds them and sends the sum back. Kept as the
 * baseline that others are measured against: the server's port carries size-1 vectors each way. */
#include "collectives/build.h"
#include "collectives/cost.h"
#include "collectives/emitters.h"

#define SERVER 0

void star_bounds(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    *instructions = 2 * (uint64_t)size;
    *dependencies = 2 * (uint64_t)size;
}

static void serve(struct build *build, uint32_t size)
{
    for (uint32_t peer = 1; peer + 1 < size; peer++) {
        build_receive_reduce(build, peer, 0, 0, 1);
    }
    build_receive_reduce_final(build, size - 1, 0, 0, 1);
    for (uint32_t peer = 1; peer < size; peer++) {
        build_send(build, peer, 0, 0, 1);
    }
}

void star_all_reduce(struct schedule *schedule, uint32_t rank, uint32_t size, uint32_t root)
{
    struct build build;
    struct build_shape shape = {COLLECTIVE_ALL_REDUCE, rank, size, root, 1, 0};
    if (!build_begin(&build, schedule, &shape)) {
        return;
    }
    if (rank == SERVER) {
        serve(&build, size);
    } else {
        build_send(&build, SERVER, 0, 0, 1);
        build_receive(&build, SERVER, 0, 0, 1);
    }
    build_end(&build);
}

/* The sum streams back while it is made: both directions of the server's port are busy at once. But contributions are taken
 * in turn, and a message's handling holds up the next one's bytes. */
double star_all_reduce_seconds(const struct network_uniform *network, uint32_t size, uint64_t bytes)
{
    if (size == 1) {
        return 0;
    }
    double messages = size - 1, handling = 2 * (messages - 1) * network->overhead_s;
    double transfer = cost_max(cost_port(network, messages, (double)bytes),
                               cost_reduce(network, messages * (double)bytes));
    return 2 * cost_hop(network) + transfer + handling;
}

double star_all_reduce_sent(uint32_t size)
{
    return size - 1;
}
