/* In which round each message is. Sweeps over all instructions until nothing changes: a round only ever grows, and the longest
 * chain of messages bounds the sweeps. */
#include <assert.h>
#include <stdlib.h>

#include "collectives/print.h"
#include "runtime/base/status.h"

static bool is_message(const struct instruction *instruction)
{
    return instruction->kind <= INSTRUCTION_RECEIVE_REDUCE;
}

/* ---- which send meets which receive --------------------------------------------------------------------------------- */

/* The next message of a lane at or after instruction `from`; PRINT_ALL if there is none. */
static uint32_t next_on_lane(const struct schedule *schedule, bool sends, uint32_t peer,
                             uint8_t lane, uint32_t from)
{
    for (uint32_t i = from; i < schedule->instructions; i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        if (is_message(instruction) && (instruction->kind == INSTRUCTION_SEND) == sends &&
            instruction->peer == peer && instruction->lane == lane) {
            return i;
        }
    }
    return PRINT_ALL;
}

static kolo_status match_lane(struct print_rounds *rounds, const struct schedule *const *schedules,
                              uint32_t sender, uint32_t receiver, uint8_t lane)
{
    assert(rounds->other[sender] != NULL && rounds->other[receiver] != NULL);
    uint32_t s = 0, r = 0;
    for (;;) {
        s = next_on_lane(schedules[sender], true, receiver, lane, s);
        r = next_on_lane(schedules[receiver], false, sender, lane, r);
        if (s == PRINT_ALL || r == PRINT_ALL) {
            return s == r
                       ? KOLO_OK
                       : fail(KOLO_ERR_INTERNAL,
                              "rank %u and rank %u disagree on the number of messages on lane %u",
                              sender, receiver, lane);
        }
        rounds->other[sender][s++] = r;
        rounds->other[receiver][r++] = s - 1;
    }
}

static kolo_status match(struct print_rounds *rounds, const struct schedule *const *schedules)
{
    for (uint32_t sender = 0; sender < rounds->size; sender++) {
        for (uint32_t receiver = 0; receiver < rounds->size; receiver++) {
            for (uint8_t lane = 0; lane < SCHEDULE_LANES; lane++) {
                kolo_status status = match_lane(rounds, schedules, sender, receiver, lane);
                if (status != KOLO_OK) {
                    return status;
                }
            }
        }
    }
    return KOLO_OK;
}

/* ---- rounds ----------------------------------------------------------------------------------------------------------- */

/* The round after which an instruction's effect is there: for a send the one before its own, since it only reads. */
static uint32_t effect(const struct print_rounds *rounds, const struct schedule *schedule,
                       uint32_t i)
{
    uint32_t round = rounds->round[schedule->rank][i];
    return schedule->instruction[i].kind == INSTRUCTION_SEND && round > 0 ? round - 1 : round;
}

/* The earliest round for an instruction, as its dependencies have it now. Only what is sent must wait for the round after
 * the one that brought it: messages that are received and added up one after the other may well come in one round. */
static uint32_t earliest(const struct print_rounds *rounds, const struct schedule *schedule,
                         uint32_t i)
{
    const struct instruction *instruction = &schedule->instruction[i];
    uint32_t after = 0;
    for (uint32_t d = 0; d < instruction->dependencies; d++) {
        uint32_t on =
            effect(rounds, schedule, schedule->dependency[instruction->dependency + d].on);
        after = on > after ? on : after;
    }
    return instruction->kind == INSTRUCTION_SEND ? after + 1 : after;
}

static bool raise(uint32_t *round, uint32_t to)
{
    bool raised = to > *round;
    *round = raised ? to : *round;
    return raised;
}

/* One sweep. Returns whether any round has grown. */
static bool sweep(struct print_rounds *rounds, const struct schedule *const *schedules)
{
    bool grown = false;
    for (uint32_t rank = 0; rank < rounds->size; rank++) {
        const struct schedule *schedule = schedules[rank];
        assert(rounds->round[rank] != NULL && rounds->other[rank] != NULL);
        for (uint32_t i = 0; i < schedule->instructions; i++) {
            uint32_t *round = &rounds->round[rank][i], other = rounds->other[rank][i];
            grown = raise(round, earliest(rounds, schedule, i)) || grown;
            if (other != PRINT_ALL) {
                uint32_t *facing = &rounds->round[schedule->instruction[i].peer][other];
                grown = raise(round, *facing) || grown;
                grown = raise(facing, *round) || grown;
            }
            rounds->rounds = *round > rounds->rounds ? *round : rounds->rounds;
        }
    }
    return grown;
}

static kolo_status number(struct print_rounds *rounds, const struct schedule *const *schedules)
{
    uint64_t instructions = 0;
    for (uint32_t rank = 0; rank < rounds->size; rank++) {
        instructions += schedules[rank]->instructions;
    }
    while (sweep(rounds, schedules)) {
        if (rounds->rounds > instructions) {
            return fail(KOLO_ERR_INTERNAL, "the schedule's messages wait for one another");
        }
    }
    return KOLO_OK;
}

/* ---- memory ----------------------------------------------------------------------------------------------------------- */

static bool alloc(struct print_rounds *rounds, const struct schedule *const *schedules)
{
    rounds->round = calloc(rounds->size, sizeof *rounds->round);
    rounds->other = calloc(rounds->size, sizeof *rounds->other);
    if (rounds->round == NULL || rounds->other == NULL) {
        return false;
    }
    for (uint32_t rank = 0; rank < rounds->size; rank++) {
        size_t count = (size_t)schedules[rank]->instructions + 1;
        rounds->round[rank] = calloc(count, sizeof(uint32_t));
        rounds->other[rank] = malloc(count * sizeof(uint32_t));
        if (rounds->round[rank] == NULL || rounds->other[rank] == NULL) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            rounds->other[rank][i] = PRINT_ALL;
        }
    }
    return true;
}

void print_rounds_free(struct print_rounds *rounds)
{
    for (uint32_t rank = 0; rank < rounds->size; rank++) {
        if (rounds->round != NULL) {
            free(rounds->round[rank]);
        }
        if (rounds->other != NULL) {
            free(rounds->other[rank]);
        }
    }
    free(rounds->round);
    free(rounds->other);
    *rounds = (struct print_rounds){0};
}

kolo_status print_rounds(struct print_rounds *rounds, const struct schedule *const *schedules,
                         uint32_t size)
{
    *rounds = (struct print_rounds){.size = size};
    if (!alloc(rounds, schedules)) {
        return fail(KOLO_ERR_MEMORY, "no memory for the rounds of %u ranks", size);
    }
    kolo_status status = match(rounds, schedules);
    return status == KOLO_OK ? number(rounds, schedules) : status;
}
