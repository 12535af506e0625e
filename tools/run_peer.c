#include "tools/run_peer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "tools/command.h"

/* The pipes of a peer that is being started: [0] is read, [1] is written. -1: none. */
struct pipes {
    int input[2], out[2], err[2];
    int failure[2]; /* tells the errno of exec; closes when it succeeds */
};

static void close_ends(int *ends)
{
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0) {
            close(ends[i]);
        }
    }
}

static void close_pipes(struct pipes *pipes)
{
    close_ends(pipes->input);
    close_ends(pipes->out);
    close_ends(pipes->err);
    close_ends(pipes->failure);
}

static bool open_pipes(struct pipes *pipes, const struct run_start *start)
{
    *pipes = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    bool opened = pipe2(pipes->failure, O_CLOEXEC) == 0;
    if (start->options->prefix) {
        opened = opened && pipe2(pipes->out, O_CLOEXEC) == 0 && pipe2(pipes->err, O_CLOEXEC) == 0;
    }
    if (start->input < 0) {
        opened = opened && pipe2(pipes->input, O_CLOEXEC) == 0;
    }
    if (!opened) {
        close_pipes(pipes);
    }
    return opened;
}

static void set_environment(const struct run_start *start)
{
    for (unsigned i = 0; i < start->options->variables; i++) {
        if (strchr(start->options->variable[i], '=') != NULL) {
            putenv(start->options->variable[i]);
        }
    }
    for (unsigned i = 0; i < start->settings->count; i++) {
        putenv(start->settings->text[i]);
    }
}

/** The new process, until it becomes the command. Returns only if it cannot: the errno. */
static int become(const struct run_peer *peer, const struct run_start *start,
                  const struct pipes *pipes, pid_t launcher)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launcher) {
        _exit(128 + SIGKILL); /* the launcher died before the line above */
    }
    setpgid(0, start->group);
    dup2(start->input >= 0 ? start->input : pipes->input[0], 0);
    if (start->options->prefix) {
        dup2(pipes->out[1], 1);
        dup2(pipes->err[1], 2);
    }
    if (start->settings != NULL) {
        set_environment(start);
    }
    if (start->bind != NULL && !run_bind_apply(start->bind, peer->rank)) {
        return errno;
    }
    setrlimit(RLIMIT_NOFILE, start->descriptors);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, start->signals, NULL);
    execvp(start->command[0], start->command);
    return errno;
}

/** Wait until the new process is the command. Returns 0, or the errno that it could not be. */
static int wait_for_exec(int failure)
{
    int error = 0;
    ssize_t count;
    do {
        count = read(failure, &error, sizeof error);
    } while (count < 0 && errno == EINTR);
    return count == (ssize_t)sizeof error ? error : 0;
}

static int explain_start(const struct run_start *start, int error)
{
    command_failed(&command_run, "cannot start %s: %s", start->command[0], strerror(error));
    return error == ENOENT ? 127 : 126;
}

/** The launcher's ends of the pipes become the peer's. */
static bool take_ends(struct run_peer *peer, const struct run_start *start, struct pipes *pipes)
{
    peer->control = pipes->input[1];
    pipes->input[1] = -1;
    bool opened = true;
    if (start->options->prefix) {
        fcntl(pipes->out[0], F_SETFL, O_NONBLOCK);
        fcntl(pipes->err[0], F_SETFL, O_NONBLOCK);
        opened = run_stream_open(&peer->out, pipes->out[0], 1, peer->rank, start->peers);
        opened = run_stream_open(&peer->err, pipes->err[0], 2, peer->rank, start->peers) && opened;
        pipes->out[0] = pipes->err[0] = -1;
    }
    return opened;
}

/** Fork and become the command. Out: pid, on success. Returns 0 or an errno. */
static int spawn(pid_t *pid, const struct run_peer *peer, const struct run_start *start,
                 struct pipes *pipes)
{
    pid_t launcher = getpid();
    *pid = fork();
    if (*pid < 0) {
        return errno;
    }
    if (*pid == 0) {
        int error = become(peer, start, pipes, launcher);
        ssize_t written = write(pipes->failure[1], &error, sizeof error);
        _exit(written > 0 ? 127 : 126);
    }
    setpgid(*pid, start->group);
    close(pipes->failure[1]);
    pipes->failure[1] = -1;
    int error = wait_for_exec(pipes->failure[0]);
    if (error != 0) {
        waitpid(*pid, NULL, 0);
    }
    return error;
}

int run_peer_start(struct run_peer *peer, const struct run_start *start)
{
    struct pipes pipes;
    peer->process = peer->control = peer->out.from = peer->err.from = -1;
    if (!open_pipes(&pipes, start)) {
        return command_failed(&command_run, "pipe failed: %s; raise `ulimit -n`", strerror(errno));
    }
    pid_t pid;
    int error = spawn(&pid, peer, start, &pipes);
    if (error != 0) {
        close_pipes(&pipes);
        return explain_start(start, error);
    }
    peer->pid = pid;
    peer->started_ns = clock_now_ns();
    peer->process = pidfd_open(pid, 0);
    bool ready = take_ends(peer, start, &pipes) && peer->process >= 0;
    close_pipes(&pipes);
    return ready ? 0
                 : command_failed(&command_run, "cannot watch rank %u: %s", peer->rank,
                                  strerror(errno));
}

static void close_control(struct run_peer *peer)
{
    if (peer->control >= 0) {
        close(peer->control);
        peer->control = -1;
    }
}

void run_peer_collect(struct run_peer *peer, uint64_t now_ns)
{
    assert(peer->pid > 0);
    while (wait4(peer->pid, &peer->status, 0, &peer->used) < 0 && errno == EINTR) {
    }
    peer->ended_ns = now_ns;
    peer->code =
        WIFSIGNALED(peer->status) ? 128 + WTERMSIG(peer->status) : WEXITSTATUS(peer->status);
    run_stream_close(&peer->out);
    run_stream_close(&peer->err);
    close(peer->process);
    peer->process = -1;
    close_control(peer);
}

void run_peer_signal(struct run_peer *peer, int signal)
{
    if (peer->process < 0) {
        return;
    }
    if (signal == SIGKILL) {
        close_control(peer); /* the end of the connection is the end over there: run_remote.h */
    }
    if (peer->host == NULL || signal == SIGKILL) {
        pidfd_send_signal(peer->process, signal, NULL, 0);
    } else if (peer->control >= 0 && dprintf(peer->control, "%s\n", sigabbrev_np(signal)) < 0) {
        close_control(peer);
    }
}

/** " on HOST" or " (pid 4711)". */
static void put_place(const struct run_peer *peer)
{
    if (peer->host != NULL) {
        fprintf(stderr, " on %s", peer->host->name);
    } else {
        fprintf(stderr, " (pid %d)", (int)peer->pid);
    }
}

static double seconds(const struct timeval *time)
{
    return (double)time->tv_sec + 1e-6 * (double)time->tv_usec;
}

void run_peer_report(const struct run_peer *peer)
{
    fprintf(stderr, "kolo run: rank %u", peer->rank);
    put_place(peer);
    if (WIFSIGNALED(peer->status)) {
        fprintf(stderr, " was killed by SIG%s", sigabbrev_np(WTERMSIG(peer->status)));
        fputs(WCOREDUMP(peer->status) ? " (core dumped)" : "", stderr);
    } else {
        fprintf(stderr, " ended with exit code %d", peer->code);
    }
    fprintf(stderr, " after %.2f s", (double)(peer->ended_ns - peer->started_ns) / 1e9);
    if (peer->host == NULL) {
        fprintf(stderr, ": %.2f s of processor time, %.1f MiB of memory",
                seconds(&peer->used.ru_utime) + seconds(&peer->used.ru_stime),
                (double)peer->used.ru_maxrss / 1024);
    }
    fputc('\n', stderr);
}
