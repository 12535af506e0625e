#include "collectives/simulate_world.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "runtime/base/status.h"

/* Messages move in granules: the more, the closer sharing and streaming are to a fluid. A granule itself is a fluid (it has a
 * head and a tail, and its head is passed on before its tail has come), so what more granules improve is only how
 * several flows share a port: a hop may wait for the granules of other flows, and should wait little compared to the whole.
 * So each rank sends about this many, however many messages they are. */
#define GRANULES_OF_A_RANK 2048
#define GRANULES_OF_A_MESSAGE_MAX 4096 /* counters have 16 bits */

/* Or more, where all messages together are few (a star: all of them are those of one rank). */
#define GRANULES_OF_A_MESSAGE 512
#define GRANULES_IN_ALL (1U << 18)
#define GRANULE_BYTES_MIN 256.0

/* What the tables may take; the events and the progress of what is under way come on top. */
#define TABLES_BYTES_MAX (7ULL << 28) /* 1.75 GiB */

uint32_t world_granules(const struct world *world, uint32_t chunks)
{
    double wanted = chunks * world->chunk_granules;
    if (wanted <= 1) {
        return 1;
    }
    return wanted >= GRANULES_OF_A_MESSAGE_MAX ? GRANULES_OF_A_MESSAGE_MAX : (uint32_t)ceil(wanted);
}

static uint64_t node_bytes(const struct shape *shape)
{
    return shape->lanes * sizeof(struct world_lane) +
           progress_table_length(shape->steps) * sizeof(uint32_t);
}

static kolo_status node_init(struct world_node *node, const struct shape *shape)
{
    node->shape = shape;
    node->waiting_first = node->waiting_last = WORLD_NO_LANE;
    node->steps_left = shape->steps;
    node->lane = calloc((size_t)shape->lanes + 1, sizeof *node->lane);
    node->page = calloc(progress_table_length(shape->steps), sizeof *node->page);
    if (node->lane == NULL || node->page == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory for a simulated node of %u lanes", shape->lanes);
    }
    return KOLO_OK;
}

static kolo_status refuse(const struct world *world, const struct algorithm *algorithm)
{
    return fail(KOLO_ERR_LIMIT,
                "simulating %s by %s with %u ranks takes more than %llu MiB; simulate fewer ranks",
                collective_name(algorithm->collective), algorithm->name, world->size,
                TABLES_BYTES_MAX >> 20);
}

/* The nodes of all ranks. `like`: the schedule that the newest shape was taken from. */
static kolo_status add_node(struct world *world, struct schedule **like, uint64_t *bytes,
                            const struct algorithm *algorithm, uint32_t rank, uint32_t root)
{
    struct schedule *schedule = NULL;
    kolo_status status = algorithm_build(&schedule, algorithm, rank, world->size, root);
    if (status != KOLO_OK) {
        return status;
    }
    if (*like != NULL && shape_same(*like, schedule)) {
        schedule_free(schedule);
    } else {
        schedule_free(*like);
        *like = schedule;
        *bytes += shape_bytes(schedule);
        if (*bytes > TABLES_BYTES_MAX) {
            return refuse(world, algorithm);
        }
        status = shape_create(&world->shape[world->shapes], schedule);
        if (status != KOLO_OK) {
            return status;
        }
        world->shapes++;
    }
    const struct shape *shape = world->shape[world->shapes - 1];
    *bytes += node_bytes(shape);
    return *bytes > TABLES_BYTES_MAX ? refuse(world, algorithm)
                                     : node_init(&world->node[rank], shape);
}

static kolo_status add_nodes(struct world *world, const struct algorithm *algorithm, uint32_t root)
{
    struct schedule *like = NULL;
    uint64_t bytes = 0;
    kolo_status status = KOLO_OK;
    for (uint32_t rank = 0; rank < world->size && status == KOLO_OK; rank++) {
        status = add_node(world, &like, &bytes, algorithm, rank, root);
    }
    schedule_free(like);
    return status;
}

/* Each sending lane learns which lane of its peer it faces. */
static kolo_status join_lanes(struct world *world)
{
    for (uint32_t rank = 0; rank < world->size; rank++) {
        const struct shape *shape = world->node[rank].shape;
        assert(shape != NULL);
        for (uint32_t l = 0; l < shape->lanes; l++) {
            const struct shape_lane *lane = &shape->lane[l];
            if (!lane->sends) {
                continue;
            }
            uint32_t peer = (rank + lane->ahead) % world->size;
            const struct shape *other = world->node[peer].shape;
            assert(other != NULL);
            uint32_t facing = shape_find_lane(
                other, false, (world->size - lane->ahead) % world->size, lane->number);
            if (facing == SHAPE_NO_LANE || other->lane[facing].count != lane->count) {
                return fail(KOLO_ERR_INTERNAL,
                            "rank %u sends %u messages to rank %u on lane %u, which receives %u",
                            rank, lane->count, peer, lane->number,
                            facing == SHAPE_NO_LANE ? 0 : other->lane[facing].count);
            }
            world->node[rank].lane[l].facing = facing;
            world->messages += lane->count;
        }
    }
    return KOLO_OK;
}

static void set_ports(struct world *world)
{
    const struct network *network = world->network;
    for (uint32_t rank = 0; rank < world->size; rank++) {
        struct world_node *node = &world->node[rank];
        node->send_port_Bps = network->port_send_Bps != NULL ? network->port_send_Bps[rank]
                                                             : network->uniform.port_Bps;
        node->receive_port_Bps = network->port_receive_Bps != NULL ? network->port_receive_Bps[rank]
                                                                   : network->uniform.port_Bps;
    }
}

/* Chunks that the busiest rank sends. */
static uint64_t chunks_sent_most(const struct world *world)
{
    uint64_t most = 0;
    for (uint32_t s = 0; s < world->shapes; s++) {
        uint64_t sent = 0;
        for (uint32_t i = 0; i < world->shape[s]->steps; i++) {
            const struct shape_step *step = &world->shape[s]->step[i];
            sent += step->kind == INSTRUCTION_SEND ? step->chunks : 0;
        }
        most = sent > most ? sent : most;
    }
    return most;
}

static uint32_t longest_message(const struct world *world)
{
    uint32_t most = 0;
    for (uint32_t s = 0; s < world->shapes; s++) {
        for (uint32_t i = 0; i < world->shape[s]->steps; i++) {
            const struct shape_step *step = &world->shape[s]->step[i];
            most = step->chunks > most ? step->chunks : most;
        }
    }
    return most;
}

/* How finely messages are cut. All granules are of one size (but for short messages, and rounding), so that flows which
 * take turns at a port get the same share of it. */
static void set_granules(struct world *world, uint64_t bytes)
{
    uint32_t chunks = world->shape[0]->total_chunks;
    world->chunk_bytes = chunks == 0 ? 0 : (double)bytes / chunks;
    double sent_bytes = (double)chunks_sent_most(world) * world->chunk_bytes;
    double granules = world->messages == 0 ? 1 : GRANULES_IN_ALL / (double)world->messages;
    double longest_bytes = longest_message(world) * world->chunk_bytes;
    double granule_bytes = fmin(sent_bytes / GRANULES_OF_A_RANK,
                                longest_bytes / fmin(granules, GRANULES_OF_A_MESSAGE));
    granule_bytes = fmax(granule_bytes, GRANULE_BYTES_MIN);
    world->chunk_granules = world->chunk_bytes / granule_bytes;
}

kolo_status world_init(struct world *world, const struct network *network,
                       const struct algorithm *algorithm, uint32_t root, uint64_t bytes)
{
    *world = (struct world){.network = network, .size = network->size};
    events_init(&world->events);
    progress_pool_init(&world->progress);
    world->node = calloc(world->size, sizeof *world->node);
    world->shape = calloc(world->size, sizeof *world->shape);
    if (world->node == NULL || world->shape == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory for %u simulated nodes", world->size);
    }
    kolo_status status = add_nodes(world, algorithm, root);
    status = status == KOLO_OK ? join_lanes(world) : status;
    if (status == KOLO_OK) {
        set_ports(world);
        set_granules(world, bytes);
    }
    return status;
}

void world_free(struct world *world)
{
    for (uint32_t rank = 0; world->node != NULL && rank < world->size; rank++) {
        free(world->node[rank].lane);
        free(world->node[rank].page);
    }
    for (uint32_t s = 0; s < world->shapes; s++) {
        shape_free(world->shape[s]);
    }
    free(world->node);
    free(world->shape);
    events_free(&world->events);
    progress_pool_free(&world->progress);
}
