/* What ends make of rails that are given up: which frames they take for lost, and what they say again. No devices: the link is filled in
 * by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "transport/verbs/link.h"

#define FAILED 1u /* the rail by which FRAME went */
#define FRAME 7u  /* it and those before it are done, says the device */

static struct verbs verbs;
static struct rail rails[3];
static struct verbs_link link_of_three;

/* Sent: up to `next`. Given back: up to `credited`. The peer has none but the frames before FRAME when it writes the notice. */
static void begin(uint32_t next, uint32_t credited)
{
    struct verbs_link *link = &link_of_three;
    memset(link, 0, sizeof *link);
    link->verbs = &verbs;
    link->state = LINK_UP;
    link->rail = rails;
    link->rails = 3;
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        link->inbox[i] = (struct inbox){.link = link, .in = &link->in[i], .lane = i};
        link->outbox[i] = (struct outbox){.link = link, .out = &link->out[i], .lane = i};
    }
    struct credit_out *out = &link->out[0];
    out->next = next;
    out->completed = FRAME + 1;
    out->credited = credited;
    for (uint32_t i = 0; i < next; i++) {
        *credit_flight(out, i) = (struct flight){.kind = FRAME_COPY, .done = i <= FRAME};
    }
    credit_flight(out, FRAME)->rail = FAILED;
}

static void hear(uint32_t mask)
{
    struct frame_notice notice = {.rail = FAILED, .fronts = {FRAME}, .masks = {mask}};
    assert_true(failover_told(&link_of_three, &notice));
    failover_step(&link_of_three);
}

/* Its transfer may be over. */
static void payload_that_came_nowhere_loses_the_link(void **state)
{
    (void)state;
    begin(FRAME + 1, 0);
    credit_flight(&link_of_three.out[0], FRAME)->data = (const uint8_t *)"the poster's";
    hear(0);
    assert_int_equal(link_of_three.state, LINK_LOST);
    assert_int_equal(link_of_three.status, KOLO_ERR_PEER_LOST);
}

/* One before it went by another rail, and is not done yet. */
static void payload_that_came_nowhere_out_of_order_loses_the_link(void **state)
{
    (void)state;
    begin(FRAME + 1, 0);
    credit_flight(&link_of_three.out[0], FRAME)->data = (const uint8_t *)"the poster's";
    credit_flight(&link_of_three.out[0], FRAME - 1)->done = false;
    link_of_three.out[0].completed = FRAME - 1;
    hear(0);
    assert_int_equal(link_of_three.state, LINK_LOST);
}

/* What lies in a slot is still there. */
static void frame_of_a_slot_that_came_nowhere_is_taken_back(void **state)
{
    (void)state;
    struct credit_out *out = &link_of_three.out[0];
    begin(FRAME + 3, 2);
    out->completed = FRAME + 3;
    credit_flight(out, FRAME + 1)->done = credit_flight(out, FRAME + 2)->done = true;
    hear(0);
    assert_int_equal(link_of_three.state, LINK_UP);
    assert_int_equal(out->completed, FRAME);
    assert_false(credit_flight(out, FRAME)->done);
    assert_true(credit_flight(out, FRAME + 1)->done);
    assert_true(failover_due(&link_of_three)); /* until there is a rail to send it by */
    verbs_link_sent(&link_of_three, 0, FRAME);
    assert_int_equal(out->completed, FRAME + 3);
}

static void frame_that_came_is_not_lost(void **state)
{
    (void)state;
    begin(FRAME + 1, 0);
    hear(UINT32_C(1) << credit_slot(FRAME));
    assert_int_equal(link_of_three.state, LINK_UP);
}

/* The notice was slower than the credits; by then another frame lies in the slot, and has gone by the failed rail. */
static void frame_given_back_since_is_not_lost(void **state)
{
    (void)state;
    begin(FRAME + 1 + FRAME_SLOTS, FRAME + 1);
    credit_flight(&link_of_three.out[0], FRAME + FRAME_SLOTS)->rail = FAILED;
    link_of_three.out[0].completed = FRAME + 2;
    hear(0);
    assert_int_equal(link_of_three.state, LINK_UP);
}

/* Credits may overtake what the device says. */
static void frame_given_back_before_it_is_done_is_not_lost(void **state)
{
    (void)state;
    begin(FRAME + 4, FRAME + 4);
    hear(0);
    assert_int_equal(link_of_three.state, LINK_UP);
}

/* Both ends may have sent that of one rail by the other one that failed as well: who waits for the peer's word waits for ever. */
static void notice_of_a_rail_is_said_again_when_its_own_rail_fails(void **state)
{
    (void)state;
    struct rail *second = &rails[2];
    begin(FRAME + 1, FRAME + 1);
    struct credit_out *out = &link_of_three.out[FRAME_NOTICES];
    out->next = 1;
    *credit_flight(out, 0) = (struct flight){.kind = FRAME_RESUME, .rail = 2, .about = FAILED};
    *second = (struct rail){.link = &link_of_three, .index = 2, .state = RAIL_BROKEN};
    assert_int_equal(completion_enlist(&second->id, &verbs.completion, second), KOLO_OK);
    failover_begin(&link_of_three, second, true);
    assert_true(link_of_three.failover[2].due);
    assert_true(link_of_three.failover[FAILED].due);
    assert_false(link_of_three.failover[0].due);
    free(verbs.completion.tickets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payload_that_came_nowhere_loses_the_link),
        cmocka_unit_test(payload_that_came_nowhere_out_of_order_loses_the_link),
        cmocka_unit_test(frame_of_a_slot_that_came_nowhere_is_taken_back),
        cmocka_unit_test(frame_that_came_is_not_lost),
        cmocka_unit_test(frame_given_back_since_is_not_lost),
        cmocka_unit_test(frame_given_back_before_it_is_done_is_not_lost),
        cmocka_unit_test(notice_of_a_rail_is_said_again_when_its_own_rail_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
