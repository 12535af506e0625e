/* Requests as they travel: what is sent is what arrives; bytes of strangers are refused or harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "tools/link_request.h"

#define MUTATIONS 200000

static struct link_request full(void)
{
    struct link_request request;
    link_request_init(&request);
    request.modes = LINK_LATENCY;
    request.bidirectional = true;
    request.size_count = LINK_SIZES_MAX;
    for (unsigned i = 0; i < LINK_SIZES_MAX; i++) {
        request.size_bytes[i] = 1 + i;
    }
    request.duration_ns = 3 * NS_PER_S;
    request.iterations = 77;
    request.warmup_iterations = 5;
    request.pairs = 7;
    request.depth = 512;
    request.inline_bytes = 100;
    request.post_list = 16;
    request.signal_interval = 32;
    request.mtu = 2048;
    request.service_level = 5;
    request.traffic_class = 106;
    request.rdma_cm = request.validate = request.huge_pages = true;
    request.wait = LINK_WAIT_EVENTS;
    request.rate_limit_Bps = 123456789;
    request.seed = UINT64_C(0x0123456789abcdef);
    strcpy(request.transport, "verbs");
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        memset(request.ends[side].device, 'd', LINK_DEVICE_BYTES - 1);
        request.ends[side].gid_index = 3;
        request.ends[side].numa_node = 1 + (int)side;
        request.ends[side].core = 60;
    }
    return request;
}

static size_t encode(uint8_t bytes[LINK_REQUEST_BYTES], const struct link_request *request)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = LINK_REQUEST_BYTES};
    link_request_put(&writer, request);
    assert_false(writer.failed);
    return writer.length;
}

static kolo_status decode(struct link_request *request, const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    return link_request_get(request, &reader);
}

static void what_is_sent_arrives(void **state)
{
    (void)state;
    struct link_request requests[2] = {full()};
    link_request_init(&requests[1]);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t bytes[LINK_REQUEST_BYTES], again[LINK_REQUEST_BYTES];
        struct link_request got;
        size_t length = encode(bytes, &requests[i]);
        memset(&got, 0xee, sizeof got);
        assert_int_equal(decode(&got, bytes, length), KOLO_OK);
        assert_int_equal(encode(again, &got), length);
        assert_memory_equal(bytes, again, length);
        assert_int_equal(got.wait, requests[i].wait);
        assert_int_equal(got.ends[1].numa_node, requests[i].ends[1].numa_node);
        assert_string_equal(got.transport, requests[i].transport);
        assert_memory_equal(got.size_bytes, requests[i].size_bytes,
                            requests[i].size_count * sizeof *got.size_bytes);
    }
}

static void a_part_of_it_is_refused(void **state)
{
    (void)state;
    struct link_request request = full(), got = {.pairs = 4711};
    uint8_t bytes[LINK_REQUEST_BYTES + 1] = {0};
    size_t length = encode(bytes, &request);
    for (size_t part = 0; part < length; part++) {
        assert_int_equal(decode(&got, bytes, part), KOLO_ERR_PROTOCOL);
    }
    assert_int_equal(decode(&got, bytes, length + 1), KOLO_ERR_PROTOCOL);
    assert_int_equal(got.pairs, 4711);
}

/* Whatever the bytes: no crash, and what is let through is within the limits. */
static void changed_bytes_are_harmless(void **state)
{
    (void)state;
    struct link_request request = full();
    uint8_t good[LINK_REQUEST_BYTES], bytes[LINK_REQUEST_BYTES];
    size_t length = encode(good, &request);
    unsigned accepted = 0;
    srand(4711);
    for (unsigned i = 0; i < MUTATIONS; i++) {
        memcpy(bytes, good, length);
        for (int changes = rand() % 4; changes >= 0; changes--) {
            bytes[(size_t)rand() % length] = (uint8_t)rand();
        }
        struct link_request got;
        if (decode(&got, bytes, length) == KOLO_OK) {
            accepted++;
            assert_int_equal(link_request_check(&got), KOLO_OK);
            assert_in_range(got.pairs, 1, LINK_PAIRS_MAX);
            assert_in_range(got.size_count, 1, LINK_SIZES_MAX);
            assert_true(strlen(got.ends[0].device) < LINK_DEVICE_BYTES);
        }
    }
    assert_in_range(accepted, 1, MUTATIONS - 1);
}

static void limits(void **state)
{
    (void)state;
    struct link_request request;
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        link_request_init(&request);                                                               \
        change;                                                                                    \
        assert_int_equal(link_request_check(&request), KOLO_ERR_ARGUMENT);                         \
        assert_true(strlen(kolo_last_error()) > 0);                                                \
    } while (0)
    REFUSED(request.modes = 0);
    REFUSED(request.modes = 4);
    REFUSED(request.size_count = 0);
    REFUSED(request.size_count = LINK_SIZES_MAX + 1);
    REFUSED(request.size_bytes[1] = 0);
    REFUSED(request.size_bytes[0] = LINK_SIZE_BYTES_MAX + 1);
    REFUSED(
        (request.size_bytes[0] = UINT64_C(1) << 58, request.pairs = 64)); /* their product is 0 */
    REFUSED((request.size_bytes[0] = LINK_SIZE_BYTES_MAX, request.pairs = LINK_PAIRS_MAX));
    REFUSED(request.duration_ns = 0);
    REFUSED(request.duration_ns = UINT64_MAX);
    REFUSED(request.warmup_ns = UINT64_MAX);
    REFUSED(request.iterations = UINT64_MAX);
    REFUSED(request.warmup_iterations = UINT64_MAX);
    REFUSED(request.iterations = LINK_ITERATIONS_MAX; request.size_bytes[0] = LINK_SIZE_BYTES_MAX);
    REFUSED(request.pairs = 0);
    REFUSED(request.pairs = LINK_PAIRS_MAX + 1);
    REFUSED(request.depth = 0);
    REFUSED(request.depth = LINK_DEPTH_MAX + 1);
    REFUSED(request.inline_bytes = -2);
    REFUSED(request.inline_bytes = INT32_MAX);
    REFUSED(request.post_list = 0);
    REFUSED((request.post_list = 16, request.depth = 8));
    REFUSED((request.signal_interval = 16, request.depth = 8));
    REFUSED(request.mtu = 1500);
    REFUSED(request.service_level = 16);
    REFUSED(request.wait = (enum link_wait)7);
    REFUSED(request.bidirectional = request.reverse = true);
    REFUSED(request.ends[LINK_SERVER].gid_index = -2);
    REFUSED(request.ends[LINK_SERVER].core = INT32_MAX);
    REFUSED(request.ends[LINK_CLIENT].numa_node = INT32_MIN);
#undef REFUSED
    link_request_init(&request);
    assert_int_equal(link_request_check(&request), KOLO_OK);
}

static void names(void **state)
{
    (void)state;
    for (unsigned test = 0; test < LINK_TESTS; test++) {
        assert_int_equal(link_test_find(link_test_name((enum link_test)test)), test);
    }
    assert_int_equal(link_test_find("writ"), LINK_TESTS);
    assert_true(link_test_is_verbs(LINK_ATOMIC_CAS));
    assert_false(link_test_is_verbs(LINK_TCP));
    assert_false(link_test_has_size(LINK_ATOMIC_ADD, 16));
    assert_true(link_test_has_size(LINK_WRITE, 16));
}

static void who_sends(void **state)
{
    (void)state;
    struct link_request request;
    link_request_init(&request);
    assert_true(link_request_sends(&request, LINK_CLIENT));
    assert_false(link_request_sends(&request, LINK_SERVER));
    request.reverse = true;
    assert_false(link_request_sends(&request, LINK_CLIENT));
    assert_true(link_request_sends(&request, LINK_SERVER));
    request.reverse = false;
    request.bidirectional = true;
    assert_true(link_request_sends(&request, LINK_CLIENT) &&
                link_request_sends(&request, LINK_SERVER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_arrives),
        cmocka_unit_test(a_part_of_it_is_refused),
        cmocka_unit_test(changed_bytes_are_harmless),
        cmocka_unit_test(limits),
        cmocka_unit_test(names),
        cmocka_unit_test(who_sends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
