#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/region.h"
#include "runtime/memory/memory.h"

#define MIB ((size_t)1 << 20)

/* A sanitizer's allocator would end the program instead of refusing. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static unsigned mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    unsigned lines = 0;
    for (int c = fgetc(maps); c != EOF; c = fgetc(maps)) {
        lines += c == '\n';
    }
    fclose(maps);
    return lines;
}

static void private_memory_is_aligned_and_zero(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 100000, 3 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *memory = NULL;
        assert_int_equal(memory_get(&memory, sizes[i], "a test"), KOLO_OK);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 64, 0);
        assert_true(is_zero(memory, sizes[i]));
        memset(memory, 0xff, sizes[i]); /* the next one must not see it */
        memory_free(memory);
    }
    memory_free(NULL);
}

static void private_memory_that_cannot_be(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX - 64, SIZE_MAX / 4};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int untouched = 0;
        void *memory = &untouched;
        char text[64];
        assert_int_equal(memory_get(&memory, sizes[i], "the slots of 8 links"), KOLO_ERR_MEMORY);
        assert_ptr_equal(memory, &untouched);
        snprintf(text, sizeof text, "%zu bytes for the slots of 8 links", sizes[i]);
        assert_non_null(strstr(kolo_last_error(), text));
    }
}

static void blocks_are_aligned_and_zero(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 2 * MIB - 1, 2 * MIB, 5 * MIB + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *memory = kolo_alloc(sizes[i]);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % (sizes[i] >= 2 * MIB ? 2 * MIB : page), 0);
        assert_true(is_zero(memory, sizes[i]));
        memset(memory, 0xff, sizes[i]);
        kolo_free(memory);
    }
    kolo_free(NULL);
}

static void empty_blocks_differ(void **state)
{
    (void)state;
    void *a = kolo_alloc(0);
    void *b = kolo_alloc(0);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    kolo_free(a);
    kolo_free(b);
}

static void blocks_that_cannot_be(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2 + 1, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char text[64];
        assert_null(kolo_alloc(sizes[i]));
        snprintf(text, sizeof text, "kolo_alloc(%zu)", sizes[i]);
        assert_non_null(strstr(kolo_last_error(), text));
    }
}

static void everything_is_given_back(void **state)
{
    (void)state;
    kolo_free(kolo_alloc(2 * MIB)); /* whatever the first call leaves behind */
    unsigned before = mappings();
    for (size_t i = 0; i < 300; i++) {
        void *small = kolo_alloc(i * 37);
        void *large = kolo_alloc(2 * MIB + i * 4096);
        assert_non_null(small);
        assert_non_null(large);
        kolo_free(small);
        kolo_free(large);
    }
    assert_in_range(mappings(), 0, before + 3); /* the allocator of the C library may have grown */
}

/* A pointer into a block, or one freed by its copy's address, is not what kolo_alloc gave: refused, not unmapped. */
static void foreign_pointers_are_refused(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *block = kolo_alloc(3 * page);
    assert_non_null(block);
    block[0] = 1;
    memcpy(block, block - page, 64); /* a copy of what stands before the block */
    kolo_free(block + page);
    kolo_free(block + 2 * page);
    kolo_free(block + 64);
    block[0] = 2;
    block[3 * page - 1] = 2;
    assert_int_equal(block[0], 2);
    kolo_free(block);
}

static void blocks_are_regions(void **state)
{
    (void)state;
    struct region region;
    uint8_t *block = kolo_alloc(5000);
    assert_non_null(block);
    assert_true(region_find(&region, block, 5000));
    assert_ptr_equal(region.base, block);
    assert_int_equal(region.kind, REGION_HOST);
    assert_int_equal(region.dmabuf_fd, -1);
    assert_int_equal(kolo_unregister(block), KOLO_ERR_ARGUMENT); /* it is kolo_free's */
    assert_int_equal(kolo_register(block, 1), KOLO_ERR_ARGUMENT);
    assert_true(region_find(&region, block, 5000));
    kolo_free(block);
    assert_false(region_find(&region, block, 1));
}

static void memory_of_the_user_is_registered(void **state)
{
    (void)state;
    static uint8_t mine[10000];
    struct region region;
    assert_false(region_find(&region, mine, 1));
    assert_int_equal(kolo_register(mine + 3, 9000), KOLO_OK);
    assert_true(region_find(&region, mine + 3, 9000));
    assert_int_equal(kolo_register(mine, sizeof mine), KOLO_ERR_ARGUMENT);
    assert_non_null(strstr(kolo_last_error(), "kolo_register"));
    assert_non_null(strstr(kolo_last_error(), "overlaps"));
    assert_int_equal(kolo_unregister(mine), KOLO_ERR_ARGUMENT);
    assert_int_equal(kolo_unregister(mine + 3), KOLO_OK);
    assert_int_equal(kolo_unregister(mine + 3), KOLO_ERR_ARGUMENT);
    assert_int_equal(kolo_unregister(NULL), KOLO_OK);
    assert_false(region_find(&region, mine + 3, 1));
}

static void what_is_not_mapped_is_not_registered(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *two = mmap(NULL, 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(two, MAP_FAILED);
    assert_int_equal(munmap(two + page, page), 0);
    assert_int_equal(kolo_register(two, page + 1), KOLO_ERR_ARGUMENT);
    assert_non_null(strstr(kolo_last_error(), "not all of it is mapped"));
    assert_int_equal(kolo_register(two + page - 1, 1), KOLO_OK);
    assert_int_equal(kolo_unregister(two + page - 1), KOLO_OK);
    assert_int_equal(kolo_register(NULL, page), KOLO_ERR_ARGUMENT);
    assert_int_equal(kolo_register(two, 0), KOLO_ERR_ARGUMENT);
    assert_int_equal(kolo_register(two, SIZE_MAX), KOLO_ERR_ARGUMENT);
    munmap(two, page);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(private_memory_is_aligned_and_zero),
        cmocka_unit_test(private_memory_that_cannot_be),
        cmocka_unit_test(blocks_are_aligned_and_zero),
        cmocka_unit_test(empty_blocks_differ),
        cmocka_unit_test(blocks_that_cannot_be),
        cmocka_unit_test(everything_is_given_back),
        cmocka_unit_test(foreign_pointers_are_refused),
        cmocka_unit_test(blocks_are_regions),
        cmocka_unit_test(memory_of_the_user_is_registered),
        cmocka_unit_test(what_is_not_mapped_is_not_registered),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
