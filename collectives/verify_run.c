#include "collectives/verify_run.h"

#include <assert.h>
#include <stdlib.h>

/* One instruction in one world. */
struct step {
    struct run *run;
    struct memory *memory;
    uint32_t rank, index;
    const struct instruction *instruction;
};

static struct step step_of(struct run *run, unsigned world, uint32_t rank, uint32_t index)
{
    return (struct step){run, &run->memory[world], rank, index,
                         &run->proof->schedules[rank]->instruction[index]};
}

static kolo_status wrong(const struct step *step, uint32_t offset, const char *why)
{
    return verify_wrong(step->run->proof->report, "rank %u, instruction %u, chunk %u%s: %s",
                        step->rank, step->index, step->instruction->chunk + offset,
                        step->memory->in_place ? " (in place)" : "", why);
}

/* ---- beginning and ending ----------------------------------------------------------------------------------------- */

kolo_status verify_run_init(struct run *run, const struct proof *proof)
{
    *run = (struct run){.proof = proof};
    if (verify_values_init(&run->values, proof->size) != KOLO_OK) {
        return verify_starved(proof->report);
    }
    bool room = verify_memory_init(&run->memory[0], proof, false) &&
                verify_memory_init(&run->memory[1], proof, true);
    if (room && proof->schedules[0]->collective == COLLECTIVE_BARRIER) {
        run->words = (proof->size + 63) / 64;
        run->heard = calloc(proof->base[proof->size] * run->words + 1, sizeof *run->heard);
        room = run->heard != NULL;
    }
    if (!room) {
        verify_run_free(run);
        return verify_starved(proof->report);
    }
    return KOLO_OK;
}

void verify_run_free(struct run *run)
{
    verify_values_free(&run->values);
    verify_memory_free(&run->memory[0]);
    verify_memory_free(&run->memory[1]);
    free(run->heard);
}

/* ---- barriers ----------------------------------------------------------------------------------------------------- */

static uint64_t *heard_by(const struct run *run, uint32_t rank, uint32_t index)
{
    return &run->heard[(run->proof->base[rank] + index) * run->words];
}

static void hear(const struct run *run, uint64_t *heard, const uint64_t *more)
{
    for (size_t i = 0; i < run->words; i++) {
        heard[i] |= more[i];
    }
}

/* Whom an instruction has heard of when it begins: its own rank, and those that what it waits for has heard of. */
static void hear_dependencies(const struct run *run, uint32_t rank, uint32_t index)
{
    const struct schedule *schedule = run->proof->schedules[rank];
    const struct instruction *instruction = &schedule->instruction[index];
    uint64_t *heard = heard_by(run, rank, index);
    heard[rank / 64] |= (uint64_t)1 << rank % 64;
    for (uint32_t i = 0; i < instruction->dependencies; i++) {
        uint32_t on = schedule->dependency[instruction->dependency + i].on;
        hear(run, heard, heard_by(run, rank, on));
    }
}

static void hear_message(const struct run *run, uint32_t rank, uint32_t index, uint32_t peer,
                         uint32_t peer_index)
{
    hear_dependencies(run, rank, index);
    hear_dependencies(run, peer, peer_index);
    hear(run, heard_by(run, peer, peer_index), heard_by(run, rank, index));
}

/* A rank leaves when all its instructions are done: by then it must have heard of everyone. */
static kolo_status end_barrier(const struct run *run)
{
    const struct proof *proof = run->proof;
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        for (uint32_t other = 0; other < proof->size; other++) {
            bool heard = other == rank;
            for (uint32_t i = 0; !heard && i < proof->schedules[rank]->instructions; i++) {
                heard = heard_by(run, rank, i)[other / 64] >> other % 64 & 1;
            }
            if (!heard) {
                return verify_wrong(proof->report,
                                    "rank %u leaves the barrier without knowing of rank %u", rank,
                                    other);
            }
        }
    }
    return KOLO_OK;
}

/* ---- what instructions do ----------------------------------------------------------------------------------------- */

static kolo_status incomplete(const struct step *step, uint32_t offset, value_id sum)
{
    uint32_t rank;
    bool twice;
    bool all = verify_value_has_all(&rank, &twice, &step->run->values, sum);
    assert(!all);
    (void)all;
    return verify_wrong(step->run->proof->report,
                        "rank %u, instruction %u, chunk %u: completes a reduction in which the "
                        "contribution of rank %u is %s",
                        step->rank, step->index, step->instruction->chunk + offset, rank,
                        twice ? "more than once" : "missing");
}

/* Write what the instruction makes; complete it if the instruction says so. */
static kolo_status put(const struct step *step, uint32_t offset, value_id value)
{
    if (step->instruction->final) {
        uint32_t rank;
        bool twice;
        uint32_t known = step->run->values.values;
        if (verify_value_is_complete(&step->run->values, value)) {
            return wrong(step, offset, "completes a reduction that is complete already");
        }
        value_id complete = verify_value_complete(&step->run->values, value);
        bool new = step->run->values.values > known; /* else the same tree was counted before */
        if (complete == VALUE_NOTHING) {
            return verify_starved(step->run->proof->report);
        }
        if (new && !verify_value_has_all(&rank, &twice, &step->run->values, value)) {
            return incomplete(step, offset, value);
        }
        value = complete;
    }
    verify_memory_write(step->memory, step->rank, step->instruction, offset, value);
    return KOLO_OK;
}

/* left (+) right. */
static kolo_status join(value_id *sum, const struct step *step, uint32_t offset, value_id left,
                        value_id right)
{
    struct values *values = &step->run->values;
    if (left == VALUE_NOTHING || right == VALUE_NOTHING) {
        return wrong(step, offset, "adds what was not written");
    }
    if (verify_value_is_complete(values, left) || verify_value_is_complete(values, right)) {
        return wrong(step, offset, "adds to a reduction that is complete already");
    }
    *sum = verify_value_join(values, left, right);
    return *sum == VALUE_NOTHING ? verify_starved(step->run->proof->report) : KOLO_OK;
}

static kolo_status receive(const struct step *step, uint32_t offset, value_id received)
{
    if (step->instruction->kind == INSTRUCTION_RECEIVE) {
        return put(step, offset, received);
    }
    value_id sum = VALUE_NOTHING,
             own = verify_memory_read(step->memory, step->rank, &step->instruction->from,
                                      step->instruction, offset);
    kolo_status status = join(&sum, step, offset, own, received);
    return status == KOLO_OK ? put(step, offset, sum) : status;
}

kolo_status verify_run_message(struct run *run, uint32_t rank, uint32_t index, uint32_t peer,
                               uint32_t peer_index)
{
    if (run->heard != NULL) {
        hear_message(run, rank, index, peer, peer_index);
    }
    for (unsigned world = 0; world < WORLDS; world++) {
        struct step from = step_of(run, world, rank, index);
        struct step to = step_of(run, world, peer, peer_index);
        assert(from.instruction->chunk == to.instruction->chunk &&
               from.instruction->chunks == to.instruction->chunks);
        for (uint32_t i = 0; i < from.instruction->chunks; i++) {
            value_id sent =
                verify_memory_read(from.memory, rank, &from.instruction->from, from.instruction, i);
            if (sent == VALUE_NOTHING) {
                return wrong(&from, i, "sends what was not written");
            }
            kolo_status status = receive(&to, i, sent);
            if (status != KOLO_OK) {
                return status;
            }
        }
    }
    return KOLO_OK;
}

static kolo_status copy(const struct step *step, uint32_t offset)
{
    value_id value = verify_memory_read(step->memory, step->rank, &step->instruction->from,
                                        step->instruction, offset);
    return value == VALUE_NOTHING ? wrong(step, offset, "copies what was not written")
                                  : put(step, offset, value);
}

static value_id source(const struct step *step, uint32_t offset, uint32_t i)
{
    const struct instruction *fold = step->instruction;
    struct place slot = {.buffer = BUFFER_SLOT, .slot = fold->from.slot + i};
    struct place own = {.buffer = BUFFER_INPUT};
    return verify_memory_read(step->memory, step->rank, i == fold->own ? &own : &slot, fold,
                              offset);
}

static kolo_status fold_sources(const struct step *step, uint32_t offset)
{
    value_id sum = source(step, offset, 0);
    if (sum == VALUE_NOTHING) {
        return wrong(step, offset, "adds what was not written");
    }
    for (uint32_t i = 1; i < step->instruction->sources; i++) {
        kolo_status status = join(&sum, step, offset, sum, source(step, offset, i));
        if (status != KOLO_OK) {
            return status;
        }
    }
    return put(step, offset, sum);
}

kolo_status verify_run_local(struct run *run, uint32_t rank, uint32_t index)
{
    for (unsigned world = 0; world < WORLDS; world++) {
        struct step step = step_of(run, world, rank, index);
        bool fold = step.instruction->kind == INSTRUCTION_FOLD;
        for (uint32_t i = 0; i < step.instruction->chunks; i++) {
            kolo_status status = fold ? fold_sources(&step, i) : copy(&step, i);
            if (status != KOLO_OK) {
                return status;
            }
        }
    }
    return KOLO_OK;
}

/* ---- results ------------------------------------------------------------------------------------------------------ */

static kolo_status wrong_result(const struct memory *memory, uint32_t rank, uint32_t chunk,
                                const char *why)
{
    return verify_wrong(memory->proof->report, "rank %u, chunk %u of OUTPUT%s: %s", rank, chunk,
                        memory->in_place ? " (in place)" : "", why);
}

/* Completed, and by the same tree as on the first rank that has the chunk. */
static kolo_status end_reduction(const struct run *run, const struct memory *memory, uint32_t rank,
                                 uint32_t chunk)
{
    value_id value = verify_memory_output(memory, rank, chunk);
    if (value == VALUE_NOTHING) {
        return wrong_result(memory, rank, chunk, "was not written");
    }
    if (!verify_value_is_complete(&run->values, value)) {
        return wrong_result(memory, rank, chunk, "is not marked as complete (`final`) by anyone");
    }
    if (run->proof->schedules[0]->collective == COLLECTIVE_ALL_REDUCE &&
        value != verify_memory_output(memory, 0, chunk)) {
        return wrong_result(memory, rank, chunk,
                            "is reduced by another tree than on rank 0: the bits may differ");
    }
    return KOLO_OK;
}

static kolo_status end_copy(const struct memory *memory, uint32_t rank, uint32_t chunk)
{
    const struct schedule *schedule = memory->proof->schedules[rank];
    bool gathers = schedule->collective == COLLECTIVE_ALL_GATHER;
    uint32_t owner = gathers ? chunk / schedule->block_chunks : schedule->root;
    value_id value = verify_memory_output(memory, rank, chunk);
    if (value == VALUE_NOTHING) {
        return wrong_result(memory, rank, chunk, "was not written");
    }
    return value == verify_value_of_rank(owner)
               ? KOLO_OK
               : wrong_result(memory, rank, chunk, "is not what its owner has put in");
}

static kolo_status end_world(const struct run *run, const struct memory *memory)
{
    const struct proof *proof = run->proof;
    enum collective collective = proof->schedules[0]->collective;
    bool copies = collective == COLLECTIVE_ALL_GATHER || collective == COLLECTIVE_BROADCAST;
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        for (uint32_t chunk = 0; chunk < proof->chunks; chunk++) {
            if (!verify_output_has(proof->schedules[rank], chunk)) {
                continue;
            }
            kolo_status status =
                copies ? end_copy(memory, rank, chunk) : end_reduction(run, memory, rank, chunk);
            if (status != KOLO_OK) {
                return status;
            }
        }
    }
    return KOLO_OK;
}

kolo_status verify_run_end(struct run *run)
{
    if (run->heard != NULL) {
        return end_barrier(run);
    }
    kolo_status status = end_world(run, &run->memory[0]);
    return status == KOLO_OK ? end_world(run, &run->memory[1]) : status;
}
