/* Registrations of regions: made once, gone with the region, refused with the limit that stands in the way. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/region.h"
#include "tests/transport/verbs/stage.h"
#include "transport/verbs/device.h"
#include "transport/verbs/limit.h"
#include "transport/verbs/registration.h"

#define BLOCK_BYTES 100000u
#define MANY 100

static struct devices devices;
static struct registrations *registrations;

static int begin(void **state)
{
    (void)state;
    struct device_wish wish = {.gid_index = -1};
    if (stage_set()) {
        assert_int_equal(devices_open(&devices, &wish), KOLO_OK);
        assert_int_equal(registrations_open(&registrations, &devices), KOLO_OK);
    }
    return 0;
}

static int finish(void **state)
{
    (void)state;
    if (devices.ports > 0) {
        registrations_close(registrations);
        devices_close(&devices);
        stage_clear();
    }
    registrations_close(NULL);
    return 0;
}

static void need_device(void)
{
    if (devices.ports == 0) {
        skip();
    }
}

static void a_region_is_registered_once(void **state)
{
    (void)state;
    need_device();
    uint8_t *block = kolo_alloc(BLOCK_BYTES);
    assert_non_null(block);
    struct ibv_mr *mr = registrations_find(registrations, 0, block + 50000, 1000);
    assert_non_null(mr);
    assert_ptr_equal(mr->addr, block);
    assert_true(mr->length >= BLOCK_BYTES);
    assert_ptr_equal(registrations_find(registrations, 0, block, BLOCK_BYTES), mr);
    for (unsigned rail = 1; rail < devices.ports; rail++) {
        struct ibv_mr *other = registrations_find(registrations, rail, block, 1);
        assert_non_null(other);
        assert_true((other == mr) == (devices.port[rail].pd == devices.port[0].pd));
        assert_ptr_equal(registrations_find(registrations, 0, block, 1), mr);
    }
    kolo_free(block);
}

static void foreign_memory_is_not_registered(void **state)
{
    (void)state;
    need_device();
    static uint8_t mine[BLOCK_BYTES];
    assert_null(registrations_find(registrations, 0, mine, 100));
    assert_int_equal(kolo_register(mine, 5000), KOLO_OK);
    struct ibv_mr *mr = registrations_find(registrations, 0, mine, 5000);
    assert_non_null(mr);
    assert_null(registrations_find(registrations, 0, mine, 5001)); /* not all of it is known */
    assert_int_equal(kolo_unregister(mine), KOLO_OK);
    assert_null(registrations_find(registrations, 0, mine, 5000));
}

/* A new block at the old address is registered anew: the old pages may be gone. */
static void a_registration_goes_with_its_region(void **state)
{
    (void)state;
    need_device();
    static uint8_t mine[4096];
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(kolo_register(mine, sizeof mine - i), KOLO_OK);
        struct ibv_mr *mr = registrations_find(registrations, 0, mine, 1);
        assert_non_null(mr);
        assert_int_equal(mr->length, sizeof mine - i);
        assert_int_equal(kolo_unregister(mine), KOLO_OK);
    }
}

static void many_regions(void **state)
{
    (void)state;
    need_device();
    uint8_t *blocks[MANY];
    struct ibv_mr *mrs[MANY];
    for (size_t i = 0; i < MANY; i++) {
        blocks[i] = kolo_alloc(4096);
        assert_non_null(blocks[i]);
    }
    for (size_t i = MANY; i-- > 0;) { /* against the order of the serials */
        mrs[i] = registrations_find(registrations, 0, blocks[i], 4096);
        assert_non_null(mrs[i]);
    }
    for (size_t i = 0; i < MANY; i += 2) {
        kolo_free(blocks[i]);
    }
    for (size_t i = 1; i < MANY; i += 2) {
        assert_ptr_equal(registrations_find(registrations, 0, blocks[i], 4096), mrs[i]);
        kolo_free(blocks[i]);
    }
}

static void *free_it(void *block)
{
    kolo_free(block);
    return NULL;
}

static void regions_go_in_any_thread(void **state)
{
    (void)state;
    need_device();
    for (unsigned i = 0; i < 20; i++) {
        pthread_t thread;
        uint8_t *block = kolo_alloc(4096), *other = kolo_alloc(4096);
        assert_non_null(block);
        assert_non_null(registrations_find(registrations, 0, block, 1));
        assert_int_equal(pthread_create(&thread, NULL, free_it, block), 0);
        assert_non_null(registrations_find(registrations, 0, other, 1));
        assert_int_equal(pthread_join(thread, NULL), 0);
        kolo_free(other);
    }
}

static void memory_of_our_own(void **state)
{
    (void)state;
    need_device();
    struct ibv_mr *mr = NULL;
    uint8_t *block = kolo_alloc(BLOCK_BYTES);
    for (unsigned relaxed = 0; relaxed < 2; relaxed++) {
        assert_int_equal(registration_make(&mr, &devices.port[0], block, BLOCK_BYTES,
                                           IBV_ACCESS_LOCAL_WRITE, relaxed != 0),
                         KOLO_OK);
        assert_int_equal(ibv_dereg_mr(mr), 0);
    }
    kolo_free(block);
    mr = NULL;
    assert_int_equal(
        registration_make(&mr, &devices.port[0], (void *)4096, 4096, IBV_ACCESS_LOCAL_WRITE, false),
        KOLO_ERR_SYSTEM);
    assert_null(mr);
    assert_non_null(strstr(kolo_last_error(), devices.port[0].name));
}

/* GPU memory that this device cannot reach is staged: no registration, and no crash. */
static void device_memory_has_a_way_or_none(void **state)
{
    (void)state;
    need_device();
    enum registration_device_memory way = registration_probe(&devices.port[0]);
    assert_in_range(way, REGISTRATION_NONE, REGISTRATION_PEER_MEMORY);
    struct region gpu = {.base = (uint8_t *)(uintptr_t)0x700000000000,
                         .bytes = 4096,
                         .kind = REGION_DEVICE,
                         .owner = REGION_REGISTERED,
                         .dmabuf_fd = -1};
    assert_int_equal(region_add(&gpu), KOLO_OK);
    assert_null(registrations_find(registrations, 0, gpu.base, 4096));
    assert_null(registrations_find(registrations, 0, gpu.base, 4096));
    assert_true(region_remove(gpu.base, REGION_REGISTERED));
}

static void peer_memory_is_a_module(void **state)
{
    (void)state;
    char root[] = "/tmp/kolo-sysfs-XXXXXX";
    char path[64], module[96];
    assert_non_null(mkdtemp(root));
    assert_false(registration_peer_memory(root));
    snprintf(path, sizeof path, "%s/module", root);
    snprintf(module, sizeof module, "%s/nvidia_peermem", path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(registration_peer_memory(root));
    assert_int_equal(mkdir(module, 0700), 0);
    assert_true(registration_peer_memory(root));
    rmdir(module);
    rmdir(path);
    rmdir(root);
}

static void limits_are_put_into_words(void **state)
{
    (void)state;
    char text[LIMIT_TEXT_BYTES];
    assert_ptr_equal(limit_memlock(text), text);
    assert_true(text[0] == 0 || strstr(text, "RLIMIT_MEMLOCK") != NULL);
    assert_ptr_equal(limit_cgroup(text, "no_such_device"), text);
    assert_string_equal(text, "");
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_is_registered_once),
        cmocka_unit_test(foreign_memory_is_not_registered),
        cmocka_unit_test(a_registration_goes_with_its_region),
        cmocka_unit_test(many_regions),
        cmocka_unit_test(regions_go_in_any_thread),
        cmocka_unit_test(memory_of_our_own),
        cmocka_unit_test(device_memory_has_a_way_or_none),
        cmocka_unit_test(peer_memory_is_a_module),
        cmocka_unit_test(limits_are_put_into_words),
    };
    return cmocka_run_group_tests_name("registration", tests, begin, finish);
}
