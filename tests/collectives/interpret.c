#include "tests/collectives/interpret.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNTOUCHED INT64_C(0x5a5a5a5a5a5a5a5a)
#define BUFFERS 3 /* INPUT, OUTPUT, WORK */

/* One instruction under way. */
struct progress {
    uint64_t first, length; /* its elements */
    uint64_t moved;
    bool done;
    uint32_t other;    /* the other end's index at the peer */
    uint32_t previous; /* the one before it on its lane, or UINT32_MAX */
    int64_t *wire;     /* send: what has been sent */
};

struct rank {
    const struct schedule *schedule;
    struct progress *progress; /* [instructions] */
    int64_t *buffer[BUFFERS]; /* each as long as the whole vector; the same memory twice in place */
    int64_t *slot;            /* [slots * vector] */
};

struct world {
    const struct interpretation *how;
    uint64_t elements; /* of the vector */
    struct rank *rank;
    uint64_t random;
};

static char text[256];

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* What rank r puts in at element i: small, so that averages are exact enough to tell. */
static int64_t input_of(uint64_t seed, uint32_t rank, uint64_t element)
{
    uint64_t state = seed * 1000003 + rank * UINT64_C(0x100000001) + element * 7919;
    return (int64_t)(next_random(&state) % 2000001) - 1000000;
}

static int64_t combine(enum interpret_operator op, int64_t left, int64_t right)
{
    uint64_t a = (uint64_t)left, b = (uint64_t)right;
    return (int64_t)(op == INTERPRET_MIX ? (a * 31 + 7) * (b | 1) + b : a + b);
}

static int64_t finished(const struct world *world, const struct instruction *instruction, int64_t x)
{
    bool divides = instruction->final && world->how->op == INTERPRET_AVG;
    return divides ? x / (int64_t)world->how->size : x;
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

static bool in_block(const struct world *world, uint32_t rank, uint64_t element)
{
    return world->how->count > 0 && element / world->how->count == rank;
}

static bool input_has(const struct world *world, uint32_t rank, uint64_t element)
{
    const struct schedule *schedule = world->rank[rank].schedule;
    switch (schedule->collective) {
    case COLLECTIVE_ALL_GATHER:
        return in_block(world, rank, element);
    case COLLECTIVE_BROADCAST:
        return rank == schedule->root;
    default:
        return true;
    }
}

static bool output_has(const struct world *world, uint32_t rank, uint64_t element)
{
    const struct schedule *schedule = world->rank[rank].schedule;
    switch (schedule->collective) {
    case COLLECTIVE_REDUCE_SCATTER:
        return in_block(world, rank, element);
    case COLLECTIVE_REDUCE:
        return rank == schedule->root;
    default:
        return true;
    }
}

static int64_t *element_at(const struct world *world, struct rank *rank, const struct place *place,
                           uint64_t element)
{
    if (place->buffer == BUFFER_SLOT) {
        return &rank->slot[place->slot * world->elements + element];
    }
    return &rank->buffer[place->buffer][element];
}

static void memory_begin(struct world *world, uint32_t index)
{
    struct rank *rank = &world->rank[index];
    size_t elements = (size_t)world->elements + 1;
    size_t slots = elements * (rank->schedule->slots + 1);
    for (unsigned buffer = 0; buffer < BUFFERS; buffer++) {
        bool shared = world->how->in_place && buffer == BUFFER_OUTPUT;
        rank->buffer[buffer] =
            shared ? rank->buffer[BUFFER_INPUT] : malloc(elements * sizeof(int64_t));
        for (size_t i = 0; !shared && i < elements; i++) {
            rank->buffer[buffer][i] = UNTOUCHED;
        }
    }
    rank->slot = malloc(slots * sizeof(int64_t));
    for (size_t i = 0; i < slots; i++) {
        rank->slot[i] = UNTOUCHED;
    }
    for (uint64_t i = 0; i < world->elements; i++) {
        if (input_has(world, index, i)) {
            rank->buffer[BUFFER_INPUT][i] = input_of(world->how->seed, index, i);
        }
    }
}

/* ---- what may happen ---------------------------------------------------------------------------------------------- */

static bool sends(const struct instruction *instruction)
{
    return instruction->kind == INSTRUCTION_SEND;
}

static bool receives(const struct instruction *instruction)
{
    return instruction->kind == INSTRUCTION_RECEIVE ||
           instruction->kind == INSTRUCTION_RECEIVE_REDUCE;
}

/* How far the instruction's own rank lets it go. UINT64_MAX: it may not even begin. */
static uint64_t allowed(const struct rank *rank, uint32_t index)
{
    const struct schedule *schedule = rank->schedule;
    const struct instruction *instruction = &schedule->instruction[index];
    uint64_t limit = rank->progress[index].length;
    uint32_t previous = rank->progress[index].previous;
    if (previous != UINT32_MAX && !rank->progress[previous].done) {
        return UINT64_MAX;
    }
    for (uint32_t i = 0; i < instruction->dependencies; i++) {
        const struct dependency *dependency = &schedule->dependency[instruction->dependency + i];
        const struct progress *on = &rank->progress[dependency->on];
        if (!on->done && !dependency->streamed) {
            return UINT64_MAX;
        }
        if (!on->done && on->moved < limit) {
            limit = on->moved;
        }
        if (!on->done && on->length == 0) {
            return UINT64_MAX;
        }
    }
    return limit;
}

/* ---- what happens ------------------------------------------------------------------------------------------------- */

static int64_t fold(struct world *world, struct rank *rank, const struct instruction *instruction,
                    uint64_t element)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < instruction->sources; i++) {
        struct place place = {.buffer = BUFFER_SLOT, .slot = instruction->from.slot + i};
        if (i == instruction->own) {
            place = (struct place){.buffer = BUFFER_INPUT};
        }
        int64_t source = *element_at(world, rank, &place, element);
        sum = i == 0 ? source : combine(world->how->op, sum, source);
    }
    return sum;
}

static void move_element(struct world *world, struct rank *rank, uint32_t index)
{
    const struct instruction *instruction = &rank->schedule->instruction[index];
    struct progress *progress = &rank->progress[index];
    uint64_t offset = progress->moved++, element = progress->first + offset;
    if (sends(instruction)) {
        progress->wire[offset] = *element_at(world, rank, &instruction->from, element);
        return;
    }
    if (instruction->kind == INSTRUCTION_COPY && world->how->in_place &&
        instruction->from.buffer == BUFFER_INPUT && instruction->to.buffer == BUFFER_OUTPUT &&
        !instruction->final) {
        return;
    }
    int64_t value;
    if (receives(instruction)) {
        struct rank *peer = &world->rank[instruction->peer];
        value = peer->progress[progress->other].wire[offset];
        if (instruction->kind == INSTRUCTION_RECEIVE_REDUCE) {
            int64_t own = *element_at(world, rank, &instruction->from, element);
            value = combine(world->how->op, own, value);
        }
    } else if (instruction->kind == INSTRUCTION_FOLD) {
        value = fold(world, rank, instruction, element);
    } else {
        value = *element_at(world, rank, &instruction->from, element);
    }
    *element_at(world, rank, &instruction->to, element) = finished(world, instruction, value);
}

static uint64_t some(struct world *world, uint64_t most)
{
    return most == 0 ? 0 : 1 + next_random(&world->random) % most;
}

/* Move the instruction alone: a copy, a fold, or one end of a buffered message. */
static bool step_alone(struct world *world, struct rank *rank, uint32_t index)
{
    struct progress *progress = &rank->progress[index];
    const struct instruction *instruction = &rank->schedule->instruction[index];
    uint64_t limit = allowed(rank, index);
    if (limit == UINT64_MAX) {
        return false;
    }
    if (receives(instruction)) {
        struct progress *send = &world->rank[instruction->peer].progress[progress->other];
        if (send->length == 0 && !send->done) {
            return false;
        }
        limit = send->moved < limit ? send->moved : limit;
    }
    uint64_t steps = some(world, limit - progress->moved);
    for (uint64_t i = 0; i < steps; i++) {
        move_element(world, rank, index);
    }
    progress->done = progress->moved == progress->length;
    return steps > 0 || progress->done;
}

/* Both ends of a message together, found at the send's end. */
static bool step_both(struct world *world, struct rank *rank, uint32_t index)
{
    const struct instruction *send = &rank->schedule->instruction[index];
    struct rank *peer = &world->rank[send->peer];
    struct progress *progress = &rank->progress[index];
    struct progress *receive = &peer->progress[progress->other];
    uint64_t limit = allowed(rank, index), peer_limit = allowed(peer, progress->other);
    if (limit == UINT64_MAX || peer_limit == UINT64_MAX) {
        return false;
    }
    limit = peer_limit < limit ? peer_limit : limit;
    uint64_t steps = some(world, limit - progress->moved);
    for (uint64_t i = 0; i < steps; i++) {
        move_element(world, rank, index);
        move_element(world, peer, progress->other);
    }
    progress->done = receive->done = progress->moved == progress->length;
    return steps > 0 || progress->done;
}

static bool step(struct world *world, struct rank *rank, uint32_t index)
{
    const struct instruction *instruction = &rank->schedule->instruction[index];
    if (rank->progress[index].done) {
        return false;
    }
    if (!world->how->buffered && receives(instruction)) {
        return false; /* moved from the other end */
    }
    return !world->how->buffered && sends(instruction) ? step_both(world, rank, index)
                                                       : step_alone(world, rank, index);
}

/* ---- from the beginning to the end -------------------------------------------------------------------------------- */

/* The k-th send on a lane and the k-th receive there belong together. */
static void pair(struct world *world, uint32_t from, uint32_t index)
{
    const struct schedule *schedule = world->rank[from].schedule;
    const struct instruction *send = &schedule->instruction[index];
    struct rank *peer = &world->rank[send->peer];
    uint32_t before = 0;
    for (uint32_t i = 0; i < index; i++) {
        const struct instruction *other = &schedule->instruction[i];
        if (sends(other) && other->peer == send->peer && other->lane == send->lane) {
            before++;
            world->rank[from].progress[index].previous = i;
        }
    }
    uint32_t last = UINT32_MAX;
    for (uint32_t i = 0; i < peer->schedule->instructions; i++) {
        const struct instruction *other = &peer->schedule->instruction[i];
        if (!receives(other) || other->peer != from || other->lane != send->lane) {
            continue;
        }
        if (before-- == 0) {
            world->rank[from].progress[index].other = i;
            peer->progress[i].other = index;
            peer->progress[i].previous = last;
            return;
        }
        last = i;
    }
    abort(); /* only verified schedules come here */
}

static void begin(struct world *world)
{
    const struct interpretation *how = world->how;
    for (uint32_t r = 0; r < how->size; r++) {
        struct rank *rank = &world->rank[r];
        rank->schedule = how->schedules[r];
        rank->progress = calloc(rank->schedule->instructions + 1, sizeof *rank->progress);
        for (uint32_t i = 0; i < rank->schedule->instructions; i++) {
            const struct instruction *instruction = &rank->schedule->instruction[i];
            struct progress *progress = &rank->progress[i];
            progress->previous = UINT32_MAX;
            schedule_chunk_range(&progress->first, &progress->length, rank->schedule,
                                 instruction->chunk, instruction->chunks, how->count);
            progress->wire =
                sends(instruction) ? malloc((progress->length + 1) * sizeof *progress->wire) : NULL;
        }
    }
    for (uint32_t r = 0; r < how->size; r++) {
        memory_begin(world, r);
        for (uint32_t i = 0; i < world->rank[r].schedule->instructions; i++) {
            if (sends(&world->rank[r].schedule->instruction[i])) {
                pair(world, r, i);
            }
        }
    }
}

static void end(struct world *world)
{
    for (uint32_t r = 0; r < world->how->size; r++) {
        struct rank *rank = &world->rank[r];
        for (uint32_t i = 0; i < rank->schedule->instructions; i++) {
            free(rank->progress[i].wire);
        }
        for (unsigned buffer = 0; buffer < BUFFERS; buffer++) {
            if (buffer != BUFFER_OUTPUT || !world->how->in_place) {
                free(rank->buffer[buffer]);
            }
        }
        free(rank->slot);
        free(rank->progress);
    }
    free(world->rank);
}

/* One turn of one rank. Last first: whatever may move, from the end of the list, one instruction a turn. */
static bool turn(struct world *world, struct rank *rank)
{
    uint32_t all = rank->schedule->instructions;
    bool moved = false;
    for (uint32_t i = 0; i < all; i++) {
        uint32_t index = all - 1 - i;
        if (world->how->order == INTERPRET_RANDOM) {
            index = (uint32_t)(next_random(&world->random) % all);
        }
        moved |= step(world, rank, index);
        if (moved && world->how->order == INTERPRET_LAST_FIRST) {
            break;
        }
    }
    for (uint32_t i = 0; !moved && i < all; i++) {
        moved = step(world, rank, i);
    }
    return moved;
}

static bool all_done(const struct world *world)
{
    for (uint32_t r = 0; r < world->how->size; r++) {
        for (uint32_t i = 0; i < world->rank[r].schedule->instructions; i++) {
            if (!world->rank[r].progress[i].done) {
                return false;
            }
        }
    }
    return true;
}

static bool run(struct world *world)
{
    bool moved = true;
    while (moved) {
        moved = false;
        uint32_t first = (uint32_t)(next_random(&world->random) % world->how->size);
        for (uint32_t r = 0; r < world->how->size; r++) {
            moved |= turn(world, &world->rank[(first + r) % world->how->size]);
        }
    }
    return all_done(world);
}

/* ---- what must come out ------------------------------------------------------------------------------------------- */

static int64_t expected(const struct world *world, uint64_t element)
{
    const struct schedule *schedule = world->rank[0].schedule;
    const struct interpretation *how = world->how;
    if (schedule->collective == COLLECTIVE_ALL_GATHER) {
        return input_of(how->seed, (uint32_t)(element / how->count), element);
    }
    if (schedule->collective == COLLECTIVE_BROADCAST) {
        return input_of(how->seed, schedule->root, element);
    }
    int64_t sum = 0;
    for (uint32_t r = 0; r < how->size; r++) {
        sum += input_of(how->seed, r, element);
    }
    return how->op == INTERPRET_AVG ? sum / (int64_t)how->size : sum;
}

static bool reduces(enum collective collective)
{
    return collective != COLLECTIVE_ALL_GATHER && collective != COLLECTIVE_BROADCAST;
}

static bool output_right(const struct world *world, uint32_t r, uint64_t element)
{
    const struct schedule *schedule = world->rank[r].schedule;
    int64_t got = world->rank[r].buffer[BUFFER_OUTPUT][element];
    if (world->how->op == INTERPRET_MIX && reduces(schedule->collective)) {
        return schedule->collective != COLLECTIVE_ALL_REDUCE ||
               got == world->rank[0].buffer[BUFFER_OUTPUT][element];
    }
    return got == expected(world, element);
}

/* What is not output stays as it was: input (out of place) and what does not exist. */
static bool rest_untouched(const struct world *world, uint32_t r, uint64_t element)
{
    const struct rank *rank = &world->rank[r];
    bool output = output_has(world, r, element), input = input_has(world, r, element);
    int64_t was = input ? input_of(world->how->seed, r, element) : UNTOUCHED;
    if (!world->how->in_place && !output && rank->buffer[BUFFER_OUTPUT][element] != UNTOUCHED) {
        return false;
    }
    return (world->how->in_place && output) || rank->buffer[BUFFER_INPUT][element] == was;
}

static const char *judge(const struct world *world)
{
    for (uint32_t r = 0; r < world->how->size; r++) {
        for (uint64_t i = 0; i < world->elements; i++) {
            bool right = !output_has(world, r, i) || output_right(world, r, i);
            if (right && rest_untouched(world, r, i)) {
                continue;
            }
            snprintf(text, sizeof text,
                     "rank %u of %u, element %" PRIu64 " of %" PRIu64 ": output %" PRId64
                     ", expected %" PRId64 ", input %" PRId64 " (seed %" PRIu64 ")",
                     r, world->how->size, i, world->elements,
                     world->rank[r].buffer[BUFFER_OUTPUT][i], expected(world, i),
                     world->rank[r].buffer[BUFFER_INPUT][i], world->how->seed);
            return text;
        }
    }
    return NULL;
}

const char *interpret(const struct interpretation *how)
{
    struct world world = {.how = how, .random = how->seed};
    world.elements = how->count * how->schedules[0]->blocks;
    world.rank = calloc(how->size, sizeof *world.rank);
    begin(&world);
    const char *wrong = run(&world) ? judge(&world) : "it never ends";
    end(&world);
    return wrong;
}
