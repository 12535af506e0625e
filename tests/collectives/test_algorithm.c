/* The table: its rows, its rooms, and that its formulas of time are sane wherever they may be asked. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "collectives/algorithm.h"
#include "collectives/exchange.h"

static const struct network_uniform ethernet = {
    .latency_s = 10e-6, .overhead_s = 2e-6, .link_Bps = 3e9, .port_Bps = 3e9, .reduce_Bps = 10e9};
static const struct network_uniform textbook = {.latency_s = 5e-6, .port_Bps = 1e9};

static void test_rows_are_whole_and_ordered(void **state)
{
    (void)state;
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    bool seen[COLLECTIVES] = {false};
    for (unsigned i = 0; i < rows; i++) {
        assert_true(row[i].name && row[i].what && row[i].bounds && row[i].emit && row[i].seconds &&
                    row[i].sent_fraction);
        assert_true(row[i].size_max >= 2 && row[i].size_max <= SCHEDULE_RANKS_MAX);
        assert_true(i == 0 || row[i].collective >= row[i - 1].collective);
        assert_ptr_equal(algorithm_find(row[i].collective, row[i].name), &row[i]);
        seen[row[i].collective] = true;
    }
    for (unsigned i = 0; i < COLLECTIVES; i++) {
        assert_true(seen[i]);
    }
    assert_null(algorithm_find(COLLECTIVE_ALL_REDUCE, "dissemination"));
    assert_null(algorithm_find(COLLECTIVE_BARRIER, ""));
}

/* Every collective has a row for any size and any vector that may be chosen. */
static void test_something_always_fits(void **state)
{
    (void)state;
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    bool fits[COLLECTIVES] = {false};
    for (unsigned i = 0; i < rows; i++) {
        fits[row[i].collective] |= !row[i].baseline_only && row[i].size_max == SCHEDULE_RANKS_MAX &&
                                   row[i].bytes_max == UINT64_MAX;
    }
    for (unsigned i = 0; i < COLLECTIVES; i++) {
        assert_true(fits[i]);
    }
    assert_true(algorithm_find(COLLECTIVE_ALL_REDUCE, "star")->baseline_only);
}

static bool is_exchange(const struct algorithm *row, uint32_t rank, uint32_t size)
{
    struct schedule *schedule = NULL;
    assert_int_equal(algorithm_build(&schedule, row, rank, size, 0), KOLO_OK);
    bool exchange = exchange_is(schedule);
    schedule_free(schedule);
    return exchange;
}

/* Rows that may be shown are exchanges, for every rank of every size; rings and trees of more than two ranks are none. */
static void test_rows_that_can_be_shown_are_exchanges(void **state)
{
    (void)state;
    unsigned rows, shown = 0;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        shown += row[i].shown_seconds != NULL;
        for (uint32_t size = 1; size <= 64; size++) {
            for (uint32_t rank = 0; rank < size; rank++) {
                bool exchange = is_exchange(&row[i], rank, size);
                if (row[i].shown_seconds != NULL) {
                    assert_int_equal(exchange, size > 1);
                } else if (size > 3) {
                    assert_false(exchange);
                }
            }
        }
    }
    assert_int_equal(shown, 4); /* all-reduce, reduce-scatter, all-gather, barrier */
}

static void test_an_exchange_shows_its_input(void **state)
{
    (void)state;
    struct schedule all = {.collective = COLLECTIVE_ALL_REDUCE, .size = 4, .blocks = 1};
    struct schedule gather = {.collective = COLLECTIVE_ALL_GATHER, .size = 4, .blocks = 4};
    struct schedule scatter = {.collective = COLLECTIVE_REDUCE_SCATTER, .size = 4, .blocks = 4};
    assert_int_equal(exchange_elements(&all, 10), 10);
    assert_int_equal(exchange_elements(&gather, 10), 10); /* its block */
    assert_int_equal(exchange_elements(&scatter, 10), 40);
    assert_int_equal(exchange_offset(&all, 2, 0, 10), 0);
    assert_int_equal(exchange_offset(&gather, 2, 20, 10), 0);
    assert_int_equal(exchange_offset(&scatter, 2, 30, 10), 30);
}

static void test_the_same_arguments_give_the_same_schedule(void **state)
{
    (void)state;
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        struct schedule *a, *b;
        assert_int_equal(algorithm_build(&a, &row[i], 3, 11, 0), KOLO_OK);
        assert_int_equal(algorithm_build(&b, &row[i], 3, 11, 0), KOLO_OK);
        assert_int_equal(a->instructions, b->instructions);
        assert_int_equal(a->dependencies, b->dependencies);
        assert_memory_equal(a->instruction, b->instruction,
                            a->instructions * sizeof a->instruction[0]);
        for (uint32_t d = 0; d < a->dependencies; d++) {
            assert_int_equal(a->dependency[d].on, b->dependency[d].on);
            assert_int_equal(a->dependency[d].streamed, b->dependency[d].streamed);
        }
        schedule_free(a);
        schedule_free(b);
    }
}

/* The largest group: room suffices, and is not wasted by more than a little. */
static void test_rooms_suit_the_largest_group(void **state)
{
    (void)state;
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        struct schedule *schedule;
        uint32_t size = row[i].size_max;
        const uint32_t ranks[] = {0, 1, size / 2, size - 1};
        for (unsigned r = 0; r < 4; r++) {
            assert_int_equal(algorithm_build(&schedule, &row[i], ranks[r], size, 0), KOLO_OK);
            assert_true(schedule->instructions > 0);
            schedule_free(schedule);
        }
    }
}

static void check_seconds(const struct algorithm *row, const struct network_uniform *network,
                          uint32_t size)
{
    double before = 0;
    for (uint64_t bytes = 8; bytes <= (uint64_t)1 << 30; bytes *= 2) {
        double seconds = row->seconds(network, size, bytes);
        assert_true(isfinite(seconds));
        assert_true(size == 1 || seconds >= network->latency_s);
        assert_true(seconds >= before); /* more bytes are not faster */
        before = seconds;
    }
}

static void test_seconds_are_sane_everywhere(void **state)
{
    (void)state;
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        for (uint32_t size = 1; size <= 4096; size += 1 + size / 8) {
            check_seconds(&row[i], &ethernet, size);
            check_seconds(&row[i], &textbook, size);
            check_seconds(&row[i], &(struct network_uniform){0}, size);
        }
        assert_true(row[i].seconds(&ethernet, 1, 1 << 20) == 0);
        assert_true(row[i].sent_fraction(1) == 0);
    }
}

static double seconds_of(enum collective collective, const char *name, uint32_t size,
                         uint64_t bytes)
{
    return algorithm_find(collective, name)->seconds(&textbook, size, bytes);
}

static void close_to(double got, double expected)
{
    if (fabs(got - expected) > 1e-9 + 0.01 * expected) {
        fail_msg("%g s, not %g s", got, expected);
    }
}

/* Where bytes count, and where steps do: the literature's terms. */
static void test_seconds_meet_the_bounds(void **state)
{
    (void)state;
    double alpha = textbook.latency_s, port = textbook.port_Bps;
    double huge = (double)(1 << 30);
    for (uint32_t size = 2; size <= 64; size *= 2) {
        double optimum = 2 * (size - 1) / (double)size * huge / port;
        close_to(seconds_of(COLLECTIVE_ALL_REDUCE, "ring", size, 1 << 30), optimum);
        close_to(seconds_of(COLLECTIVE_ALL_REDUCE, "circulant", size, 1 << 30), optimum);
        close_to(seconds_of(COLLECTIVE_ALL_REDUCE, "two-shot", size, 1 << 30), optimum);
        close_to(seconds_of(COLLECTIVE_BROADCAST, "double-tree", size, 1 << 30), huge / port);
        close_to(seconds_of(COLLECTIVE_BROADCAST, "chain", size, 1 << 30), huge / port);
        close_to(seconds_of(COLLECTIVE_ALL_REDUCE, "ring", size, 0), 2 * (size - 1) * alpha);
        close_to(seconds_of(COLLECTIVE_ALL_REDUCE, "direct", size, 0), alpha);
        close_to(seconds_of(COLLECTIVE_ALL_REDUCE, "two-shot", size, 0), 2 * alpha);
        close_to(seconds_of(COLLECTIVE_BARRIER, "dissemination", size, 0), log2(size) * alpha);
        close_to(seconds_of(COLLECTIVE_ALL_REDUCE, "circulant", size, 0), 2 * log2(size) * alpha);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_whole_and_ordered),
        cmocka_unit_test(test_something_always_fits),
        cmocka_unit_test(test_rows_that_can_be_shown_are_exchanges),
        cmocka_unit_test(test_an_exchange_shows_its_input),
        cmocka_unit_test(test_the_same_arguments_give_the_same_schedule),
        cmocka_unit_test(test_rooms_suit_the_largest_group),
        cmocka_unit_test(test_seconds_are_sane_everywhere),
        cmocka_unit_test(test_seconds_meet_the_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
