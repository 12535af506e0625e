/* `kolo run`: starts the peers of one run, here or over ssh, and stays with them until all have ended. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "tools/command.h"
#include "tools/run_options.h"
#include "tools/run_remote.h"
#include "tools/run_watch.h"

#define REPORTS_MAX 32 /* failures that are told one by one */

/* Everything that one run holds. */
struct run {
    struct run_options options;
    struct run_hosts *hosts; /* NULL: this machine */
    struct run_settings settings;
    struct run_bind *bind; /* NULL: any processor */
    struct run_watch watch;
    struct run_peer *peer;     /* [settings.peers] */
    sigset_t signals;          /* the mask that we began with, */
    struct rlimit descriptors; /* and the limit */
    int input;                 /* rank 0's standard input */
    int null;                  /* that of the others */
    char folder[4096];         /* where we are, for other hosts */
};

/** Where the peers run, and how many there are. Returns 0 or the exit code. Out: peers. */
static int settle_places(struct run *run, unsigned *peers)
{
    *peers = run->options.peers;
    if (run->options.hosts == NULL) {
        return 0;
    }
    if (getcwd(run->folder, sizeof run->folder) == NULL) {
        return command_failed(&command_run, "getcwd failed: %s", strerror(errno));
    }
    run->hosts = calloc(1, sizeof *run->hosts);
    if (run->hosts == NULL) {
        return command_failed(&command_run, "out of memory");
    }
    int status = run_hosts_read(run->hosts, run->options.hosts);
    if (status != 0) {
        return status;
    }
    if (*peers > run->hosts->peers) {
        return command_usage(&command_run,
                             "%u peers, but --hosts has %u place%s: name more hosts, or HOST:PEERS",
                             *peers, run->hosts->peers, run->hosts->peers == 1 ? "" : "s");
    }
    if (*peers > 0) {
        run_hosts_limit(run->hosts, *peers);
    }
    *peers = run->hosts->peers;
    return 0;
}

/** Four descriptors a peer; most systems give 1,024 unless asked. Out: before: what the peers get. */
static void allow_descriptors(struct rlimit *before)
{
    getrlimit(RLIMIT_NOFILE, before);
    struct rlimit most = *before;
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_NOFILE, &most);
}

static int open_inputs(struct run *run)
{
    run->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    run->watch.input.to = -1;
    run->input = run->hosts == NULL ? run_input_open(&run->watch.input) : -1;
    if (run->null < 0 || (run->hosts == NULL && run->input < 0)) {
        return command_failed(&command_run, "cannot open the standard input of the peers: %s",
                              strerror(errno));
    }
    return 0;
}

static int take_signals(struct run *run)
{
    sigset_t passed_on;
    run_watch_signals(&passed_on);
    sigprocmask(SIG_BLOCK, &passed_on, &run->signals);
    signal(SIGPIPE, SIG_IGN); /* run_output_is_gone() tells */
    run->watch.signals = signalfd(-1, &passed_on, SFD_CLOEXEC | SFD_NONBLOCK);
    return run->watch.signals >= 0
               ? 0
               : command_failed(&command_run, "signalfd failed: %s", strerror(errno));
}

static int prepare(struct run *run)
{
    unsigned peers;
    int status = settle_places(run, &peers);
    if (status == 0 && run->options.bind != RUN_BIND_NONE) {
        status = run_bind_make(&run->bind, peers, run->options.bind);
    }
    if (status == 0) {
        run->peer = calloc(peers, sizeof *run->peer);
        status = run->peer != NULL ? 0 : command_failed(&command_run, "out of memory");
    }
    if (status == 0) {
        allow_descriptors(&run->descriptors);
        status = open_inputs(run);
    }
    if (status == 0) {
        status = take_signals(run);
    }
    if (status == 0) {
        status = run_settings_make(&run->settings, &run->options, run->hosts, peers);
    }
    return status;
}

static int start_peer(struct run *run, unsigned rank, struct run_peer_settings *settings)
{
    struct run_peer *peer = &run->peer[rank];
    struct run_start start = {.command = run->options.command,
                              .settings = settings,
                              .options = &run->options,
                              .peers = run->settings.peers,
                              .group = run->watch.keeper.group,
                              .input = rank == 0 ? run->input : run->null,
                              .bind = run->bind,
                              .descriptors = &run->descriptors,
                              .signals = &run->signals};
    unsigned local_rank = rank;
    peer->rank = rank;
    if (run->hosts == NULL) {
        run_settings_of(settings, &run->settings, rank, local_rank);
        return run_peer_start(peer, &start);
    }
    peer->host = run_hosts_place(run->hosts, &local_rank, rank);
    run_settings_of(settings, &run->settings, rank, local_rank);
    start.command = run_remote_command(&run->options, peer->host->login, run->folder, settings);
    start.settings = NULL;
    start.input = -1;
    int status = start.command != NULL ? run_peer_start(peer, &start)
                                       : command_failed(&command_run, "out of memory");
    run_remote_free(start.command);
    return status;
}

/** Start all, or none: those that were started are killed if a later one cannot be. */
static int start_peers(struct run *run)
{
    struct run_peer_settings *settings = malloc(sizeof *settings);
    int status = settings != NULL ? 0 : command_failed(&command_run, "out of memory");
    unsigned started = 0;
    while (status == 0 && started < run->settings.peers) {
        status = start_peer(run, started, settings);
        started += run->peer[started].pid > 0;
    }
    free(settings);
    for (unsigned rank = 0; status != 0 && rank < started; rank++) {
        run_peer_signal(&run->peer[rank], SIGKILL);
        run_peer_collect(&run->peer[rank], clock_now_ns());
    }
    if (run->input >= 0) {
        close(run->input); /* only rank 0 may hold it: a pipe ends when it does */
        run->input = -1;
    }
    return status;
}

/** Say how the peers ended: all if that is wanted, else those that failed. */
static void report(const struct run *run)
{
    const struct run_policy *policy = &run->watch.policy;
    unsigned failed = 0, told = 0;
    fflush(stdout);
    for (unsigned rank = 0; rank < run->settings.peers; rank++) {
        const struct run_peer *peer = &run->peer[rank];
        failed += peer->code != 0;
        if (run->options.verbose || (peer->code != 0 && told < REPORTS_MAX)) {
            run_peer_report(peer);
            told++;
        }
    }
    if (failed > 0) {
        fprintf(stderr, "kolo run: %u of %u peers failed, rank %d first\n", failed,
                run->settings.peers, policy->first_failure);
    }
}

static int run_all(struct run *run)
{
    int status = run_keeper_start(&run->watch.keeper, run->settings.folder);
    if (status != 0) {
        return status;
    }
    status = start_peers(run);
    if (status == 0) {
        run->watch.peer = run->peer;
        run->watch.peers = run->settings.peers;
        run_policy_start(&run->watch.policy, run->settings.peers, run->options.others_go_on,
                         clock_ns_from_s(run->options.grace_s));
        status = run_watch(&run->watch);
        if (status == 0) {
            report(run);
            status = run->watch.policy.exit_code;
        }
    }
    run_keeper_stop(&run->watch.keeper);
    return status;
}

static int run_main(int argc, char **argv)
{
    static struct run run; /* static: its texts are larger than a stack should hold */
    int status = run_options_read(&run.options, argc, argv);
    if (status >= 0) {
        return status;
    }
    status = prepare(&run);
    if (status == 0) {
        status = run_all(&run);
    }
    run_input_close(&run.watch.input);
    run_settings_free(&run.settings);
    run_bind_free(run.bind);
    free(run.hosts);
    free(run.peer);
    return status;
}

const struct command command_run = {
    .name = "run", .what = "start peers, here or over ssh, and stay with them", .main = run_main};
