/* run_watch: waits for whatever happens in a run (output, ends, signals, deadlines) until all peers have ended. */
#ifndef KOLO_TOOLS_RUN_WATCH_H
#define KOLO_TOOLS_RUN_WATCH_H

#include "tools/run_input.h"
#include "tools/run_keeper.h"
#include "tools/run_peer.h"
#include "tools/run_policy.h"

/** The signals that are passed on, and TSTP, which stops the peers and then the launcher. */
void run_watch_signals(sigset_t *signals);

struct run_watch {
    struct run_peer *peer; /* [peers], all started; borrowed */
    unsigned peers;
    struct run_policy policy;
    struct run_keeper keeper;
    struct run_input input;
    int signals; /* a signalfd for run_watch_signals(), which are blocked */
    int events;  /* an epoll descriptor; the watch's own */
};

/** Watch until all peers have ended. Returns 0, or the exit code after saying which system call failed. */
int run_watch(struct run_watch *watch);

/** Send a signal to all peers, and on this machine to what they have started. */
void run_watch_send(struct run_watch *watch, int signal);

#endif
