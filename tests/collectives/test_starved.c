/* Memory that runs out: the Nth allocation fails, for every N. Linked with --wrap for malloc, calloc and realloc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "collectives/verify.h"

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

/* Returns the number of allocations that it takes. */
static unsigned long fail_each(const struct algorithm *algorithm, uint32_t size)
{
    struct verify_report report;
    for (unsigned long n = 1;; n++) {
        allocations = 0;
        fails_at = n;
        kolo_status status = verify_algorithm(&report, algorithm, size, size - 1);
        fails_at = 0;
        if (allocations < n) {
            assert_int_equal(status, KOLO_OK);
            return n - 1;
        }
        assert_int_equal(status, KOLO_ERR_MEMORY);
        assert_string_not_equal(report.text, "");
    }
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        assert_true(fail_each(&row[i], 2) > 0);
        assert_true(fail_each(&row[i], 7) > 0);
    }
}

/* Large enough for the tables to grow. */
static void test_growing_may_fail(void **state)
{
    (void)state;
    assert_true(fail_each(algorithm_find(COLLECTIVE_ALL_REDUCE, "ring"), 24) > 0);
    assert_true(fail_each(algorithm_find(COLLECTIVE_ALL_REDUCE, "circulant"), 29) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_growing_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
