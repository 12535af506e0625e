/* The fake's errors: what queue pairs suffer, on both ends, when a request is wrong or nobody answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs those before it */
#include <cmocka.h>

#include "tests/transport/verbs/ends.h"

#define MS UINT64_C(1000000)
#define RIGHTS_BUT(right)                                                                          \
    ((IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |                  \
      IBV_ACCESS_REMOTE_ATOMIC) &                                                                  \
     ~(unsigned)(right))

static const struct end_wish usual = {0};
static struct end a, b;

static enum ibv_qp_state state_of(const struct end *end)
{
    struct ibv_qp_attr attr;
    struct ibv_qp_init_attr init;
    assert_int_equal(ibv_query_qp(end->qp, &attr, IBV_QP_STATE, &init), 0);
    return attr.qp_state;
}

static void expect_async(struct end *end, enum ibv_event_type type)
{
    struct ibv_async_event event;
    assert_int_equal(ibv_get_async_event(end->context, &event), 0);
    assert_string_equal(ibv_event_type_str(event.event_type), ibv_event_type_str(type));
    ibv_ack_async_event(&event);
}

static int move_to(struct end *end, enum ibv_qp_state to)
{
    struct ibv_qp_attr attr = end_address(end);
    attr.port_num = 1;
    attr.qp_state = to;
    switch (to) {
    case IBV_QPS_INIT:
        return ibv_modify_qp(end->qp, &attr,
                             IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
    case IBV_QPS_RTR:
        return end_to_receive(end, &attr);
    case IBV_QPS_RTS:
        return end_to_send(end, &usual);
    default:
        return ibv_modify_qp(end->qp, &attr, IBV_QP_STATE);
    }
}

/* All moves between all states; legal are those of the specification, with the attributes that it demands. */
static void only_legal_moves_are_made(void **state)
{
    (void)state;
    static const enum ibv_qp_state way[] = {IBV_QPS_RESET, IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS,
                                            IBV_QPS_ERR};
    fake_start(1, NULL);
    end_open(&a, 0, &usual);
    for (unsigned from = 0; from < 5; from++) {
        for (unsigned to = 0; to < 5; to++) {
            assert_int_equal(move_to(&a, IBV_QPS_RESET), 0);
            for (unsigned i = 1; i <= from; i++) {
                assert_int_equal(move_to(&a, way[i]), 0);
            }
            bool legal = way[to] == IBV_QPS_RESET || way[to] == IBV_QPS_ERR ||
                         (from < 4 && to == from + 1) || (way[from] == IBV_QPS_INIT && to == from);
            assert_int_equal(move_to(&a, way[to]), legal ? 0 : EINVAL);
            assert_int_equal(state_of(&a), legal ? way[to] : way[from]);
        }
    }
    end_close(&a);
}

static void incomplete_attributes_are_refused(void **state)
{
    (void)state;
    fake_start(1, NULL);
    end_open(&a, 0, &usual);
    struct ibv_qp_attr attr = end_address(&a);
    int all = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
              IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
    for (int bit = IBV_QP_CUR_STATE; bit <= IBV_QP_DEST_QPN; bit <<= 1) {
        if ((all & bit) != 0) {
            assert_int_equal(ibv_modify_qp(a.qp, &attr, all & ~bit), EINVAL);
        }
    }
    assert_int_equal(ibv_modify_qp(a.qp, &attr, all | IBV_QP_SQ_PSN), EINVAL);
    attr.max_dest_rd_atomic = 17;
    assert_int_equal(ibv_modify_qp(a.qp, &attr, all), EINVAL);
    end_close(&a);
}

static void addresses_are_looked_up(void **state)
{
    (void)state;
    fake_start(2, (struct fake_device[]){{.port = {{.mtu = IBV_MTU_1024}}}, {0}});
    end_open(&a, 0, &usual);
    end_open(&b, 1, &usual);
    struct ibv_qp_attr attr = end_address(&b);
    assert_int_equal(end_to_receive(&a, &attr), EINVAL); /* 4096 through a port of 1024 */
    attr.path_mtu = IBV_MTU_1024;
    attr.ah_attr.grh.sgid_index = 5; /* empty */
    assert_int_equal(end_to_receive(&a, &attr), EINVAL);
    attr.ah_attr.grh.sgid_index = 0; /* RoCE v1 to an address of v2 */
    assert_int_equal(end_to_receive(&a, &attr), ENETUNREACH);
    attr.ah_attr.grh.sgid_index = 2;
    attr.ah_attr.grh.dgid.raw[15] = 99;
    assert_int_equal(end_to_receive(&a, &attr), ENETUNREACH);
    attr.ah_attr.is_global = 0;
    assert_int_equal(end_to_receive(&a, &attr), EINVAL);
    end_close(&a);
    end_close(&b);
}

static void posting_needs_a_state(void **state)
{
    (void)state;
    fake_start(1, NULL);
    end_open(&a, 0, &usual);
    end_open(&b, 0, &usual);
    assert_int_equal(end_send(&a, &a, IBV_WR_SEND, 0, 1, 1), EINVAL);
    assert_int_equal(end_receive(&a, 0, 1, 1), 0); /* INIT */
    assert_int_equal(move_to(&a, IBV_QPS_RESET), 0);
    assert_int_equal(end_receive(&a, 0, 1, 1), EINVAL);
    assert_int_equal(move_to(&b, IBV_QPS_ERR), 0);
    assert_int_equal(end_send(&b, &b, IBV_WR_SEND, 0, 1, 2), 0);
    assert_int_equal(end_receive(&b, 0, 1, 3), 0);
    end_expect(&b, 2, IBV_WC_WR_FLUSH_ERR);
    end_expect(&b, 3, IBV_WC_WR_FLUSH_ERR);
    end_close(&a);
    end_close(&b);
}

/* A request that the far end refuses: the error at the sender, then everything flushed in order, on both ends. */
static void expect_refused(struct ibv_send_wr *wr, enum ibv_wc_status status,
                           enum ibv_event_type event)
{
    struct ibv_send_wr *bad;
    assert_int_equal(end_receive(&a, 0, 8, 20), 0);
    assert_int_equal(end_receive(&b, 0, 8, 30), 0);
    assert_int_equal(end_receive(&b, 0, 8, 31), 0);
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 4096, 8, 1), 0);
    assert_int_equal(ibv_post_send(a.qp, wr, &bad), 0);
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 4096, 8, 3), 0);
    end_expect(&a, 1, IBV_WC_SUCCESS);
    end_expect(&a, wr->wr_id, status);
    end_expect(&a, 3, IBV_WC_WR_FLUSH_ERR);
    end_expect(&a, 20, IBV_WC_WR_FLUSH_ERR);
    assert_int_equal(state_of(&a), IBV_QPS_ERR);
    end_expect(&b, 30, IBV_WC_WR_FLUSH_ERR);
    end_expect(&b, 31, IBV_WC_WR_FLUSH_ERR);
    assert_int_equal(state_of(&b), IBV_QPS_ERR);
    expect_async(&b, event);
    ends_close(&a, &b);
}

static void remote_memory_is_guarded(void **state)
{
    (void)state;
    struct ibv_sge sge;
    for (unsigned what = 0; what < 6; what++) {
        bool no_right = what == 0;
        ends_open(&a, &b, &usual);
        struct ibv_mr *other = ibv_reg_mr(b.pd, b.memory, 4096, IBV_ACCESS_LOCAL_WRITE);
        struct ibv_pd *pd = ibv_alloc_pd(b.context);
        struct ibv_mr *foreign =
            ibv_reg_mr(pd, b.memory, 4096, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
        struct ibv_send_wr wr = end_request(&sge, &a, &b, IBV_WR_RDMA_WRITE, 0, 8, 2);
        uint32_t keys[] = {other->rkey, foreign->rkey, b.mr->lkey, b.mr->rkey ^ 1, 0, b.mr->rkey};
        wr.wr.rdma.rkey = keys[what];
        wr.wr.rdma.remote_addr += what == 5 ? END_MEMORY_BYTES - 7 : 0;
        assert_int_equal(ibv_dereg_mr(foreign), 0);
        assert_int_equal(ibv_dealloc_pd(pd), 0);
        assert_int_equal(no_right ? 0 : ibv_dereg_mr(other), 0);
        if (no_right) { /* it must live until the request has met it */
            struct ibv_send_wr *bad;
            assert_int_equal(ibv_post_send(a.qp, &wr, &bad), 0);
            end_expect(&a, 2, IBV_WC_REM_ACCESS_ERR);
            assert_int_equal(ibv_dereg_mr(other), 0);
            ends_close(&a, &b);
            continue;
        }
        expect_refused(&wr, IBV_WC_REM_ACCESS_ERR, IBV_EVENT_QP_ACCESS_ERR);
    }
}

static void another_domains_memory_is_guarded(void **state)
{
    (void)state;
    struct ibv_sge sge;
    ends_open(&a, &b, &usual);
    struct ibv_pd *pd = ibv_alloc_pd(b.context);
    struct ibv_mr *foreign =
        ibv_reg_mr(pd, b.memory, 4096, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    struct ibv_send_wr wr = end_request(&sge, &a, &b, IBV_WR_RDMA_WRITE, 0, 8, 2), *bad;
    wr.wr.rdma.rkey = foreign->rkey;
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), 0);
    end_expect(&a, 2, IBV_WC_REM_ACCESS_ERR);
    assert_int_equal(ibv_dereg_mr(foreign), 0);
    assert_int_equal(ibv_dealloc_pd(pd), 0);
    ends_close(&a, &b);
}

static void rights_of_the_pair_are_needed(void **state)
{
    (void)state;
    struct ibv_sge sge;
    ends_open(&a, &b, &(struct end_wish){.access = RIGHTS_BUT(IBV_ACCESS_REMOTE_READ)});
    struct ibv_send_wr wr = end_request(&sge, &a, &b, IBV_WR_RDMA_READ, 0, 8, 2);
    expect_refused(&wr, IBV_WC_REM_INV_REQ_ERR, IBV_EVENT_QP_REQ_ERR);
    ends_open(&a, &b, &usual);
    wr = end_request(&sge, &a, &b, IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 8, 2);
    wr.wr.atomic.remote_addr = (uintptr_t)(b.memory + 1); /* not aligned */
    wr.wr.atomic.rkey = b.mr->rkey;
    expect_refused(&wr, IBV_WC_REM_INV_REQ_ERR, IBV_EVENT_QP_REQ_ERR);
}

static void a_bad_local_key_fails_at_home_only(void **state)
{
    (void)state;
    struct ibv_sge sge;
    ends_open(&a, &b, &usual);
    struct ibv_send_wr wr = end_request(&sge, &a, &b, IBV_WR_RDMA_WRITE, 0, 8, 2), *bad;
    sge.lkey = a.mr->rkey;
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), 0);
    end_expect(&a, 2, IBV_WC_LOC_PROT_ERR);
    assert_int_equal(state_of(&a), IBV_QPS_ERR);
    assert_int_equal(state_of(&b), IBV_QPS_RTS);
    ends_close(&a, &b);
}

static void a_message_that_does_not_fit_fails_both_ends(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    assert_int_equal(end_receive(&b, 0, 100, 1), 0);
    assert_int_equal(end_receive(&b, 0, 100, 2), 0);
    assert_int_equal(end_send(&a, &b, IBV_WR_SEND, 0, 101, 3), 0);
    end_expect(&b, 1, IBV_WC_LOC_LEN_ERR);
    end_expect(&b, 2, IBV_WC_WR_FLUSH_ERR);
    end_expect(&a, 3, IBV_WC_REM_INV_REQ_ERR);
    ends_close(&a, &b);
}

static void a_receive_without_memory_fails_both_ends(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    struct ibv_sge sge = {(uintptr_t)b.memory, END_MEMORY_BYTES + 1, b.mr->lkey};
    struct ibv_recv_wr wr = {.wr_id = 1, .sg_list = &sge, .num_sge = 1}, *bad;
    assert_int_equal(ibv_post_recv(b.qp, &wr, &bad), 0);
    assert_int_equal(end_send(&a, &b, IBV_WR_SEND, 0, 10, 3), 0);
    end_expect(&b, 1, IBV_WC_LOC_PROT_ERR);
    end_expect(&a, 3, IBV_WC_REM_OP_ERR);
    ends_close(&a, &b);
}

static void an_unready_receiver_is_tried_again(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual); /* for ever */
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE_WITH_IMM, 0, 10, 1), 0);
    end_expect_none(&a);
    fake_advance(10000 * MS);
    end_expect_none(&a);
    assert_int_equal(end_receive(&b, 0, 0, 2), 0);
    fake_not_ready(b.qp->qp_num, 2);
    end_expect(&b, 2, IBV_WC_SUCCESS);
    end_expect(&a, 1, IBV_WC_SUCCESS);
    ends_close(&a, &b);
}

static void an_unready_receiver_ends_the_senders_patience(void **state)
{
    (void)state;
    ends_open(&a, &b, &(struct end_wish){.not_ready_retries = 3});
    assert_int_equal(end_send(&a, &b, IBV_WR_SEND, 0, 10, 1), 0);
    end_expect_none(&a);
    fake_advance(4 * MS); /* 4 tries of 0.64 ms */
    end_expect(&a, 1, IBV_WC_RNR_RETRY_EXC_ERR);
    assert_int_equal(state_of(&b), IBV_QPS_RTS);
    ends_close(&a, &b);
}

/* Silence of any cause looks the same: cut off, gone, failed, or another packet number. */
static void silence_ends_the_senders_patience(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 5; what++) {
        ends_open(&a, &b, &(struct end_wish){.timeout = 14, .retries = 2});
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 10, 1), 0);
        end_expect(&a, 1, IBV_WC_SUCCESS);
        if (what == 0) {
            fake_path(0, 1, 1, 1, true, 0);
        } else if (what == 1) {
            assert_int_equal(move_to(&b, IBV_QPS_ERR), 0);
        } else if (what == 2) {
            assert_int_equal(move_to(&b, IBV_QPS_RESET), 0);
        } else if (what == 3) {
            fake_port_set(1, 1, false);
        } else {
            assert_true(fake_break(b.qp->qp_num));
        }
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 10, 2), 0);
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 10, 3), 0);
        end_expect_none(&a);
        fake_advance(150 * MS); /* of 3 x 67 ms */
        end_expect_none(&a);
        fake_advance(60 * MS);
        end_expect(&a, 2, IBV_WC_RETRY_EXC_ERR);
        end_expect(&a, 3, IBV_WC_WR_FLUSH_ERR);
        ends_close(&a, &b);
    }
}

static void a_short_silence_is_forgiven(void **state)
{
    (void)state;
    ends_open(&a, &b, &(struct end_wish){.timeout = 14, .retries = 2});
    for (uint64_t i = 0; i < 4; i++) {
        fake_path(0, 1, 1, 1, true, 0);
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 10, i), 0);
        end_expect_none(&a);
        fake_advance(100 * MS);
        fake_path(0, 1, 1, 1, false, 0);
        end_expect(&a, i, IBV_WC_SUCCESS);
    }
    ends_close(&a, &b);
}

static void a_full_completion_queue_is_broken(void **state)
{
    (void)state;
    ends_open(&a, &b, &(struct end_wish){.cqe = 4});
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 10, i), 0);
    }
    end_expect_none(&b); /* it carries out everything */
    struct ibv_wc wc;
    assert_int_equal(ibv_poll_cq(a.cq, 1, &wc), -1);
    assert_int_equal(state_of(&a), IBV_QPS_ERR);
    expect_async(&a, IBV_EVENT_CQ_ERR);
    expect_async(&a, IBV_EVENT_QP_FATAL);
    ends_close(&a, &b);
}

static void what_is_used_cannot_go(void **state)
{
    (void)state;
    ends_open(&a, &b, &(struct end_wish){.shared = true});
    assert_int_equal(ibv_destroy_cq(a.cq), EBUSY);
    assert_int_equal(ibv_destroy_srq(a.srq), EBUSY);
    assert_int_equal(ibv_destroy_comp_channel(a.channel), EBUSY);
    assert_int_equal(ibv_dealloc_pd(a.pd), EBUSY);
    assert_int_equal(ibv_close_device(a.context), -1);
    ends_close(&a, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_legal_moves_are_made),
        cmocka_unit_test(incomplete_attributes_are_refused),
        cmocka_unit_test(addresses_are_looked_up),
        cmocka_unit_test(posting_needs_a_state),
        cmocka_unit_test(remote_memory_is_guarded),
        cmocka_unit_test(another_domains_memory_is_guarded),
        cmocka_unit_test(rights_of_the_pair_are_needed),
        cmocka_unit_test(a_bad_local_key_fails_at_home_only),
        cmocka_unit_test(a_message_that_does_not_fit_fails_both_ends),
        cmocka_unit_test(a_receive_without_memory_fails_both_ends),
        cmocka_unit_test(an_unready_receiver_is_tried_again),
        cmocka_unit_test(an_unready_receiver_ends_the_senders_patience),
        cmocka_unit_test(silence_ends_the_senders_patience),
        cmocka_unit_test(a_short_silence_is_forgiven),
        cmocka_unit_test(a_full_completion_queue_is_broken),
        cmocka_unit_test(what_is_used_cannot_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
