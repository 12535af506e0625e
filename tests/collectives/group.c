#include "tests/collectives/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct group group_build(const struct algorithm *algorithm, uint32_t size, uint32_t root)
{
    assert_non_null(algorithm);
    struct group group = {.schedule = calloc(size, sizeof *group.schedule), .size = size};
    for (uint32_t rank = 0; rank < size; rank++) {
        assert_int_equal(algorithm_build(&group.schedule[rank], algorithm, rank, size, root),
                         KOLO_OK);
    }
    return group;
}

void group_free(struct group *group)
{
    for (uint32_t rank = 0; rank < group->size; rank++) {
        schedule_free(group->schedule[rank]);
    }
    free(group->schedule);
}

kolo_status group_verify(struct verify_report *report, const struct group *group)
{
    return verify_schedules(report, (const struct schedule *const *)group->schedule, group->size);
}

struct group group_empty(enum collective collective, uint32_t size, uint32_t block_chunks,
                         uint32_t instructions)
{
    bool by_rank = collective == COLLECTIVE_REDUCE_SCATTER || collective == COLLECTIVE_ALL_GATHER;
    struct group group = {.schedule = calloc(size, sizeof *group.schedule), .size = size};
    for (uint32_t rank = 0; rank < size; rank++) {
        assert_int_equal(schedule_alloc(&group.schedule[rank], instructions, 4 * instructions),
                         KOLO_OK);
        struct schedule *schedule = group.schedule[rank];
        schedule->collective = collective;
        schedule->rank = rank;
        schedule->size = size;
        schedule->blocks = by_rank ? size : 1;
        schedule->block_chunks = block_chunks;
        schedule->lanes = SCHEDULE_LANES;
        schedule->uses_work = true;
    }
    return group;
}

uint32_t group_add(struct group *group, uint32_t rank, struct instruction instruction)
{
    struct schedule *schedule = group->schedule[rank];
    assert_true(schedule->instructions < schedule->instructions_max);
    instruction.dependency = schedule->dependencies;
    instruction.dependencies = 0;
    schedule->instruction[schedule->instructions] = instruction;
    return schedule->instructions++;
}

void group_wait(struct group *group, uint32_t rank, uint32_t on, bool streamed)
{
    struct schedule *schedule = group->schedule[rank];
    assert_true(schedule->dependencies < schedule->dependencies_max);
    schedule->dependency[schedule->dependencies++] = (struct dependency){on, streamed};
    schedule->instruction[schedule->instructions - 1].dependencies++;
}

void group_unwait(struct group *group, uint32_t rank, uint32_t index)
{
    group->schedule[rank]->instruction[index].dependencies = 0;
}

uint32_t group_find(const struct group *group, uint32_t rank, enum instruction_kind kind,
                    uint32_t from)
{
    const struct schedule *schedule = group->schedule[rank];
    for (uint32_t i = from; i < schedule->instructions; i++) {
        if (schedule->instruction[i].kind == kind) {
            return i;
        }
    }
    fail_msg("rank %u has no such instruction from %u on", rank, from);
    return 0;
}
