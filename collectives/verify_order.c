/* Hazards. The list is read from top to bottom; for every place the last writer and the readers since then are known. A read must
 * come after the last writer, a write after the last writer and those readers, by a chain of dependencies. Any chain will
 * do: whole ones order everything, and a chain of streamed ones joins equal ranges only (verify_form), so it orders byte
 * for byte. Lanes are not counted on: their order is between messages, not between accesses of memory.
 *
 * Done in two worlds: INPUT and OUTPUT apart, and INPUT and OUTPUT the same memory, where a COPY from one to the other does
 * nothing. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/verify_parts.h"

struct cell {
    uint32_t writer; /* 1 + index, 0: nobody */
    uint32_t reader; /* 1 + index into the pool, 0: nobody */
};

struct reader {
    uint32_t index; /* of the instruction */
    uint32_t next;
};

struct order {
    const struct proof *proof;
    const struct schedule *schedule;
    bool in_place;
    struct cell *cell; /* INPUT, OUTPUT, WORK by chunk, then slots */
    size_t cells_max;
    struct reader *reader;
    uint32_t readers, readers_max;
    uint32_t *direct; /* [instructions] 1 + the instruction that depends on it, seen last */
    uint32_t *met;    /* [instructions] the search that met it last */
    uint32_t *stack;  /* [instructions] */
    uint32_t instructions_max;
    uint32_t searches;
};

/* ---- chains of dependencies --------------------------------------------------------------------------------------- */

static void mark_direct(struct order *order, uint32_t index)
{
    const struct instruction *instruction = &order->schedule->instruction[index];
    const struct dependency *dependency = &order->schedule->dependency[instruction->dependency];
    for (uint32_t i = 0; i < instruction->dependencies; i++) {
        order->direct[dependency[i].on] = index + 1;
    }
}

/* Put those that `index` depends on, and that the search from `floor` on has not met, on the stack. */
static uint32_t push_dependencies(struct order *order, uint32_t height, uint32_t index,
                                  uint32_t floor)
{
    const struct instruction *instruction = &order->schedule->instruction[index];
    const struct dependency *dependency = &order->schedule->dependency[instruction->dependency];
    for (uint32_t i = 0; i < instruction->dependencies; i++) {
        uint32_t on = dependency[i].on;
        if (on >= floor && order->met[on] != order->searches) {
            order->met[on] = order->searches;
            order->stack[height++] = on;
        }
    }
    return height;
}

/* Does `after` wait for `before`, directly or through others? Dependencies point backwards: the search ends at `before`. */
static bool ordered(struct order *order, uint32_t before, uint32_t after)
{
    if (order->direct[before] == after + 1) {
        return true;
    }
    order->searches++;
    uint32_t height = push_dependencies(order, 0, after, before);
    while (height > 0) {
        uint32_t index = order->stack[--height];
        if (index == before) {
            return true;
        }
        height = push_dependencies(order, height, index, before);
    }
    return false;
}

/* ---- accesses ----------------------------------------------------------------------------------------------------- */

static kolo_status unordered(const struct order *order, uint32_t before, uint32_t after,
                             uint8_t buffer, uint32_t at)
{
    return verify_wrong(order->proof->report,
                        "rank %u: instructions %u and %u both use %s %s %u%s, one writes, and "
                        "nothing orders them",
                        order->schedule->rank, before, after, verify_buffer_name(buffer),
                        buffer == BUFFER_SLOT ? "number" : "chunk", at,
                        order->in_place ? " (in place)" : "");
}

static struct cell *cell_of(const struct order *order, uint8_t buffer, uint32_t at)
{
    bool merged = order->in_place && buffer == BUFFER_INPUT;
    return &order->cell[(size_t)(merged ? BUFFER_OUTPUT : buffer) * order->proof->chunks + at];
}

static bool note_reader(struct order *order, struct cell *cell, uint32_t index)
{
    if (order->readers == order->readers_max) {
        uint32_t most = 2 * order->readers_max + 64;
        struct reader *reader = realloc(order->reader, most * sizeof *reader);
        if (reader == NULL) {
            return false;
        }
        order->reader = reader;
        order->readers_max = most;
    }
    order->reader[order->readers] = (struct reader){.index = index, .next = cell->reader};
    cell->reader = ++order->readers;
    return true;
}

static kolo_status read_cell(struct order *order, uint32_t index, uint8_t buffer, uint32_t at)
{
    struct cell *cell = cell_of(order, buffer, at);
    if (cell->writer != 0 && !ordered(order, cell->writer - 1, index)) {
        return unordered(order, cell->writer - 1, index, buffer, at);
    }
    return note_reader(order, cell, index) ? KOLO_OK : verify_starved(order->proof->report);
}

static kolo_status write_cell(struct order *order, uint32_t index, uint8_t buffer, uint32_t at)
{
    struct cell *cell = cell_of(order, buffer, at);
    if (cell->writer != 0 && !ordered(order, cell->writer - 1, index)) {
        return unordered(order, cell->writer - 1, index, buffer, at);
    }
    for (uint32_t i = cell->reader; i != 0; i = order->reader[i - 1].next) {
        assert(i <= order->readers);
        uint32_t reader = order->reader[i - 1].index;
        if (reader != index && !ordered(order, reader, index)) {
            return unordered(order, reader, index, buffer, at);
        }
    }
    cell->reader = 0;
    cell->writer = index + 1;
    return KOLO_OK;
}

typedef kolo_status access(struct order *order, uint32_t index, uint8_t buffer, uint32_t at);

static kolo_status access_place(struct order *order, access *do_access, uint32_t index,
                                const struct place *place)
{
    const struct instruction *instruction = &order->schedule->instruction[index];
    if (place->buffer == BUFFER_SLOT) {
        return do_access(order, index, BUFFER_SLOT, place->slot);
    }
    kolo_status status = KOLO_OK;
    for (uint32_t i = 0; status == KOLO_OK && i < instruction->chunks; i++) {
        status = do_access(order, index, place->buffer, instruction->chunk + i);
    }
    return status;
}

static kolo_status read_sources(struct order *order, uint32_t index)
{
    const struct instruction *fold = &order->schedule->instruction[index];
    kolo_status status = KOLO_OK;
    for (uint32_t i = 0; status == KOLO_OK && i < fold->sources; i++) {
        struct place slot = {.buffer = BUFFER_SLOT, .slot = fold->from.slot + i};
        struct place own = {.buffer = BUFFER_INPUT};
        status = access_place(order, read_cell, index, i == fold->own ? &own : &slot);
    }
    return status;
}

static kolo_status read_places(struct order *order, uint32_t index)
{
    const struct instruction *instruction = &order->schedule->instruction[index];
    switch ((enum instruction_kind)instruction->kind) {
    case INSTRUCTION_RECEIVE:
        return KOLO_OK;
    case INSTRUCTION_FOLD:
        return read_sources(order, index);
    default:
        return access_place(order, read_cell, index, &instruction->from);
    }
}

static bool does_nothing(const struct order *order, const struct instruction *instruction)
{
    return order->in_place && instruction->kind == INSTRUCTION_COPY &&
           instruction->from.buffer == BUFFER_INPUT && instruction->to.buffer == BUFFER_OUTPUT;
}

static kolo_status order_instruction(struct order *order, uint32_t index)
{
    const struct instruction *instruction = &order->schedule->instruction[index];
    if (instruction->chunks == 0 || does_nothing(order, instruction)) {
        return KOLO_OK;
    }
    mark_direct(order, index);
    kolo_status status = read_places(order, index);
    if (status == KOLO_OK && instruction->kind != INSTRUCTION_SEND) {
        status = access_place(order, write_cell, index, &instruction->to);
    }
    return status;
}

/* ---- all ranks ---------------------------------------------------------------------------------------------------- */

static kolo_status order_rank(struct order *order, uint32_t rank, bool in_place)
{
    const struct schedule *schedule = order->proof->schedules[rank];
    order->schedule = schedule;
    order->in_place = in_place;
    order->readers = 0;
    size_t cells = (size_t)3 * order->proof->chunks + schedule->slots;
    assert(cells <= order->cells_max && schedule->instructions <= order->instructions_max);
    memset(order->cell, 0, cells * sizeof *order->cell);
    memset(order->direct, 0, schedule->instructions * sizeof *order->direct);
    kolo_status status = KOLO_OK;
    for (uint32_t i = 0; status == KOLO_OK && i < schedule->instructions; i++) {
        status = order_instruction(order, i);
    }
    return status;
}

static bool order_alloc(struct order *order)
{
    const struct proof *proof = order->proof;
    uint32_t slots = 0;
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        const struct schedule *schedule = proof->schedules[rank];
        slots = schedule->slots > slots ? schedule->slots : slots;
        if (schedule->instructions > order->instructions_max) {
            order->instructions_max = schedule->instructions;
        }
    }
    order->cells_max = (size_t)3 * proof->chunks + slots;
    size_t words = (size_t)order->instructions_max + 1;
    order->cell = calloc(order->cells_max + 1, sizeof *order->cell);
    order->direct = calloc(words, sizeof *order->direct);
    order->met = calloc(words, sizeof *order->met);
    order->stack = calloc(words, sizeof *order->stack);
    return order->cell && order->direct && order->met && order->stack;
}

kolo_status verify_order(const struct proof *proof)
{
    struct order order = {.proof = proof};
    kolo_status status = order_alloc(&order) ? KOLO_OK : verify_starved(proof->report);
    for (uint32_t rank = 0; status == KOLO_OK && rank < proof->size; rank++) {
        status = order_rank(&order, rank, false);
        if (status == KOLO_OK) {
            status = order_rank(&order, rank, true);
        }
    }
    free(order.cell);
    free(order.reader);
    free(order.direct);
    free(order.met);
    free(order.stack);
    return status;
}
