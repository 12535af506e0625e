#include "collectives/build.h"

#include <assert.h>
#include <stdlib.h>

/* Who touched a place last. Instructions are counted from 1 here, so that zeroed memory means nobody. */
struct build_cell {
    uint32_t writer; /* the last */
    uint32_t reader; /* list of those since then: 1 + index into the pool */
};

struct build_reader {
    uint32_t instruction; /* from 1 */
    uint32_t next;        /* 1 + index, 0: the last */
};

static struct build_cell *cell_of(const struct build *build, enum schedule_buffer buffer,
                                  uint32_t index)
{
    static_assert(BUFFER_INPUT == 0 && BUFFER_OUTPUT == 1 && BUFFER_WORK == 2 && BUFFER_SLOT == 3,
                  "cells lie in the order of the buffers");
    return &build->cell[(size_t)buffer * build->chunks + index];
}

/* ---- beginning and ending ----------------------------------------------------------------------------------------- */

static bool has_blocks(enum collective collective)
{
    return collective == COLLECTIVE_REDUCE_SCATTER || collective == COLLECTIVE_ALL_GATHER;
}

static bool reduces(enum collective collective)
{
    return collective == COLLECTIVE_ALL_REDUCE || collective == COLLECTIVE_REDUCE ||
           collective == COLLECTIVE_REDUCE_SCATTER;
}

static struct instruction *add(struct build *build, enum instruction_kind kind, uint32_t chunk,
                               uint32_t chunks);

/* A group of one: the input is the result. */
static void build_alone(struct schedule *schedule)
{
    struct build build = {.schedule = schedule};
    uint32_t chunks = schedule->blocks * schedule->block_chunks;
    if (chunks == 0) {
        return;
    }
    struct instruction *copy = add(&build, INSTRUCTION_COPY, 0, chunks);
    copy->from.buffer = BUFFER_INPUT;
    copy->to.buffer = BUFFER_OUTPUT;
    copy->final = reduces(schedule->collective);
}

static bool build_notes(struct build *build)
{
    struct schedule *schedule = build->schedule;
    size_t cells = (size_t)3 * build->chunks + schedule->slots;
    build->readers_max = schedule->instructions_max + build->chunks + 1;
    build->cell = calloc(cells + 1, sizeof *build->cell);
    build->reader = malloc(build->readers_max * sizeof *build->reader);
    build->waits = calloc((size_t)schedule->instructions_max + 1, sizeof *build->waits);
    build->met = calloc((size_t)schedule->instructions_max + 1, sizeof *build->met);
    build->where = calloc((size_t)build->chunks + 1, sizeof *build->where);
    if (build->cell && build->reader && build->waits && build->met && build->where) {
        return true;
    }
    schedule->starved = true;
    build_end(build);
    return false;
}

bool build_begin(struct build *build, struct schedule *schedule, const struct build_shape *shape)
{
    assert(shape->rank < shape->size && shape->root < shape->size);
    schedule->collective = shape->collective;
    schedule->rank = shape->rank;
    schedule->size = shape->size;
    schedule->root = shape->root;
    schedule->blocks = has_blocks(shape->collective) ? shape->size : 1;
    schedule->block_chunks = shape->block_chunks;
    schedule->slots = shape->size == 1 ? 0 : shape->slots;
    schedule->lanes = 1;
    *build =
        (struct build){.schedule = schedule, .chunks = schedule->blocks * schedule->block_chunks};
    if (shape->size == 1) {
        build_alone(schedule);
        return false;
    }
    return build_notes(build);
}

void build_end(struct build *build)
{
    free(build->cell);
    free(build->reader);
    free(build->waits);
    free(build->met);
    free(build->where);
}

/* ---- instructions and dependencies -------------------------------------------------------------------------------- */

static struct instruction *add(struct build *build, enum instruction_kind kind, uint32_t chunk,
                               uint32_t chunks)
{
    struct schedule *schedule = build->schedule;
    static _Thread_local struct instruction nowhere; /* keeps emitters free of checks */
    struct instruction *instruction = &nowhere;
    if (schedule->instructions == schedule->instructions_max) {
        schedule->overflow = true;
    } else {
        instruction = &schedule->instruction[schedule->instructions++];
    }
    *instruction = (struct instruction){.kind = (uint8_t)kind,
                                        .chunk = chunk,
                                        .chunks = chunks,
                                        .dependency = schedule->dependencies};
    return instruction;
}

static struct instruction *add_message(struct build *build, enum instruction_kind kind,
                                       uint32_t peer, unsigned lane, uint32_t chunk,
                                       uint32_t chunks)
{
    assert(peer < build->schedule->size && peer != build->schedule->rank);
    assert(lane < SCHEDULE_LANES);
    struct instruction *instruction = add(build, kind, chunk, chunks);
    instruction->peer = peer;
    instruction->lane = (uint8_t)lane;
    if (build->schedule->lanes <= lane) {
        build->schedule->lanes = lane + 1;
    }
    return instruction;
}

/* The newest instruction waits for `on` (from 1; 0: for nobody). */
static void wait_for(struct build *build, uint32_t on)
{
    struct schedule *schedule = build->schedule;
    uint32_t self = schedule->instructions; /* from 1 */
    if (on == 0 || on == self || schedule->overflow || build->waits[on - 1] == self) {
        return;
    }
    if (schedule->dependencies == schedule->dependencies_max) {
        schedule->overflow = true;
        return;
    }
    build->waits[on - 1] = self;
    struct instruction *waiting = &schedule->instruction[self - 1];
    const struct instruction *first = &schedule->instruction[on - 1];
    bool same_range = first->chunk == waiting->chunk && first->chunks == waiting->chunks;
    schedule->dependency[schedule->dependencies++] =
        (struct dependency){.on = on - 1, .streamed = same_range && waiting->chunks > 0};
    waiting->dependencies++;
}

/* Drop what the newest instruction waits for anyway, because something else that it waits for does. That happens to
 * ranges whose chunks have different histories, and to values that have moved: rare, and never far back. */
static void prune(struct build *build)
{
    struct schedule *schedule = build->schedule;
    uint32_t self = schedule->instructions, oldest = self;
    if (schedule->overflow || self == 0 || schedule->instruction[self - 1].dependencies < 2) {
        return;
    }
    struct instruction *newest = &schedule->instruction[self - 1];
    struct dependency *dependency = &schedule->dependency[newest->dependency];
    for (uint32_t i = 0; i < newest->dependencies; i++) {
        build->met[dependency[i].on] = 2 * self;
        oldest = dependency[i].on < oldest ? dependency[i].on : oldest;
    }
    for (uint32_t i = self - 1; i-- > oldest;) {
        const struct instruction *earlier = &schedule->instruction[i];
        bool waited_for = build->met[i] / 2 == self;
        for (uint32_t d = 0; waited_for && d < earlier->dependencies; d++) {
            build->met[schedule->dependency[earlier->dependency + d].on] = 2 * self + 1;
        }
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < newest->dependencies; i++) {
        if (build->met[dependency[i].on] == 2 * self) {
            dependency[kept++] = dependency[i];
        }
    }
    schedule->dependencies -= newest->dependencies - kept;
    newest->dependencies = kept;
}

static bool more_readers(struct build *build)
{
    uint32_t most = build->readers_max * 2;
    struct build_reader *reader = realloc(build->reader, most * sizeof *reader);
    if (reader == NULL) {
        build->schedule->starved = true;
        return false;
    }
    build->reader = reader;
    build->readers_max = most;
    return true;
}

/* Note that the newest instruction reads the place. */
static void note_read(struct build *build, struct build_cell *cell)
{
    if (build->readers == build->readers_max && !more_readers(build)) {
        return;
    }
    build->reader[build->readers] =
        (struct build_reader){.instruction = build->schedule->instructions, .next = cell->reader};
    cell->reader = ++build->readers;
}

static void wait_for_readers(struct build *build, struct build_cell *cell)
{
    for (uint32_t i = cell->reader; i != 0; i = build->reader[i - 1].next) {
        wait_for(build, build->reader[i - 1].instruction);
    }
    cell->reader = 0;
}

static void read_place(struct build *build, enum schedule_buffer buffer, uint32_t index)
{
    struct build_cell *cell = cell_of(build, buffer, index);
    wait_for(build, cell->writer);
    note_read(build, cell);
}

/* A write waits for the reads since the last write, which waited for that write themselves; if there were none, for the
 * last write itself. */
static void write_place(struct build *build, enum schedule_buffer buffer, uint32_t index)
{
    struct build_cell *cell = cell_of(build, buffer, index);
    if (cell->reader == 0) {
        wait_for(build, cell->writer);
    }
    wait_for_readers(build, cell);
    cell->writer = build->schedule->instructions;
}

static void read_chunks(struct build *build, enum schedule_buffer buffer, uint32_t chunk,
                        uint32_t chunks)
{
    for (uint32_t i = chunk; i < chunk + chunks; i++) {
        read_place(build, buffer, i);
    }
}

/* Also note where the chunks live from now on. Writing OUTPUT destroys INPUT, in place. */
static void write_chunks(struct build *build, enum schedule_buffer buffer, uint32_t chunk,
                         uint32_t chunks)
{
    for (uint32_t i = chunk; i < chunk + chunks; i++) {
        write_place(build, buffer, i);
        if (buffer == BUFFER_OUTPUT) {
            wait_for_readers(build, cell_of(build, BUFFER_INPUT, i));
        }
        build->where[i] = (uint8_t)buffer;
    }
    build->schedule->uses_work |= buffer == BUFFER_WORK;
}

/* ---- where values live -------------------------------------------------------------------------------------------- */

/* Has this rank's OUTPUT these chunks? */
static bool output_has(const struct build *build, uint32_t chunk, uint32_t chunks)
{
    const struct schedule *schedule = build->schedule;
    if (schedule->collective == COLLECTIVE_REDUCE) {
        return schedule->rank == schedule->root;
    }
    if (schedule->collective == COLLECTIVE_REDUCE_SCATTER) {
        uint32_t own = schedule->rank * schedule->block_chunks;
        return chunk >= own && chunk + chunks <= own + schedule->block_chunks;
    }
    return true;
}

/* Where sums of these chunks are kept. */
static enum schedule_buffer accumulator(const struct build *build, uint32_t chunk, uint32_t chunks)
{
    return output_has(build, chunk, chunks) ? BUFFER_OUTPUT : BUFFER_WORK;
}

/* A copy within the same chunk of INPUT and OUTPUT does nothing in place, and clashes with no read of INPUT otherwise. */
static void copy_input(struct build *build, enum schedule_buffer to, uint32_t chunk,
                       uint32_t chunks)
{
    struct instruction *copy = add(build, INSTRUCTION_COPY, chunk, chunks);
    copy->from.buffer = BUFFER_INPUT;
    copy->to.buffer = (uint8_t)to;
    for (uint32_t i = chunk; i < chunk + chunks; i++) {
        write_place(build, to, i);
        if (to != BUFFER_OUTPUT) {
            read_place(build, BUFFER_INPUT, i);
        }
        build->where[i] = (uint8_t)to;
    }
    build->schedule->uses_work |= to == BUFFER_WORK;
    prune(build);
}

static void settle_in(struct build *build, enum schedule_buffer to, uint32_t chunk, uint32_t chunks)
{
    uint32_t end = chunk + chunks;
    for (uint32_t first = chunk; first < end;) {
        uint32_t next = first;
        while (next < end && build->where[next] == BUFFER_INPUT) {
            next++;
        }
        if (next > first) {
            copy_input(build, to, first, next - first);
        }
        first = next + (next == first);
    }
}

/* The one buffer in which all the chunks live; those left behind in INPUT are copied to the others. */
static enum schedule_buffer gather(struct build *build, uint32_t chunk, uint32_t chunks)
{
    enum schedule_buffer where = build->where[chunk];
    bool mixed = false;
    for (uint32_t i = chunk; i < chunk + chunks; i++) {
        mixed |= build->where[i] != where;
        where = where == BUFFER_INPUT ? build->where[i] : where;
    }
    if (mixed) {
        settle_in(build, where, chunk, chunks);
    }
    for (uint32_t i = chunk; i < chunk + chunks; i++) {
        assert(build->where[i] == where);
    }
    return where;
}

/* ---- what emitters say -------------------------------------------------------------------------------------------- */

void build_send(struct build *build, uint32_t peer, unsigned lane, uint32_t chunk, uint32_t chunks)
{
    enum schedule_buffer from = gather(build, chunk, chunks);
    struct instruction *send = add_message(build, INSTRUCTION_SEND, peer, lane, chunk, chunks);
    send->from.buffer = (uint8_t)from;
    read_chunks(build, from, chunk, chunks);
    wait_for(build, build->paced);
    build->sent = build->schedule->instructions;
    prune(build);
}

void build_wait(struct build *build, uint32_t chunk, uint32_t chunks)
{
    for (uint32_t i = chunk; i < chunk + chunks; i++) {
        wait_for(build, cell_of(build, build->where[i], i)->writer);
    }
    prune(build);
}

void build_round(struct build *build)
{
    build->paced = build->sent;
}

void build_receive(struct build *build, uint32_t peer, unsigned lane, uint32_t chunk,
                   uint32_t chunks)
{
    assert(output_has(build, chunk, chunks));
    struct instruction *receive =
        add_message(build, INSTRUCTION_RECEIVE, peer, lane, chunk, chunks);
    receive->to.buffer = BUFFER_OUTPUT;
    write_chunks(build, BUFFER_OUTPUT, chunk, chunks);
    prune(build);
}

void build_receive_slot(struct build *build, uint32_t peer, uint32_t slot, uint32_t chunk,
                        uint32_t chunks)
{
    assert(slot < build->schedule->slots);
    struct instruction *receive = add_message(build, INSTRUCTION_RECEIVE, peer, 0, chunk, chunks);
    receive->to = (struct place){.buffer = BUFFER_SLOT, .slot = slot};
    write_place(build, BUFFER_SLOT, slot);
}

static void receive_reduce(struct build *build, uint32_t peer, unsigned lane, uint32_t chunk,
                           uint32_t chunks, bool final)
{
    enum schedule_buffer from = gather(build, chunk, chunks);
    enum schedule_buffer to = accumulator(build, chunk, chunks);
    assert(!final || to == BUFFER_OUTPUT);
    struct instruction *reduce =
        add_message(build, INSTRUCTION_RECEIVE_REDUCE, peer, lane, chunk, chunks);
    reduce->final = final;
    reduce->from.buffer = (uint8_t)from;
    reduce->to.buffer = (uint8_t)to;
    if (from != to) {
        read_chunks(build, from, chunk, chunks);
    }
    write_chunks(build, to, chunk, chunks);
    prune(build);
}

void build_receive_reduce(struct build *build, uint32_t peer, unsigned lane, uint32_t chunk,
                          uint32_t chunks)
{
    receive_reduce(build, peer, lane, chunk, chunks, false);
}

void build_receive_reduce_final(struct build *build, uint32_t peer, unsigned lane, uint32_t chunk,
                                uint32_t chunks)
{
    receive_reduce(build, peer, lane, chunk, chunks, true);
}

void build_send_slot(struct build *build, uint32_t peer, uint32_t slot, uint32_t chunk,
                     uint32_t chunks)
{
    struct instruction *send = add_message(build, INSTRUCTION_SEND, peer, 0, chunk, chunks);
    send->from = (struct place){.buffer = BUFFER_SLOT, .slot = slot};
    read_place(build, BUFFER_SLOT, slot);
    prune(build);
}

/* The sources of a fold, and what it reads of them. */
static struct instruction *fold_from(struct build *build, uint32_t first, uint32_t sources,
                                     uint32_t own, uint32_t chunk, uint32_t chunks)
{
    struct instruction *fold = add(build, INSTRUCTION_FOLD, chunk, chunks);
    fold->from = (struct place){.buffer = BUFFER_SLOT, .slot = first};
    fold->sources = sources;
    fold->own = own;
    for (uint32_t i = 0; i < sources; i++) {
        if (i != own) {
            read_place(build, BUFFER_SLOT, first + i);
        }
    }
    return fold;
}

static void fold_to_output(struct build *build, struct instruction *fold)
{
    fold->final = true;
    fold->to.buffer = BUFFER_OUTPUT;
    write_chunks(build, BUFFER_OUTPUT, fold->chunk, fold->chunks);
    prune(build);
}

void build_add_slots(struct build *build, uint32_t first, uint32_t own, uint32_t to, uint32_t chunk,
                     uint32_t chunks)
{
    struct instruction *fold = fold_from(build, first, 2, own, chunk, chunks);
    if (own != FOLD_NO_OWN) {
        read_chunks(build, BUFFER_INPUT, chunk, chunks);
    }
    if (to == BUILD_TO_OUTPUT) {
        fold_to_output(build, fold);
        return;
    }
    fold->to = (struct place){.buffer = BUFFER_SLOT, .slot = to};
    write_place(build, BUFFER_SLOT, to);
    prune(build);
}

void build_fold(struct build *build, uint32_t chunk, uint32_t chunks)
{
    const struct schedule *schedule = build->schedule;
    fold_to_output(build, fold_from(build, 0, schedule->size, schedule->rank, chunk, chunks));
}

void build_settle(struct build *build, uint32_t chunk, uint32_t chunks)
{
    assert(output_has(build, chunk, chunks));
    settle_in(build, BUFFER_OUTPUT, chunk, chunks);
}

void build_signal(struct build *build, uint32_t peer)
{
    add_message(build, INSTRUCTION_SEND, peer, 0, 0, 0);
    const struct schedule *schedule = build->schedule;
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        if (schedule->instruction[i].kind == INSTRUCTION_RECEIVE) {
            wait_for(build, i + 1);
        }
    }
}

void build_await(struct build *build, uint32_t peer)
{
    add_message(build, INSTRUCTION_RECEIVE, peer, 0, 0, 0);
}
