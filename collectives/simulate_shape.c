#include "collectives/simulate_shape.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"

static bool is_message(const struct instruction *instruction)
{
    return instruction->kind <= INSTRUCTION_RECEIVE_REDUCE;
}

static uint32_t ahead_of(const struct schedule *schedule, uint32_t peer)
{
    return (peer + schedule->size - schedule->rank) % schedule->size;
}

/* Where a lane stands in the order (sends, ahead, number). */
static uint64_t lane_key(bool sends, uint32_t ahead, uint8_t number)
{
    return ((uint64_t)sends << 40) | ((uint64_t)ahead << 8) | number;
}

static uint64_t lane_key_of(const struct schedule *schedule, const struct instruction *instruction)
{
    return lane_key(instruction->kind == INSTRUCTION_SEND, ahead_of(schedule, instruction->peer),
                    instruction->lane);
}

static uint64_t key_of(const struct shape_lane *lane)
{
    return lane_key(lane->sends, lane->ahead, lane->number);
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

/* ---- checks ------------------------------------------------------------------------------------------------------- */

static kolo_status check_dependency(const struct schedule *schedule, uint32_t i, uint32_t d)
{
    const struct dependency *dependency = &schedule->dependency[d];
    if (dependency->on >= schedule->instructions) {
        return fail(KOLO_ERR_INTERNAL, "rank %u: instruction %u depends on %u of %u instructions",
                    schedule->rank, i, dependency->on, schedule->instructions);
    }
    if (dependency->streamed &&
        schedule->instruction[dependency->on].chunks != schedule->instruction[i].chunks) {
        return fail(KOLO_ERR_INTERNAL,
                    "rank %u: instruction %u follows %u byte by byte but has another length",
                    schedule->rank, i, dependency->on);
    }
    return KOLO_OK;
}

static kolo_status check(const struct schedule *schedule)
{
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        if (instruction->kind > INSTRUCTION_FOLD ||
            (is_message(instruction) &&
             (instruction->peer >= schedule->size || instruction->lane >= SCHEDULE_LANES)) ||
            (uint64_t)instruction->dependency + instruction->dependencies >
                schedule->dependencies) {
            return fail(KOLO_ERR_INTERNAL,
                        "rank %u: instruction %u has a kind, peer, lane or dependency that is none",
                        schedule->rank, i);
        }
        for (uint32_t d = 0; d < instruction->dependencies; d++) {
            kolo_status status = check_dependency(schedule, i, instruction->dependency + d);
            if (status != KOLO_OK) {
                return status;
            }
        }
    }
    return KOLO_OK;
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

static uint64_t steps_bytes(const struct schedule *schedule)
{
    return ((uint64_t)schedule->instructions + 1) * sizeof(struct shape_step);
}

uint64_t shape_bytes(const struct schedule *schedule)
{
    uint64_t lanes = schedule->instructions; /* at most: each message its own */
    return sizeof(struct shape) + steps_bytes(schedule) +
           (uint64_t)schedule->dependencies * (sizeof(struct shape_waiting) + sizeof(uint32_t)) +
           lanes * (sizeof(struct shape_lane) + sizeof(uint32_t));
}

void shape_free(struct shape *shape)
{
    if (shape == NULL) {
        return;
    }
    free(shape->step);
    free(shape->stream);
    free(shape->waiting);
    free(shape->lane);
    free(shape->order);
    free(shape);
}

static struct shape *shape_alloc(const struct schedule *schedule, uint32_t lanes)
{
    struct shape *shape = calloc(1, sizeof *shape);
    if (shape == NULL) {
        return NULL;
    }
    size_t steps = schedule->instructions, edges = schedule->dependencies;
    shape->steps = schedule->instructions;
    shape->lanes = lanes;
    shape->total_chunks = schedule->blocks * schedule->block_chunks;
    shape->step = calloc(steps + 1, sizeof *shape->step);
    shape->stream = calloc(edges + 1, sizeof *shape->stream);
    shape->waiting = calloc(edges + 1, sizeof *shape->waiting);
    shape->lane = calloc((size_t)lanes + 1, sizeof *shape->lane);
    shape->order = calloc(steps + 1, sizeof *shape->order);
    if (shape->step == NULL || shape->stream == NULL || shape->waiting == NULL ||
        shape->lane == NULL || shape->order == NULL) {
        shape_free(shape);
        return NULL;
    }
    return shape;
}

/* ---- filling ------------------------------------------------------------------------------------------------------ */

/* The distinct lanes of a schedule, sorted. Returns how many; keys has room for one an instruction. */
static uint32_t collect_lanes(uint64_t *keys, const struct schedule *schedule)
{
    uint32_t messages = 0, lanes = 0;
    uint64_t last[2] = {UINT64_MAX,
                        UINT64_MAX}; /* most messages repeat the lane of one shortly before */
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        if (is_message(&schedule->instruction[i])) {
            uint64_t key = lane_key_of(schedule, &schedule->instruction[i]);
            if (key != last[0] && key != last[1]) {
                keys[messages++] = key;
            }
            last[1] = last[0];
            last[0] = key;
        }
    }
    qsort(keys, messages, sizeof *keys, compare_keys);
    for (uint32_t m = 0; m < messages; m++) {
        if (lanes == 0 || keys[lanes - 1] != keys[m]) {
            keys[lanes++] = keys[m];
        }
    }
    return lanes;
}

static void fill_lanes(struct shape *shape, const uint64_t *keys)
{
    for (uint32_t l = 0; l < shape->lanes; l++) {
        struct shape_lane *lane = &shape->lane[l];
        lane->sends = keys[l] >> 40 != 0;
        lane->ahead = (uint32_t)(keys[l] >> 8);
        lane->number = (uint8_t)keys[l];
        bool same = l > 0 && lane[-1].sends == lane->sends && lane[-1].ahead == lane->ahead;
        lane->link = same ? lane[-1].link : l;
    }
}

/* The steps, and the messages of each lane in list order. */
static void fill_steps(struct shape *shape, const struct schedule *schedule)
{
    for (uint32_t i = 0; i < shape->steps; i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        struct shape_step *step = &shape->step[i];
        step->kind = instruction->kind;
        step->chunks = instruction->chunks;
        step->sources = instruction->sources;
        step->lane = SHAPE_NO_LANE;
        if (is_message(instruction)) {
            step->lane = shape_find_lane(shape, instruction->kind == INSTRUCTION_SEND,
                                         ahead_of(schedule, instruction->peer), instruction->lane);
            assert(step->lane != SHAPE_NO_LANE);
            shape->lane[step->lane].count++;
        }
    }
    uint32_t first = 0;
    for (uint32_t l = 0; l < shape->lanes; l++) {
        shape->lane[l].first = first;
        first += shape->lane[l].count;
        shape->lane[l].count = 0;
    }
    for (uint32_t i = 0; i < shape->steps; i++) {
        if (shape->step[i].lane != SHAPE_NO_LANE) {
            struct shape_lane *lane = &shape->lane[shape->step[i].lane];
            shape->order[lane->first + lane->count++] = i;
        }
    }
}

/* What each step follows; and how many wait for each step, counted one place further up. */
static void fill_streams(struct shape *shape, const struct schedule *schedule)
{
    uint32_t streams = 0;
    for (uint32_t i = 0; i < shape->steps; i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        shape->step[i].first_stream = streams;
        for (uint32_t d = 0; d < instruction->dependencies; d++) {
            const struct dependency *on = &schedule->dependency[instruction->dependency + d];
            if (on->streamed) {
                shape->stream[streams++] = on->on;
            } else {
                shape->step[i].wholes++;
            }
            shape->step[on->on + 1].first_waiting++;
        }
    }
    shape->step[shape->steps].first_stream = streams;
}

/* Who waits for each step. `next`: room for one number a step. */
static void fill_waiting(struct shape *shape, uint32_t *next, const struct schedule *schedule)
{
    for (uint32_t i = 1; i <= shape->steps; i++) {
        shape->step[i].first_waiting += shape->step[i - 1].first_waiting;
    }
    for (uint32_t i = 0; i < shape->steps; i++) {
        next[i] = shape->step[i].first_waiting;
    }
    for (uint32_t i = 0; i < shape->steps; i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        for (uint32_t d = 0; d < instruction->dependencies; d++) {
            const struct dependency *on = &schedule->dependency[instruction->dependency + d];
            shape->waiting[next[on->on]++] =
                (struct shape_waiting){.step = i, .streamed = on->streamed};
        }
    }
}

kolo_status shape_create(struct shape **shape, const struct schedule *schedule)
{
    kolo_status status = check(schedule);
    if (status != KOLO_OK) {
        return status;
    }
    uint64_t *keys = malloc(((size_t)schedule->instructions + 1) * sizeof *keys);
    uint32_t *next = malloc(((size_t)schedule->instructions + 1) * sizeof *next);
    uint32_t lanes = keys == NULL ? 0 : collect_lanes(keys, schedule);
    struct shape *made = shape_alloc(schedule, lanes);
    if (keys == NULL || next == NULL || made == NULL) {
        status = fail(KOLO_ERR_MEMORY, "no memory for the shape of a schedule of %u instructions",
                      schedule->instructions);
        shape_free(made);
    } else {
        fill_lanes(made, keys);
        fill_steps(made, schedule);
        fill_streams(made, schedule);
        fill_waiting(made, next, schedule);
        *shape = made;
    }
    free(keys);
    free(next);
    return status;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

bool shape_same(const struct schedule *a, const struct schedule *b)
{
    if (a->size != b->size || a->instructions != b->instructions || a->blocks != b->blocks ||
        a->block_chunks != b->block_chunks || a->dependencies != b->dependencies) {
        return false;
    }
    for (uint32_t i = 0; i < a->instructions; i++) {
        const struct instruction *x = &a->instruction[i], *y = &b->instruction[i];
        if (x->kind != y->kind || x->chunks != y->chunks || x->sources != y->sources ||
            x->dependency != y->dependency || x->dependencies != y->dependencies) {
            return false;
        }
        if (is_message(x) && (x->lane != y->lane || x->peer >= a->size || y->peer >= a->size ||
                              ahead_of(a, x->peer) != ahead_of(b, y->peer))) {
            return false;
        }
    }
    for (uint32_t d = 0; d < a->dependencies; d++) {
        if (a->dependency[d].on != b->dependency[d].on ||
            a->dependency[d].streamed != b->dependency[d].streamed) {
            return false;
        }
    }
    return true;
}

uint32_t shape_find_lane(const struct shape *shape, bool sends, uint32_t ahead, uint8_t number)
{
    uint64_t wanted = lane_key(sends, ahead, number);
    uint32_t low = 0, high = shape->lanes;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (key_of(&shape->lane[middle]) < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < shape->lanes && key_of(&shape->lane[low]) == wanted ? low : SHAPE_NO_LANE;
}
