/* The fake's ordinary behaviour: what reliable connected queue pairs promise when nothing fails. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs those before it */
#include <cmocka.h>

#include "tests/transport/verbs/ends.h"

#define SLEEP_MS 10000 /* at most; every sleep here is ended by an event */

static const struct end_wish usual = {0};
static struct end a, b;

static void fill(uint8_t *memory, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++) {
        memory[i] = (uint8_t)(i * 31 + i / 256 + seed);
    }
}

static void write_arrives_with_its_immediate(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    fill(a.memory, 1000, 5);
    assert_int_equal(end_receive(&b, 0, 0, 77), 0);
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE_WITH_IMM, 100, 900, 42), 0);
    struct ibv_wc wc = end_wait(&b);
    assert_int_equal(wc.wr_id, 77);
    assert_int_equal(wc.status, IBV_WC_SUCCESS);
    assert_int_equal(wc.opcode, IBV_WC_RECV_RDMA_WITH_IMM);
    assert_int_equal(wc.wc_flags, IBV_WC_WITH_IMM);
    assert_int_equal(be32toh(wc.imm_data), 42);
    assert_int_equal(wc.byte_len, 900);
    assert_int_equal(wc.qp_num, b.qp->qp_num);
    assert_memory_equal(a.memory + 100, b.memory + 100, 900);
    wc = end_wait(&a);
    assert_int_equal(wc.wr_id, 42);
    assert_int_equal(wc.status, IBV_WC_SUCCESS);
    assert_int_equal(wc.opcode, IBV_WC_RDMA_WRITE);
    ends_close(&a, &b);
}

static void send_is_received(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    fill(a.memory, 500, 9);
    assert_int_equal(end_receive(&b, 4096, 700, 1), 0);
    assert_int_equal(end_send(&a, &b, IBV_WR_SEND, 0, 500, 2), 0);
    struct ibv_wc wc = end_wait(&b);
    assert_int_equal(wc.opcode, IBV_WC_RECV);
    assert_int_equal(wc.byte_len, 500);
    assert_memory_equal(a.memory, b.memory + 4096, 500);
    end_expect(&a, 2, IBV_WC_SUCCESS);
    end_expect_none(&a);
    end_expect_none(&b);
    ends_close(&a, &b);
}

static void read_fetches(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    fill(b.memory, 3000, 1);
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_READ, 10, 2990, 7), 0);
    struct ibv_wc wc = end_wait(&a);
    assert_int_equal(wc.opcode, IBV_WC_RDMA_READ);
    assert_int_equal(wc.byte_len, 2990);
    assert_memory_equal(a.memory + 10, b.memory + 10, 2990);
    end_expect_none(&b);
    ends_close(&a, &b);
}

static uint64_t atomic(enum ibv_wr_opcode opcode, uint64_t compare_add, uint64_t swap)
{
    struct ibv_sge sge;
    struct ibv_send_wr wr = end_request(&sge, &a, &b, opcode, 64, 8, 3), *bad;
    wr.wr.atomic.remote_addr = (uintptr_t)(b.memory + 64);
    wr.wr.atomic.rkey = b.mr->rkey;
    wr.wr.atomic.compare_add = compare_add;
    wr.wr.atomic.swap = swap;
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), 0);
    end_expect(&a, 3, IBV_WC_SUCCESS);
    uint64_t old;
    memcpy(&old, a.memory + 64, sizeof old);
    return old;
}

static void atomics_return_what_was_there(void **state)
{
    (void)state;
    uint64_t value = 40;
    ends_open(&a, &b, &usual);
    memcpy(b.memory + 64, &value, sizeof value);
    assert_int_equal(atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 2, 0), 40);
    assert_int_equal(atomic(IBV_WR_ATOMIC_CMP_AND_SWP, 42, 7), 42);
    assert_int_equal(atomic(IBV_WR_ATOMIC_CMP_AND_SWP, 42, 8), 7);
    memcpy(&value, b.memory + 64, sizeof value);
    assert_int_equal(value, 7);
    ends_close(&a, &b);
}

static void inline_payload_is_copied_when_posted(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    struct ibv_sge sge;
    struct ibv_send_wr wr = end_request(&sge, &a, &b, IBV_WR_RDMA_WRITE, 0, 64, 1), *bad;
    wr.send_flags |= IBV_SEND_INLINE;
    sge.lkey = 0; /* not looked at */
    fill(a.memory, 64, 3);
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), 0);
    uint8_t sent[64];
    memcpy(sent, a.memory, 64);
    memset(a.memory, 0, 64);
    end_expect(&a, 1, IBV_WC_SUCCESS);
    assert_memory_equal(b.memory, sent, 64);
    sge.length = END_INLINE_BYTES + 1;
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), EINVAL);
    assert_ptr_equal(bad, &wr);
    ends_close(&a, &b);
}

static void lists_gather_and_scatter(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    fill(a.memory, 2048, 8);
    struct ibv_sge from[2] = {{(uintptr_t)a.memory, 300, a.mr->lkey},
                              {(uintptr_t)(a.memory + 1000), 200, a.mr->lkey}};
    struct ibv_sge to[2] = {{(uintptr_t)b.memory, 450, b.mr->lkey},
                            {(uintptr_t)(b.memory + 1000), 100, b.mr->lkey}};
    struct ibv_recv_wr receive = {.wr_id = 1, .sg_list = to, .num_sge = 2}, *bad_receive;
    struct ibv_send_wr send = {.wr_id = 2,
                               .sg_list = from,
                               .num_sge = 2,
                               .opcode = IBV_WR_SEND,
                               .send_flags = IBV_SEND_SIGNALED},
                       *bad_send;
    assert_int_equal(ibv_post_recv(b.qp, &receive, &bad_receive), 0);
    assert_int_equal(ibv_post_send(a.qp, &send, &bad_send), 0);
    end_expect(&b, 1, IBV_WC_SUCCESS);
    assert_memory_equal(b.memory, a.memory, 300);
    assert_memory_equal(b.memory + 300, a.memory + 1000, 150);
    assert_memory_equal(b.memory + 1000, a.memory + 1150, 50);
    send.num_sge = 3;
    assert_int_equal(ibv_post_send(a.qp, &send, &bad_send), EINVAL);
    ends_close(&a, &b);
}

/* A driver gives send slots back when a completion behind them is polled, and only then. */
static void slots_come_back_when_a_later_completion_is_polled(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    struct ibv_sge sge;
    struct ibv_send_wr wr = end_request(&sge, &a, &b, IBV_WR_RDMA_WRITE, 0, 8, 1), *bad;
    for (unsigned i = 0; i < END_SENDS; i++) {
        wr.send_flags = i == END_SENDS / 2 ? IBV_SEND_SIGNALED : 0;
        assert_int_equal(ibv_post_send(a.qp, &wr, &bad), 0);
    }
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), ENOMEM);
    end_expect_none(&b); /* it carries out everything; but nobody has polled at `a` */
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), ENOMEM);
    end_expect(&a, 1, IBV_WC_SUCCESS);
    end_expect_none(&a);
    for (unsigned i = 0; i < END_SENDS / 2 + 1; i++) {
        assert_int_equal(ibv_post_send(a.qp, &wr, &bad), 0);
    }
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), ENOMEM);
    ends_close(&a, &b);
}

static void a_list_is_posted_up_to_the_bad_one(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    struct ibv_sge sge[3];
    struct ibv_send_wr wr[3], *bad;
    for (unsigned i = 0; i < 3; i++) {
        wr[i] = end_request(&sge[i], &a, &b, IBV_WR_RDMA_WRITE, 0, 8, i);
        wr[i].next = i < 2 ? &wr[i + 1] : NULL;
    }
    wr[1].num_sge = -1;
    assert_int_equal(ibv_post_send(a.qp, &wr[0], &bad), EINVAL);
    assert_ptr_equal(bad, &wr[1]);
    end_expect(&a, 0, IBV_WC_SUCCESS);
    end_expect_none(&a);
    ends_close(&a, &b);
}

static void shared_receives_serve_their_pair(void **state)
{
    (void)state;
    ends_open(&a, &b, &(struct end_wish){.shared = true});
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < END_RECEIVES; i++) {
            assert_int_equal(end_receive(&b, 0, 64, i), 0);
        }
        assert_int_equal(end_receive(&b, 0, 64, 99), ENOMEM);
        for (unsigned i = 0; i < END_RECEIVES; i++) {
            assert_int_equal(end_send(&a, &b, IBV_WR_SEND, 0, 64, i), 0);
            end_expect(&a, i, IBV_WC_SUCCESS);
            end_expect(&b, i, IBV_WC_SUCCESS);
        }
    }
    ends_close(&a, &b);
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static void expect_event(struct end *end)
{
    struct ibv_cq *cq;
    void *context;
    assert_true(readable(end->channel->fd, SLEEP_MS));
    assert_int_equal(ibv_get_cq_event(end->channel, &cq, &context), 0);
    assert_ptr_equal(cq, end->cq);
    assert_ptr_equal(context, end);
    ibv_ack_cq_events(cq, 1);
}

/* Nobody polls here: who sleeps is woken by the fabric itself. */
static void channel_wakes_who_sleeps(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    assert_int_equal(fcntl(b.channel->fd, F_SETFL, O_NONBLOCK), 0);
    struct ibv_cq *cq;
    void *context;
    assert_int_equal(ibv_get_cq_event(b.channel, &cq, &context), -1);
    assert_int_equal(errno, EAGAIN);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ibv_req_notify_cq(b.cq, 0), 0);
        assert_int_equal(end_receive(&b, 0, 0, i), 0);
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE_WITH_IMM, 0, 64, i), 0);
        expect_event(&b);
        end_expect(&b, i, IBV_WC_SUCCESS);
    }
    assert_int_equal(end_receive(&b, 0, 0, 9), 0); /* not armed: no event */
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE_WITH_IMM, 0, 64, 9), 0);
    end_expect(&b, 9, IBV_WC_SUCCESS);
    assert_false(readable(b.channel->fd, 0));
    ends_close(&a, &b);
}

static void only_solicited_messages_wake_if_so_asked(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    struct ibv_sge sge;
    struct ibv_send_wr wr = end_request(&sge, &a, &b, IBV_WR_RDMA_WRITE_WITH_IMM, 0, 8, 1), *bad;
    assert_int_equal(ibv_req_notify_cq(b.cq, 1), 0);
    assert_int_equal(end_receive(&b, 0, 0, 1), 0);
    assert_int_equal(end_receive(&b, 0, 0, 2), 0);
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), 0);
    end_expect(&b, 1, IBV_WC_SUCCESS);
    assert_false(readable(b.channel->fd, 0));
    wr.send_flags |= IBV_SEND_SOLICITED;
    assert_int_equal(ibv_post_send(a.qp, &wr, &bad), 0);
    expect_event(&b);
    end_expect(&b, 2, IBV_WC_SUCCESS);
    ends_close(&a, &b);
}

/* A queue with an event that nobody fetched can be destroyed. */
static void events_go_with_their_queue(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    assert_int_equal(ibv_req_notify_cq(a.cq, 0), 0);
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 8, 1), 0);
    assert_true(readable(a.channel->fd, SLEEP_MS));
    assert_int_equal(ibv_destroy_qp(a.qp), 0);
    assert_int_equal(ibv_destroy_cq(a.cq), 0);
    assert_false(readable(a.channel->fd, 0));
    a.cq = ibv_create_cq(a.context, 8, NULL, NULL, 0);
    struct ibv_qp_init_attr init = {.send_cq = a.cq, .recv_cq = a.cq, .qp_type = IBV_QPT_RC};
    a.qp = ibv_create_qp(a.pd, &init);
    assert_non_null(a.qp);
    ends_close(&a, &b);
}

static void infiniband_goes_by_lid(void **state)
{
    (void)state;
    fake_start(2, (struct fake_device[]){{.port = {{.infiniband = true, .lid = 40}}},
                                         {.port = {{.infiniband = true}}}});
    end_open(&a, 0, &usual);
    end_open(&b, 1, &usual);
    ends_connect(&a, &b, &usual);
    a.memory[0] = 5;
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 1, 1), 0);
    end_expect(&a, 1, IBV_WC_SUCCESS);
    assert_int_equal(b.memory[0], 5);
    ends_close(&a, &b);
}

static void pairs_of_one_device_reach_each_other(void **state)
{
    (void)state;
    fake_start(1, NULL);
    end_open(&a, 0, &usual);
    end_open(&b, 0, &usual);
    ends_connect(&a, &b, &usual);
    a.memory[0] = 6;
    assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 1, 1), 0);
    end_expect(&a, 1, IBV_WC_SUCCESS);
    assert_int_equal(b.memory[0], 6);
    ends_close(&a, &b);
}

static void *ping(void *end_of_thread)
{
    struct end *me = end_of_thread, *other = me == &a ? &b : &a;
    for (unsigned i = 0; i < 2000; i++) {
        if (me == &a) {
            me->memory[0] = (uint8_t)i;
            end_send(me, other, IBV_WR_RDMA_WRITE_WITH_IMM, 0, 1, 100);
        }
        struct ibv_wc wc;
        do {
            wc = end_wait(me);
        } while (wc.wr_id == 100);
        end_receive(me, 0, 0, 1);
        if (me == &b) {
            end_send(me, other, IBV_WR_RDMA_WRITE_WITH_IMM, 0, 1, 100);
        }
    }
    return NULL;
}

static void two_threads_may_call_at_once(void **state)
{
    (void)state;
    ends_open(&a, &b, &usual);
    assert_int_equal(end_receive(&a, 0, 0, 1), 0);
    assert_int_equal(end_receive(&b, 0, 0, 1), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ping, &b), 0);
    ping(&a);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(b.memory[0], (uint8_t)1999);
    assert_int_equal(a.memory[0], b.memory[0]);
    ends_close(&a, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_arrives_with_its_immediate),
        cmocka_unit_test(send_is_received),
        cmocka_unit_test(read_fetches),
        cmocka_unit_test(atomics_return_what_was_there),
        cmocka_unit_test(inline_payload_is_copied_when_posted),
        cmocka_unit_test(lists_gather_and_scatter),
        cmocka_unit_test(slots_come_back_when_a_later_completion_is_polled),
        cmocka_unit_test(a_list_is_posted_up_to_the_bad_one),
        cmocka_unit_test(shared_receives_serve_their_pair),
        cmocka_unit_test(channel_wakes_who_sleeps),
        cmocka_unit_test(only_solicited_messages_wake_if_so_asked),
        cmocka_unit_test(events_go_with_their_queue),
        cmocka_unit_test(infiniband_goes_by_lid),
        cmocka_unit_test(pairs_of_one_device_reach_each_other),
        cmocka_unit_test(two_threads_may_call_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
