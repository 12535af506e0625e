/* A queue pair and its other end on one device, in one process: what can be sent, and what must not be believed. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "tests/transport/verbs/stage.h"
#include "transport/verbs/device.h"
#include "transport/verbs/pair.h"
#include "transport/verbs/registration.h"

#define MEMORY_BYTES 65536u
#define LIMIT_NS (10 * NS_PER_S)
#define QUEUE 16

struct end {
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    struct pair pair;
    struct ibv_mr *mr;
    uint8_t *memory;
};

static struct devices devices;

static void end_open(struct end *end, const struct device_port *port, uint32_t inline_bytes)
{
    struct pair_shape shape = {.sends = QUEUE, .receives = QUEUE, .inline_bytes = inline_bytes};
    end->channel = ibv_create_comp_channel(port->context);
    assert_non_null(end->channel);
    end->cq = ibv_create_cq(port->context, 4 * QUEUE, NULL, end->channel, 0);
    assert_non_null(end->cq);
    shape.send_cq = shape.receive_cq = end->cq;
    end->memory = kolo_alloc(MEMORY_BYTES);
    assert_non_null(end->memory);
    assert_int_equal(
        registration_make(&end->mr, port, end->memory, MEMORY_BYTES,
                          IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
                          true),
        KOLO_OK);
    assert_int_equal(pair_create(&end->pair, port, &shape), KOLO_OK);
}

static void end_close(struct end *end)
{
    pair_destroy(&end->pair);
    assert_int_equal(ibv_dereg_mr(end->mr), 0);
    assert_int_equal(ibv_destroy_cq(end->cq), 0);
    assert_int_equal(ibv_destroy_comp_channel(end->channel), 0);
    kolo_free(end->memory);
}

/* Wait for the next completion, asleep: a busy poller can starve an emulated device. */
static struct ibv_wc end_wait(struct end *end)
{
    struct ibv_wc completion;
    uint64_t deadline = clock_now_ns() + LIMIT_NS;
    for (;;) {
        int count = ibv_poll_cq(end->cq, 1, &completion);
        assert_in_range(count, 0, 1);
        if (count == 1) {
            return completion;
        }
        assert_int_equal(ibv_req_notify_cq(end->cq, 0), 0);
        if (ibv_poll_cq(end->cq, 1, &completion) == 1) {
            return completion;
        }
        struct pollfd waits = {.fd = end->channel->fd, .events = POLLIN};
        int ms = clock_ms_until(deadline, clock_now_ns(), 10000);
        assert_int_equal(poll(&waits, 1, ms), 1);
        struct ibv_cq *cq;
        void *context;
        assert_int_equal(ibv_get_cq_event(end->channel, &cq, &context), 0);
        ibv_ack_cq_events(cq, 1);
    }
}

static void post_receive(struct end *end, uint64_t id)
{
    struct ibv_sge sge = {.addr = (uintptr_t)end->memory, .length = 64, .lkey = end->mr->lkey};
    struct ibv_recv_wr request = {.wr_id = id, .sg_list = &sge, .num_sge = 1}, *bad;
    assert_int_equal(ibv_post_recv(end->pair.qp, &request, &bad), 0);
}

static void post_write(struct end *from, const struct end *to, uint32_t bytes, uint32_t rkey)
{
    struct ibv_sge sge = {.addr = (uintptr_t)from->memory, .length = bytes, .lkey = from->mr->lkey};
    struct ibv_send_wr *bad;
    struct ibv_send_wr request = {.wr_id = 7,
                                  .sg_list = &sge,
                                  .num_sge = 1,
                                  .opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
                                  .send_flags = IBV_SEND_SIGNALED,
                                  .imm_data = 0x01020304,
                                  .wr.rdma = {.remote_addr = (uintptr_t)to->memory, .rkey = rkey}};
    assert_int_equal(ibv_post_send(from->pair.qp, &request, &bad), 0);
}

/* As it goes over the wire. */
static void carry(struct pair_address *there, const struct end *from)
{
    uint8_t bytes[PAIR_ADDRESS_BYTES];
    struct pair_address address;
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    pair_address(&address, &from->pair);
    pair_address_put(&writer, &address);
    assert_false(writer.failed);
    struct wire_reader reader = {.bytes = bytes, .length = writer.length};
    pair_address_get(&reader, there);
    assert_false(reader.failed);
    assert_int_equal(reader.offset, writer.length);
    assert_int_equal(there->qp_number, from->pair.qp->qp_num);
    assert_int_equal(there->psn, from->pair.psn);
}

static void ends_connect(struct end *a, struct end *b, const struct pair_settings *settings)
{
    struct pair_address to_a, to_b;
    carry(&to_a, a);
    carry(&to_b, b);
    assert_int_equal(pair_connect(&a->pair, &to_b, settings), KOLO_OK);
    assert_int_equal(pair_connect(&b->pair, &to_a, settings), KOLO_OK);
}

static int begin(void **state)
{
    (void)state;
    struct device_wish wish = {.gid_index = -1};
    if (stage_set()) {
        assert_int_equal(devices_open(&devices, &wish), KOLO_OK);
        if (devices.port[0].iwarp) { /* rdma_cm's business */
            devices_close(&devices);
        }
    }
    return 0;
}

static int finish(void **state)
{
    (void)state;
    if (devices.ports > 0) {
        devices_close(&devices);
        stage_clear();
    }
    return 0;
}

static void need_device(void)
{
    if (devices.ports == 0) {
        skip();
    }
}

static void writes_arrive_with_their_immediate(void **state)
{
    (void)state;
    need_device();
    struct end a, b;
    end_open(&a, &devices.port[0], 0);
    end_open(&b, &devices.port[0], 0);
    post_receive(&b, 1); /* in INIT already */
    ends_connect(&a, &b, &(struct pair_settings){0});
    for (size_t i = 0; i < MEMORY_BYTES; i++) {
        a.memory[i] = (uint8_t)(i * 7);
    }
    post_write(&a, &b, MEMORY_BYTES, b.mr->rkey);
    struct ibv_wc came = end_wait(&b), went = end_wait(&a);
    assert_int_equal(went.status, IBV_WC_SUCCESS);
    assert_int_equal(came.status, IBV_WC_SUCCESS);
    assert_int_equal(came.wr_id, 1);
    assert_int_equal(came.imm_data, 0x01020304);
    assert_memory_equal(a.memory, b.memory, MEMORY_BYTES);
    end_close(&a);
    end_close(&b);
}

static void settings_are_taken(void **state)
{
    (void)state;
    need_device();
    struct end a, b;
    struct ibv_qp_attr attributes;
    struct ibv_qp_init_attr made;
    end_open(&a, &devices.port[0], 0);
    end_open(&b, &devices.port[0], 0);
    ends_connect(
        &a, &b,
        &(struct pair_settings){.mtu = IBV_MTU_512, .timeout = 17, .retries = 3, .reads = 2});
    assert_int_equal(ibv_query_qp(a.pair.qp, &attributes,
                                  IBV_QP_PATH_MTU | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT, &made),
                     0);
    assert_int_equal(attributes.path_mtu, IBV_MTU_512);
    assert_int_equal(attributes.timeout, 17);
    assert_int_equal(attributes.retry_cnt, 3);
    end_close(&a);
    end_close(&b);
}

static void a_wrong_key_is_explained_and_flushes(void **state)
{
    (void)state;
    need_device();
    struct end a, b;
    end_open(&a, &devices.port[0], 0);
    end_open(&b, &devices.port[0], 0);
    post_receive(&b, 1);
    ends_connect(&a, &b, &(struct pair_settings){0});
    post_write(&a, &b, 64, b.mr->rkey ^ 0xff00);
    struct ibv_wc went = end_wait(&a);
    assert_int_equal(went.status, IBV_WC_REM_ACCESS_ERR);
    assert_non_null(strstr(pair_explain(went.status), "refused the address or the key"));
    post_write(&a, &b, 64, b.mr->rkey);
    assert_int_equal(end_wait(&a).status, IBV_WC_WR_FLUSH_ERR);
    end_close(&a);
    end_close(&b);
}

static void flushing_ends_what_is_posted(void **state)
{
    (void)state;
    need_device();
    struct end a;
    end_open(&a, &devices.port[0], 0);
    for (uint64_t i = 0; i < QUEUE; i++) {
        post_receive(&a, i);
    }
    pair_flush(&a.pair);
    for (uint64_t i = 0; i < QUEUE; i++) {
        struct ibv_wc gone = end_wait(&a);
        assert_int_equal(gone.status, IBV_WC_WR_FLUSH_ERR);
        assert_int_equal(gone.wr_id, i);
    }
    pair_flush(&a.pair); /* harmless */
    end_close(&a);
    pair_flush(&a.pair); /* of none: harmless */
    pair_destroy(&a.pair);
}

static void inline_bytes_are_what_the_device_gives(void **state)
{
    (void)state;
    need_device();
    static const uint32_t wishes[] = {0, 32, 200, 1000, 100000};
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        struct end a;
        end_open(&a, &devices.port[0], wishes[i]);
        assert_true(wishes[i] > 200 || a.pair.inline_bytes >= wishes[i]);
        end_close(&a);
    }
}

static void too_much_is_refused_with_the_limit(void **state)
{
    (void)state;
    need_device();
    const struct device_port *port = &devices.port[0];
    struct pair pair;
    struct ibv_cq *cq = ibv_create_cq(port->context, 16, NULL, NULL, 0);
    assert_non_null(cq);
    struct pair_shape deep = {.send_cq = cq,
                              .receive_cq = cq,
                              .sends = (uint32_t)port->limits.max_qp_wr + 1,
                              .receives = 1};
    assert_int_equal(pair_create(&pair, port, &deep), KOLO_ERR_SYSTEM);
    assert_non_null(strstr(kolo_last_error(), "max_qp_wr"));
    assert_null(pair.qp);
    struct pair_shape wide = {.send_cq = cq,
                              .receive_cq = cq,
                              .sends = 1,
                              .receives = 1,
                              .send_sges = (uint32_t)port->limits.max_sge + 1};
    assert_int_equal(pair_create(&pair, port, &wide), KOLO_ERR_SYSTEM);
    assert_non_null(strstr(kolo_last_error(), "max_sge"));
    assert_int_equal(ibv_destroy_cq(cq), 0);
}

static void other_fabrics_are_refused(void **state)
{
    (void)state;
    need_device();
    struct end a;
    struct pair_address good, other;
    const struct pair_settings settings = {0};
    end_open(&a, &devices.port[0], 0);
    carry(&good, &a);
    other = good;
    other.ethernet = !good.ethernet;
    assert_int_equal(pair_connect(&a.pair, &other, &settings), KOLO_ERR_ARGUMENT);
    assert_non_null(strstr(kolo_last_error(), "InfiniBand"));
    if (good.ethernet) {
        other = good;
        other.gid_type = !good.gid_type;
        assert_int_equal(pair_connect(&a.pair, &other, &settings), KOLO_ERR_ARGUMENT);
        assert_non_null(strstr(kolo_last_error(), "RoCE v1"));
    }
    if (good.gid_type == 1) {
        other = good;
        other.gid.raw[0] ^= 0x20; /* no IPv4-mapped one any more, or another */
        other.gid.raw[11] ^= 0xff;
        assert_int_equal(pair_connect(&a.pair, &other, &settings), KOLO_ERR_ARGUMENT);
        assert_non_null(strstr(kolo_last_error(), "one IP version"));
    }
    if (devices.port[0].mtu < IBV_MTU_4096) {
        assert_int_equal(pair_connect(&a.pair, &good, &(struct pair_settings){.mtu = IBV_MTU_4096}),
                         KOLO_ERR_ARGUMENT);
        assert_non_null(strstr(kolo_last_error(), "MTU of 4096"));
    }
    other = good;
    other.mtu = IBV_MTU_256;
    assert_int_equal(pair_connect(&a.pair, &other, &(struct pair_settings){.mtu = IBV_MTU_512}),
                     KOLO_ERR_ARGUMENT);
    assert_int_equal(pair_connect(&a.pair, &good, &settings), KOLO_OK); /* nothing was spoilt */
    end_close(&a);
}

static void as_many_reads_as_the_device_answers(void **state)
{
    (void)state;
    need_device();
    struct end end;
    struct pair_address address;
    int limit = devices.port[0].limits.max_qp_rd_atom;
    end_open(&end, &devices.port[0], 0);
    pair_address(&address, &end.pair);
    assert_int_equal(address.reads, limit < PAIR_READS_MAX ? limit : PAIR_READS_MAX);
    end_close(&end);
}

/* ---- addresses, without a device ---------------------------------------------------------------------------------- */

static const struct pair_address usual = {
    .qp_number = 17,
    .psn = 0xabcdef,
    .gid.raw = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 77, [14] = 0, [15] = 1},
    .mtu = IBV_MTU_1024,
    .reads = 16,
    .ethernet = true,
    .gid_type = 1};

static bool survives(const struct pair_address *address)
{
    uint8_t bytes[PAIR_ADDRESS_BYTES];
    struct pair_address read;
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    pair_address_put(&writer, address);
    assert_false(writer.failed);
    struct wire_reader reader = {.bytes = bytes, .length = writer.length};
    pair_address_get(&reader, &read);
    assert_true(reader.failed || memcmp(read.gid.raw, address->gid.raw, 16) == 0);
    assert_true(!reader.failed || read.qp_number == 0);
    return !reader.failed;
}

#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        struct pair_address bad = usual;                                                           \
        bad.field = (value);                                                                       \
        assert_false(survives(&bad));                                                              \
    } while (0)

static void addresses_that_cannot_be(void **state)
{
    (void)state;
    assert_true(survives(&usual));
    REFUSED(qp_number, 0);
    REFUSED(qp_number, 1);
    REFUSED(qp_number, 1u << 24);
    REFUSED(qp_number, UINT32_MAX);
    REFUSED(psn, 1u << 24);
    REFUSED(mtu, 0);
    REFUSED(mtu, IBV_MTU_4096 + 1);
    REFUSED(gid_type, 2);
    REFUSED(gid.raw[12], 224); /* a group */
    REFUSED(gid.raw[12], 0);
}

static void infiniband_addresses(void **state)
{
    (void)state;
    struct pair_address by_lid = usual;
    by_lid.ethernet = false;
    assert_false(survives(&by_lid)); /* no RoCE version on InfiniBand */
    by_lid.gid_type = 0;
    by_lid.lid = 5;
    assert_true(survives(&by_lid));
    memset(&by_lid.gid, 0, sizeof by_lid.gid);
    assert_true(survives(&by_lid));
    by_lid.lid = 0;
    assert_false(survives(&by_lid)); /* neither LID nor GID */
    by_lid.lid = 0xc000;
    assert_false(survives(&by_lid)); /* a group */
}

/* Whatever comes, nothing but a plausible address is taken. */
static void noise_and_cuts(void **state)
{
    (void)state;
    uint32_t seed = 12345;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t bytes[PAIR_ADDRESS_BYTES];
        struct pair_address read;
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1664525 + 1013904223;
            bytes[i] = (uint8_t)(seed >> 24) & (round % 2 == 0 ? 0xff : 0x03);
        }
        struct wire_reader reader = {.bytes = bytes, .length = round % (sizeof bytes + 1)};
        pair_address_get(&reader, &read);
        assert_true(reader.failed ? read.qp_number == 0
                                  : read.qp_number >= 2 && read.qp_number < 1u << 24 &&
                                        read.mtu >= IBV_MTU_256 && read.mtu <= IBV_MTU_4096);
        assert_true(reader.length >= 30 || reader.failed);
    }
}

static void every_status_is_explained(void **state)
{
    (void)state;
    for (int status = IBV_WC_SUCCESS; status <= IBV_WC_GENERAL_ERR; status++) {
        assert_non_null(pair_explain((enum ibv_wc_status)status));
        assert_null(strstr(pair_explain((enum ibv_wc_status)status), "does not know"));
    }
    assert_non_null(strstr(pair_explain((enum ibv_wc_status)999), "does not know"));
    assert_non_null(strstr(pair_explain((enum ibv_wc_status) - 1), "does not know"));
    assert_non_null(strstr(pair_explain(IBV_WC_RETRY_EXC_ERR), "retry exceeded"));
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_arrive_with_their_immediate),
        cmocka_unit_test(settings_are_taken),
        cmocka_unit_test(as_many_reads_as_the_device_answers),
        cmocka_unit_test(a_wrong_key_is_explained_and_flushes),
        cmocka_unit_test(flushing_ends_what_is_posted),
        cmocka_unit_test(inline_bytes_are_what_the_device_gives),
        cmocka_unit_test(too_much_is_refused_with_the_limit),
        cmocka_unit_test(other_fabrics_are_refused),
        cmocka_unit_test(addresses_that_cannot_be),
        cmocka_unit_test(infiniband_addresses),
        cmocka_unit_test(noise_and_cuts),
        cmocka_unit_test(every_status_is_explained),
    };
    return cmocka_run_group_tests_name("pair", tests, begin, finish);
}
