#include "tests/transport/verbs/ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* cmocka needs those before it */
#include <cmocka.h>

#define WAIT_SECONDS 10
#define ALL_ACCESS                                                                                 \
    (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |                   \
     IBV_ACCESS_REMOTE_ATOMIC)
#define END_GID_INDEX 2

static struct ibv_context *open_nth(unsigned device)
{
    int count;
    struct ibv_device **list = ibv_get_device_list(&count);
    assert_non_null(list);
    assert_true((int)device < count);
    struct ibv_context *context = ibv_open_device(list[device]);
    ibv_free_device_list(list);
    assert_non_null(context);
    return context;
}

static void make_queues(struct end *end, const struct end_wish *wish)
{
    end->channel = ibv_create_comp_channel(end->context);
    assert_non_null(end->channel);
    end->cq = ibv_create_cq(end->context, wish->cqe != 0 ? wish->cqe : 128, end, end->channel, 0);
    assert_non_null(end->cq);
    if (wish->shared) {
        struct ibv_srq_init_attr init = {.attr = {.max_wr = END_RECEIVES, .max_sge = 2}};
        end->srq = ibv_create_srq(end->pd, &init);
        assert_non_null(end->srq);
    }
    struct ibv_qp_init_attr init = {
        .send_cq = end->cq,
        .recv_cq = end->cq,
        .srq = end->srq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = wish->sends != 0 ? wish->sends : END_SENDS,
                .max_recv_wr = END_RECEIVES,
                .max_send_sge = 2,
                .max_recv_sge = 2,
                .max_inline_data = END_INLINE_BYTES},
    };
    end->qp = ibv_create_qp(end->pd, &init);
    assert_non_null(end->qp);
}

void end_open(struct end *end, unsigned device, const struct end_wish *wish)
{
    unsigned access = wish->access != 0 ? wish->access : ALL_ACCESS;
    memset(end, 0, sizeof *end);
    end->device = device;
    end->context = open_nth(device);
    end->pd = ibv_alloc_pd(end->context);
    assert_non_null(end->pd);
    make_queues(end, wish);
    end->memory = calloc(1, END_MEMORY_BYTES);
    assert_non_null(end->memory);
    end->mr = ibv_reg_mr(end->pd, end->memory, END_MEMORY_BYTES, access);
    assert_non_null(end->mr);
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = access};
    assert_int_equal(
        ibv_modify_qp(end->qp, &attr,
                      IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS),
        0);
}

struct ibv_qp_attr end_address(const struct end *end)
{
    struct ibv_port_attr port;
    assert_int_equal(ibv_query_port(end->context, 1, &port), 0);
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTR,
                               .path_mtu = port.active_mtu,
                               .dest_qp_num = end->qp->qp_num,
                               .rq_psn = end->qp->qp_num * 3,
                               .max_dest_rd_atomic = 4,
                               .min_rnr_timer = 12};
    attr.ah_attr.port_num = 1;
    attr.ah_attr.dlid = port.lid;
    if (port.link_layer == IBV_LINK_LAYER_ETHERNET) {
        attr.ah_attr.is_global = 1;
        attr.ah_attr.grh.sgid_index = END_GID_INDEX;
        assert_int_equal(ibv_query_gid(end->context, 1, END_GID_INDEX, &attr.ah_attr.grh.dgid), 0);
    }
    return attr;
}

int end_to_receive(struct end *end, struct ibv_qp_attr *attr)
{
    return ibv_modify_qp(end->qp, attr,
                         IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                             IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
}

int end_to_send(struct end *end, const struct end_wish *wish)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTS,
                               .sq_psn = end->qp->qp_num * 3,
                               .max_rd_atomic = 4,
                               .timeout = wish->timeout != 0 ? wish->timeout : 14,
                               .retry_cnt = wish->retries != 0 ? wish->retries : 7,
                               .rnr_retry =
                                   wish->not_ready_retries != 0 ? wish->not_ready_retries : 7};
    return ibv_modify_qp(end->qp, &attr,
                         IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_TIMEOUT |
                             IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY);
}

void ends_connect(struct end *a, struct end *b, const struct end_wish *wish)
{
    struct ibv_qp_attr to_a = end_address(a), to_b = end_address(b);
    assert_int_equal(end_to_receive(a, &to_b), 0);
    assert_int_equal(end_to_receive(b, &to_a), 0);
    assert_int_equal(end_to_send(a, wish), 0);
    assert_int_equal(end_to_send(b, wish), 0);
}

void end_close(struct end *end)
{
    assert_int_equal(ibv_destroy_qp(end->qp), 0);
    assert_int_equal(end->srq != NULL ? ibv_destroy_srq(end->srq) : 0, 0);
    assert_int_equal(ibv_destroy_cq(end->cq), 0);
    assert_int_equal(ibv_destroy_comp_channel(end->channel), 0);
    assert_int_equal(ibv_dereg_mr(end->mr), 0);
    assert_int_equal(ibv_dealloc_pd(end->pd), 0);
    assert_int_equal(ibv_close_device(end->context), 0);
    free(end->memory);
}

void ends_open(struct end *a, struct end *b, const struct end_wish *wish)
{
    fake_start(2, NULL);
    end_open(a, 0, wish);
    end_open(b, 1, wish);
    ends_connect(a, b, wish);
}

void ends_close(struct end *a, struct end *b)
{
    end_close(a);
    end_close(b);
    assert_int_equal(fake_leaks(), 0);
}

struct ibv_send_wr end_request(struct ibv_sge *sge, const struct end *end, const struct end *far,
                               enum ibv_wr_opcode opcode, size_t offset, size_t bytes, uint64_t id)
{
    *sge = (struct ibv_sge){(uintptr_t)(end->memory + offset), (uint32_t)bytes, end->mr->lkey};
    struct ibv_send_wr wr = {.wr_id = id,
                             .sg_list = sge,
                             .num_sge = 1,
                             .opcode = opcode,
                             .send_flags = IBV_SEND_SIGNALED};
    wr.imm_data = htobe32((uint32_t)id);
    wr.wr.rdma.remote_addr = (uintptr_t)(far->memory + offset);
    wr.wr.rdma.rkey = far->mr->rkey;
    return wr;
}

int end_send(struct end *end, const struct end *far, enum ibv_wr_opcode opcode, size_t offset,
             size_t bytes, uint64_t id)
{
    struct ibv_sge sge;
    struct ibv_send_wr wr = end_request(&sge, end, far, opcode, offset, bytes, id), *bad = NULL;
    return ibv_post_send(end->qp, &wr, &bad);
}

int end_receive(struct end *end, size_t offset, size_t bytes, uint64_t id)
{
    struct ibv_sge sge = {(uintptr_t)(end->memory + offset), (uint32_t)bytes, end->mr->lkey};
    struct ibv_recv_wr wr = {.wr_id = id, .sg_list = &sge, .num_sge = 1}, *bad = NULL;
    return end->srq != NULL ? ibv_post_srq_recv(end->srq, &wr, &bad)
                            : ibv_post_recv(end->qp, &wr, &bad);
}

struct ibv_wc end_wait(struct end *end)
{
    struct ibv_wc wc;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t until = now.tv_sec + WAIT_SECONDS;
    int polled;
    while ((polled = ibv_poll_cq(end->cq, 1, &wc)) == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(now.tv_sec < until);
    }
    assert_int_equal(polled, 1);
    return wc;
}

void end_expect(struct end *end, uint64_t id, enum ibv_wc_status status)
{
    struct ibv_wc wc = end_wait(end);
    assert_int_equal(wc.wr_id, id);
    assert_string_equal(ibv_wc_status_str(wc.status), ibv_wc_status_str(status));
}

void end_expect_none(struct end *end)
{
    struct ibv_wc wc;
    assert_int_equal(ibv_poll_cq(end->cq, 1, &wc), 0);
}
