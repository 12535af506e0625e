#include <assert.h>

#include "collectives/verify_parts.h"

/* Where it is wrong: named in every text. */
struct spot {
    const struct proof *proof;
    const struct schedule *schedule;
    uint32_t index;
    const struct instruction *instruction;
};

static kolo_status wrong(const struct spot *spot, const char *why)
{
    return verify_wrong(spot->proof->report, "rank %u, instruction %u: %s", spot->schedule->rank,
                        spot->index, why);
}

static bool reduces(enum collective collective)
{
    return collective == COLLECTIVE_ALL_REDUCE || collective == COLLECTIVE_REDUCE_SCATTER ||
           collective == COLLECTIVE_REDUCE;
}

/* Is every chunk of the range in the buffer, as far as the collective and the rank say? */
static bool place_has(const struct schedule *schedule, uint8_t buffer, uint32_t chunk)
{
    switch (buffer) {
    case BUFFER_INPUT:
        return verify_input_has(schedule, chunk);
    case BUFFER_OUTPUT:
        return verify_output_has(schedule, chunk);
    default:
        return true;
    }
}

static kolo_status check_place(const struct spot *spot, const struct place *place, uint32_t slots)
{
    const struct instruction *instruction = spot->instruction;
    const struct schedule *schedule = spot->schedule;
    if (place->buffer > BUFFER_SLOT) {
        return wrong(spot, "a place in no known buffer");
    }
    if (place->buffer == BUFFER_WORK && !schedule->uses_work) {
        return wrong(spot, "WORK is used, but the schedule says that it is not");
    }
    if (place->buffer == BUFFER_SLOT && (uint64_t)place->slot + slots > schedule->slots) {
        return wrong(spot, "a slot that does not exist");
    }
    for (uint32_t i = 0; i < instruction->chunks; i++) {
        if (!place_has(schedule, place->buffer, instruction->chunk + i)) {
            return verify_wrong(spot->proof->report,
                                "rank %u, instruction %u: %s has no chunk %u on this rank",
                                schedule->rank, spot->index, verify_buffer_name(place->buffer),
                                instruction->chunk + i);
        }
    }
    return KOLO_OK;
}

static kolo_status check_target(const struct spot *spot)
{
    if (spot->instruction->chunks > 0 && spot->instruction->to.buffer == BUFFER_INPUT) {
        return wrong(spot, "INPUT is written; only OUTPUT, WORK and slots may be");
    }
    return check_place(spot, &spot->instruction->to, 1);
}

static kolo_status check_places(const struct spot *spot)
{
    const struct instruction *instruction = spot->instruction;
    bool fold = instruction->kind == INSTRUCTION_FOLD;
    if (instruction->kind != INSTRUCTION_RECEIVE) {
        kolo_status status = check_place(spot, &instruction->from, fold ? instruction->sources : 1);
        if (status != KOLO_OK) {
            return status;
        }
    }
    return instruction->kind == INSTRUCTION_SEND ? KOLO_OK : check_target(spot);
}

static kolo_status check_message(const struct spot *spot)
{
    const struct instruction *instruction = spot->instruction;
    if (instruction->peer >= spot->schedule->size || instruction->peer == spot->schedule->rank) {
        return wrong(spot, "the peer is no other rank");
    }
    if (instruction->lane >= spot->schedule->lanes) {
        return wrong(spot, "a lane beyond the schedule's");
    }
    return KOLO_OK;
}

static kolo_status check_fold(const struct spot *spot)
{
    const struct instruction *instruction = spot->instruction;
    if (instruction->from.buffer != BUFFER_SLOT || instruction->sources == 0) {
        return wrong(spot, "a fold of no slots");
    }
    if (instruction->own != FOLD_NO_OWN && instruction->own >= instruction->sources) {
        return wrong(spot, "a fold whose own input is beyond its sources");
    }
    for (uint32_t i = 0; instruction->own != FOLD_NO_OWN && i < instruction->chunks; i++) {
        if (!verify_input_has(spot->schedule, instruction->chunk + i)) {
            return wrong(spot, "a fold of chunks that INPUT has not");
        }
    }
    return KOLO_OK;
}

/* What the kinds of instructions ask for. */
static kolo_status check_kind(const struct spot *spot)
{
    const struct instruction *instruction = spot->instruction;
    bool adds =
        instruction->kind == INSTRUCTION_RECEIVE_REDUCE || instruction->kind == INSTRUCTION_FOLD;
    if (instruction->kind > INSTRUCTION_FOLD) {
        return wrong(spot, "no known kind of instruction");
    }
    if ((adds || instruction->final) && !reduces(spot->schedule->collective)) {
        return wrong(spot, "a reduction in a collective that has none");
    }
    bool alone = spot->schedule->size == 1 && instruction->kind == INSTRUCTION_COPY;
    if (instruction->final && !adds && !alone) {
        return wrong(spot, "`final` on an instruction that completes no reduction");
    }
    if (instruction->kind == INSTRUCTION_FOLD) {
        return check_fold(spot);
    }
    return instruction->kind == INSTRUCTION_COPY ? KOLO_OK : check_message(spot);
}

static kolo_status check_range(const struct spot *spot)
{
    const struct instruction *instruction = spot->instruction;
    bool empty = spot->schedule->collective == COLLECTIVE_BARRIER;
    if ((instruction->chunks == 0) != empty) {
        return wrong(spot, empty ? "a barrier's message is not empty" : "a range of no chunks");
    }
    if ((uint64_t)instruction->chunk + instruction->chunks > spot->proof->chunks) {
        return wrong(spot, "chunks beyond the end of the vector");
    }
    return KOLO_OK;
}

/* Backwards only: so the list's order is an order in which the rank can run, and there is no cycle within a rank. */
static kolo_status check_dependencies(const struct spot *spot)
{
    const struct schedule *schedule = spot->schedule;
    const struct instruction *instruction = spot->instruction;
    if ((uint64_t)instruction->dependency + instruction->dependencies > schedule->dependencies) {
        return wrong(spot, "dependencies beyond the schedule's");
    }
    for (uint32_t i = 0; i < instruction->dependencies; i++) {
        const struct dependency *dependency = &schedule->dependency[instruction->dependency + i];
        if (dependency->on >= spot->index) {
            return wrong(spot, "it waits for itself or for a later instruction");
        }
        const struct instruction *on = &schedule->instruction[dependency->on];
        if (dependency->streamed &&
            (on->chunk != instruction->chunk || on->chunks != instruction->chunks)) {
            return wrong(spot, "a streamed dependency on another chunk range");
        }
    }
    return KOLO_OK;
}

static kolo_status check_instruction(const struct spot *spot)
{
    static kolo_status (*const checks[])(const struct spot *) = {check_range, check_kind,
                                                                 check_places, check_dependencies};
    for (unsigned i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        kolo_status status = checks[i](spot);
        if (status != KOLO_OK) {
            return status;
        }
    }
    return KOLO_OK;
}

/* The collective decides how many blocks there are. */
static bool blocks_suit(const struct schedule *schedule)
{
    bool by_rank = schedule->collective == COLLECTIVE_REDUCE_SCATTER ||
                   schedule->collective == COLLECTIVE_ALL_GATHER;
    bool empty = schedule->collective == COLLECTIVE_BARRIER;
    return schedule->blocks == (by_rank ? schedule->size : 1) &&
           (schedule->block_chunks == 0) == empty;
}

static kolo_status check_shape(const struct proof *proof, uint32_t rank)
{
    const struct schedule *schedule = proof->schedules[rank], *first = proof->schedules[0];
    if ((unsigned)schedule->collective >= COLLECTIVES || schedule->rank != rank ||
        schedule->size != proof->size || schedule->root >= proof->size) {
        return verify_wrong(proof->report,
                            "schedule %u of %u says collective %d, rank %u of %u, "
                            "root %u",
                            rank, proof->size, (int)schedule->collective, schedule->rank,
                            schedule->size, schedule->root);
    }
    if (schedule->collective != first->collective || schedule->root != first->root ||
        schedule->block_chunks != first->block_chunks) {
        return verify_wrong(proof->report, "ranks 0 and %u disagree on collective, root or chunks",
                            rank);
    }
    if (!blocks_suit(schedule) || schedule->lanes > SCHEDULE_LANES) {
        return verify_wrong(proof->report, "rank %u: %u blocks of %u chunks, %u lanes cannot be",
                            rank, schedule->blocks, schedule->block_chunks, schedule->lanes);
    }
    return KOLO_OK;
}

kolo_status verify_form(const struct proof *proof)
{
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        kolo_status status = check_shape(proof, rank);
        const struct schedule *schedule = proof->schedules[rank];
        for (uint32_t i = 0; status == KOLO_OK && i < schedule->instructions; i++) {
            struct spot spot = {proof, schedule, i, &schedule->instruction[i]};
            status = check_instruction(&spot);
        }
        if (status != KOLO_OK) {
            return status;
        }
    }
    return KOLO_OK;
}
