#include "runtime/execute/operation.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"
#include "runtime/execute/exchange.h"
#include "runtime/execute/step.h"
#include "runtime/memory/memory.h"
#include "runtime/reduce/reduce.h"

#define STEP_BYTES_MAX                                                                             \
    (128u                                                                                          \
     << 10) /* one go at reducing or copying: stays in the L2 cache, and lets other lanes go on */
#define SLOT_ALIGN 64u

/* ---- where things are ---- */

size_t operation_element_bytes(const struct operation *operation)
{
    return operation->request.collective == COLLECTIVE_BARRIER
               ? 1
               : kolo_type_size(operation->request.type);
}

/* Bytes from the start of the user's buffer to element `element` of the vector of this pass. A vector of a pass has blocks of
 * pass_count elements; the user's has blocks of request.count. Ranges that cross blocks are contiguous only in one pass. */
static size_t user_offset(const struct operation *operation, uint64_t element, bool one_block)
{
    uint64_t block = operation->pass_count == 0 ? 0 : element / operation->pass_count;
    uint64_t within = operation->pass_count == 0 ? 0 : element % operation->pass_count;
    uint64_t position =
        (one_block ? 0 : block * operation->request.count) + operation->pass_first + within;
    return position * operation_element_bytes(operation);
}

/* Private memory: WORK, the packed input, slots; each begins on a cache line. */
static size_t vector_bytes(const struct operation *operation)
{
    size_t bytes = operation->plan->schedule->blocks * operation->pass_elements *
                   operation_element_bytes(operation);
    return (bytes + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
}

/* NULL with no elements is a legal buffer, so the sum is of numbers. */
static uint8_t *at(const void *buffer, size_t offset)
{
    return (uint8_t *)((uintptr_t)buffer + offset);
}

static uint8_t *work(const struct operation *operation)
{
    return operation->private_memory;
}

static uint8_t *packed_input(const struct operation *operation)
{
    return at(work(operation), operation->plan->schedule->uses_work ? vector_bytes(operation) : 0);
}

static uint8_t *slot(const struct operation *operation, uint32_t index)
{
    size_t before = operation->packed ? vector_bytes(operation) : 0;
    return at(packed_input(operation), before + index * operation->slot_bytes);
}

static uint8_t *locate(const struct operation *operation, const struct place *place, uint64_t first)
{
    const struct request *request = &operation->request;
    size_t packed_offset = first * operation_element_bytes(operation);
    switch ((enum schedule_buffer)place->buffer) {
    case BUFFER_INPUT:
        return operation->packed
                   ? packed_input(operation) + packed_offset
                   : at(request->in, user_offset(operation, first,
                                                 request->collective == COLLECTIVE_ALL_GATHER));
    case BUFFER_OUTPUT:
        return at(request->out,
                  user_offset(operation, first, request->collective == COLLECTIVE_REDUCE_SCATTER));
    case BUFFER_WORK:
        return at(work(operation), packed_offset);
    case BUFFER_SLOT:
        break;
    }
    return slot(operation, place->slot);
}

static void pack_input(const struct operation *operation)
{
    size_t bytes = operation->pass_count * operation_element_bytes(operation);
    for (uint32_t block = 0; block < operation->plan->schedule->blocks; block++) {
        const uint8_t *from = operation->request.in;
        from += user_offset(operation, block * operation->pass_count, false);
        memcpy(packed_input(operation) + block * bytes, from,
               bytes); /* passes are of one element at least */
    }
}

/* ---- beginning ---- */

static kolo_status reserve_steps(struct operation *operation, uint32_t instructions, uint32_t size)
{
    if (instructions > operation->steps_room) {
        struct step *step = NULL;
        uint32_t *live = NULL;
        kolo_status status =
            memory_get((void **)&step, instructions * sizeof *step, "the steps of an operation");
        if (status == KOLO_OK) {
            status = memory_get((void **)&live, instructions * sizeof *live,
                                "the steps of an operation");
        }
        if (status != KOLO_OK) {
            memory_free(step);
            return status;
        }
        memory_free(operation->step);
        memory_free(operation->live);
        operation->step = step;
        operation->live = live;
        operation->steps_room = instructions;
    }
    if (size > operation->sources_room) {
        void *source = NULL;
        kolo_status status =
            memory_get(&source, size * sizeof *operation->source, "the sources of a fold");
        if (status != KOLO_OK) {
            return status;
        }
        memory_free(operation->source);
        operation->source = source;
        operation->sources_room = size;
    }
    return KOLO_OK;
}

static kolo_status reserve_private(struct operation *operation, size_t bytes)
{
    if (bytes <= operation->private_room) {
        return KOLO_OK;
    }
    void *memory = NULL;
    kolo_status status = memory_get(&memory, bytes, "an operation's private copy");
    if (status == KOLO_OK) {
        memory_free(operation->private_memory);
        operation->private_memory = memory;
        operation->private_room = bytes;
    }
    return status;
}

/* How much of each block one pass takes: all, unless private memory would grow beyond its limit. The same on all ranks. */
static uint64_t pass_elements(const struct plan *plan, uint64_t count, size_t element)
{
    uint64_t copies = (uint64_t)plan->private_blocks + plan->private_slots;
    if (copies == 0 || count == 0) {
        return count;
    }
    copies += plan->crosses_blocks ? plan->schedule->blocks : 0;
    uint64_t most = OPERATION_PRIVATE_BYTES / (copies * element);
    most = most > 0 ? most : 1;
    return count < most ? count : most;
}

static kolo_status size_up(struct operation *operation)
{
    const struct schedule *schedule = operation->plan->schedule;
    size_t element = operation_element_bytes(operation);
    if (operation->shown) {
        return reserve_steps(operation, schedule->instructions, schedule->size);
    }
    operation->pass_elements = pass_elements(operation->plan, operation->request.count, element);
    operation->packed =
        operation->plan->crosses_blocks && operation->pass_elements < operation->request.count;
    size_t block = operation->pass_elements * element;
    operation->slot_bytes = (block + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
    size_t needed = ((size_t)schedule->uses_work + operation->packed) * vector_bytes(operation) +
                    schedule->slots * operation->slot_bytes;
    kolo_status status = reserve_steps(operation, schedule->instructions, schedule->size);
    return status == KOLO_OK ? reserve_private(operation, needed) : status;
}

static void post(struct operation *operation, uint32_t index)
{
    const struct instruction *instruction = &operation->plan->schedule->instruction[index];
    struct step *step = &operation->step[index];
    struct transfer *transfer = &step->transfer;
    struct link *link = operation->link[instruction->peer];
    bool free_to_go = instruction->dependencies == 0;
    transfer->length = step->length;
    transfer->ready = free_to_go ? step->length : 0;
    fingerprint_put(transfer->header, &operation->fingerprint, operation->pass, instruction->chunk,
                    instruction->chunks);
    if (link == NULL) {
        transfer->state = TRANSFER_FAILED;
        transfer->status = KOLO_ERR_PEER_LOST;
    } else if (instruction->kind == INSTRUCTION_SEND) {
        transfer->data = (uint8_t *)(uintptr_t)step->from;
        link->ops->send(link, instruction->lane, transfer);
    } else {
        transfer->data = instruction->kind == INSTRUCTION_RECEIVE ? step->to : NULL;
        link->ops->receive(link, instruction->lane, transfer);
    }
}

/* Where an instruction's bytes are. */
void operation_lay_out(struct operation *operation, uint32_t index)
{
    const struct schedule *schedule = operation->plan->schedule;
    const struct instruction *instruction = &schedule->instruction[index];
    struct step *step = &operation->step[index];
    uint64_t first = 0, length = 0;
    if (instruction->chunks > 0) {
        schedule_chunk_range(&first, &length, schedule, instruction->chunk, instruction->chunks,
                             operation->pass_count);
    }
    step->length = length * operation_element_bytes(operation);
    if (instruction->kind != INSTRUCTION_RECEIVE && instruction->kind != INSTRUCTION_FOLD) {
        step->from = locate(operation, &instruction->from, first);
    }
    if (instruction->kind == INSTRUCTION_FOLD && instruction->own != FOLD_NO_OWN) {
        step->from = locate(operation, &(struct place){.buffer = BUFFER_INPUT}, first);
    }
    if (instruction->kind != INSTRUCTION_SEND) {
        step->to = locate(operation, &instruction->to, first);
    }
}

/* An empty message has no bytes that `ready` could hold back. In a barrier, that it goes out is what it says, so it is posted
 * only when its dependencies are met. */
static bool posted_late(const struct operation *operation, const struct instruction *instruction)
{
    return operation->request.collective == COLLECTIVE_BARRIER &&
           instruction->kind == INSTRUCTION_SEND && instruction->dependencies > 0;
}

static void reset(struct step *step)
{
    struct transfer *transfer = &step->transfer;
    step->done = 0;
    step->finished = false;
    transfer->state = TRANSFER_IDLE;
    transfer->moved = 0;
    transfer->span = NULL;
    transfer->span_bytes = 0;
    transfer->scratch = 0;
}

/* Sends first: what the others wait for. */
static void begin_pass(struct operation *operation)
{
    const struct plan *plan = operation->plan;
    const struct instruction *instruction = plan->schedule->instruction;
    uint64_t left = operation->request.count - operation->pass_first;
    operation->pass_count = left < operation->pass_elements ? left : operation->pass_elements;
    if (operation->packed) {
        pack_input(operation);
    }
    uint32_t instructions = plan->schedule->instructions;
    for (uint32_t i = 0; i < instructions; i++) {
        if (!operation->laid_out) {
            operation_lay_out(operation, i);
        }
        reset(&operation->step[i]);
        if (instruction[i].kind == INSTRUCTION_SEND && !posted_late(operation, &instruction[i])) {
            post(operation, i);
        }
    }
    for (uint32_t i = 0; i < instructions; i++) {
        if (instruction[i].kind == INSTRUCTION_RECEIVE ||
            instruction[i].kind == INSTRUCTION_RECEIVE_REDUCE) {
            post(operation, i);
        }
    }
    if (plan->firsts > 0) { /* a rank alone has nothing to do, and no memory for it */
        memcpy(operation->live, plan->first, plan->firsts * sizeof *operation->live);
    }
    operation->live_count = plan->firsts;
    operation->laid_out = operation->pass_count ==
                          operation->request.count; /* in one pass: good for the next time, too */
}

static bool same_places(const struct operation *operation, const struct plan *plan,
                        const struct request *request)
{
    const struct request *last = &operation->request;
    return operation->laid_out && operation->plan_serial == plan->serial &&
           last->out == request->out && last->in == request->in && last->count == request->count &&
           last->type == request->type;
}

kolo_status operation_begin(struct operation *operation, const struct plan *plan,
                            const struct request *request, uint32_t sequence, struct link **link)
{
    assert(!operation->running);
    bool barrier = request->collective == COLLECTIVE_BARRIER;
    enum collective collective = request->collective;
    bool reduces = collective == COLLECTIVE_ALL_REDUCE || collective == COLLECTIVE_REDUCE_SCATTER ||
                   collective == COLLECTIVE_REDUCE;
    operation->laid_out = same_places(operation, plan, request);
    operation->plan = plan;
    operation->plan_serial = plan->serial;
    operation->request = *request;
    operation->link = link;
    operation->fingerprint =
        (struct fingerprint){.sequence = sequence,
                             .collective = (uint8_t)collective,
                             .type = barrier ? FINGERPRINT_NONE : (uint8_t)request->type,
                             .op = reduces ? (uint8_t)request->op : FINGERPRINT_NONE,
                             .algorithm = plan->algorithm_row,
                             .count = request->count,
                             .root = request->root};
    operation->pass_first = 0;
    operation->pass = 0;
    operation->status = KOLO_OK;
    operation->culprit = OPERATION_NO_PEER;
    operation->theirs_known = false;
    operation->shown = operation->laid_out ? operation->shown : exchange_fits(operation);
    kolo_status status = operation->laid_out ? KOLO_OK : size_up(operation);
    if (status == KOLO_OK) {
        operation->running = true;
        operation->shown ? exchange_begin(operation) : begin_pass(operation);
    }
    return status;
}

/* ---- stepping ---- */

/* How many bytes of this instruction its dependencies let go. */
static size_t allowed(const struct operation *operation, const struct instruction *instruction,
                      const struct step *step)
{
    const struct dependency *dependency =
        operation->plan->schedule->dependency + instruction->dependency;
    size_t most = step->length;
    for (uint32_t i = 0; i < instruction->dependencies; i++) {
        const struct step *on = &operation->step[dependency[i].on];
        if (on->finished) {
            continue;
        }
        size_t limit = dependency[i].streamed ? on->done : 0;
        most = limit < most ? limit : most;
    }
    return most;
}

unsigned operation_divisor(const struct operation *operation, const struct instruction *instruction)
{
    bool average = operation->request.op == KOLO_AVG && instruction->final;
    return average ? operation->plan->schedule->size : 0;
}

kolo_operator operation_operator(const struct operation *operation)
{
    return operation->request.op == KOLO_AVG ? KOLO_SUM : operation->request.op;
}

/* Nothing may start before its whole dependencies are finished. */
static bool held(const struct operation *operation, const struct instruction *instruction)
{
    const struct dependency *dependency =
        operation->plan->schedule->dependency + instruction->dependency;
    for (uint32_t i = 0; i < instruction->dependencies; i++) {
        if (!dependency[i].streamed && !operation->step[dependency[i].on].finished) {
            return true;
        }
    }
    return false;
}

/* Others may depend on this instruction in place of what it depends on, so it may not be finished before that; bytes see to
 * it, but where there are none (a chunk of no elements) it takes a look. */
static bool may_finish(const struct operation *operation, const struct instruction *instruction,
                       const struct step *step)
{
    const struct dependency *dependency =
        operation->plan->schedule->dependency + instruction->dependency;
    for (uint32_t i = 0; i < instruction->dependencies && step->length == 0; i++) {
        if (!operation->step[dependency[i].on].finished) {
            return false;
        }
    }
    return true;
}

static bool advance_transfer(struct operation *operation, const struct instruction *instruction,
                             struct step *step)
{
    struct transfer *transfer = &step->transfer;
    bool moved = false;
    if (transfer->state == TRANSFER_IDLE) {
        if (held(operation, instruction)) {
            return false;
        }
        post(operation, (uint32_t)(step - operation->step));
    }
    if (transfer->ready < step->length) {
        size_t most = allowed(operation, instruction, step);
        moved = most > transfer->ready;
        transfer->ready = most > transfer->ready ? most : transfer->ready;
    }
    moved = moved || transfer->moved != step->done;
    step->done = transfer->moved;
    return moved;
}

static bool advance_reduce(struct operation *operation, const struct instruction *instruction,
                           struct step *step)
{
    struct transfer *transfer = &step->transfer;
    size_t element = operation_element_bytes(operation);
    size_t most = transfer->span_bytes;
    if (instruction->dependencies > 0) {
        size_t limit = allowed(operation, instruction, step) - step->done;
        most = limit < most ? limit : most;
    }
    most = most < STEP_BYTES_MAX ? most : STEP_BYTES_MAX;
    most -= most % element;
    if (most == 0) {
        return false;
    }
    void *to = step->to + step->done;
    const void *sources[2] = {step->from + step->done, transfer->span};
    reduce(&to, 1, sources, 2, most / element, operation->request.type,
           operation_operator(operation), operation_divisor(operation, instruction));
    struct link *link = operation->link[instruction->peer];
    link->ops->release(link, instruction->lane, transfer, most);
    step->done += most;
    return true;
}

static bool advance_copy(struct operation *operation, const struct instruction *instruction,
                         struct step *step)
{
    if (held(operation, instruction)) {
        return false;
    }
    size_t most = allowed(operation, instruction, step) - step->done;
    if (step->to == step->from || most == 0) {
        step->done += most;
    } else {
        most = most < STEP_BYTES_MAX ? most : STEP_BYTES_MAX;
        memcpy(step->to + step->done, step->from + step->done, most);
        step->done += most;
    }
    step->finished = step->done == step->length && may_finish(operation, instruction, step);
    return most > 0 || step->finished;
}

static bool advance_fold(struct operation *operation, const struct instruction *instruction,
                         struct step *step)
{
    if (held(operation, instruction)) {
        return false;
    }
    size_t element = operation_element_bytes(operation);
    size_t most = allowed(operation, instruction, step) - step->done;
    most = most < STEP_BYTES_MAX ? most : STEP_BYTES_MAX;
    most -= most % element;
    for (uint32_t i = 0; i < instruction->sources; i++) {
        const uint8_t *base =
            i == instruction->own ? step->from : slot(operation, instruction->from.slot + i);
        operation->source[i] = at(base, step->done);
    }
    if (most > 0) {
        void *to = step->to + step->done;
        reduce(&to, 1, operation->source, instruction->sources, most / element,
               operation->request.type, operation_operator(operation),
               operation_divisor(operation, instruction));
        step->done += most;
    }
    step->finished = step->done == step->length && may_finish(operation, instruction, step);
    return most > 0 || step->finished;
}

static void give_up(struct operation *operation, const struct instruction *instruction,
                    const struct transfer *transfer)
{
    operation->running = false;
    operation->status = transfer->status;
    operation->culprit = instruction->peer;
    if (transfer->status == KOLO_ERR_MISMATCH) {
        operation->theirs = fingerprint_get(transfer->header);
        operation->theirs_known = true;
    }
}

static bool advance(struct operation *operation, uint32_t index)
{
    const struct instruction *instruction = &operation->plan->schedule->instruction[index];
    struct step *step = &operation->step[index];
    if (instruction->kind == INSTRUCTION_COPY) {
        return advance_copy(operation, instruction, step);
    }
    if (instruction->kind == INSTRUCTION_FOLD) {
        return advance_fold(operation, instruction, step);
    }
    bool moved = instruction->kind == INSTRUCTION_RECEIVE_REDUCE
                     ? advance_reduce(operation, instruction, step)
                     : advance_transfer(operation, instruction, step);
    if (step->transfer.state == TRANSFER_DONE && !may_finish(operation, instruction, step)) {
        return moved;
    }
    if (step->transfer.state == TRANSFER_DONE) {
        step->finished = true;
        step->done = step->length;
        return true;
    }
    if (step->transfer.state == TRANSFER_FAILED) {
        give_up(operation, instruction, &step->transfer);
        return true;
    }
    return moved;
}

static void end_pass(struct operation *operation)
{
    operation->pass_first += operation->pass_count;
    if (operation->pass_first < operation->request.count) {
        operation->pass++;
        begin_pass(operation);
    } else {
        operation->running = false;
    }
}

bool operation_step(struct operation *operation)
{
    if (operation->shown) {
        return exchange_step(operation);
    }
    bool moved = false;
    const uint32_t *next = operation->plan->next;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < operation->live_count && operation->running; i++) {
        uint32_t index = operation->live[i];
        moved |= advance(operation, index);
        while (operation->step[index].finished && next[index] != PLAN_NONE && operation->running) {
            index = next[index];
            moved |= advance(operation, index);
        }
        if (!operation->step[index].finished) {
            operation->live[kept++] = index;
        }
    }
    if (operation->running) {
        operation->live_count = kept;
        if (kept == 0) {
            end_pass(operation);
        }
    }
    return moved;
}

/* ---- the rest ---- */

void operation_withdraw(const struct operation *operation)
{
    bool ended_well = !operation->running && operation->status == KOLO_OK;
    if (operation->shown && !ended_well) {
        operation->board->ops->withdraw(operation->board, operation->shows);
    }
}

const char *operation_waits_for(const struct operation *operation, char *text, size_t text_bytes)
{
    if (operation->shown) {
        return exchange_waits_for(operation, text, text_bytes);
    }
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < operation->live_count && used + 40 < text_bytes; i++) {
        const struct instruction *instruction =
            &operation->plan->schedule->instruction[operation->live[i]];
        if (instruction_is_local(instruction)) {
            continue;
        }
        const struct step *step = &operation->step[operation->live[i]];
        bool sends = instruction->kind == INSTRUCTION_SEND;
        if (sends && step->transfer.ready == step->transfer.moved && step->length > 0) {
            continue; /* there is nothing to send yet: not the peer's fault */
        }
        used +=
            (size_t)snprintf(text + used, text_bytes - used, "%srank %u (to %s)",
                             used > 0 ? ", " : "", instruction->peer, sends ? "receive" : "send");
    }
    return text;
}

void operation_free(struct operation *operation)
{
    memory_free(operation->step);
    memory_free(operation->live);
    memory_free(operation->source);
    memory_free(operation->private_memory);
    *operation = (struct operation){0};
}
