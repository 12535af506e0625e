/* Real numbers through every row of the table, in random legal orders: in place and not, buffered and not, with counts that
 * do not divide and fewer elements than chunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/collectives/group.h"
#include "tests/collectives/interpret.h"

#define SIZE_MAX_TRIED 17

static void run_all_ways(const struct algorithm *algorithm, const struct group *group,
                         uint64_t count, uint64_t seed)
{
    static const enum interpret_operator ops[] = {INTERPRET_SUM, INTERPRET_AVG, INTERPRET_MIX};
    for (unsigned way = 0; way < 8; way++) {
        struct interpretation how = {
            .schedules = (const struct schedule *const *)group->schedule,
            .size = group->size,
            .count = count,
            .op = ops[(seed + way) % 3],
            .order = way & 1 ? INTERPRET_RANDOM : INTERPRET_LAST_FIRST,
            .in_place = way & 2,
            .buffered = way & 4,
            .seed = seed * 8 + way,
        };
        const char *wrong = interpret(&how);
        if (wrong != NULL) {
            fail_msg("%s by %s%s%s: %s", collective_name(algorithm->collective), algorithm->name,
                     how.in_place ? ", in place" : "", how.buffered ? ", buffered" : "", wrong);
        }
    }
}

static void run_size(const struct algorithm *algorithm, uint32_t size, uint32_t root)
{
    struct group group = group_build(algorithm, size, root);
    const uint64_t counts[] = {0, 1, size > 1 ? size - 1 : 2, 2 * size + 1, 29};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        run_all_ways(algorithm, &group, counts[i], size * 131 + root * 17 + i);
    }
    group_free(&group);
}

static void test_numbers_come_out_right(void **state)
{
    (void)state;
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        for (uint32_t size = 1; size <= SIZE_MAX_TRIED; size++) {
            bool rooted = collective_has_root(row[i].collective);
            if (row[i].collective == COLLECTIVE_BARRIER) {
                continue; /* moves no numbers */
            }
            uint32_t step = size > 8 ? 5 : 1;
            for (uint32_t root = 0; root < (rooted ? size : 1); root += step) {
                run_size(&row[i], size, root);
            }
        }
    }
}

/* The interpreter can tell: the same run goes wrong when the schedule is. */
static void test_a_wrong_schedule_gives_wrong_numbers(void **state)
{
    (void)state;
    struct group group = group_build(algorithm_find(COLLECTIVE_ALL_REDUCE, "ring"), 5, 0);
    uint32_t reduce = group_find(&group, 2, INSTRUCTION_RECEIVE_REDUCE, 0);
    group.schedule[2]->instruction[reduce].kind = INSTRUCTION_RECEIVE;
    struct interpretation how = {.schedules = (const struct schedule *const *)group.schedule,
                                 .size = 5,
                                 .count = 11,
                                 .seed = 1};
    assert_non_null(interpret(&how));
    group_free(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_come_out_right),
        cmocka_unit_test(test_a_wrong_schedule_gives_wrong_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
