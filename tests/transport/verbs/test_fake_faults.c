/* The fake's faults: verbs that fail, ports that go down, devices that are pulled out, limits, and memory that cannot be registered. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
/* cmocka needs those before it */
#include <cmocka.h>

#include "tests/transport/verbs/ends.h"

#define MS UINT64_C(1000000)

static const struct end_wish usual = {0};
static struct end a, b;

/* Call every verb that can fail, once each; returns how many failed with E2BIG (which nothing does by itself). */
static unsigned call_all(unsigned *failed_at)
{
    int count = 0;
    unsigned failures = 0;
    struct ibv_device **list;
    struct ibv_context *context;
    void *p;
    int e;
#define COUNT(expression, verb)                                                                    \
    do {                                                                                           \
        if (expression) {                                                                          \
            failures++;                                                                            \
            *failed_at = FAKE_VERB_##verb;                                                         \
        }                                                                                          \
    } while (0)
#define POINTER(verb, call, destroy)                                                               \
    do {                                                                                           \
        p = (call);                                                                                \
        COUNT(p == NULL && errno == E2BIG, verb);                                                  \
        if (p != NULL) {                                                                           \
            destroy(p);                                                                            \
        }                                                                                          \
    } while (0)
#define ERROR(verb, call)                                                                          \
    do {                                                                                           \
        e = (call);                                                                                \
        COUNT(e == E2BIG || (e == -1 && errno == E2BIG) || e == -E2BIG, verb);                     \
    } while (0)
    list = ibv_get_device_list(&count);
    COUNT(list == NULL && errno == E2BIG, GET_DEVICE_LIST);
    ibv_free_device_list(list);
    context = ibv_open_device(a.context->device);
    COUNT(context == NULL && errno == E2BIG, OPEN_DEVICE);
    assert_int_equal(context != NULL ? ibv_close_device(context) : 0, 0);
    struct ibv_device_attr limits;
    struct ibv_port_attr port;
    struct ibv_gid_entry entries[FAKE_GIDS_MAX];
    __be16 key;
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTS};
    struct ibv_qp_init_attr init = {.send_cq = a.cq, .recv_cq = a.cq, .qp_type = IBV_QPT_RC};
    struct ibv_ah_attr route = {.port_num = 1, .is_global = 1};
    struct ibv_srq_init_attr shared = {.attr = {.max_wr = 1, .max_sge = 1}};
    ERROR(QUERY_DEVICE, ibv_query_device(a.context, &limits));
    ERROR(QUERY_PORT, ibv_query_port(a.context, 1, &port));
    ERROR(QUERY_GID, ibv_query_gid_ex(a.context, 1, 0, &entries[0], 0));
    ERROR(QUERY_GID_TABLE, (int)ibv_query_gid_table(a.context, entries, FAKE_GIDS_MAX, 0));
    ERROR(QUERY_PKEY, ibv_query_pkey(a.context, 1, 0, &key));
    POINTER(ALLOC_PD, ibv_alloc_pd(a.context), ibv_dealloc_pd);
    POINTER(CREATE_AH, ibv_create_ah(a.pd, &route), ibv_destroy_ah);
    POINTER(REG_MR, ibv_reg_mr(a.pd, a.memory, 10, 0), ibv_dereg_mr);
    POINTER(REG_DMABUF_MR, ibv_reg_dmabuf_mr(a.pd, 0, 10, 0, -1, 0), ibv_dereg_mr);
    POINTER(CREATE_COMP_CHANNEL, ibv_create_comp_channel(a.context), ibv_destroy_comp_channel);
    POINTER(CREATE_CQ, ibv_create_cq(a.context, 4, NULL, NULL, 0), ibv_destroy_cq);
    ERROR(RESIZE_CQ, ibv_resize_cq(a.cq, 64));
    POINTER(CREATE_SRQ, ibv_create_srq(a.pd, &shared), ibv_destroy_srq);
    POINTER(CREATE_QP, ibv_create_qp(a.pd, &init), ibv_destroy_qp);
    ERROR(MODIFY_QP, ibv_modify_qp(a.qp, &attr, IBV_QP_STATE));
    ERROR(QUERY_QP, ibv_query_qp(a.qp, &attr, IBV_QP_STATE, &init));
    ERROR(POST_SEND, end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 8, 1));
    ERROR(POST_RECV, end_receive(&a, 0, 8, 2));
    struct ibv_wc wc;
    e = ibv_poll_cq(a.cq, 1, &wc);
    COUNT(e == -1, POLL_CQ);
    ERROR(REQ_NOTIFY_CQ, ibv_req_notify_cq(a.cq, 0));
    ERROR(FORK_INIT, ibv_fork_init());
    return failures;
}

static void any_verb_can_fail_once(void **state)
{
    (void)state;
    for (unsigned verb = 0; verb < FAKE_VERB_COUNT; verb++) {
        bool waits = verb == FAKE_VERB_GET_CQ_EVENT || verb == FAKE_VERB_GET_ASYNC_EVENT;
        if (waits || verb == FAKE_VERB_POST_SRQ_RECV) {
            continue; /* below */
        }
        unsigned failed = 0;
        ends_open(&a, &b, &usual);
        assert_int_equal(call_all(&failed), 0);
        fake_fail(verb, 1, E2BIG);
        assert_int_equal(call_all(&failed), 1);
        assert_string_equal(fake_verb_name(failed), fake_verb_name(verb));
        fake_fail(verb, 2, E2BIG);
        assert_int_equal(call_all(&failed), 0);
        assert_int_equal(call_all(&failed), 1);
        assert_true(fake_calls(verb) >= 4);
        ends_close(&a, &b);
    }
}

static void waiting_verbs_can_fail_too(void **state)
{
    (void)state;
    ends_open(&a, &b, &(struct end_wish){.shared = true});
    struct ibv_cq *cq;
    void *context;
    struct ibv_async_event event;
    fake_fail(FAKE_VERB_GET_CQ_EVENT, 1, EIO);
    assert_int_equal(ibv_get_cq_event(a.channel, &cq, &context), -1);
    assert_int_equal(errno, EIO);
    fake_fail(FAKE_VERB_GET_ASYNC_EVENT, 1, EIO);
    assert_int_equal(ibv_get_async_event(a.context, &event), -1);
    fake_fail(FAKE_VERB_POST_SRQ_RECV, 1, EIO);
    assert_int_equal(end_receive(&a, 0, 8, 1), EIO);
    ends_close(&a, &b);
}

static void devices_are_as_wished(void **state)
{
    (void)state;
    struct fake_device device = {
        .name = "mlx5_7",
        .ports = 2,
        .port = {{.gid = {{NULL, 0}, {"10.1.2.3", IBV_GID_TYPE_ROCE_V2}}},
                 {.infiniband = true, .lid = 9, .down = true, .speed = 4, .width = 1}},
        .limits = {.max_qp_wr = 100, .max_qp = 1},
    };
    fake_start(1, &device);
    struct ibv_device **list = ibv_get_device_list(NULL);
    assert_string_equal(ibv_get_device_name(list[0]), "mlx5_7");
    struct ibv_context *context = ibv_open_device(list[0]);
    ibv_free_device_list(list);
    struct ibv_device_attr limits;
    struct ibv_port_attr port;
    struct ibv_gid_entry entries[4];
    assert_int_equal(ibv_query_device(context, &limits), 0);
    assert_int_equal(limits.phys_port_cnt, 2);
    assert_int_equal(limits.max_qp_wr, 100);
    assert_int_equal(ibv_query_port(context, 2, &port), 0);
    assert_int_equal(port.state, IBV_PORT_DOWN);
    assert_int_equal(port.link_layer, IBV_LINK_LAYER_INFINIBAND);
    assert_int_equal(port.lid, 9);
    assert_int_equal(port.active_speed, 4);
    assert_int_equal(ibv_query_port(context, 3, &port), EINVAL);
    assert_int_equal(ibv_query_gid_table(context, entries, 4, 0), 2);
    assert_int_equal(entries[0].gid_index, 1);
    assert_int_equal(entries[0].gid_type, IBV_GID_TYPE_ROCE_V2);
    const uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3};
    assert_memory_equal(entries[0].gid.raw, mapped, 16);
    assert_int_equal(entries[1].port_num, 2);
    assert_int_equal(ibv_query_gid_ex(context, 1, 0, entries, 0), ENODATA);
    assert_int_equal(ibv_close_device(context), 0);
}

static void limits_are_kept(void **state)
{
    (void)state;
    fake_start(1, &(struct fake_device){.limits = {.max_qp_wr = 100, .max_qp = 1, .max_cqe = 10}});
    struct ibv_device **list = ibv_get_device_list(NULL);
    struct ibv_context *context = ibv_open_device(list[0]);
    ibv_free_device_list(list);
    struct ibv_pd *pd = ibv_alloc_pd(context);
    assert_null(ibv_create_cq(context, 11, NULL, NULL, 0));
    assert_int_equal(errno, EINVAL);
    struct ibv_cq *cq = ibv_create_cq(context, 10, NULL, NULL, 0);
    struct ibv_qp_init_attr init = {
        .send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC, .cap = {.max_send_wr = 101}};
    assert_null(ibv_create_qp(pd, &init));
    assert_int_equal(errno, EINVAL);
    init.cap.max_send_wr = 100;
    struct ibv_qp *qp = ibv_create_qp(pd, &init);
    assert_non_null(qp);
    assert_null(ibv_create_qp(pd, &init));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(fake_pairs(), 1);
    assert_int_equal(fake_pair(0), qp->qp_num);
    assert_int_equal(ibv_destroy_qp(qp), 0);
    assert_int_equal(ibv_destroy_cq(cq), 0);
    assert_int_equal(ibv_dealloc_pd(pd), 0);
    assert_int_equal(fake_leaks(), 1); /* the context */
    assert_int_equal(ibv_close_device(context), 0);
}

static struct ibv_async_event next_async(struct end *end)
{
    struct pollfd p = {.fd = end->context->async_fd, .events = POLLIN};
    struct ibv_async_event event;
    assert_int_equal(poll(&p, 1, 0), 1);
    assert_int_equal(ibv_get_async_event(end->context, &event), 0);
    ibv_ack_async_event(&event);
    return event;
}

static void ports_go_down_and_up(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    fake_port_set(0, 1, false);
    fake_port_set(0, 1, false); /* nothing new */
    struct ibv_async_event event = next_async(&a);
    assert_int_equal(event.event_type, IBV_EVENT_PORT_ERR);
    assert_int_equal(event.element.port_num, 1);
    struct ibv_port_attr port;
    assert_int_equal(ibv_query_port(a.context, 1, &port), 0);
    assert_int_equal(port.state, IBV_PORT_DOWN);
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 8, 1), 0);
    end_expect_none(&a);
    fake_port_set(0, 1, true);
    assert_int_equal(next_async(&a).event_type, IBV_EVENT_PORT_ACTIVE);
    end_expect(&a, 1, IBV_WC_SUCCESS);
    ends_close(&a, &b);
}

static void a_device_is_pulled_out(void **state)
{
    (void)state;
    for (unsigned flush = 0; flush < 2; flush++) {
        ends_open(&a, &b, &usual);
        assert_int_equal(end_receive(&a, 0, 8, 1), 0);
        fake_remove(0, flush != 0);
        assert_int_equal(next_async(&a).event_type, IBV_EVENT_DEVICE_FATAL);
        if (flush != 0) {
            end_expect(&a, 1, IBV_WC_WR_FLUSH_ERR);
        }
        end_expect_none(&a);
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 8, 1), EIO);
        assert_null(ibv_alloc_pd(a.context));
        assert_int_equal(errno, EIO);
        int count;
        ibv_free_device_list(ibv_get_device_list(&count));
        assert_int_equal(count, 1);
        assert_int_equal(end_send(&b, &a, IBV_WR_RDMA_WRITE, 0, 8, 2), 0);
        end_expect_none(&b);
        fake_advance(1000 * MS);
        end_expect(&b, 2, IBV_WC_RETRY_EXC_ERR);
        ends_close(&a, &b);
    }
}

static void delays_pass(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    fake_path(0, 1, 1, 1, false, 5000 * MS);
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 8, 1), 0);
    end_expect_none(&a);
    fake_advance(5000 * MS);
    end_expect(&a, 1, IBV_WC_SUCCESS);
    fake_speed(1000); /* 5 s are 5 ms */
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 8, 2), 0);
    end_expect(&a, 2, IBV_WC_SUCCESS);
    ends_close(&a, &b);
}

static void a_pair_breaks(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    assert_int_equal(end_receive(&a, 0, 8, 1), 0);
    assert_true(fake_break(a.qp->qp_num));
    assert_false(fake_break(a.qp->qp_num + 1000));
    assert_int_equal(next_async(&a).event_type, IBV_EVENT_QP_FATAL);
    end_expect(&a, 1, IBV_WC_WR_FLUSH_ERR);
    ends_close(&a, &b);
}

static void memory_must_be_there_and_affordable(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    fake_start(1, &(struct fake_device){.pinned_bytes_max = END_MEMORY_BYTES + 4 * page});
    end_open(&a, 0, &usual);
    uint8_t *hole =
        mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(hole, MAP_FAILED);
    struct ibv_mr *mr = ibv_reg_mr(a.pd, hole, 3 * page, IBV_ACCESS_RELAXED_ORDERING);
    assert_non_null(mr);
    assert_null(ibv_reg_mr(a.pd, hole, 2 * page, 0));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(ibv_dereg_mr(mr), 0);
    assert_int_equal(munmap(hole + page, page), 0);
    assert_null(ibv_reg_mr(a.pd, hole, 3 * page, 0));
    assert_int_equal(errno, EFAULT);
    assert_null(ibv_reg_mr(a.pd, hole, page, IBV_ACCESS_REMOTE_WRITE)); /* without local */
    assert_int_equal(errno, EINVAL);
    munmap(hole, page);
    munmap(hole + 2 * page, page);
    end_close(&a);
}

static void device_memory_needs_a_device_that_knows_it(void **state)
{
    (void)state;
    fake_start(2, (struct fake_device[]){{.peer_memory = true}, {0}});
    end_open(&a, 0, &usual);
    end_open(&b, 1, &usual);
    static uint8_t gpu[4096];
    fake_device_memory(gpu, sizeof gpu);
    struct ibv_mr *mr = ibv_reg_mr(a.pd, gpu + 100, 10, 0);
    assert_non_null(mr);
    assert_int_equal(ibv_dereg_mr(mr), 0);
    assert_null(ibv_reg_mr(b.pd, gpu + 100, 10, 0));
    assert_int_equal(errno, EFAULT);
    ends_close(&a, &b);
}

/* The bytes of a descriptor's memory move, under the addresses that its registration gave them. */
static void dmabufs_are_mapped(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int fd = memfd_create("dmabuf", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)(2 * page)), 0);
    fake_start(2, (struct fake_device[]){{0}, {.dmabuf = true}});
    end_open(&a, 0, &usual);
    end_open(&b, 1, &usual);
    ends_connect(&a, &b, &usual);
    const int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
    const uint64_t iova = 0x7000000000 + 64;
    assert_null(ibv_reg_dmabuf_mr(a.pd, 64, 100, iova, -1, access));
    assert_int_equal(errno, EOPNOTSUPP);
    assert_null(ibv_reg_dmabuf_mr(b.pd, 64, 100, iova, -1, access));
    assert_int_equal(errno, EBADF);
    assert_null(ibv_reg_dmabuf_mr(b.pd, 64, 100, iova + 1, fd, access));
    assert_int_equal(errno, EINVAL);
    struct ibv_mr *mr = ibv_reg_dmabuf_mr(b.pd, page + 64, 100, iova, fd, access);
    assert_non_null(mr);
    struct ibv_sge sge;
    struct ibv_send_wr wr = end_request(&sge, &a, &b, IBV_WR_RDMA_WRITE, 0, 10, 1), *bad;
    memset(a.memory, 0x5a, 10);
    wr.wr.rdma.remote_addr = iova + 90;
    wr.wr.rdma.rkey = mr->rkey;
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), 0);
    end_expect(&a, 1, IBV_WC_SUCCESS);
    uint8_t there[10];
    assert_int_equal(pread(fd, there, 10, (off_t)page + 64 + 90), 10);
    assert_memory_equal(there, a.memory, 10);
    assert_int_equal(fake_calls(FAKE_VERB_REG_DMABUF_MR), 4);
    assert_int_equal(ibv_dereg_mr(mr), 0);
    close(fd);
    ends_close(&a, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_verb_can_fail_once),
        cmocka_unit_test(waiting_verbs_can_fail_too),
        cmocka_unit_test(devices_are_as_wished),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(ports_go_down_and_up),
        cmocka_unit_test(a_device_is_pulled_out),
        cmocka_unit_test(delays_pass),
        cmocka_unit_test(a_pair_breaks),
        cmocka_unit_test(memory_must_be_there_and_affordable),
        cmocka_unit_test(device_memory_needs_a_device_that_knows_it),
        cmocka_unit_test(dmabufs_are_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
