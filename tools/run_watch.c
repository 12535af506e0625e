#include "tools/run_watch.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "tools/command.h"

#define EVENTS_AT_ONCE 64
#define LONGEST_WAIT_MS 3600000

/* What an event is about: the kind in the upper half of its tag, the rank in the lower. */
enum source { SOURCE_SIGNAL, SOURCE_PROCESS, SOURCE_OUT, SOURCE_ERR, SOURCE_TERMINAL, SOURCE_FEED };

void run_watch_signals(sigset_t *signals)
{
    static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGTSTP};
    sigemptyset(signals);
    for (unsigned i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        sigaddset(signals, passed_on[i]);
    }
}

static bool add(const struct run_watch *watch, int descriptor, uint32_t events, enum source source,
                unsigned rank)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)source << 32 | rank};
    return descriptor < 0 || epoll_ctl(watch->events, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

static void forget(const struct run_watch *watch, int descriptor)
{
    epoll_ctl(watch->events, EPOLL_CTL_DEL, descriptor, NULL);
}

static bool add_all(struct run_watch *watch)
{
    bool added = add(watch, watch->signals, EPOLLIN, SOURCE_SIGNAL, 0);
    if (watch->input.to >= 0) {
        added = added && add(watch, 0, EPOLLIN, SOURCE_TERMINAL, 0);
    }
    for (unsigned rank = 0; added && rank < watch->peers; rank++) {
        const struct run_peer *peer = &watch->peer[rank];
        added = add(watch, peer->process, EPOLLIN, SOURCE_PROCESS, rank) &&
                add(watch, peer->out.from, EPOLLIN, SOURCE_OUT, rank) &&
                add(watch, peer->err.from, EPOLLIN, SOURCE_ERR, rank);
    }
    return added;
}

void run_watch_send(struct run_watch *watch, int signal)
{
    bool local = watch->peer[0].host == NULL;
    if (local) {
        kill(-watch->keeper.group, signal);
    }
    for (unsigned rank = 0; rank < watch->peers; rank++) {
        struct run_peer *peer = &watch->peer[rank];
        if (peer->process >= 0 && (!local || getpgid(peer->pid) != watch->keeper.group)) {
            run_peer_signal(peer,
                            signal); /* it has made a group of its own, or is on another host */
        }
    }
}

/** Stop the peers, and ourselves as the shell expects; go on when it says so. */
static void stop_for_a_while(struct run_watch *watch)
{
    run_watch_send(watch, SIGTSTP);
    raise(SIGSTOP);
    run_watch_send(watch, SIGCONT);
    if (watch->input.to >= 0) {
        add(watch, 0, EPOLLIN, SOURCE_TERMINAL, 0); /* fails if it is still there */
    }
}

static void on_signal(struct run_watch *watch)
{
    struct signalfd_siginfo info;
    if (read(watch->signals, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    if (info.ssi_signo == SIGTSTP) {
        stop_for_a_while(watch);
        return;
    }
    run_watch_send(watch, run_policy_signalled(&watch->policy, (int)info.ssi_signo));
}

/** Something was typed, or rank 0's pipe has room again: wait for the one that is needed next. */
static void on_input(struct run_watch *watch)
{
    bool was_full = run_input_is_full(&watch->input);
    int to = watch->input.to;
    if (to < 0) {
        return;
    }
    bool open = run_input_pump(&watch->input);
    bool is_full = open && run_input_is_full(&watch->input);
    if (!open || (is_full && !was_full) || tcgetpgrp(0) != getpgrp()) {
        forget(watch, 0);
    }
    if (is_full && !was_full) {
        add(watch, to, EPOLLOUT, SOURCE_FEED, 0);
    } else if (was_full && open && !is_full) {
        forget(watch, to);
        add(watch, 0, EPOLLIN, SOURCE_TERMINAL, 0);
    }
}

static void on_output(struct run_watch *watch, struct run_stream *stream)
{
    if (stream->from >= 0 && !run_stream_pump(stream)) {
        run_stream_close(stream);
    }
    if (run_output_is_gone()) {
        run_policy_unwanted(&watch->policy, clock_now_ns());
    }
}

static void on_end(struct run_watch *watch, unsigned rank)
{
    struct run_peer *peer = &watch->peer[rank];
    uint64_t now_ns = clock_now_ns();
    run_peer_collect(peer, now_ns);
    run_policy_ended(&watch->policy, rank, peer->code, now_ns);
    if (rank == 0 && watch->input.to >= 0) {
        forget(watch, 0);
        run_input_close(&watch->input);
    }
}

static void on_event(struct run_watch *watch, uint64_t tag)
{
    unsigned rank = (unsigned)(tag & UINT32_MAX);
    assert(rank < watch->peers);
    switch ((enum source)(tag >> 32)) {
    case SOURCE_SIGNAL:
        on_signal(watch);
        break;
    case SOURCE_PROCESS:
        on_end(watch, rank);
        break;
    case SOURCE_OUT:
        on_output(watch, &watch->peer[rank].out);
        break;
    case SOURCE_ERR:
        on_output(watch, &watch->peer[rank].err);
        break;
    case SOURCE_TERMINAL:
    case SOURCE_FEED:
        on_input(watch);
        break;
    }
}

static void on_deadline(struct run_watch *watch)
{
    int signal = run_policy_step(&watch->policy, clock_now_ns());
    if (signal != 0) {
        run_watch_send(watch, signal);
    }
}

int run_watch(struct run_watch *watch)
{
    watch->events = epoll_create1(EPOLL_CLOEXEC);
    if (watch->events < 0 || !add_all(watch)) {
        return command_failed(&command_run, "epoll failed: %s", strerror(errno));
    }
    while (watch->policy.alive > 0) {
        struct epoll_event events[EVENTS_AT_ONCE];
        int wait_ms =
            clock_ms_until(run_policy_deadline_ns(&watch->policy), clock_now_ns(), LONGEST_WAIT_MS);
        int count = epoll_wait(watch->events, events, EVENTS_AT_ONCE, wait_ms);
        for (int i = 0; i < count; i++) {
            on_event(watch, events[i].data.u64);
        }
        on_deadline(watch);
    }
    close(watch->events);
    return 0;
}
