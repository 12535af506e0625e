/* Schedules as data: chunk ranges, names, room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "collectives/schedule.h"

static struct schedule shape(uint32_t blocks, uint32_t block_chunks)
{
    return (struct schedule){.blocks = blocks, .block_chunks = block_chunks};
}

/* Chunks follow each other without gap or overlap, and differ by at most one element within all blocks. */
static void check_cover(const struct schedule *schedule, uint64_t count)
{
    uint64_t next = 0, least = UINT64_MAX, most = 0;
    for (uint32_t chunk = 0; chunk < schedule->blocks * schedule->block_chunks; chunk++) {
        uint64_t first, length;
        schedule_chunk_range(&first, &length, schedule, chunk, 1, count);
        assert_int_equal(first, next);
        next = first + length;
        least = length < least ? length : least;
        most = length > most ? length : most;
        if ((chunk + 1) % schedule->block_chunks == 0) {
            assert_int_equal(next, (chunk + 1) / schedule->block_chunks * count);
        }
    }
    assert_int_equal(next, schedule->blocks * count);
    assert_true(most - least <= 1);
}

static void test_chunks_cover_the_vector(void **state)
{
    (void)state;
    static const uint64_t counts[] = {0, 1, 2, 3, 7, 16, 63, 64, 65, 1000, 4097};
    for (uint32_t blocks = 1; blocks <= 5; blocks++) {
        for (uint32_t block_chunks = 1; block_chunks <= 67; block_chunks++) {
            struct schedule schedule = shape(blocks, block_chunks);
            for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
                check_cover(&schedule, counts[i]);
            }
        }
    }
}

static void test_ranges_are_sums_of_chunks(void **state)
{
    (void)state;
    struct schedule schedule = shape(3, 7);
    for (uint32_t chunk = 0; chunk < 21; chunk++) {
        uint64_t sum = 0, first, length, start;
        schedule_chunk_range(&start, &length, &schedule, chunk, 1, 23);
        for (uint32_t chunks = 1; chunk + chunks <= 21; chunks++) {
            schedule_chunk_range(&first, &length, &schedule, chunk + chunks - 1, 1, 23);
            sum += length;
            schedule_chunk_range(&first, &length, &schedule, chunk, chunks, 23);
            assert_int_equal(first, start);
            assert_int_equal(length, sum);
        }
    }
}

static void test_huge_counts_do_not_overflow(void **state)
{
    (void)state;
    uint64_t count = (UINT64_C(1) << 49) + 12345;
    struct schedule schedule = shape(2, SCHEDULE_RANKS_MAX);
    uint64_t first, length;
    schedule_chunk_range(&first, &length, &schedule, 2 * SCHEDULE_RANKS_MAX - 1, 1, count);
    assert_int_equal(first + length, 2 * count);
    assert_true(length == count / SCHEDULE_RANKS_MAX || length == count / SCHEDULE_RANKS_MAX + 1);
}

static void test_fewer_elements_than_chunks(void **state)
{
    (void)state;
    struct schedule schedule = shape(1, 8);
    uint64_t filled = 0;
    for (uint32_t chunk = 0; chunk < 8; chunk++) {
        uint64_t first, length;
        schedule_chunk_range(&first, &length, &schedule, chunk, 1, 3);
        assert_true(length <= 1);
        filled += length;
    }
    assert_int_equal(filled, 3);
}

static void test_an_empty_range_is_empty(void **state)
{
    (void)state;
    struct schedule schedule = shape(1, 0); /* a barrier's */
    uint64_t first = 1, length = 1;
    schedule_chunk_range(&first, &length, &schedule, 0, 0, 100);
    assert_int_equal(first, 0);
    assert_int_equal(length, 0);
}

static void test_names_go_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < COLLECTIVES; i++) {
        assert_non_null(collective_name((enum collective)i));
        assert_int_equal(collective_from_name(collective_name((enum collective)i)), i);
    }
    assert_string_equal(collective_name(COLLECTIVE_ALL_REDUCE), "all-reduce");
    assert_null(collective_name((enum collective)COLLECTIVES));
    assert_int_equal(collective_from_name("all_reduce"), -1);
    assert_int_equal(collective_from_name(""), -1);
    assert_true(collective_has_root(COLLECTIVE_BROADCAST));
    assert_true(collective_has_root(COLLECTIVE_REDUCE));
    assert_false(collective_has_root(COLLECTIVE_ALL_REDUCE));
}

static void test_room_is_what_was_asked_for(void **state)
{
    (void)state;
    struct schedule *schedule = NULL;
    assert_int_equal(schedule_alloc(&schedule, 5, 7), KOLO_OK);
    assert_int_equal(schedule->instructions_max, 5);
    assert_int_equal(schedule->dependencies_max, 7);
    assert_int_equal(schedule->instructions, 0);
    memset(schedule->instruction, 1, 5 * sizeof schedule->instruction[0]);
    memset(schedule->dependency, 1, 7 * sizeof schedule->dependency[0]);
    schedule_free(schedule);
    schedule_free(NULL);
}

static void test_more_than_32_bits_is_refused(void **state)
{
    (void)state;
    struct schedule *schedule = NULL;
    assert_int_equal(schedule_alloc(&schedule, (uint64_t)UINT32_MAX + 1, 1), KOLO_ERR_LIMIT);
    assert_int_equal(schedule_alloc(&schedule, 1, (uint64_t)UINT32_MAX + 1), KOLO_ERR_LIMIT);
    assert_null(schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_cover_the_vector),
        cmocka_unit_test(test_ranges_are_sums_of_chunks),
        cmocka_unit_test(test_huge_counts_do_not_overflow),
        cmocka_unit_test(test_fewer_elements_than_chunks),
        cmocka_unit_test(test_an_empty_range_is_empty),
        cmocka_unit_test(test_names_go_both_ways),
        cmocka_unit_test(test_room_is_what_was_asked_for),
        cmocka_unit_test(test_more_than_32_bits_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
