/* The fake's orders: payload in any order of pieces, completions late, and never a completion before its payload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs those before it */
#include <cmocka.h>

#include "tests/transport/verbs/ends.h"

#define SEEDS 60
#define MESSAGES 40
#define SLOT_BYTES 512u
#define SLOTS (END_MEMORY_BYTES / SLOT_BYTES)

static struct end a, b;

/* The last byte of a write is there before the first, and no completion tells yet. */
static void payload_comes_in_any_order(void **state)
{
    (void)state;
    bool last_before_first = false;
    ends_open(&a, &b, &(struct end_wish){0});
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fake_order(FAKE_MANUAL, seed);
        memset(a.memory, 0xcc, 2048);
        memset(b.memory, 0, 2048);
        assert_int_equal(end_receive(&b, 0, 0, 1), 0);
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE_WITH_IMM, 0, 2048, 2), 0);
        struct ibv_wc wc;
        while (ibv_poll_cq(b.cq, 1, &wc) == 0) {
            last_before_first |= b.memory[0] == 0 && b.memory[2047] != 0;
            assert_int_equal(fake_step(1), 1);
        }
        assert_memory_equal(a.memory, b.memory, 2048);
        while (fake_step(1) > 0) {
        }
        end_expect(&a, 2, IBV_WC_SUCCESS);
    }
    assert_true(last_before_first);
    ends_close(&a, &b);
}

/* A later write's payload can be there before an earlier write's; their completions keep their order. */
static void writes_overtake_each_other_until_they_complete(void **state)
{
    (void)state;
    bool overtaken = false;
    ends_open(&a, &b, &(struct end_wish){0});
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fake_order(FAKE_MANUAL, seed);
        memset(b.memory, 0, 64);
        memset(a.memory, 1, 64);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(end_receive(&b, 0, 0, i), 0);
        }
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE_WITH_IMM, 0, 1, 7), 0);
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE_WITH_IMM, 1, 1, 8), 0);
        while (b.memory[0] == 0 || b.memory[1] == 0) {
            assert_int_equal(fake_step(1), 1);
            overtaken |= b.memory[1] != 0 && b.memory[0] == 0;
        }
        while (fake_step(1) > 0) {
        }
        for (unsigned i = 0; i < 2; i++) {
            struct ibv_wc wc = end_wait(&b);
            assert_int_equal(wc.wr_id, i);
            assert_int_equal(be32toh(wc.imm_data), 7 + i);
            end_expect(&a, 7 + i, IBV_WC_SUCCESS);
        }
    }
    assert_true(overtaken);
    ends_close(&a, &b);
}

/* With noise in every place that is being written, whatever has completed is right, and in order. */
static void what_has_completed_is_whole(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ends_open(&a, &b, &(struct end_wish){0});
        fake_order(FAKE_SHUFFLED, seed);
        fake_garbage(true);
        unsigned sent = 0, answered = 0, received = 0, posted = 0;
        while (received < MESSAGES || answered < MESSAGES) {
            for (; posted < MESSAGES && posted - received < END_RECEIVES; posted++) {
                assert_int_equal(end_receive(&b, 0, 0, posted), 0);
            }
            for (; sent < MESSAGES && sent - received < SLOTS && sent - answered < END_SENDS;
                 sent++) {
                size_t offset = sent % SLOTS * SLOT_BYTES;
                memset(a.memory + offset, (int)sent + 1, SLOT_BYTES);
                assert_int_equal(
                    end_send(&a, &b, IBV_WR_RDMA_WRITE_WITH_IMM, offset, SLOT_BYTES, sent), 0);
            }
            struct ibv_wc wc;
            while (ibv_poll_cq(b.cq, 1, &wc) == 1) {
                assert_int_equal(be32toh(wc.imm_data), received);
                const uint8_t *slot = b.memory + received % SLOTS * SLOT_BYTES;
                for (size_t i = 0; i < SLOT_BYTES; i++) {
                    assert_int_equal(slot[i], received + 1);
                }
                received++;
            }
            while (ibv_poll_cq(a.cq, 1, &wc) == 1) {
                assert_int_equal(wc.wr_id, answered++);
            }
        }
        ends_close(&a, &b);
    }
}

/* The same seed, the same order. */
static void seeds_repeat(void **state)
{
    (void)state;
    uint8_t seen[2][64];
    for (unsigned run = 0; run < 2; run++) {
        ends_open(&a, &b, &(struct end_wish){0});
        fake_order(FAKE_MANUAL, 17);
        memset(a.memory, 1, 4096);
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 4096, 1), 0);
        for (unsigned step = 0; step < sizeof seen[0]; step++) {
            fake_step(1);
            unsigned there = 0;
            for (unsigned i = 0; i < 4096; i += 16) {
                there = there * 3 + b.memory[i];
            }
            seen[run][step] = (uint8_t)there;
        }
        ends_close(&a, &b);
    }
    assert_memory_equal(seen[0], seen[1], sizeof seen[0]);
}

/* A read sees what the writes before it wrote; a write after it does not change what it saw. */
static void reads_keep_their_place_among_writes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ends_open(&a, &b, &(struct end_wish){0});
        fake_order(FAKE_SHUFFLED, seed);
        struct ibv_sge sge;
        struct ibv_send_wr read = end_request(&sge, &a, &b, IBV_WR_RDMA_READ, 0, 256, 2), *bad;
        sge.addr += 4096;
        memset(a.memory, 3, 256);
        memset(a.memory + 1024, 4, 256);
        assert_int_equal(end_send(&a, &b, IBV_WR_RDMA_WRITE, 0, 256, 1), 0);
        assert_int_equal(ibv_post_send(a.qp, &read, &bad), 0);
        struct ibv_send_wr write = end_request(&sge, &a, &b, IBV_WR_RDMA_WRITE, 1024, 256, 3);
        write.wr.rdma.remote_addr = (uintptr_t)b.memory;
        assert_int_equal(ibv_post_send(a.qp, &write, &bad), 0);
        for (uint64_t id = 1; id <= 3; id++) {
            end_expect(&a, id, IBV_WC_SUCCESS);
        }
        assert_memory_equal(a.memory + 4096, a.memory, 256);
        assert_memory_equal(b.memory, a.memory + 1024, 256);
        ends_close(&a, &b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payload_comes_in_any_order),
        cmocka_unit_test(writes_overtake_each_other_until_they_complete),
        cmocka_unit_test(what_has_completed_is_whole),
        cmocka_unit_test(seeds_repeat),
        cmocka_unit_test(reads_keep_their_place_among_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
