/* Which algorithm a call gets, the same on all ranks, and what is kept of it. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <stdlib.h>
#include <string.h>

#include "runtime/plan/costs.h"
#include "runtime/plan/plan.h"

static struct plans *make(uint32_t rank, uint32_t size, const char *forced)
{
    struct plans *plans = NULL;
    const struct network_uniform network = costs_of(COSTS_LOOPBACK, size, 2, 0);
    assert_int_equal(plans_create(&plans, rank, size, &network, forced), KOLO_OK);
    return plans;
}

static const struct plan *get(struct plans *plans, enum collective collective, uint64_t bytes,
                              uint32_t root)
{
    const struct plan *plan = NULL;
    assert_int_equal(plans_get(&plan, plans, collective, bytes, root), KOLO_OK);
    assert_int_equal(plan->algorithm->collective, collective);
    assert_int_equal(plan->root, root);
    assert_non_null(plan->schedule);
    return plan;
}

/* Everything that decides how messages meet must not differ between the ranks. */
static void all_ranks_choose_alike(void **state)
{
    (void)state;
    const uint32_t sizes[] = {1, 2, 3, 5, 8};
    for (unsigned s = 0; s < 5; s++) {
        for (int collective = 0; collective < COLLECTIVES; collective++) {
            struct plans *first = make(0, sizes[s], NULL);
            struct plans *last = make(sizes[s] - 1, sizes[s], NULL);
            for (unsigned shift = 0; shift < 40; shift += 3) {
                for (int64_t off = -1; off <= 1; off++) {
                    uint64_t bytes = (uint64_t)(((int64_t)1 << shift) + off);
                    const struct plan *a = get(first, (enum collective)collective, bytes, 0);
                    const struct plan *b = get(last, (enum collective)collective, bytes, 0);
                    assert_ptr_equal(a->algorithm, b->algorithm);
                    assert_int_equal(a->algorithm_row, b->algorithm_row);
                    assert_int_equal(a->private_slots, b->private_slots);
                    assert_int_equal(a->private_blocks, b->private_blocks);
                    assert_string_not_equal(a->algorithm->name, "star");
                }
            }
            plans_free(first);
            plans_free(last);
        }
    }
}

static void the_same_call_gets_the_same_plan(void **state)
{
    (void)state;
    struct plans *plans = make(1, 4, NULL);
    const struct plan *plan = get(plans, COLLECTIVE_ALL_REDUCE, 1 << 20, 0);
    uint64_t serial = plan->serial;
    get(plans, COLLECTIVE_BROADCAST, 100, 2);
    plan = get(plans, COLLECTIVE_ALL_REDUCE, 1 << 20, 0);
    assert_int_equal(plan->serial, serial);
    plans_free(plans);
}

static void small_and_large_are_done_differently(void **state)
{
    (void)state;
    struct plans *plans = make(0, 8, NULL);
    const char *small = get(plans, COLLECTIVE_ALL_REDUCE, 8, 0)->algorithm->name;
    const char *large = get(plans, COLLECTIVE_ALL_REDUCE, 1 << 28, 0)->algorithm->name;
    assert_string_not_equal(small, large);
    plans_free(plans);
}

static void an_algorithm_may_be_forced(void **state)
{
    (void)state;
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    for (unsigned i = 0; i < count; i++) {
        struct plans *plans = make(1, 4, table[i].name);
        for (unsigned shift = 0; shift < 34; shift += 11) {
            const struct plan *plan = get(plans, table[i].collective, (uint64_t)1 << shift, 0);
            assert_ptr_equal(plan->algorithm, &table[i]);
            assert_int_equal(plan->algorithm_row, i);
        }
        plans_free(plans);
    }
}

/* A collective that has no algorithm of the forced name is chosen as ever. */
static void what_cannot_be_forced_is_chosen(void **state)
{
    (void)state;
    struct plans *forced = make(0, 4, "double-tree");
    struct plans *free_choice = make(0, 4, NULL);
    assert_null(algorithm_find(COLLECTIVE_ALL_GATHER, "double-tree"));
    assert_ptr_equal(get(forced, COLLECTIVE_ALL_GATHER, 4096, 0)->algorithm,
                     get(free_choice, COLLECTIVE_ALL_GATHER, 4096, 0)->algorithm);
    plans_free(forced);
    plans_free(free_choice);
}

static const char *chosen(unsigned ranks, unsigned processors, uint64_t bytes)
{
    const struct network_uniform network = costs_of(COSTS_LOOPBACK, ranks, processors, 0);
    struct plans *plans = NULL;
    assert_int_equal(plans_create(&plans, 0, ranks, &network, NULL), KOLO_OK);
    const char *name = get(plans, COLLECTIVE_ALL_REDUCE, bytes, 0)->algorithm->name;
    plans_free(plans);
    return name;
}

/* The more ranks take turns on a processor, the more a message costs beside a step. */
static void crowded_ranks_send_few_messages(void **state)
{
    (void)state;
    assert_string_equal(chosen(4, 4, 8), "recursive-doubling");
    assert_string_equal(chosen(4, 2, 8), "knomial");
    assert_string_equal(chosen(8, 2, 8), "knomial");
    assert_string_equal(chosen(4, 4, 64 << 20), "ring");
    assert_string_equal(chosen(4, 2, 64 << 20), "circulant");
    assert_string_equal(chosen(8, 2, 64 << 20), "ring");
}

static const char *chosen_shown(unsigned ranks, unsigned processors, enum collective collective,
                                uint64_t bytes, double shown_bytes)
{
    struct network_uniform network = costs_of(COSTS_SHARED_MEMORY, ranks, processors, 0);
    network.shown_bytes = shown_bytes;
    struct plans *plans = NULL;
    assert_int_equal(plans_create(&plans, 0, ranks, &network, NULL), KOLO_OK);
    const struct plan *plan = get(plans, collective, bytes, 0);
    assert_int_equal(plan->exchange, plan->algorithm->shown_seconds != NULL && ranks > 1);
    const char *name = plan->algorithm->name;
    plans_free(plans);
    return name;
}

/* Where a rank can show its input to all at once, small exchanges are the thing; not beyond what can be shown. */
static void small_exchanges_are_chosen_where_they_can_be_shown(void **state)
{
    (void)state;
    const enum collective exchanges[] = {COLLECTIVE_ALL_REDUCE, COLLECTIVE_ALL_GATHER,
                                         COLLECTIVE_REDUCE_SCATTER, COLLECTIVE_BARRIER};
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned ranks = 2; ranks <= 16; ranks *= 2) {
            assert_string_equal(chosen_shown(ranks, 2, exchanges[i], 8, 8192), "direct");
            assert_string_equal(chosen_shown(ranks, 16, exchanges[i], 8, 8192), "direct");
        }
        if (exchanges[i] != COLLECTIVE_BARRIER) {
            assert_string_not_equal(chosen_shown(64, 64, exchanges[i], 64 << 20, 8192), "direct");
        }
    }
    assert_string_not_equal(chosen_shown(64, 64, COLLECTIVE_ALL_REDUCE, 8192, 8192), "direct");
    assert_string_not_equal(chosen_shown(16, 16, COLLECTIVE_ALL_REDUCE, 8, 4), "direct");
    assert_string_not_equal(chosen_shown(16, 16, COLLECTIVE_ALL_REDUCE, 8, 0), "direct");
}

static void an_unknown_name_is_refused_with_those_that_exist(void **state)
{
    (void)state;
    const struct network_uniform network = costs_of(COSTS_LOOPBACK, 4, 2, 0);
    const char *const wrong[] = {"foo", "Ring", "ring ", "ringg", "rin", " "};
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    for (unsigned i = 0; i < 6; i++) {
        struct plans *plans = NULL;
        assert_int_equal(plans_create(&plans, 0, 4, &network, wrong[i]), KOLO_ERR_ARGUMENT);
        assert_null(plans);
        assert_non_null(strstr(kolo_last_error(), wrong[i]));
        for (unsigned row = 0; row < count; row++) {
            assert_non_null(strstr(kolo_last_error(), table[row].name));
        }
    }
    struct plans *plans = make(0, 4, ""); /* no name is none */
    plans_free(plans);
}

static void check_chains(const struct plan *plan)
{
    uint32_t instructions = plan->schedule->instructions;
    uint8_t *reached = calloc(instructions + 1, 1);
    for (uint32_t i = 0; i < plan->firsts; i++) {
        for (uint32_t at = plan->first[i]; at != PLAN_NONE; at = plan->next[at]) {
            assert_true(at < instructions);
            assert_int_equal(reached[at], 0);
            reached[at] = 1;
        }
    }
    for (uint32_t i = 0; i < instructions; i++) {
        assert_int_equal(reached[i], 1);
    }
    free(reached);
}

static void every_instruction_is_on_one_chain(void **state)
{
    (void)state;
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    for (unsigned i = 0; i < count; i++) {
        for (uint32_t size = 1; size <= 7; size++) {
            struct plans *plans = make(size / 2, size, table[i].name);
            check_chains(get(plans, table[i].collective, 64, 0));
            plans_free(plans);
        }
    }
}

/* More plans than are kept: the oldest goes, and comes back when it is asked for. */
static void a_full_cache_forgets_the_oldest(void **state)
{
    (void)state;
    enum { SIZE = PLANS_MAX + 40 }; /* larger than what is proved at run time, so this is quick */
    struct plans *plans = make(1, SIZE, "chain");
    uint64_t serial[SIZE];
    for (uint32_t root = 0; root < SIZE; root++) {
        serial[root] = get(plans, COLLECTIVE_BROADCAST, 64, root)->serial;
    }
    const struct plan *kept = get(plans, COLLECTIVE_BROADCAST, 64, SIZE - 1);
    assert_int_equal(kept->serial, serial[SIZE - 1]);
    kept = get(plans, COLLECTIVE_BROADCAST, 64, SIZE - PLANS_MAX);
    assert_int_equal(kept->serial, serial[SIZE - PLANS_MAX]);
    const struct plan *again = get(plans, COLLECTIVE_BROADCAST, 64, 0);
    assert_int_not_equal(again->serial, serial[0]);
    check_chains(again);
    for (uint32_t root = 0; root < SIZE; root++) { /* round after round */
        check_chains(get(plans, COLLECTIVE_BROADCAST, 64, root));
    }
    plans_free(plans);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ranks_choose_alike),
        cmocka_unit_test(the_same_call_gets_the_same_plan),
        cmocka_unit_test(small_and_large_are_done_differently),
        cmocka_unit_test(an_algorithm_may_be_forced),
        cmocka_unit_test(what_cannot_be_forced_is_chosen),
        cmocka_unit_test(crowded_ranks_send_few_messages),
        cmocka_unit_test(small_exchanges_are_chosen_where_they_can_be_shown),
        cmocka_unit_test(an_unknown_name_is_refused_with_those_that_exist),
        cmocka_unit_test(every_instruction_is_on_one_chain),
        cmocka_unit_test(a_full_cache_forgets_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
