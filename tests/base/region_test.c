#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/region.h"

#define MANY 1000

static uint8_t memory[1 << 16]; /* addresses to play with: nothing in it is looked at */

static struct region at(size_t offset, size_t bytes)
{
    return (struct region){.base = memory + offset, .bytes = bytes, .dmabuf_fd = -1};
}

static void add(size_t offset, size_t bytes)
{
    struct region region = at(offset, bytes);
    assert_int_equal(region_add(&region), KOLO_OK);
}

static void only_whole_ranges_are_found(void **state)
{
    (void)state;
    struct region found;
    add(1000, 500);
    assert_true(region_find(&found, memory + 1000, 500));
    assert_ptr_equal(found.base, memory + 1000);
    assert_int_equal(found.bytes, 500);
    assert_true(region_find(&found, memory + 1499, 1));
    assert_true(region_find(&found, memory + 1500, 0)); /* the end of it, nothing of it */
    assert_false(region_find(&found, memory + 999, 2));
    assert_false(region_find(&found, memory + 1499, 2));
    assert_false(region_find(&found, memory + 1001, SIZE_MAX));
    assert_false(region_find(&found, memory + 1501, 0));
    assert_false(region_find(&found, NULL, 1));
    assert_true(region_remove(memory + 1000, REGION_ALLOCATED));
    assert_false(region_find(&found, memory + 1000, 500));
}

static void regions_do_not_overlap(void **state)
{
    (void)state;
    static const size_t bad[][2] = {{100, 100}, {50, 51}, {199, 10}, {120, 10}, {0, 1000}};
    add(100, 100);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct region region = at(bad[i][0], bad[i][1]);
        assert_int_equal(region_add(&region), KOLO_ERR_ARGUMENT);
        assert_non_null(strstr(kolo_last_error(), "overlaps memory that kolo allocated"));
    }
    add(200, 10);
    add(50, 50);
    assert_true(region_remove(memory + 50, REGION_ALLOCATED));
    assert_true(region_remove(memory + 100, REGION_ALLOCATED));
    assert_true(region_remove(memory + 200, REGION_ALLOCATED));
}

static void what_is_no_memory_is_refused(void **state)
{
    (void)state;
    struct region null = {.base = NULL, .bytes = 10};
    struct region empty = at(0, 0);
    struct region wraps = at(0, SIZE_MAX);
    assert_int_equal(region_add(&null), KOLO_ERR_ARGUMENT);
    assert_int_equal(region_add(&empty), KOLO_ERR_ARGUMENT);
    assert_int_equal(region_add(&wraps), KOLO_ERR_ARGUMENT);
}

static void a_region_goes_by_its_base_and_owner(void **state)
{
    (void)state;
    struct region region = at(64, 64);
    region.owner = REGION_REGISTERED;
    assert_int_equal(region_add(&region), KOLO_OK);
    assert_false(region_remove(memory + 65, REGION_REGISTERED));
    assert_false(region_remove(memory + 64, REGION_ALLOCATED));
    assert_false(region_remove(NULL, REGION_REGISTERED));
    assert_true(region_remove(memory + 64, REGION_REGISTERED));
    assert_false(region_remove(memory + 64, REGION_REGISTERED));
}

/* The same address again is another region, also for a thread that remembers the first. */
static void serials_are_never_used_again(void **state)
{
    (void)state;
    struct region first, second;
    add(0, 100);
    assert_true(region_find(&first, memory, 100));
    assert_true(region_remove(memory, REGION_ALLOCATED));
    add(0, 100);
    assert_true(region_find(&second, memory, 100));
    assert_true(first.serial != second.serial);
    assert_true(region_remove(memory, REGION_ALLOCATED));
}

static void many_regions_in_any_order(void **state)
{
    (void)state;
    struct region found;
    for (size_t i = 0; i < MANY; i++) {
        add(i * 617 % MANY * 64, 64); /* 617 and 1000 have no common divisor: a permutation */
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_true(region_find(&found, memory + i * 64 + 63, 1));
        assert_ptr_equal(found.base, memory + i * 64);
        assert_false(region_find(&found, memory + i * 64 + 63, 2)); /* neighbours are not one */
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_true(region_remove(memory + i * 379 % MANY * 64, REGION_ALLOCATED));
        assert_false(region_find(&found, memory + i * 379 % MANY * 64, 1));
    }
}

struct heard {
    unsigned times;
    uint64_t serial;
};

static void hear(void *context, const struct region *region)
{
    struct heard *heard = context;
    heard->times++;
    heard->serial = region->serial;
}

static void listeners_are_told(void **state)
{
    (void)state;
    struct heard heard[40] = {{0}};
    struct region found;
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(region_listen(hear, &heard[i]), KOLO_OK);
    }
    region_unlisten(hear, &heard[7]);
    region_unlisten(hear, &heard[7]); /* harmless */
    add(128, 128);
    assert_true(region_find(&found, memory + 128, 1));
    assert_false(region_remove(memory + 129, REGION_ALLOCATED));
    assert_true(region_remove(memory + 128, REGION_ALLOCATED));
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(heard[i].times, i == 7 ? 0 : 1);
        assert_true(i == 7 || heard[i].serial == found.serial);
        region_unlisten(hear, &heard[i]);
    }
    add(128, 128);
    assert_true(region_remove(memory + 128, REGION_ALLOCATED));
    assert_int_equal(heard[0].times, 1);
}

/* Each thread has its own part of the memory; all use one table. */
static void *come_and_go(void *context)
{
    uint8_t *mine = context;
    for (unsigned i = 0; i < MANY; i++) {
        struct region found, region = {.base = mine, .bytes = 64, .dmabuf_fd = -1};
        if (region_add(&region) != KOLO_OK || !region_find(&found, mine + 8, 8) ||
            found.base != mine || !region_remove(mine, REGION_ALLOCATED) ||
            region_find(&found, mine, 1)) {
            return mine;
        }
    }
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, memory + 64 * i), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *wrong = NULL;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_whole_ranges_are_found),
        cmocka_unit_test(regions_do_not_overlap),
        cmocka_unit_test(what_is_no_memory_is_refused),
        cmocka_unit_test(a_region_goes_by_its_base_and_owner),
        cmocka_unit_test(serials_are_never_used_again),
        cmocka_unit_test(many_regions_in_any_order),
        cmocka_unit_test(listeners_are_told),
        cmocka_unit_test(threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
