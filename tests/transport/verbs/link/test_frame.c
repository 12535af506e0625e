/* What peers of the verbs transport send each other, and the windows that it moves in. No devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "transport/verbs/credit.h"
#include "transport/verbs/offer.h"

static void header_survives(void **state)
{
    (void)state;
    uint8_t slot[FRAME_HEADER_BYTES];
    uint32_t credits[FRAME_CHANNELS];
    struct frame back;
    struct frame frame = {.sequence = 0xfedcba98,
                          .bytes = 32704,
                          .offset = UINT64_C(0x123456789abcdef0),
                          .length = UINT64_C(0x23456789abcdef01),
                          .credits = {1, 0xffffffff, 0x80000000},
                          .kind = FRAME_PUT};
    for (unsigned i = 0; i < TRANSPORT_HEADER_BYTES; i++) {
        frame.header[i] = (uint8_t)(i * 7);
    }
    frame_encode(slot, &frame);
    frame_decode(&back, slot);
    frame_decode_credits(credits, slot);
    assert_int_equal(back.sequence, frame.sequence);
    assert_int_equal(back.bytes, frame.bytes);
    assert_int_equal(back.offset, frame.offset);
    assert_int_equal(back.length, frame.length);
    assert_int_equal(back.kind, frame.kind);
    assert_memory_equal(back.header, frame.header, sizeof back.header);
    assert_memory_equal(back.credits, frame.credits, sizeof back.credits);
    assert_memory_equal(credits, frame.credits, sizeof credits);
}

static void notice_survives(void **state)
{
    (void)state;
    uint8_t slot[FRAME_NOTICE_BYTES] = {0};
    struct frame_notice notice = {.lane = 1, .rail = 3};
    struct frame_notice back;
    for (unsigned i = 0; i < FRAME_RAILS; i++) {
        notice.keys[i] = 0x11111111u * i;
    }
    for (unsigned i = 0; i < FRAME_CHANNELS; i++) {
        notice.fronts[i] = 0xfffffff0u + i;
        notice.masks[i] = 0xa5a5u << i;
    }
    frame_notice_encode(slot, &notice);
    frame_notice_decode(&back, slot);
    assert_memory_equal(&back, &notice, sizeof back);
}

/* A payload begins where it is aligned as in its message, and the slot is as long as all that it may hold. */
static void payload_keeps_its_alignment(void **state)
{
    (void)state;
    for (uint64_t offset = 0; offset < 3 * FRAME_ALIGN; offset++) {
        assert_int_equal((frame_payload(offset) - offset) % FRAME_ALIGN, 0);
        assert_int_equal(frame_payload(offset) + frame_room(offset), FRAME_SLOT_BYTES);
        assert_in_range(frame_payload(offset), FRAME_HEADER_BYTES,
                        FRAME_HEADER_BYTES + FRAME_ALIGN - 1);
    }
}

/* Send and give back as fast as the window allows, from a number that is about to wrap. */
static void window_wraps(void **state)
{
    (void)state;
    uint32_t start = UINT32_MAX - 100;
    struct credit_out out = {.next = start, .credited = start, .completed = start};
    struct credit_in in = {.front = start, .told = start};
    for (unsigned round = 0; round < 500; round++) {
        unsigned sent = 0;
        while (credit_room(&out) > 0) {
            uint32_t sequence;
            assert_true(credit_arrive(&in, credit_slot(out.next), &sequence));
            assert_int_equal(sequence, out.next);
            assert_true(credit_has(&in, sequence));
            assert_false(credit_arrive(&in, credit_slot(out.next), &sequence)); /* twice */
            out.next++;
            sent++;
        }
        assert_in_range(sent, 1, FRAME_SLOTS);
        for (unsigned i = 0; i < 1 + round % FRAME_SLOTS; i++) {
            credit_give(&in);
        }
        assert_int_equal(credit_due(&in), in.front - in.told >= FRAME_SLOTS / 2);
        in.told = in.front;
        assert_true(credit_take(&out, in.front));
        assert_int_equal(out.credited, in.front);
        assert_true(credit_take(&out, in.front - 3)); /* old news */
        assert_int_equal(out.credited, in.front);
        out.completed = out.next;
    }
}

static void credits_for_what_was_not_sent_are_refused(void **state)
{
    (void)state;
    struct credit_out out = {.next = 5, .credited = 2};
    assert_false(credit_take(&out, 6));
    assert_int_equal(out.credited, 2);
    assert_true(credit_take(&out, 5));
    assert_int_equal(out.credited, 5);
}

/* One lane moves gigabytes by a fast rail while a frame with credits of before is held up on a slow one. */
static void credits_that_are_gigabytes_old_are_no_news(void **state)
{
    (void)state;
    static const uint32_t behind[] = {1, 17, 0x7fff, 0x8000, 0xfff8, 0x10000, 0x7ffffffe};
    for (unsigned i = 0; i < sizeof behind / sizeof behind[0]; i++) {
        struct credit_out out = {.next = 12, .credited = 4};
        assert_true(credit_take(&out, 4 - behind[i]));
        assert_int_equal(out.credited, 4);
    }
}

static struct verbs_offer some_offer(void)
{
    struct verbs_offer offer = {.token = 77, .base = 0x7000, .epoch = 0xabcd, .rails = 3};
    memset(offer.who, 9, sizeof offer.who);
    offer.rail[0].reach = VERBS_OFFER_BY_ADDRESS;
    offer.rail[0].key = 4711;
    offer.rail[0].address =
        (struct pair_address){.qp_number = 17, .psn = 5, .mtu = IBV_MTU_4096, .lid = 12};
    offer.rail[2].reach = VERBS_OFFER_BY_CM;
    offer.rail[2].key = 4712;
    struct sockaddr_in6 *listens = (struct sockaddr_in6 *)&offer.rail[2].listens;
    *listens = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(9999)};
    inet_pton(AF_INET6, "2001:db8::7", &listens->sin6_addr);
    return offer;
}

static void offer_survives(void **state)
{
    (void)state;
    uint8_t bytes[TRANSPORT_OFFER_BYTES];
    struct verbs_offer offer = some_offer();
    struct verbs_offer back;
    size_t length = verbs_offer_encode(bytes, &offer);
    assert_true(verbs_offer_decode(&back, bytes, length));
    assert_int_equal(back.token, 77);
    assert_int_equal(back.base, 0x7000);
    assert_int_equal(back.epoch, 0xabcd);
    assert_int_equal(back.rails, 3);
    assert_int_equal(back.rail[0].reach, VERBS_OFFER_BY_ADDRESS);
    assert_int_equal(back.rail[0].key, 4711);
    assert_int_equal(back.rail[0].address.qp_number, 17);
    assert_int_equal(back.rail[1].reach, VERBS_OFFER_ABSENT);
    assert_int_equal(back.rail[2].reach, VERBS_OFFER_BY_CM);
    assert_memory_equal(&back.rail[2].listens, &offer.rail[2].listens, sizeof(struct sockaddr_in6));
    for (size_t i = 0; i < length; i++) {
        assert_false(verbs_offer_decode(&back, bytes, i));
    }
    bytes[length] = 0;
    assert_false(verbs_offer_decode(&back, bytes, length + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_survives),
        cmocka_unit_test(notice_survives),
        cmocka_unit_test(payload_keeps_its_alignment),
        cmocka_unit_test(window_wraps),
        cmocka_unit_test(credits_for_what_was_not_sent_are_refused),
        cmocka_unit_test(credits_that_are_gigabytes_old_are_no_news),
        cmocka_unit_test(offer_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
