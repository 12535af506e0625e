/* run_peer: one process that `kolo run` has started: a peer on this machine, or the ssh that leads to one. */
#ifndef KOLO_TOOLS_RUN_PEER_H
#define KOLO_TOOLS_RUN_PEER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "tools/run_bind.h"
#include "tools/run_hosts.h"
#include "tools/run_output.h"
#include "tools/run_settings.h"

struct run_peer {
    unsigned rank;
    const struct run_host *host; /* NULL: this machine */
    pid_t pid;                   /* 0: not started */
    int process;                 /* a pidfd: readable when it has ended; -1: ended or not started */
    int control; /* over ssh: names of signals go down here; -1: closed, or this machine */
    struct run_stream out, err; /* from == -1: none */
    uint64_t started_ns, ended_ns;
    int code;   /* when it has ended: its exit code, or 128 + the signal that killed it */
    int status; /* the same as waitpid() says it */
    struct rusage used;
};

/** How to start one. Everything is borrowed until run_peer_start() returns. */
struct run_start {
    char **command;
    struct run_peer_settings
        *settings; /* put into the environment; NULL: over ssh they are in the command */
    const struct run_options *options;
    unsigned peers;
    pid_t group; /* the process group to join */
    int input;   /* its standard input; -1: over ssh, a pipe that becomes `control` */
    const struct run_bind *bind;      /* NULL: any processor */
    const struct rlimit *descriptors; /* the limit that the command begins with, */
    const sigset_t *signals;          /* and its signal mask */
};

/** Start `peer` (rank and host are set). Returns 0, or the exit code (127: no such command, 126: it cannot be executed) after
 *  saying what failed. Dies with the thread that calls this. */
int run_peer_start(struct run_peer *peer, const struct run_start *start);

/** Its pidfd is readable: pass on its last lines, collect how it ended. */
void run_peer_collect(struct run_peer *peer, uint64_t now_ns);

/** Send it a signal; over ssh by the control pipe. Nothing if it has ended. */
void run_peer_signal(struct run_peer *peer, int signal);

/** One line on standard error about how it ended. */
void run_peer_report(const struct run_peer *peer);

#endif
