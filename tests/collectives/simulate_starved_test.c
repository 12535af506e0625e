/* Memory that runs out while a collective is simulated or drawn: the Nth allocation fails, for every N; nothing crashes, leaks, or
 * claims success. Linked with --wrap for malloc, calloc and realloc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "collectives/print.h"
#include "collectives/simulate.h"

#define RANKS 5

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static unsigned long allocations; /* since it was armed */
static unsigned long fails_at;    /* which one fails; 0: none */

static bool fails(void)
{
    return ++allocations == fails_at;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

typedef kolo_status work(const struct algorithm *algorithm);

static void fail_each(work *do_work, const struct algorithm *algorithm)
{
    for (unsigned long n = 1;; n++) {
        allocations = 0;
        fails_at = n;
        kolo_status status = do_work(algorithm);
        fails_at = 0;
        if (allocations < n) {
            assert_int_equal(status, KOLO_OK);
            assert_true(n > 1);
            return;
        }
        assert_int_equal(status, KOLO_ERR_MEMORY);
    }
}

static void fail_all(work *do_work)
{
    unsigned rows = 0;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        fail_each(do_work, &row[i]);
    }
}

static kolo_status simulate_one(const struct algorithm *algorithm)
{
    struct network network = {.uniform = {.latency_s = 5e-6, .port_Bps = 1e9}, .size = RANKS};
    struct simulation simulation = {0};
    return simulate(&simulation, &network, algorithm, 0, 1 << 20);
}

static void test_simulation_without_memory(void **state)
{
    (void)state;
    fail_all(simulate_one);
}

static struct schedule *group[RANKS];
static FILE *nowhere;

static kolo_status draw_one(const struct algorithm *algorithm)
{
    unsigned long armed = fails_at;
    fails_at = 0;
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        assert_int_equal(algorithm_build(&group[rank], algorithm, rank, RANKS, 0), KOLO_OK);
    }
    allocations = 0;
    fails_at = armed;
    kolo_status status =
        print_svg(nowhere, (const struct schedule *const *)group, RANKS, "title", "subtitle");
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        schedule_free(group[rank]);
    }
    return status;
}

static void test_picture_without_memory(void **state)
{
    (void)state;
    nowhere = fopen("/dev/null", "w");
    assert_non_null(nowhere);
    fail_all(draw_one);
    assert_int_equal(fclose(nowhere), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simulation_without_memory),
        cmocka_unit_test(test_picture_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
