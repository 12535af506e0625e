#include "tools/train_progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"

#define LINE_EVERY_NS NS_PER_S
#define TERMINAL_EVERY_NS (100 * NS_PER_MS)
#define PEER_TEXT_MAX 256

static kolo_statistics read_statistics(kolo_comm *comm)
{
    kolo_statistics statistics = {.struct_size = sizeof statistics};
    kolo_get_statistics(comm, &statistics);
    return statistics;
}

void train_progress_begin(struct train_progress *progress, kolo_comm *comm, int steps)
{
    *progress = (struct train_progress){.comm = comm,
                                        .terminal = isatty(STDOUT_FILENO) != 0,
                                        .steps = steps,
                                        .begin_ns = clock_now_ns(),
                                        .shown = read_statistics(comm)};
    progress->shown_ns = progress->begin_ns;
}

void train_progress_ring(const kolo_comm *comm)
{
    int size = kolo_size(comm);
    printf("ring:");
    for (int peer = 0; peer < size; peer++) {
        printf(" %d ->", peer);
    }
    printf(" 0\n");
    for (int peer = 0; peer < size; peer++) {
        char text[PEER_TEXT_MAX];
        if (kolo_describe_peer(comm, text, sizeof text, peer) == KOLO_OK) {
            printf("  %s\n", text);
        }
    }
    fflush(stdout);
}

/* Bytes that left and reached this peer. */
static double bytes_between(const kolo_statistics *now, const kolo_statistics *then)
{
    return (double)(now->bytes_sent - then->bytes_sent) +
           (double)(now->bytes_received - then->bytes_received);
}

static void print_line(const struct train_progress *progress, const kolo_statistics *now,
                       uint64_t now_ns, int step, double loss)
{
    double span_ns = (double)(now_ns - progress->shown_ns) + 1;
    double busy = (double)(now->busy_ns - progress->shown.busy_ns) / span_ns;
    double waited = (double)(progress->waited_ns - progress->shown_waited_ns) / span_ns;
    printf("%sstep %*d/%d  loss %.4f  validation %.4f  %7.1f MB/s  communicating %3.0f %%, "
           "waiting for it %3.0f %%%s",
           progress->terminal ? "\r\033[K" : "", progress->steps > 9999 ? 7 : 4, step,
           progress->steps, loss, progress->validation,
           bytes_between(now, &progress->shown) * 1e3 / span_ns, 100 * busy, 100 * waited,
           progress->terminal && step < progress->steps ? "" : "\n");
    fflush(stdout);
}

void train_progress_step(struct train_progress *progress, int step, double loss, bool validated)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t every_ns = progress->terminal ? TERMINAL_EVERY_NS : LINE_EVERY_NS;
    bool due = now_ns - progress->shown_ns >= every_ns;
    if (!due && !validated && step < progress->steps) {
        return;
    }
    kolo_statistics now = read_statistics(progress->comm);
    print_line(progress, &now, now_ns, step, loss);
    progress->shown = now;
    progress->shown_ns = now_ns;
    progress->shown_waited_ns = progress->waited_ns;
}

void train_progress_end(const struct train_progress *progress, double loss)
{
    kolo_statistics all = read_statistics(progress->comm);
    double span_s = (double)(clock_now_ns() - progress->begin_ns) / (double)NS_PER_S;
    double bytes = (double)all.bytes_sent + (double)all.bytes_received;
    printf("%d steps in %.1f s: loss %.4f, validation loss %.4f; each peer moved %.1f MB, %.1f "
           "MB/s; communicating %.0f %% of the time, waiting for it %.0f %%\n",
           progress->steps, span_s, loss, progress->validation, bytes / 1e6, bytes / 1e6 / span_s,
           100 * (double)all.busy_ns / 1e9 / span_s,
           100 * (double)progress->waited_ns / 1e9 / span_s);
    fflush(stdout);
}
