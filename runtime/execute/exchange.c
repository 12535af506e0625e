#include "runtime/execute/exchange.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "collectives/exchange.h"
#include "runtime/execute/step.h"
#include "runtime/reduce/reduce.h"

static size_t shown_bytes(const struct operation *operation)
{
    return exchange_elements(operation->plan->schedule, operation->request.count) *
           operation_element_bytes(operation);
}

bool exchange_fits(const struct operation *operation)
{
    return operation->board != NULL && operation->plan->exchange &&
           shown_bytes(operation) <= operation->board_bytes;
}

/* Where, in what its peer shows, the bytes of a receive lie. */
static size_t offset_of(const struct operation *operation, const struct instruction *instruction)
{
    const struct schedule *schedule = operation->plan->schedule;
    uint64_t first = 0, length = 0, count = operation->request.count;
    if (instruction->kind != INSTRUCTION_RECEIVE || instruction->chunks == 0) {
        return 0;
    }
    schedule_chunk_range(&first, &length, schedule, instruction->chunk, instruction->chunks, count);
    return exchange_offset(schedule, instruction->peer, first, count) *
           operation_element_bytes(operation);
}

static void lay_out(struct operation *operation)
{
    const struct schedule *schedule = operation->plan->schedule;
    operation->packed = false;
    operation->pass_elements = operation->pass_count = operation->request.count;
    operation->shown_bytes = shown_bytes(operation);
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        operation_lay_out(operation, i);
        operation->step[i].offset = offset_of(operation, &schedule->instruction[i]);
    }
    operation->laid_out = true;
}

void exchange_begin(struct operation *operation)
{
    if (!operation->laid_out) {
        lay_out(operation);
    }
    operation->next_look = 0;
    operation->shows++;
    fingerprint_put_shown(operation->header, &operation->fingerprint, operation->past);
    operation->board->ops->show(operation->board, operation->shows, operation->header,
                                operation->request.in, operation->shown_bytes);
}

static void give_up(struct operation *operation, uint32_t peer, kolo_status status)
{
    operation->running = false;
    operation->status = status;
    operation->culprit = peer;
}

/* What a peer shows must be of the same operation, after the same operations: a rank that only sends in one may be done with it
 * before anyone has seen that it was another one. The header is the peer's memory, so it is read once. */
static bool suits(struct operation *operation, const struct shown *shown, uint32_t peer)
{
    uint8_t header[TRANSPORT_HEADER_BYTES];
    memcpy(header, shown->header, sizeof header);
    if (memcmp(header, operation->header, sizeof header) != 0) {
        give_up(operation, peer, KOLO_ERR_MISMATCH);
        operation->theirs = fingerprint_get(header);
        operation->theirs_known = !fingerprint_equal(&operation->theirs, &operation->fingerprint);
        return false;
    }
    if (shown->length != operation->shown_bytes) { /* no kolo does that */
        give_up(operation, peer, KOLO_ERR_PROTOCOL);
        return false;
    }
    return true;
}

static void take_in(struct operation *operation, uint32_t index, const struct shown *shown)
{
    const struct instruction *instruction = &operation->plan->schedule->instruction[index];
    const struct step *step = &operation->step[index];
    const uint8_t *from = shown->data + step->offset;
    if (instruction->to.buffer == BUFFER_SLOT) {
        operation->source[instruction->to.slot] = from; /* folded where it is */
    } else if (step->length > 0) {
        memcpy(step->to, from, step->length);
    }
}

static enum look look_at(const struct operation *operation, struct shown *shown, uint32_t peer)
{
    struct link *link = operation->link[peer];
    return link == NULL ? LOOK_NEVER : link->ops->look(shown, link, operation->shows);
}

static bool receive(struct operation *operation, uint32_t index)
{
    uint32_t peer = operation->plan->schedule->instruction[index].peer;
    struct shown shown;
    enum look found = look_at(operation, &shown, peer);
    if (found == LOOK_NEVER) {
        kolo_status status = KOLO_ERR_PEER_LOST;
        const struct link *link = operation->link[peer];
        if (link != NULL) {
            link->ops->link_state(link, &status, NULL);
        }
        give_up(operation, peer, status);
    }
    if (found != LOOK_HERE || !suits(operation, &shown, peer)) {
        return false;
    }
    take_in(operation, index, &shown);
    return true;
}

static void fold(struct operation *operation, const struct instruction *instruction,
                 const struct step *step)
{
    const void **source = operation->source + instruction->from.slot;
    void *to = step->to;
    if (instruction->own != FOLD_NO_OWN) {
        source[instruction->own] = step->from;
    }
    reduce(&to, 1, source, instruction->sources, step->length / operation_element_bytes(operation),
           operation->request.type, operation_operator(operation),
           operation_divisor(operation, instruction));
}

/* Returns false if it has to wait, or has failed. */
static bool advance(struct operation *operation, uint32_t index)
{
    const struct instruction *instruction = &operation->plan->schedule->instruction[index];
    const struct step *step = &operation->step[index];
    switch ((enum instruction_kind)instruction->kind) {
    case INSTRUCTION_RECEIVE:
        return receive(operation, index);
    case INSTRUCTION_FOLD:
        if (step->length > 0) {
            fold(operation, instruction, step);
        }
        return true;
    case INSTRUCTION_COPY:
        if (step->length > 0 && step->to != step->from) {
            memcpy(step->to, step->from, step->length);
        }
        return true;
    case INSTRUCTION_SEND: /* shown */
    case INSTRUCTION_RECEIVE_REDUCE:
        break;
    }
    assert(instruction->kind == INSTRUCTION_SEND);
    return true;
}

bool exchange_step(struct operation *operation)
{
    uint32_t before = operation->next_look;
    uint32_t instructions = operation->plan->schedule->instructions;
    while (operation->next_look < instructions && advance(operation, operation->next_look)) {
        operation->next_look++;
    }
    operation->running = operation->running && operation->next_look < instructions;
    return operation->next_look != before || !operation->running;
}

/* After this there are no more looks: that looking leaves its traces (it is counted, a link waits for it) does not matter. */
const char *exchange_waits_for(const struct operation *operation, char *text, size_t text_bytes)
{
    const struct schedule *schedule = operation->plan->schedule;
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = operation->next_look; i < schedule->instructions && used + 40 < text_bytes;
         i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        struct shown shown;
        if (instruction->kind == INSTRUCTION_RECEIVE &&
            look_at(operation, &shown, instruction->peer) == LOOK_NOT_YET) {
            used += (size_t)snprintf(text + used, text_bytes - used, "%srank %u (to send)",
                                     used > 0 ? ", " : "", instruction->peer);
        }
    }
    return text;
}
