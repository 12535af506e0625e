/* Random damage to right schedules. The verifier may refuse or accept; but what it accepts must compute the right numbers in
 * every order that the interpreter tries. KOLO_SEED replays a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/collectives/group.h"
#include "tests/collectives/interpret.h"

#define ROUNDS 12000
#define SIZE_MOST 6

static uint64_t random_state;

static uint32_t any(uint32_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return below == 0 ? 0 : (uint32_t)(random_state >> 33) % below;
}

static void drop_dependency(struct schedule *schedule, struct instruction *instruction)
{
    if (instruction->dependencies > 0) {
        struct dependency *first = &schedule->dependency[instruction->dependency];
        first[any(instruction->dependencies)] = first[instruction->dependencies - 1];
        instruction->dependencies--;
    }
}

static void turn_streamed(struct schedule *schedule, struct instruction *instruction)
{
    if (instruction->dependencies > 0) {
        uint32_t at = instruction->dependency + any(instruction->dependencies);
        schedule->dependency[at].streamed ^= true;
    }
}

static void move_dependency(struct schedule *schedule, struct instruction *instruction)
{
    if (instruction->dependencies > 0) {
        uint32_t at = instruction->dependency + any(instruction->dependencies);
        schedule->dependency[at].on = any(schedule->instructions);
    }
}

static void change_chunk(struct schedule *schedule, struct instruction *instruction)
{
    instruction->chunk = any(schedule->blocks * schedule->block_chunks);
}

static void change_from(struct schedule *schedule, struct instruction *instruction)
{
    (void)schedule;
    instruction->from.buffer = (uint8_t)any(3);
}

static void change_to(struct schedule *schedule, struct instruction *instruction)
{
    schedule->uses_work |= any(2);
    instruction->to.buffer = (uint8_t)any(3);
}

static void change_kind(struct schedule *schedule, struct instruction *instruction)
{
    (void)schedule;
    if (instruction->kind == INSTRUCTION_RECEIVE ||
        instruction->kind == INSTRUCTION_RECEIVE_REDUCE) {
        instruction->kind = INSTRUCTION_RECEIVE + INSTRUCTION_RECEIVE_REDUCE - instruction->kind;
    }
}

static void turn_final(struct schedule *schedule, struct instruction *instruction)
{
    (void)schedule;
    instruction->final ^= true;
}

static void change_slot(struct schedule *schedule, struct instruction *instruction)
{
    if (instruction->kind == INSTRUCTION_FOLD) {
        instruction->own = any(schedule->size);
    } else {
        instruction->to.slot = any(schedule->slots);
    }
}

/* Two neighbours change places; the dependencies stay with their places. */
static void swap_instructions(struct schedule *schedule, struct instruction *instruction)
{
    if (instruction != &schedule->instruction[schedule->instructions - 1]) {
        struct instruction other = instruction[1];
        instruction[1] = instruction[0];
        instruction[0] = other;
    }
}

static void (*const damages[])(struct schedule *, struct instruction *) = {
    drop_dependency, turn_streamed, move_dependency, change_chunk, change_from,
    change_to,       change_kind,   turn_final,      change_slot,  swap_instructions};
#define DAMAGES ((uint32_t)(sizeof damages / sizeof damages[0]))

static void run_accepted(const struct group *group, const struct algorithm *algorithm,
                         unsigned round)
{
    for (unsigned way = 0; way < 16; way++) {
        struct interpretation how = {
            .schedules = (const struct schedule *const *)group->schedule,
            .size = group->size,
            .count = 2 * group->size + 1,
            .op = way & 1 ? INTERPRET_AVG : INTERPRET_MIX,
            .order = way & 2 ? INTERPRET_RANDOM : INTERPRET_LAST_FIRST,
            .in_place = way & 4,
            .buffered = way & 8,
            .seed = random_state + way,
        };
        const char *wrong = interpret(&how);
        if (wrong != NULL) {
            fail_msg("round %u: accepted, but wrong: %s by %s%s: %s", round,
                     collective_name(algorithm->collective), algorithm->name,
                     how.in_place ? ", in place" : "", wrong);
        }
    }
}

/* Returns whether the verifier accepted. */
static bool damage_and_run(unsigned round)
{
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    const struct algorithm *algorithm = &row[any(rows)];
    if (algorithm->collective == COLLECTIVE_BARRIER) {
        return false; /* moves no numbers */
    }
    uint32_t size = 2 + any(SIZE_MOST - 1);
    bool rooted = collective_has_root(algorithm->collective);
    struct group group = group_build(algorithm, size, rooted ? any(size) : 0);
    for (uint32_t i = 0; i <= any(2); i++) {
        struct schedule *schedule = group.schedule[any(size)];
        uint32_t at = any(schedule->instructions);
        damages[any(DAMAGES)](schedule, &schedule->instruction[at]);
    }
    struct verify_report report;
    bool accepted = group_verify(&report, &group) == KOLO_OK;
    if (accepted) {
        run_accepted(&group, algorithm, round);
    } else {
        assert_string_not_equal(report.text, "");
    }
    group_free(&group);
    return accepted;
}

static void test_what_is_accepted_is_right(void **state)
{
    (void)state;
    const char *seed = getenv("KOLO_SEED");
    random_state = seed ? strtoull(seed, NULL, 0) : 20240917;
    printf("KOLO_SEED=%llu\n", (unsigned long long)random_state);
    unsigned accepted = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        accepted += damage_and_run(round);
    }
    printf("%u of %u damaged groups were still right\n", accepted, ROUNDS);
    assert_true(accepted > ROUNDS / 100);   /* else nothing was tried */
    assert_true(accepted < ROUNDS / 4 * 3); /* else the verifier sleeps */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_accepted_is_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
