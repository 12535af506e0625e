/* Schedules that are wrong, each in one way: the verifier must say so, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/collectives/group.h"

static struct group group_of(enum collective collective, const char *name, uint32_t size)
{
    struct group group = group_build(algorithm_find(collective, name), size, 0);
    struct verify_report report;
    assert_int_equal(group_verify(&report, &group), KOLO_OK); /* right before it is broken */
    return group;
}

/* The verifier refuses, and its text says `why`. */
static void refused(struct group *group, const char *why)
{
    struct verify_report report;
    assert_int_equal(group_verify(&report, group), KOLO_ERR_INTERNAL);
    if (strstr(report.text, why) == NULL) {
        fail_msg("'%s' does not say '%s'", report.text, why);
    }
    group_free(group);
}

static struct instruction *instruction_at(struct group *group, uint32_t rank, uint32_t index)
{
    return &group->schedule[rank]->instruction[index];
}

static struct instruction *find(struct group *group, uint32_t rank, enum instruction_kind kind)
{
    return instruction_at(group, rank, group_find(group, rank, kind, 0));
}

/* ---- contributions ------------------------------------------------------------------------------------------------ */

static void test_contribution_dropped(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "star", 4);
    struct instruction *reduce = find(&group, 0, INSTRUCTION_RECEIVE_REDUCE);
    reduce->kind = INSTRUCTION_RECEIVE; /* rank 1's overwrites the server's own */
    refused(&group, "contribution of rank 0 is missing");
}

/* Rank 1 sends the server's own contribution back to it. */
static void test_contribution_added_twice(void **state)
{
    (void)state;
    struct group group = group_empty(COLLECTIVE_REDUCE, 2, 1, 4);
    struct place input = {.buffer = BUFFER_INPUT}, output = {.buffer = BUFFER_OUTPUT};
    struct place work = {.buffer = BUFFER_WORK};
    group_add(&group, 0,
              (struct instruction){INSTRUCTION_SEND, .peer = 1, .chunks = 1, .from = input});
    group_add(&group, 0,
              (struct instruction){INSTRUCTION_RECEIVE_REDUCE, .final = true, .peer = 1,
                                   .chunks = 1, .from = input, .to = output});
    group_wait(&group, 0, 0, true);
    group_add(&group, 1,
              (struct instruction){INSTRUCTION_RECEIVE_REDUCE, .peer = 0, .chunks = 1,
                                   .from = input, .to = work});
    group_add(&group, 1,
              (struct instruction){INSTRUCTION_SEND, .peer = 0, .chunks = 1, .from = work});
    group_wait(&group, 1, 0, true);
    refused(&group, "contribution of rank 0 is more than once");
}

static void test_final_missing(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "ring", 4);
    for (uint32_t i = 0; i < group.schedule[2]->instructions; i++) {
        instruction_at(&group, 2, i)->final = false;
    }
    refused(&group, "not marked as complete");
}

static void test_final_too_early(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "ring", 4);
    find(&group, 2, INSTRUCTION_RECEIVE_REDUCE)->final = true;
    refused(&group, "is missing");
}

/* The server divides; so does whoever gets the result. */
static void test_final_doubled(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "star", 3);
    find(&group, 1, INSTRUCTION_RECEIVE)->final = true;
    refused(&group, "completes no reduction");
}

/* A result that comes back is added to once more. */
static void test_added_after_final(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "star", 3);
    struct instruction *receive = find(&group, 1, INSTRUCTION_RECEIVE);
    receive->kind = INSTRUCTION_RECEIVE_REDUCE;
    refused(&group, "complete already");
}

/* The same numbers, but rank 1 adds them in another order. */
static void test_trees_differ_between_ranks(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "direct", 3);
    struct instruction *fold = find(&group, 1, INSTRUCTION_FOLD);
    fold->own = 0;
    for (uint32_t i = 0; i < group.schedule[1]->instructions; i++) {
        struct instruction *receive = instruction_at(&group, 1, i);
        if (receive->kind == INSTRUCTION_RECEIVE && receive->peer == 0) {
            receive->to.slot = 1;
        }
    }
    refused(&group, "another tree");
}

/* ---- messages ----------------------------------------------------------------------------------------------------- */

static void test_send_without_receive(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_GATHER, "direct", 3);
    group_add(&group, 0, *find(&group, 0, INSTRUCTION_SEND));
    refused(&group, "meets no receive");
}

static void test_receive_without_send(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_BROADCAST, "chain", 3);
    struct schedule *last = group.schedule[1];
    last->instructions--; /* it no longer passes on */
    refused(&group, "meets no send");
}

static void test_lanes_differ(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_BROADCAST, "double-tree", 4);
    struct instruction *send = find(&group, 0, INSTRUCTION_SEND);
    send->lane ^= 1;
    refused(&group, "meets no");
}

static void test_receive_range_differs(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_GATHER, "direct", 4);
    uint32_t first = group_find(&group, 1, INSTRUCTION_RECEIVE, 0);
    uint32_t second = group_find(&group, 1, INSTRUCTION_RECEIVE, first + 1);
    uint32_t chunk = instruction_at(&group, 1, first)->chunk;
    instruction_at(&group, 1, first)->chunk = instruction_at(&group, 1, second)->chunk;
    instruction_at(&group, 1, second)->chunk = chunk;
    refused(&group, "expects");
}

static void test_messages_of_a_lane_swapped(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_GATHER, "ring", 4);
    uint32_t first = group_find(&group, 0, INSTRUCTION_RECEIVE, 0);
    uint32_t second = group_find(&group, 0, INSTRUCTION_RECEIVE, first + 1);
    uint32_t chunk = instruction_at(&group, 0, first)->chunk;
    instruction_at(&group, 0, first)->chunk = instruction_at(&group, 0, second)->chunk;
    instruction_at(&group, 0, second)->chunk = chunk;
    struct verify_report report;
    assert_int_equal(group_verify(&report, &group), KOLO_ERR_INTERNAL);
    assert_string_not_equal(report.text, "");
    group_free(&group);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

/* Each waits for the other's message before it sends its own. */
static void test_cycle_of_waits(void **state)
{
    (void)state;
    struct group group = group_empty(COLLECTIVE_ALL_GATHER, 2, 1, 4);
    for (uint32_t rank = 0; rank < 2; rank++) {
        uint32_t peer = 1 - rank;
        group_add(&group, rank,
                  (struct instruction){INSTRUCTION_COPY, .chunk = rank, .chunks = 1,
                                       .to = {.buffer = BUFFER_OUTPUT}});
        group_add(&group, rank,
                  (struct instruction){INSTRUCTION_RECEIVE, .peer = peer, .chunk = peer,
                                       .chunks = 1, .to = {.buffer = BUFFER_OUTPUT}});
        group_add(&group, rank,
                  (struct instruction){INSTRUCTION_SEND, .peer = peer, .chunk = rank, .chunks = 1});
        group_wait(&group, rank, 1, false);
    }
    refused(&group, "deadlock");
}

/* No cycle of dependencies, but of dependencies and the lane's order. */
static void test_cycle_through_a_lane(void **state)
{
    (void)state;
    struct group group = group_empty(COLLECTIVE_ALL_GATHER, 2, 2, 6);
    for (uint32_t rank = 0; rank < 2; rank++) {
        uint32_t own = 2 * rank, other = 2 - own, peer = 1 - rank;
        struct place output = {.buffer = BUFFER_OUTPUT};
        for (uint32_t i = 0; i < 2; i++) {
            group_add(&group, rank,
                      (struct instruction){INSTRUCTION_RECEIVE, .peer = peer, .chunk = other + i,
                                           .chunks = 1, .to = output});
        }
        group_add(&group, rank,
                  (struct instruction){INSTRUCTION_SEND, .peer = peer, .chunk = own, .chunks = 1});
        group_wait(&group, rank, 1, false); /* the first send waits for the second receive */
        group_add(
            &group, rank,
            (struct instruction){INSTRUCTION_SEND, .peer = peer, .chunk = own + 1, .chunks = 1});
        group_add(&group, rank,
                  (struct instruction){INSTRUCTION_COPY, .chunk = own, .chunks = 2, .to = output});
    }
    refused(&group, "deadlock");
}

static void test_waits_for_a_later_instruction(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "ring", 4);
    struct schedule *schedule = group.schedule[0];
    assert_true(schedule->dependencies > 0);
    schedule->dependency[0].on = schedule->instructions - 1;
    refused(&group, "later instruction");
}

static void test_streamed_on_another_range(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "circulant", 8);
    bool found = false;
    for (uint32_t i = 0; i < group.schedule[3]->dependencies; i++) {
        found |= !group.schedule[3]->dependency[i].streamed;
        group.schedule[3]->dependency[i].streamed = true;
    }
    assert_true(found);
    refused(&group, "another chunk range");
}

static void test_barrier_that_lets_go_early(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_BARRIER, "dissemination", 8);
    uint32_t second = group_find(&group, 5, INSTRUCTION_SEND, 1);
    group_unwait(&group, 5, second);
    refused(&group, "without knowing of rank");
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

/* Take out each dependency of one instruction, in turn, and put it back. */
static void check_needed(struct group *group, const char *name, uint32_t rank, uint32_t index)
{
    struct instruction *instruction = instruction_at(group, rank, index);
    struct dependency *first = &group->schedule[rank]->dependency[instruction->dependency];
    struct dependency *last = &first[instruction->dependencies - 1];
    for (uint32_t i = 0; i < instruction->dependencies; i++) {
        struct verify_report report;
        struct dependency taken = first[i], kept = *last;
        first[i] = kept;
        instruction->dependencies--;
        if (group_verify(&report, group) != KOLO_ERR_INTERNAL) {
            fail_msg("%s by %s, %u ranks: rank %u, instruction %u need not wait for %u",
                     collective_name(group->schedule[0]->collective), name, group->size, rank,
                     index, taken.on);
        }
        instruction->dependencies++;
        *last = kept;
        first[i] = taken;
    }
}

/* Every dependency is needed: without it two accesses clash, or a barrier lets go. (But a circulant's sends also keep its
 * rounds apart, for time's sake.) */
static void check_all_needed(const struct algorithm *algorithm, uint32_t size, uint32_t root)
{
    struct group group = group_build(algorithm, size, root);
    bool paced = strcmp(algorithm->name, "circulant") == 0;
    for (uint32_t rank = 0; rank < size; rank++) {
        for (uint32_t i = 0; i < group.schedule[rank]->instructions; i++) {
            if (!paced || instruction_at(&group, rank, i)->kind != INSTRUCTION_SEND) {
                check_needed(&group, algorithm->name, rank, i);
            }
        }
    }
    struct verify_report report;
    assert_int_equal(group_verify(&report, &group), KOLO_OK);
    group_free(&group);
}

static void test_unordered_overlap(void **state)
{
    (void)state;
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        for (uint32_t size = 2; size <= 12; size++) {
            bool power_of_two = (size & (size - 1)) == 0;
            if (row[i].collective == COLLECTIVE_BARRIER && !power_of_two) {
                continue; /* its last messages tell what some have heard before */
            }
            check_all_needed(&row[i], size, collective_has_root(row[i].collective) ? size / 2 : 0);
        }
    }
}

static void test_overlap_text_names_both(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "ring", 4);
    uint32_t send = group_find(&group, 1, INSTRUCTION_SEND, 1);
    group_unwait(&group, 1, send);
    refused(&group, "nothing orders them");
}

/* Right when INPUT and OUTPUT are apart, wrong in place. */
static void test_overlap_in_place_only(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "star", 3);
    uint32_t receive = group_find(&group, 2, INSTRUCTION_RECEIVE, 0);
    group_unwait(&group, 2, receive); /* its input may be overwritten before it is sent */
    refused(&group, "(in place)");
}

static void test_input_written(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "star", 3);
    find(&group, 1, INSTRUCTION_RECEIVE)->to.buffer = BUFFER_INPUT;
    refused(&group, "INPUT is written");
}

static void test_unwritten_read(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "star", 3);
    find(&group, 1, INSTRUCTION_SEND)->from.buffer = BUFFER_OUTPUT;
    refused(&group, "sends what was not written");
}

static void test_slot_read_as_another_range(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_REDUCE_SCATTER, "direct", 3);
    for (uint32_t rank = 0; rank < 3; rank++) {
        for (uint32_t i = 0; i < group.schedule[rank]->dependencies; i++) {
            group.schedule[rank]->dependency[i].streamed = false;
        }
    }
    struct instruction *send = find(&group, 1, INSTRUCTION_SEND);
    struct instruction *receive = NULL;
    for (uint32_t i = 0; i < group.schedule[send->peer]->instructions; i++) {
        struct instruction *one = instruction_at(&group, send->peer, i);
        receive = one->kind == INSTRUCTION_RECEIVE && one->peer == 1 ? one : receive;
    }
    assert_non_null(receive);
    send->chunk = receive->chunk = (receive->chunk + 1) % 3; /* the wrong block, on both sides */
    refused(&group, "not written");
}

static void test_output_not_written(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_ALL_GATHER, "ring", 3);
    struct schedule *schedule = group.schedule[2];
    assert_int_equal(schedule->instruction[schedule->instructions - 1].kind, INSTRUCTION_COPY);
    schedule->instructions--;
    refused(&group, "was not written");
}

static void test_output_where_there_is_none(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_REDUCE, "chain", 3);
    find(&group, 1, INSTRUCTION_RECEIVE_REDUCE)->to.buffer = BUFFER_OUTPUT;
    refused(&group, "OUTPUT has no chunk");
}

static void test_wrong_block_gathered(void **state)
{
    (void)state;
    struct group group = group_of(COLLECTIVE_BROADCAST, "direct", 3);
    for (uint32_t rank = 0; rank < 3; rank++) {
        group.schedule[rank]->root = 1; /* the schedules are those of root 0 */
    }
    struct verify_report report;
    assert_int_equal(group_verify(&report, &group), KOLO_ERR_INTERNAL);
    group_free(&group);
}

/* ---- fields ------------------------------------------------------------------------------------------------------- */

static void break_and_refuse(void (*damage)(struct group *), const char *why)
{
    struct group group = group_of(COLLECTIVE_ALL_REDUCE, "direct", 3);
    damage(&group);
    refused(&group, why);
}

static void damage_peer(struct group *group)
{
    find(group, 1, INSTRUCTION_SEND)->peer = 1;
}

static void damage_lane(struct group *group)
{
    find(group, 1, INSTRUCTION_SEND)->lane = 7;
}

static void damage_range(struct group *group)
{
    find(group, 1, INSTRUCTION_SEND)->chunks = 2;
}

static void damage_kind(struct group *group)
{
    find(group, 1, INSTRUCTION_SEND)->kind = 99;
}

static void damage_slot(struct group *group)
{
    find(group, 1, INSTRUCTION_RECEIVE)->to.slot = 3;
}

static void damage_sources(struct group *group)
{
    find(group, 1, INSTRUCTION_FOLD)->sources = 4;
}

static void damage_own(struct group *group)
{
    find(group, 1, INSTRUCTION_FOLD)->own = 3;
}

static void damage_work(struct group *group)
{
    find(group, 1, INSTRUCTION_FOLD)->to.buffer = BUFFER_WORK;
}

static void damage_dependencies(struct group *group)
{
    find(group, 1, INSTRUCTION_FOLD)->dependencies = UINT32_MAX;
}

static void damage_rank(struct group *group)
{
    group->schedule[1]->rank = 2;
}

static void damage_size(struct group *group)
{
    group->schedule[1]->size = 4;
}

static void damage_chunks(struct group *group)
{
    group->schedule[1]->block_chunks = 2;
}

static void test_fields_out_of_range(void **state)
{
    (void)state;
    break_and_refuse(damage_peer, "no other rank");
    break_and_refuse(damage_lane, "lane");
    break_and_refuse(damage_range, "beyond the end");
    break_and_refuse(damage_kind, "kind");
    break_and_refuse(damage_slot, "slot");
    break_and_refuse(damage_sources, "slot");
    break_and_refuse(damage_own, "own input");
    break_and_refuse(damage_work, "WORK");
    break_and_refuse(damage_dependencies, "dependencies");
    break_and_refuse(damage_rank, "rank 2");
    break_and_refuse(damage_size, "of 4");
    break_and_refuse(damage_chunks, "disagree");
}

/* ---- formulas ----------------------------------------------------------------------------------------------------- */

static double one_vector_less(uint32_t size)
{
    return 2.0 * (size - 1) / size - 1;
}

static void test_bytes_unlike_the_formula(void **state)
{
    (void)state;
    struct algorithm ring = *algorithm_find(COLLECTIVE_ALL_REDUCE, "ring");
    struct verify_report report;
    assert_int_equal(verify_algorithm(&report, &ring, 5, 0), KOLO_OK);
    ring.sent_fraction = one_vector_less;
    assert_int_equal(verify_algorithm(&report, &ring, 5, 0), KOLO_ERR_INTERNAL);
    assert_non_null(strstr(report.text, "the formula says"));
}

static void too_little_room(uint64_t *instructions, uint64_t *dependencies, uint32_t size)
{
    *instructions = size;
    *dependencies = 1;
}

static void test_bounds_too_small(void **state)
{
    (void)state;
    struct algorithm ring = *algorithm_find(COLLECTIVE_ALL_REDUCE, "ring");
    ring.bounds = too_little_room;
    struct verify_report report;
    assert_int_equal(verify_algorithm(&report, &ring, 5, 0), KOLO_ERR_INTERNAL);
    struct schedule *schedule = NULL;
    assert_int_equal(algorithm_build(&schedule, &ring, 0, 5, 0), KOLO_ERR_INTERNAL);
    assert_null(schedule);
}

static void test_too_many_ranks(void **state)
{
    (void)state;
    const struct algorithm *direct = algorithm_find(COLLECTIVE_ALL_REDUCE, "direct");
    struct schedule *schedule = NULL;
    assert_int_equal(algorithm_build(&schedule, direct, 0, direct->size_max + 1, 0),
                     KOLO_ERR_LIMIT);
    assert_null(schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contribution_dropped),
        cmocka_unit_test(test_contribution_added_twice),
        cmocka_unit_test(test_final_missing),
        cmocka_unit_test(test_final_too_early),
        cmocka_unit_test(test_final_doubled),
        cmocka_unit_test(test_added_after_final),
        cmocka_unit_test(test_trees_differ_between_ranks),
        cmocka_unit_test(test_send_without_receive),
        cmocka_unit_test(test_receive_without_send),
        cmocka_unit_test(test_lanes_differ),
        cmocka_unit_test(test_receive_range_differs),
        cmocka_unit_test(test_messages_of_a_lane_swapped),
        cmocka_unit_test(test_cycle_of_waits),
        cmocka_unit_test(test_cycle_through_a_lane),
        cmocka_unit_test(test_waits_for_a_later_instruction),
        cmocka_unit_test(test_streamed_on_another_range),
        cmocka_unit_test(test_barrier_that_lets_go_early),
        cmocka_unit_test(test_unordered_overlap),
        cmocka_unit_test(test_overlap_text_names_both),
        cmocka_unit_test(test_overlap_in_place_only),
        cmocka_unit_test(test_input_written),
        cmocka_unit_test(test_unwritten_read),
        cmocka_unit_test(test_slot_read_as_another_range),
        cmocka_unit_test(test_output_not_written),
        cmocka_unit_test(test_output_where_there_is_none),
        cmocka_unit_test(test_wrong_block_gathered),
        cmocka_unit_test(test_fields_out_of_range),
        cmocka_unit_test(test_bytes_unlike_the_formula),
        cmocka_unit_test(test_bounds_too_small),
        cmocka_unit_test(test_too_many_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
