#include "collectives/exchange.h"

#include <assert.h>

static bool fits(const struct schedule *schedule, const struct instruction *instruction)
{
    switch ((enum instruction_kind)instruction->kind) {
    case INSTRUCTION_SEND:
        return instruction->dependencies == 0 && instruction->from.buffer == BUFFER_INPUT;
    case INSTRUCTION_RECEIVE:
        return instruction->chunks == 0 || instruction->to.buffer == BUFFER_OUTPUT ||
               (instruction->to.buffer == BUFFER_SLOT && instruction->to.slot < schedule->size);
    case INSTRUCTION_COPY:
    case INSTRUCTION_FOLD:
        return true;
    case INSTRUCTION_RECEIVE_REDUCE:
        break;
    }
    return false;
}

/* Messages with `peer` of that kind. */
static uint32_t count(const struct schedule *schedule, enum instruction_kind kind, uint32_t peer)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        found += !instruction_is_local(instruction) && instruction->kind == kind &&
                 instruction->peer == peer;
    }
    return found;
}

bool exchange_is(const struct schedule *schedule)
{
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        if (!fits(schedule, &schedule->instruction[i])) {
            return false;
        }
    }
    for (uint32_t peer = 0; peer < schedule->size; peer++) {
        uint32_t once = peer != schedule->rank;
        if (count(schedule, INSTRUCTION_SEND, peer) != once ||
            count(schedule, INSTRUCTION_RECEIVE, peer) != once) {
            return false;
        }
    }
    return schedule->size > 1;
}

bool exchange_shows_block(enum collective collective)
{
    return collective == COLLECTIVE_ALL_GATHER;
}

uint64_t exchange_elements(const struct schedule *schedule, uint64_t count)
{
    bool own_block = exchange_shows_block(schedule->collective);
    return own_block ? count : schedule->blocks * count;
}

uint64_t exchange_offset(const struct schedule *schedule, uint32_t peer, uint64_t first,
                         uint64_t count)
{
    bool own_block = exchange_shows_block(schedule->collective);
    assert(!own_block || (first >= peer * count && first <= (peer + 1) * count));
    return own_block ? first - peer * count : first;
}
