/* Devices that refuse: each verb that makes a queue pair or a registration fails in turn, and the text names limit and cure. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/region.h"
#include "tests/transport/verbs/fake/fake.h"
#include "transport/verbs/device.h"
#include "transport/verbs/limit.h"
#include "transport/verbs/pair.h"
#include "transport/verbs/registration.h"

#define BLOCK_BYTES 65536u

static struct devices devices;
static struct ibv_cq *cq;

static void said(const char *text)
{
    if (strstr(kolo_last_error(), text) == NULL) {
        fail_msg("\"%s\" is not in: %s", text, kolo_last_error());
    }
}

static void open_on(const struct fake_device *device, unsigned count)
{
    struct device_wish wish = {.gid_index = -1};
    fake_start(count, device);
    assert_int_equal(devices_open(&devices, &wish), KOLO_OK);
    assert_int_equal(devices.ports, count);
    cq = ibv_create_cq(devices.port[0].context, 64, NULL, NULL, 0);
    assert_non_null(cq);
}

static void close_all(void)
{
    assert_int_equal(ibv_destroy_cq(cq), 0);
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
}

static struct pair_shape shape_of(uint32_t inline_bytes)
{
    return (struct pair_shape){
        .send_cq = cq, .receive_cq = cq, .sends = 4, .receives = 4, .inline_bytes = inline_bytes};
}

static void queue_pairs_that_are_refused(void **state)
{
    (void)state;
    struct pair pair;
    open_on(NULL, 1);
    struct pair_shape shape = shape_of(0);
    fake_fail(FAKE_VERB_CREATE_QP, 1, ENOMEM);
    assert_int_equal(pair_create(&pair, &devices.port[0], &shape), KOLO_ERR_SYSTEM);
    said("max_qp is");
    assert_null(pair.qp);
    fake_fail(FAKE_VERB_MODIFY_QP, 1, EINVAL);
    assert_int_equal(pair_create(&pair, &devices.port[0], &shape), KOLO_ERR_SYSTEM);
    said("cannot initialise");
    assert_null(pair.qp);
    close_all();
}

static void inline_is_halved_until_it_fits(void **state)
{
    (void)state;
    struct pair pair;
    open_on((struct fake_device[]){{.inline_bytes_max = 100}}, 1);
    struct pair_shape shape = shape_of(1000);
    assert_int_equal(pair_create(&pair, &devices.port[0], &shape), KOLO_OK);
    assert_in_range(pair.inline_bytes, 50, 100);
    pair_destroy(&pair);
    close_all();
}

static void routes_that_fail(void **state)
{
    (void)state;
    static const struct {
        unsigned call;
        int error;
        const char *text;
    } cases[] = {{1, ENETUNREACH, "no way from GID 2 (10.77.0.1) to 10.77.0.1"},
                 {1, ETIMEDOUT, "try to ping it"},
                 {2, EINVAL, "ready to send"}};
    open_on(NULL, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair pair;
        struct pair_address address;
        struct pair_shape shape = shape_of(0);
        assert_int_equal(pair_create(&pair, &devices.port[0], &shape), KOLO_OK);
        pair_address(&address, &pair);
        fake_fail(FAKE_VERB_MODIFY_QP, cases[i].call, cases[i].error);
        assert_int_equal(pair_connect(&pair, &address, &(struct pair_settings){0}),
                         KOLO_ERR_SYSTEM);
        said(cases[i].text);
        pair_destroy(&pair);
    }
    close_all();
}

/* The first refusal of a region is remembered: its bytes are copied, and nobody tries a thousand times. */
static void a_refused_region_is_not_tried_again(void **state)
{
    (void)state;
    struct registrations *registrations = NULL;
    open_on((struct fake_device[]){{.pinned_bytes_max = BLOCK_BYTES}, {0}}, 2);
    assert_int_equal(registrations_open(&registrations, &devices), KOLO_OK);
    uint8_t *block = kolo_alloc(2 * BLOCK_BYTES), *small = kolo_alloc(BLOCK_BYTES / 2);
    assert_non_null(block);
    assert_null(registrations_find(registrations, 0, block, 1));
    said("Cannot allocate memory");
    unsigned calls = fake_calls(FAKE_VERB_REG_MR);
    assert_null(registrations_find(registrations, 0, block + 5, 1));
    assert_non_null(registrations_find(registrations, 1, block, 1));
    assert_non_null(registrations_find(registrations, 0, small, 1));
    assert_null(registrations_find(registrations, 0, block, 1));
    assert_int_equal(fake_calls(FAKE_VERB_REG_MR), calls + 2);
    kolo_free(block);
    kolo_free(small);
    registrations_close(registrations);
    close_all();
}

static void the_devices_own_limits(void **state)
{
    (void)state;
    struct ibv_mr *mr = NULL;
    uint8_t *block = kolo_alloc(2 * BLOCK_BYTES);
    open_on((struct fake_device[]){{.limits = {.max_mr_size = BLOCK_BYTES}}}, 1);
    assert_int_equal(registration_make(&mr, &devices.port[0], block, 2 * BLOCK_BYTES, 0, true),
                     KOLO_ERR_SYSTEM);
    said("its max_mr_size is 65536");
    close_all();
    open_on((struct fake_device[]){{.limits = {.max_mr = 12345}}}, 1);
    fake_fail(FAKE_VERB_REG_MR, 1, ENOMEM);
    assert_int_equal(registration_make(&mr, &devices.port[0], block, BLOCK_BYTES, 0, true),
                     KOLO_ERR_SYSTEM);
    said("max_mr is 12345");
    close_all();
    assert_null(mr);
    kolo_free(block);
}

/* As a user without the capability sees it, and as one with it does. */
static void the_limit_of_locked_memory_is_named(void **state)
{
    (void)state;
    char text[LIMIT_TEXT_BYTES];
    struct rlimit before, now;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
    now = before;
    now.rlim_cur = 64 * 1024 < before.rlim_max ? 64 * 1024 : before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &now), 0);
    limit_memlock(text);
    assert_true(geteuid() == 0 || strstr(text, "lock 64 KiB only: raise it") != NULL);
    now.rlim_cur = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &now), 0);
    limit_memlock(text);
    assert_true(before.rlim_max != RLIM_INFINITY || text[0] == 0);
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &before), 0);
}

static void device_memory(struct region *region, uint8_t *memory, int fd)
{
    *region = (struct region){.base = memory,
                              .bytes = BLOCK_BYTES,
                              .kind = REGION_DEVICE,
                              .owner = REGION_REGISTERED,
                              .dmabuf_fd = fd};
    fake_device_memory(memory, BLOCK_BYTES);
    assert_int_equal(region_add(region), KOLO_OK);
}

/* Each way to GPU memory, and none: with and without a dma-buf of it. */
static void gpu_memory_by_dmabuf_or_peer_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        bool dmabuf, peer, with_fd, reached;
        enum registration_device_memory way;
    } cases[] = {
        {true, false, true, true, REGISTRATION_DMABUF},
        {true, false, false, false, REGISTRATION_DMABUF},
        {false, false, true, false, REGISTRATION_NONE},
    };
    int fd = memfd_create("gpu", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, BLOCK_BYTES), 0);
    uint8_t *memory = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct registrations *registrations = NULL;
        struct region region;
        open_on((struct fake_device[]){{.dmabuf = cases[i].dmabuf, .peer_memory = cases[i].peer}},
                1);
        assert_int_equal(registrations_open(&registrations, &devices), KOLO_OK);
        if (!registration_peer_memory("/sys")) {
            assert_int_equal(registration_probe(&devices.port[0]), cases[i].way);
        }
        device_memory(&region, memory, cases[i].with_fd ? fd : -1);
        struct ibv_mr *mr = registrations_find(registrations, 0, memory + 100, 100);
        assert_int_equal(mr != NULL, cases[i].reached);
        assert_ptr_equal(registrations_find(registrations, 0, memory, 1), mr);
        assert_true(region_remove(memory, REGION_REGISTERED));
        registrations_close(registrations);
        close_all();
    }
    munmap(memory, BLOCK_BYTES);
    close(fd);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_pairs_that_are_refused),
        cmocka_unit_test(inline_is_halved_until_it_fits),
        cmocka_unit_test(routes_that_fail),
        cmocka_unit_test(a_refused_region_is_not_tried_again),
        cmocka_unit_test(the_devices_own_limits),
        cmocka_unit_test(the_limit_of_locked_memory_is_named),
        cmocka_unit_test(gpu_memory_by_dmabuf_or_peer_or_not_at_all),
    };
    return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
