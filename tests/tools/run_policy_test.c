/* What `kolo run` decides, without processes: time is a number here. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "tools/run_policy.h"

static void all_end_well(void **state)
{
    (void)state;
    struct run_policy policy;
    run_policy_start(&policy, 2, false, NS_PER_S);
    assert_true(run_policy_deadline_ns(&policy) == CLOCK_FOREVER);
    run_policy_ended(&policy, 1, 0, 5);
    run_policy_ended(&policy, 0, 0, 6);
    assert_int_equal(policy.alive, 0);
    assert_int_equal(policy.exit_code, 0);
    assert_int_equal(policy.first_failure, -1);
    assert_int_equal(run_policy_step(&policy, 7), 0);
}

static void the_first_failure_counts(void **state)
{
    (void)state;
    struct run_policy policy;
    run_policy_start(&policy, 3, true, 0);
    run_policy_ended(&policy, 2, 9, 1);
    run_policy_ended(&policy, 0, 4, 2);
    run_policy_ended(&policy, 1, 0, 3);
    assert_int_equal(policy.exit_code, 9);
    assert_int_equal(policy.first_failure, 2);
}

static void others_have_the_grace_time_then_term_then_kill(void **state)
{
    (void)state;
    struct run_policy policy;
    run_policy_start(&policy, 3, false, 30 * NS_PER_S);
    run_policy_ended(&policy, 1, 1, NS_PER_S);
    assert_true(run_policy_deadline_ns(&policy) == 31 * NS_PER_S);
    run_policy_ended(&policy, 0, 1,
                     20 * NS_PER_S); /* a second failure does not move the deadline */
    assert_int_equal(run_policy_step(&policy, 31 * NS_PER_S - 1), 0);
    assert_int_equal(run_policy_step(&policy, 31 * NS_PER_S), SIGTERM);
    assert_int_equal(run_policy_step(&policy, 31 * NS_PER_S + 1), 0);
    uint64_t kill_ns = 31 * NS_PER_S + RUN_KILL_AFTER_NS;
    assert_true(run_policy_deadline_ns(&policy) == kill_ns);
    assert_int_equal(run_policy_step(&policy, kill_ns), SIGKILL);
    run_policy_ended(&policy, 2, 137, kill_ns + 1);
    assert_int_equal(run_policy_step(&policy, CLOCK_FOREVER - 1), 0);
    assert_int_equal(policy.exit_code, 1);
}

static void others_are_left_alone_if_wished(void **state)
{
    (void)state;
    struct run_policy policy;
    run_policy_start(&policy, 2, true, 0);
    run_policy_ended(&policy, 0, 139, 1);
    assert_true(run_policy_deadline_ns(&policy) == CLOCK_FOREVER);
    assert_int_equal(run_policy_step(&policy, 1000 * NS_PER_S), 0);
}

static void a_second_request_to_end_kills(void **state)
{
    (void)state;
    struct run_policy policy;
    run_policy_start(&policy, 2, false, 0);
    assert_int_equal(run_policy_signalled(&policy, SIGUSR1), SIGUSR1);
    assert_int_equal(run_policy_signalled(&policy, SIGHUP), SIGHUP);
    assert_int_equal(run_policy_signalled(&policy, SIGINT), SIGINT);
    assert_int_equal(run_policy_signalled(&policy, SIGUSR1), SIGUSR1);
    assert_int_equal(run_policy_signalled(&policy, SIGTERM), SIGKILL);
}

static void nobody_reads_so_the_run_ends(void **state)
{
    (void)state;
    struct run_policy policy;
    run_policy_start(&policy, 2, true, 0);
    run_policy_unwanted(&policy, 10);
    assert_int_equal(run_policy_step(&policy, 10), SIGTERM);
    run_policy_unwanted(&policy, 11); /* said again: KILL still comes in time */
    assert_int_equal(run_policy_step(&policy, 10 + RUN_KILL_AFTER_NS), SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_end_well),
        cmocka_unit_test(the_first_failure_counts),
        cmocka_unit_test(others_have_the_grace_time_then_term_then_kill),
        cmocka_unit_test(others_are_left_alone_if_wished),
        cmocka_unit_test(a_second_request_to_end_kills),
        cmocka_unit_test(nobody_reads_so_the_run_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
