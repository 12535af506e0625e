/* What the places of all ranks hold while the verifier runs them on symbols. */
#include "collectives/verify_memory.h"

#include <assert.h>
#include <stdlib.h>

static uint32_t slot_width(const struct proof *proof)
{
    uint32_t width = 0;
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        const struct schedule *schedule = proof->schedules[rank];
        for (uint32_t i = 0; schedule->slots > 0 && i < schedule->instructions; i++) {
            const struct instruction *instruction = &schedule->instruction[i];
            if (instruction->kind != INSTRUCTION_SEND && instruction->to.buffer == BUFFER_SLOT &&
                instruction->chunks > width) {
                width = instruction->chunks;
            }
        }
    }
    return width;
}

/* In place, the output begins as the input. */
static void fill(struct memory *memory)
{
    const struct proof *proof = memory->proof;
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        for (uint32_t chunk = 0; chunk < proof->chunks; chunk++) {
            const struct schedule *schedule = proof->schedules[rank];
            if (verify_input_has(schedule, chunk) && verify_output_has(schedule, chunk)) {
                memory->output[(size_t)rank * proof->chunks + chunk] = verify_value_of_rank(rank);
            }
        }
    }
}

static bool slots_alloc(struct memory *memory)
{
    const struct proof *proof = memory->proof;
    size_t slots = 0;
    memory->slot_base = malloc(proof->size * sizeof *memory->slot_base);
    for (uint32_t rank = 0; memory->slot_base && rank < proof->size; rank++) {
        memory->slot_base[rank] = slots;
        slots += proof->schedules[rank]->slots;
    }
    memory->slot_width = slot_width(proof);
    memory->slot = calloc(slots * memory->slot_width + 1, sizeof *memory->slot);
    memory->slot_chunk = calloc(slots + 1, sizeof *memory->slot_chunk);
    memory->slot_chunks = calloc(slots + 1, sizeof *memory->slot_chunks);
    return memory->slot_base && memory->slot && memory->slot_chunk && memory->slot_chunks;
}

bool verify_memory_init(struct memory *memory, const struct proof *proof, bool in_place)
{
    *memory = (struct memory){.proof = proof, .in_place = in_place};
    size_t values = (size_t)proof->size * proof->chunks + 1;
    memory->output = calloc(values, sizeof *memory->output);
    memory->work = calloc(values, sizeof *memory->work);
    if (!memory->output || !memory->work || !slots_alloc(memory)) {
        verify_memory_free(memory);
        return false;
    }
    if (in_place) {
        fill(memory);
    }
    return true;
}

void verify_memory_free(struct memory *memory)
{
    free(memory->output);
    free(memory->work);
    free(memory->slot);
    free(memory->slot_base);
    free(memory->slot_chunk);
    free(memory->slot_chunks);
    *memory = (struct memory){0};
}

value_id verify_memory_output(const struct memory *memory, uint32_t rank, uint32_t chunk)
{
    return memory->output[(size_t)rank * memory->proof->chunks + chunk];
}

/* INPUT is never written, so out of place it is not kept. */
static value_id read_input(const struct memory *memory, uint32_t rank, uint32_t chunk)
{
    const struct schedule *schedule = memory->proof->schedules[rank];
    if (!verify_input_has(schedule, chunk)) {
        return VALUE_NOTHING;
    }
    if (memory->in_place && verify_output_has(schedule, chunk)) {
        return verify_memory_output(memory, rank, chunk);
    }
    return verify_value_of_rank(rank);
}

/* A slot must be read as the range that was written, else the bytes mean something else. */
static value_id read_slot(const struct memory *memory, uint32_t rank, uint32_t slot,
                          const struct instruction *instruction, uint32_t offset)
{
    size_t at = memory->slot_base[rank] + slot;
    if (memory->slot_chunk[at] != instruction->chunk ||
        memory->slot_chunks[at] != instruction->chunks) {
        return VALUE_NOTHING;
    }
    return memory->slot[at * memory->slot_width + offset];
}

value_id verify_memory_read(const struct memory *memory, uint32_t rank, const struct place *place,
                            const struct instruction *instruction, uint32_t offset)
{
    uint32_t chunk = instruction->chunk + offset;
    switch ((enum schedule_buffer)place->buffer) {
    case BUFFER_INPUT:
        return read_input(memory, rank, chunk);
    case BUFFER_OUTPUT:
        return verify_memory_output(memory, rank, chunk);
    case BUFFER_WORK:
        return memory->work[(size_t)rank * memory->proof->chunks + chunk];
    case BUFFER_SLOT:
        return read_slot(memory, rank, place->slot, instruction, offset);
    }
    return VALUE_NOTHING;
}

void verify_memory_write(struct memory *memory, uint32_t rank,
                         const struct instruction *instruction, uint32_t offset, value_id value)
{
    const struct place *place = &instruction->to;
    size_t vector = (size_t)rank * memory->proof->chunks + instruction->chunk + offset;
    assert(place->buffer != BUFFER_INPUT); /* verify_form refuses it */
    if (place->buffer == BUFFER_OUTPUT) {
        memory->output[vector] = value;
    } else if (place->buffer == BUFFER_WORK) {
        memory->work[vector] = value;
    } else {
        size_t at = memory->slot_base[rank] + place->slot;
        memory->slot_chunk[at] = instruction->chunk;
        memory->slot_chunks[at] = instruction->chunks;
        memory->slot[at * memory->slot_width + offset] = value;
    }
}
