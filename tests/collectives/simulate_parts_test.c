/* The simulator's parts: the order of events, and the memory of progress. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "collectives/simulate_events.h"
#include "collectives/simulate_progress.h"

static uint64_t random_state = 42;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(random_state >> 33) % limit;
}

/* ---- events ------------------------------------------------------------------------------------------------------------ */

static void test_events_come_by_time_then_in_order(void **state)
{
    (void)state;
    struct events events;
    struct event event;
    events_init(&events);
    assert_false(events_take(&events, &event));
    for (uint32_t i = 0; i < 5000; i++) { /* few times, so that many are equal */
        assert_int_equal(
            events_add(&events, (struct event){.time = random_below(40), .subject = i}), KOLO_OK);
    }
    double time = -1;
    uint32_t subject = 0, taken = 0;
    while (events_take(&events, &event)) {
        assert_true(event.time > time || (event.time >= time && event.subject > subject));
        time = event.time;
        subject = event.subject;
        taken++;
    }
    assert_int_equal(taken, 5000);
    events_free(&events);
}

/* Events may be added for the very moment that is being taken. */
static void test_events_are_added_while_taken(void **state)
{
    (void)state;
    struct events events;
    struct event event;
    uint32_t added = 100, taken = 0;
    double time = 0;
    events_init(&events);
    for (uint32_t i = 0; i < added; i++) {
        events_add(&events, (struct event){.time = random_below(10), .subject = i});
    }
    while (events_take(&events, &event)) {
        assert_true(event.time >= time);
        time = event.time;
        taken++;
        for (uint32_t i = 0; i < 2 && added < 20000; i++, added++) {
            events_add(&events, (struct event){.time = time + random_below(3), .subject = added});
        }
    }
    assert_int_equal(taken, added);
    assert_true(events.capacity <= 65536); /* places are used again */
    events_free(&events);
}

/* ---- progress ---------------------------------------------------------------------------------------------------------- */

#define STEPS 100000

static void test_progress_needs_only_what_is_under_way(void **state)
{
    (void)state;
    struct progress_pool pool;
    const struct progress *seen = NULL;
    progress_pool_init(&pool);
    uint32_t *table = calloc(progress_table_length(STEPS), sizeof *table);
    assert_non_null(table);
    for (uint32_t step = 0; step < STEPS; step++) {
        double now = step;
        struct progress *progress = progress_of(&pool, table, STEPS, step, now);
        assert_int_equal(progress->done, 0);
        progress->done = 1;
        progress->tail = now + 10; /* still asked for by ten steps more */
        progress_finish(&pool, table, step);
        for (uint32_t back = 0; back < 10 && back <= step; back++) {
            assert_int_equal(progress_look(&seen, &pool, table, step - back), PROGRESS_RECORD);
            assert_true(seen->tail >= now);
        }
    }
    assert_int_equal(pool.status, KOLO_OK);
    assert_true(pool.pages <= 4);
    assert_int_equal(progress_look(&seen, &pool, table, 0), PROGRESS_OVER);
    free(table);
    progress_pool_free(&pool);
}

static void test_progress_not_begun_is_none(void **state)
{
    (void)state;
    struct progress_pool pool;
    const struct progress *seen = NULL;
    uint32_t table[4] = {0};
    progress_pool_init(&pool);
    assert_int_equal(progress_look(&seen, &pool, table, 70), PROGRESS_NONE);
    progress_of(&pool, table, 71, 70, 0)->taken = 3; /* the last page is a short one */
    assert_int_equal(progress_look(&seen, &pool, table, 70), PROGRESS_RECORD);
    assert_int_equal(seen->taken, 3);
    assert_int_equal(progress_look(&seen, &pool, table, 0), PROGRESS_NONE);
    progress_pool_free(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_come_by_time_then_in_order),
        cmocka_unit_test(test_events_are_added_while_taken),
        cmocka_unit_test(test_progress_needs_only_what_is_under_way),
        cmocka_unit_test(test_progress_not_begun_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
