#include "tools/run_policy.h"

#include <assert.h>
#include <signal.h>

#include "runtime/base/clock.h"

void run_policy_start(struct run_policy *policy, unsigned peers, bool others_go_on,
                      uint64_t grace_ns)
{
    *policy = (struct run_policy){.others_go_on = others_go_on,
                                  .grace_ns = grace_ns,
                                  .alive = peers,
                                  .first_failure = -1,
                                  .term_at_ns = CLOCK_FOREVER,
                                  .kill_at_ns = CLOCK_FOREVER};
}

void run_policy_ended(struct run_policy *policy, unsigned rank, int code, uint64_t now_ns)
{
    assert(policy->alive > 0);
    policy->alive--;
    if (code == 0 || policy->first_failure >= 0) {
        return;
    }
    policy->first_failure = (int)rank;
    policy->exit_code = code;
    if (!policy->others_go_on && policy->kill_at_ns == CLOCK_FOREVER &&
        policy->term_at_ns == CLOCK_FOREVER) {
        policy->term_at_ns = clock_after(now_ns, policy->grace_ns);
    }
}

int run_policy_signalled(struct run_policy *policy, int signal)
{
    if (signal != SIGINT && signal != SIGTERM) {
        return signal;
    }
    if (policy->stopping) {
        return SIGKILL;
    }
    policy->stopping = true;
    return signal;
}

void run_policy_unwanted(struct run_policy *policy, uint64_t now_ns)
{
    if (policy->kill_at_ns == CLOCK_FOREVER && policy->term_at_ns > now_ns) {
        policy->term_at_ns = now_ns;
    }
}

int run_policy_step(struct run_policy *policy, uint64_t now_ns)
{
    if (policy->alive == 0) {
        return 0;
    }
    if (policy->kill_at_ns <= now_ns) {
        policy->kill_at_ns = clock_after(
            now_ns, RUN_KILL_AFTER_NS); /* once more, for those that were just starting others */
        return SIGKILL;
    }
    if (policy->term_at_ns <= now_ns) {
        policy->term_at_ns = CLOCK_FOREVER;
        policy->kill_at_ns = clock_after(now_ns, RUN_KILL_AFTER_NS);
        return SIGTERM;
    }
    return 0;
}

uint64_t run_policy_deadline_ns(const struct run_policy *policy)
{
    return policy->term_at_ns < policy->kill_at_ns ? policy->term_at_ns : policy->kill_at_ns;
}
