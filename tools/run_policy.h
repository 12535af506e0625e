/* run_policy: what `kolo run` does when a peer ends or a signal comes. No clock and no system calls: time comes in, what to do
 * goes out, so that every case can be tested. */
#ifndef KOLO_TOOLS_RUN_POLICY_H
#define KOLO_TOOLS_RUN_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define RUN_KILL_AFTER_NS (5 * 1000000000ULL) /* between TERM and KILL */

struct run_policy {
    /* The user's wish. */
    bool others_go_on; /* after a failure, leave the others alone */
    uint64_t grace_ns; /* else: what they have to end by themselves */
    /* What has happened. */
    unsigned alive;      /* peers not ended; set to their number at first */
    int first_failure;   /* the rank that failed first; -1: none */
    int exit_code;       /* 0, or that of the first failure */
    bool stopping;       /* INT or TERM has been passed on once */
    uint64_t term_at_ns; /* when to send TERM to those left; CLOCK_FOREVER: never */
    uint64_t kill_at_ns; /* when to send KILL */
};

/** Begin. */
void run_policy_start(struct run_policy *policy, unsigned peers, bool others_go_on,
                      uint64_t grace_ns);

/** A peer has ended; `code` is its exit code, or 128 + the signal that killed it. */
void run_policy_ended(struct run_policy *policy, unsigned rank, int code, uint64_t now_ns);

/** A signal has come. Returns the one to send to the peers: the same, or KILL if it is the second that asks to end. */
int run_policy_signalled(struct run_policy *policy, int signal);

/** Our own output is gone: nobody wants the run any more. */
void run_policy_unwanted(struct run_policy *policy, uint64_t now_ns);

/** A deadline may have come. Returns the signal to send to the peers now, 0 for none. */
int run_policy_step(struct run_policy *policy, uint64_t now_ns);

/** When to call run_policy_step() again; CLOCK_FOREVER: not before something happens. */
uint64_t run_policy_deadline_ns(const struct run_policy *policy);

#endif
