/* GPU memory, played by memory that this process must not touch: registered by its dma-buf, and reached by the device alone; by peer
 * memory where the device knows that; else not at all, so that the caller stages it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
/* cmocka needs some of those before it */
#include <cmocka.h>

#include "runtime/base/region.h"
#include "tests/transport/verbs/fake/fake.h"
#include "transport/verbs/pair.h"
#include "transport/verbs/registration.h"

#define GPU_BYTES 65536u

/* Bytes behind a descriptor, and addresses for them that trap whoever touches them. */
struct gpu {
    int fd;
    uint8_t *base;
};

static void gpu_open(struct gpu *gpu, bool dmabuf)
{
    gpu->fd = memfd_create("gpu", MFD_CLOEXEC);
    assert_true(gpu->fd >= 0);
    assert_int_equal(ftruncate(gpu->fd, 2 * GPU_BYTES), 0);
    gpu->base = mmap(NULL, GPU_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(gpu->base, MAP_FAILED);
    fake_device_memory(gpu->base, GPU_BYTES);
    struct region region = {.base = gpu->base,
                            .bytes = GPU_BYTES,
                            .kind = REGION_DEVICE,
                            .dmabuf_fd = dmabuf ? gpu->fd : -1,
                            .dmabuf_offset = GPU_BYTES};
    assert_int_equal(region_add(&region), KOLO_OK);
}

static void gpu_close(struct gpu *gpu)
{
    assert_true(region_remove(gpu->base, REGION_ALLOCATED));
    munmap(gpu->base, GPU_BYTES);
    close(gpu->fd);
}

static struct devices devices;
static struct registrations *registrations;

static void open_devices(const struct fake_device *shape)
{
    struct device_wish wish = {.gid_index = -1};
    fake_start(1, shape);
    assert_int_equal(devices_open(&devices, &wish), KOLO_OK);
    assert_int_equal(registrations_open(&registrations, &devices), KOLO_OK);
}

static void close_devices(void)
{
    registrations_close(registrations);
    devices_close(&devices);
    assert_int_equal(fake_leaks(), 0);
}

/* Post one request from a queue pair of the device to another, both in kolo's protection domain, and wait for its end. */
static void carry(enum ibv_wr_opcode opcode, uint8_t *memory, uint32_t bytes, uint64_t remote,
                  uint32_t rkey)
{
    const struct device_port *port = &devices.port[0];
    struct ibv_cq *cq = ibv_create_cq(port->context, 4, NULL, NULL, 0);
    struct ibv_mr *mr = ibv_reg_mr(port->pd, memory, bytes, IBV_ACCESS_LOCAL_WRITE);
    struct pair_shape shape = {.send_cq = cq, .receive_cq = cq, .sends = 1, .receives = 1};
    struct pair pair[2];
    struct pair_address address[2];
    assert_non_null(cq);
    assert_non_null(mr);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pair_create(&pair[i], port, &shape), KOLO_OK);
        pair_address(&address[i], &pair[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct pair_settings settings = {0};
        assert_int_equal(pair_connect(&pair[i], &address[1 - i], &settings), KOLO_OK);
    }
    struct ibv_sge sge = {(uintptr_t)memory, bytes, mr->lkey};
    struct ibv_send_wr wr = {
        .sg_list = &sge, .num_sge = 1, .opcode = opcode, .send_flags = IBV_SEND_SIGNALED};
    struct ibv_send_wr *bad;
    wr.wr.rdma.remote_addr = remote;
    wr.wr.rdma.rkey = rkey;
    assert_int_equal(ibv_post_send(pair[0].qp, &wr, &bad), 0);
    struct ibv_wc wc;
    assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
    assert_int_equal(wc.status, IBV_WC_SUCCESS);
    pair_destroy(&pair[0]);
    pair_destroy(&pair[1]);
    assert_int_equal(ibv_dereg_mr(mr), 0);
    assert_int_equal(ibv_destroy_cq(cq), 0);
}

/* The device reads and writes the bytes behind the descriptor, under the addresses of the GPU. */
static void dmabufs_are_reached_by_the_device_alone(void **state)
{
    (void)state;
    struct gpu gpu;
    open_devices(&(struct fake_device){.dmabuf = true});
    assert_int_equal(registration_probe(&devices.port[0]), REGISTRATION_DMABUF);
    gpu_open(&gpu, true);
    const struct ibv_mr *mr = registrations_find(registrations, 0, gpu.base + 100, 1000);
    assert_non_null(mr);
    assert_ptr_equal(registrations_find(registrations, 0, gpu.base, GPU_BYTES), mr);
    assert_null(registrations_find(registrations, 0, gpu.base + 1, GPU_BYTES));
    uint8_t sent[1000], there[1000], back[1000];
    for (unsigned i = 0; i < sizeof sent; i++) {
        sent[i] = (uint8_t)(i * 7 + 1);
    }
    carry(IBV_WR_RDMA_WRITE, sent, sizeof sent, (uintptr_t)(gpu.base + 100), mr->rkey);
    assert_int_equal(pread(gpu.fd, there, sizeof there, GPU_BYTES + 100), sizeof there);
    assert_memory_equal(there, sent, sizeof sent);
    carry(IBV_WR_RDMA_READ, back, sizeof back, (uintptr_t)(gpu.base + 100), mr->rkey);
    assert_memory_equal(back, sent, sizeof sent);
    assert_true(fake_calls(FAKE_VERB_REG_DMABUF_MR) >= 2); /* probed, and the memory */
    gpu_close(&gpu);
    close_devices();
}

static void peer_memory_is_registered_by_address(void **state)
{
    (void)state;
    struct gpu gpu;
    open_devices(&(struct fake_device){.peer_memory = true});
    gpu_open(&gpu, false);
    const struct ibv_mr *mr = registrations_find(registrations, 0, gpu.base, GPU_BYTES);
    /* whether it is tried depends on the kernel's modules: registration_probe() */
    bool knows = registration_probe(&devices.port[0]) == REGISTRATION_PEER_MEMORY;
    assert_int_equal(mr != NULL, knows);
    gpu_close(&gpu);
    close_devices();
}

static void without_a_way_the_caller_stages(void **state)
{
    (void)state;
    struct gpu gpu;
    open_devices(NULL);
    assert_int_not_equal(registration_probe(&devices.port[0]), REGISTRATION_DMABUF);
    gpu_open(&gpu, true);
    assert_null(registrations_find(registrations, 0, gpu.base, 100));
    assert_null(registrations_find(registrations, 0, gpu.base, 100)); /* and is not tried again */
    assert_true(fake_calls(FAKE_VERB_REG_MR) <= 1);
    gpu_close(&gpu);
    close_devices();
}

/* The device knows dma-bufs, but refuses this one: said once, and staged. */
static void a_refused_dmabuf_is_staged(void **state)
{
    (void)state;
    struct gpu gpu;
    open_devices(&(struct fake_device){.dmabuf = true});
    gpu_open(&gpu, true);
    assert_int_equal(registration_probe(&devices.port[0]), REGISTRATION_DMABUF);
    fake_fail(FAKE_VERB_REG_DMABUF_MR, 2, ENOMEM); /* the first is another probe, the cache's own */
    assert_null(registrations_find(registrations, 0, gpu.base, 100));
    unsigned calls = fake_calls(FAKE_VERB_REG_DMABUF_MR);
    assert_null(registrations_find(registrations, 0, gpu.base, 100));
    assert_int_equal(fake_calls(FAKE_VERB_REG_DMABUF_MR), calls);
    gpu_close(&gpu);
    close_devices();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dmabufs_are_reached_by_the_device_alone),
        cmocka_unit_test(peer_memory_is_registered_by_address),
        cmocka_unit_test(without_a_way_the_caller_stages),
        cmocka_unit_test(a_refused_dmabuf_is_staged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
