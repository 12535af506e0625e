/* The simulation itself. What happens at which price:
 *
 * A message moves in granules. A granule is a stretch of fluid: it has a time at which its first byte can be used (its head,
 * the time of the event that tells of it) and one at which its last byte can (its tail); whoever passes it on starts
 * at the head and ends no sooner than the tail, so that a chain of ranks costs latencies, not copies (cut-through).
 *
 * To be sent, a granule needs: its message to be the lane's current one, its dependencies (whole ones: all of the other
 * instruction; streamed ones: the same granule of it), the granule before it through, the link free. It then waits in the
 * queue of the node's port. The queue is first come, first served, but each lane has one granule in it at a time: so flows
 * share a port fairly, granule by granule. The receiver's port serves granules in the order in which they leave; because a lane
 * waits until its last granule is through there, a slow receiver holds up its own flows only.
 * What arrived waits at the receiver for its instruction to be ready, as in a socket buffer.
 *
 * A node has one processor, first come, first served, for overheads of messages and for reductions. */
#include "collectives/simulate.h"

#include <assert.h>
#include <math.h>

#include "collectives/simulate_world.h"
#include "runtime/base/status.h"

enum event_kind {
    EVENT_TRY_LANE = 0, /* subject: a lane that may go on */
    EVENT_TRY_LOCAL,    /* subject: a step that may go on */
    EVENT_SERVE_PORT,   /* the port to send is free, and lanes wait for it */
    EVENT_ARRIVE,       /* subject: the receiving lane on which a granule's head arrives */
    EVENT_DONE          /* subject: a step of which one more granule can be used */
};

#define DEPTH_MAX 16 /* handlers that call one another before an event is put in between */

static void try_step(struct world *world, uint32_t rank, uint32_t step);
static void try_lane(struct world *world, uint32_t rank, uint32_t lane);

static double later(double a, double b)
{
    return a > b ? a : b;
}

/* Seconds for some bytes at a rate; rate 0: not limited. */
static double seconds_at(double bytes, double rate_Bps)
{
    return rate_Bps > 0 ? bytes / rate_Bps : 0;
}

static void add_event(struct world *world, double time, enum event_kind kind, uint32_t rank,
                      uint32_t subject, double tail)
{
    kolo_status status = events_add(&world->events, (struct event){.time = time,
                                                                   .tail = tail,
                                                                   .kind = (uint16_t)kind,
                                                                   .rank = (uint16_t)rank,
                                                                   .subject = subject});
    world->status = world->status == KOLO_OK ? status : world->status;
}

static void stop(struct world *world, kolo_status status)
{
    world->status = world->status == KOLO_OK ? status : world->status;
}

static struct progress *progress_at(struct world *world, uint32_t rank, uint32_t step)
{
    struct world_node *node = &world->node[rank];
    return progress_of(&world->progress, node->page, node->shape->steps, step, world->now);
}

static double granule_bytes(const struct world *world, const struct shape_step *step)
{
    uint32_t granules = world_granules(world, step->chunks);
    double bytes = step->chunks * world->chunk_bytes;
    return granules == 1 ? bytes : bytes / granules;
}

/* ---- what waits for what ------------------------------------------------------------------------------------------ */

/* Are the dependencies of the next granule of a step met? Out: tail: no sooner can its last byte be had. */
static bool granule_ready(double *tail, const struct world *world, uint32_t rank, uint32_t step,
                          const struct progress *progress)
{
    const struct world_node *node = &world->node[rank];
    const struct shape *shape = node->shape;
    if (progress->met < shape->step[step].wholes) {
        return false;
    }
    *tail = 0;
    for (uint32_t s = shape->step[step].first_stream; s < shape->step[step + 1].first_stream; s++) {
        const struct progress *on = NULL;
        enum progress_answer answer =
            progress_look(&on, &world->progress, node->page, shape->stream[s]);
        if (answer == PROGRESS_NONE || (answer == PROGRESS_RECORD && on->done <= progress->taken)) {
            return false;
        }
        if (answer == PROGRESS_RECORD && on->done == progress->taken + 1) {
            *tail = later(*tail, on->tail); /* tails of granules before the last have passed */
        }
    }
    return true;
}

/* Tell those who wait for a step that one more granule of it is done, or (last) all of it. */
static void tell_waiting(struct world *world, uint32_t rank, uint32_t step, bool last, double tail)
{
    const struct shape *shape = world->node[rank].shape;
    uint32_t end = shape->step[step + 1].first_waiting;
    for (uint32_t w = shape->step[step].first_waiting; w < end; w++) {
        const struct shape_waiting *waiting = &shape->waiting[w];
        if (!waiting->streamed) {
            if (!last) {
                continue;
            }
            struct progress *other = progress_at(world, rank, waiting->step);
            other->ready = later(other->ready, tail);
            if (++other->met < shape->step[waiting->step].wholes) {
                continue;
            }
        }
        try_step(world, rank, waiting->step);
    }
}

/* One more granule of a step can be used from now on, its last byte from `tail` on. */
static void granule_done(struct world *world, uint32_t rank, uint32_t step, double tail)
{
    struct world_node *node = &world->node[rank];
    struct progress *progress = progress_at(world, rank, step);
    progress->tail = tail;
    progress->done++;
    bool last = progress->done == world_granules(world, node->shape->step[step].chunks);
    if (last) {
        node->done = later(node->done, tail);
        assert(node->steps_left > 0);
        node->steps_left--;
        progress_finish(&world->progress, node->page, step);
    }
    tell_waiting(world, rank, step, last, tail);
}

/* ---- receiving and local work --------------------------------------------------------------------------------------- */

/* Input bytes that a granule of this step folds into its accumulator. */
static double folded_bytes(const struct world *world, const struct shape_step *step)
{
    if (step->kind == INSTRUCTION_RECEIVE_REDUCE) {
        return granule_bytes(world, step);
    }
    if (step->kind == INSTRUCTION_FOLD && step->sources > 1) {
        return (step->sources - 1) * granule_bytes(world, step);
    }
    return 0;
}

/* When a step may take its next granule: it shares the processor with others, granule by granule. */
static double take_time(const struct progress *progress)
{
    return later(progress->ready, progress->worked);
}

/* Give the next granule of a step to the processor, if it needs it. `tail`: its last byte is there then. */
static void take_granule(struct world *world, uint32_t rank, uint32_t number,
                         struct progress *progress, double tail)
{
    struct world_node *node = &world->node[rank];
    const struct shape_step *step = &node->shape->step[number];
    const struct network_uniform *uniform = &world->network->uniform;
    bool message = step->lane != SHAPE_NO_LANE;
    double overhead = message && progress->taken == 0 ? uniform->overhead_s : 0;
    double work = overhead + seconds_at(folded_bytes(world, step), uniform->reduce_Bps);
    double head = later(world->now, progress->taken_tail);
    if (message && progress->arrived == progress->taken + 1) {
        tail = later(tail, progress->arrived_tail + uniform->overhead_s);
    }
    if (work > 0) {
        head = later(head, node->processor_free);
        node->processor_free = progress->worked = head + work;
    }
    progress->taken++;
    progress->taken_tail = later(head + work, tail);
    head += overhead;
    if (head > world->now || world->depth >= DEPTH_MAX) {
        add_event(world, head, EVENT_DONE, rank, number, progress->taken_tail);
    } else {
        granule_done(world, rank, number, progress->taken_tail);
    }
}

static void try_local(struct world *world, uint32_t rank, uint32_t step)
{
    uint32_t granules = world_granules(world, world->node[rank].shape->step[step].chunks);
    struct progress *progress = progress_at(world, rank, step);
    double tail = 0;
    while (!progress->pending && progress->taken < granules &&
           granule_ready(&tail, world, rank, step, progress)) {
        if (take_time(progress) > world->now) {
            progress->pending = true;
            add_event(world, take_time(progress), EVENT_TRY_LOCAL, rank, step, 0);
            return;
        }
        bool last = progress->taken + 1U == granules;
        take_granule(world, rank, step, progress, tail);
        if (last) {
            return; /* the record may be gone */
        }
    }
}

static void try_receive(struct world *world, uint32_t rank, uint32_t number)
{
    const struct shape *shape = world->node[rank].shape;
    struct world_lane *lane = &world->node[rank].lane[number];
    double tail = 0;
    while (!lane->pending && lane->message < shape->lane[number].count) {
        uint32_t step = shape->order[shape->lane[number].first + lane->message];
        struct progress *progress = progress_at(world, rank, step);
        if (progress->arrived <= progress->taken ||
            !granule_ready(&tail, world, rank, step, progress)) {
            return;
        }
        if (take_time(progress) > world->now) {
            lane->pending = true;
            add_event(world, take_time(progress), EVENT_TRY_LANE, rank, number, 0);
            return;
        }
        if (progress->taken + 1U == world_granules(world, shape->step[step].chunks)) {
            lane->message++;
        }
        take_granule(world, rank, step, progress, tail);
    }
}

static void arrive(struct world *world, uint32_t rank, uint32_t number, double tail)
{
    const struct shape *shape = world->node[rank].shape;
    struct world_lane *lane = &world->node[rank].lane[number];
    uint32_t step = shape->order[shape->lane[number].first + lane->arriving];
    struct progress *progress = progress_at(world, rank, step);
    progress->arrived++;
    progress->arrived_tail = tail;
    if (progress->arrived == world_granules(world, shape->step[step].chunks)) {
        lane->arriving++;
    }
    try_receive(world, rank, number);
}

/* ---- sending -------------------------------------------------------------------------------------------------------- */

static double link_value(const double *each, double all, uint32_t size, uint32_t from, uint32_t to)
{
    return each == NULL ? all : each[(size_t)from * size + to];
}

/* Is the message as long for its receiver as for its sender? */
static bool check_facing(struct world *world, uint32_t rank, uint32_t peer, uint32_t number,
                         uint32_t step)
{
    const struct world_lane *lane = &world->node[rank].lane[number];
    const struct shape *other = world->node[peer].shape;
    uint32_t facing = other->order[other->lane[lane->facing].first + lane->message];
    if (other->step[facing].chunks == world->node[rank].shape->step[step].chunks) {
        return true;
    }
    stop(world, fail(KOLO_ERR_INTERNAL,
                     "rank %u sends %u chunks to rank %u (instruction %u), which receives %u "
                     "(instruction %u)",
                     rank, world->node[rank].shape->step[step].chunks, peer, step,
                     other->step[facing].chunks, facing));
    return false;
}

/* The lane's next granule enters the port now: book the port, the link and the receiver's port. */
static void send_granule(struct world *world, uint32_t rank, uint32_t number)
{
    const struct network *network = world->network;
    struct world_node *node = &world->node[rank];
    struct world_lane *lane = &node->lane[number];
    const struct shape_lane *form = &node->shape->lane[number];
    uint32_t step = node->shape->order[form->first + lane->message];
    uint32_t peer = (rank + form->ahead) % world->size;
    struct progress *progress = progress_at(world, rank, step);
    double tail = 0, bytes = granule_bytes(world, &node->shape->step[step]);
    granule_ready(&tail, world, rank, step, progress);

    node->send_port_free = world->now + seconds_at(bytes, node->send_port_Bps);
    double *link_free = &node->lane[form->link].link_free;
    *link_free =
        world->now + seconds_at(bytes, link_value(network->link_Bps, network->uniform.link_Bps,
                                                  world->size, rank, peer));
    tail = later(tail, later(node->send_port_free, *link_free));
    struct world_node *to = &world->node[peer];
    double head = later(world->now, to->receive_port_free);
    to->receive_port_free = head + seconds_at(bytes, to->receive_port_Bps);
    tail = later(tail, to->receive_port_free);
    double latency =
        link_value(network->link_latency_s, network->uniform.latency_s, world->size, rank, peer);
    add_event(world, head + latency, EVENT_ARRIVE, peer, lane->facing, tail + latency);

    lane->free = tail;
    node->bytes_sent += bytes;
    progress->taken++;
    if (progress->taken == world_granules(world, node->shape->step[step].chunks)) {
        lane->message++;
        lane->charged = false;
    }
    granule_done(world, rank, step, tail);
}

/* Put a lane at the end of the queue for the port. */
static void wait_for_port(struct world *world, uint32_t rank, uint32_t number)
{
    struct world_node *node = &world->node[rank];
    node->lane[number].pending = true;
    node->lane[number].next_waiting = WORLD_NO_LANE;
    if (node->waiting_last == WORLD_NO_LANE) {
        node->waiting_first = number;
    } else {
        node->lane[node->waiting_last].next_waiting = number;
    }
    node->waiting_last = number;
    if (!node->port_pending) {
        node->port_pending = true;
        add_event(world, node->send_port_free, EVENT_SERVE_PORT, rank, 0, 0);
    }
}

static void serve_port(struct world *world, uint32_t rank)
{
    struct world_node *node = &world->node[rank];
    uint32_t number = node->waiting_first;
    assert(number != WORLD_NO_LANE);
    node->waiting_first = node->lane[number].next_waiting;
    if (node->waiting_first == WORLD_NO_LANE) {
        node->waiting_last = WORLD_NO_LANE;
    }
    node->lane[number].pending = false;
    send_granule(world, rank, number);
    node->port_pending = node->waiting_first != WORLD_NO_LANE;
    if (node->port_pending) {
        add_event(world, node->send_port_free, EVENT_SERVE_PORT, rank, 0, 0);
    }
    try_lane(world, rank, number);
}

/* When a lane may send its next granule, whose dependencies are met: the processor's part of a message included. */
static double send_time(struct world *world, uint32_t rank, uint32_t number,
                        const struct progress *progress)
{
    struct world_node *node = &world->node[rank];
    struct world_lane *lane = &node->lane[number];
    double link_free = node->lane[node->shape->lane[number].link].link_free;
    double time = later(progress->ready, later(lane->free, link_free));
    double overhead = world->network->uniform.overhead_s;
    if (time <= world->now && !lane->charged) {
        lane->charged = true;
        if (overhead > 0) {
            node->processor_free = later(node->processor_free, world->now) + overhead;
            time = node->processor_free;
        }
    }
    return time;
}

static void try_send(struct world *world, uint32_t rank, uint32_t number)
{
    struct world_node *node = &world->node[rank];
    const struct shape_lane *form = &node->shape->lane[number];
    struct world_lane *lane = &node->lane[number];
    double tail = 0;
    while (!lane->pending && lane->message < form->count && world->status == KOLO_OK) {
        uint32_t step = node->shape->order[form->first + lane->message];
        struct progress *progress = progress_at(world, rank, step);
        if (!granule_ready(&tail, world, rank, step, progress)) {
            return;
        }
        uint32_t peer = (rank + form->ahead) % world->size;
        if (progress->taken == 0 && !check_facing(world, rank, peer, number, step)) {
            return;
        }
        double time = send_time(world, rank, number, progress);
        if (time > world->now) {
            lane->pending = true;
            add_event(world, time, EVENT_TRY_LANE, rank, number, 0);
        } else if (node->port_pending || node->send_port_free > world->now) {
            wait_for_port(world, rank, number);
        } else {
            send_granule(world, rank, number);
        }
    }
}

/* ---- the course of events ------------------------------------------------------------------------------------------- */

static void try_lane(struct world *world, uint32_t rank, uint32_t lane)
{
    if (world->node[rank].shape->lane[lane].sends) {
        try_send(world, rank, lane);
    } else {
        try_receive(world, rank, lane);
    }
}

/* Something that this step waits for has happened. */
static void try_step(struct world *world, uint32_t rank, uint32_t step)
{
    const struct shape *shape = world->node[rank].shape;
    uint32_t number = shape->step[step].lane;
    world->depth++;
    if (number == SHAPE_NO_LANE) {
        try_local(world, rank, step);
    } else {
        struct world_lane *lane = &world->node[rank].lane[number];
        bool current = lane->message < shape->lane[number].count &&
                       shape->order[shape->lane[number].first + lane->message] == step;
        if (current && !lane->pending && world->depth >= DEPTH_MAX) {
            lane->pending = true;
            add_event(world, world->now, EVENT_TRY_LANE, rank, number, 0);
        } else if (current) {
            try_lane(world, rank, number);
        }
    }
    world->depth--;
}

static void handle(struct world *world, const struct event *event)
{
    struct world_node *node = &world->node[event->rank];
    switch ((enum event_kind)event->kind) {
    case EVENT_TRY_LANE:
        node->lane[event->subject].pending = false;
        try_lane(world, event->rank, event->subject);
        break;
    case EVENT_TRY_LOCAL:
        progress_at(world, event->rank, event->subject)->pending = false;
        try_local(world, event->rank, event->subject);
        break;
    case EVENT_SERVE_PORT:
        serve_port(world, event->rank);
        break;
    case EVENT_ARRIVE:
        arrive(world, event->rank, event->subject, event->tail);
        break;
    case EVENT_DONE:
        granule_done(world, event->rank, event->subject, event->tail);
        break;
    }
}

/* What can happen at once: lanes whose first message waits for nothing, and such local steps. */
static void begin(struct world *world)
{
    for (uint32_t rank = 0; rank < world->size; rank++) {
        const struct shape *shape = world->node[rank].shape;
        for (uint32_t lane = 0; lane < shape->lanes; lane++) {
            if (shape->lane[lane].sends) {
                try_lane(world, rank, lane);
            }
        }
        for (uint32_t step = 0; step < shape->steps; step++) {
            const struct shape_step *form = &shape->step[step];
            if (form->lane == SHAPE_NO_LANE && form->wholes == 0 &&
                form->first_stream == form[1].first_stream) {
                try_local(world, rank, step);
            }
        }
    }
}

static kolo_status run(struct world *world)
{
    struct event event;
    begin(world);
    while (world->status == KOLO_OK && world->progress.status == KOLO_OK &&
           events_take(&world->events, &event)) {
        assert(event.time >= world->now);
        world->now = event.time;
        handle(world, &event);
    }
    kolo_status status = world->status != KOLO_OK ? world->status : world->progress.status;
    for (uint32_t rank = 0; rank < world->size && status == KOLO_OK; rank++) {
        if (world->node[rank].steps_left > 0) {
            return fail(KOLO_ERR_INTERNAL,
                        "the schedule never ends: rank %u waits for ever with %u of its %u "
                        "instructions undone",
                        rank, world->node[rank].steps_left, world->node[rank].shape->steps);
        }
    }
    return status;
}

static bool rates_make_sense(const double *values, double all, size_t count)
{
    for (size_t i = 0; values != NULL && i < count; i++) {
        if (!isfinite(values[i]) || values[i] < 0) {
            return false;
        }
    }
    return isfinite(all) && all >= 0;
}

static kolo_status check_network(const struct network *network, uint32_t root)
{
    const struct network_uniform *uniform = &network->uniform;
    size_t size = network->size;
    if (size < 1 || size > SCHEDULE_RANKS_MAX) {
        return fail(KOLO_ERR_ARGUMENT, "a network of %zu nodes cannot be simulated: 1 to %d", size,
                    SCHEDULE_RANKS_MAX);
    }
    if (root >= size) {
        return fail(KOLO_ERR_ARGUMENT, "root %u is none of %zu ranks", root, size);
    }
    if (!rates_make_sense(network->link_latency_s, uniform->latency_s, size * size) ||
        !rates_make_sense(network->link_Bps, uniform->link_Bps, size * size) ||
        !rates_make_sense(network->port_send_Bps, uniform->port_Bps, size) ||
        !rates_make_sense(network->port_receive_Bps, uniform->reduce_Bps, size) ||
        !rates_make_sense(NULL, uniform->overhead_s, 0)) {
        return fail(KOLO_ERR_ARGUMENT,
                    "the network has a latency, overhead or rate that is negative or not finite");
    }
    return KOLO_OK;
}

kolo_status simulate(struct simulation *simulation, const struct network *network,
                     const struct algorithm *algorithm, uint32_t root, uint64_t bytes)
{
    kolo_status status = check_network(network, root);
    if (status != KOLO_OK) {
        return status;
    }
    struct world world;
    status = world_init(&world, network, algorithm, root, bytes);
    if (status == KOLO_OK) {
        status = run(&world);
    }
    if (status == KOLO_OK) {
        simulation->seconds = simulation->bytes_sent_most = 0;
        simulation->messages = world.messages;
        for (uint32_t rank = 0; rank < world.size; rank++) {
            const struct world_node *node = &world.node[rank];
            simulation->seconds = later(simulation->seconds, node->done);
            simulation->bytes_sent_most = later(simulation->bytes_sent_most, node->bytes_sent);
            if (simulation->rank_seconds != NULL) {
                simulation->rank_seconds[rank] = node->done;
            }
        }
    }
    world_free(&world);
    return status;
}
