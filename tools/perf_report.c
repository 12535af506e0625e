#include "tools/perf_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEER_TEXT_MAX 256
#define PROGRESS_CELLS 30

static void print_settings(const struct perf_bench *bench)
{
    const struct perf_options *o = bench->options;
    printf("# kolo %s perf %s: %d ranks, transport %s, algorithm %s, %s memory, ", kolo_version(),
           o->collective->name, bench->size, o->transport ? o->transport : "default",
           o->algorithm ? o->algorithm : "default", o->shareable ? "kolo" : "host");
    if (o->queue_depth > 0) {
        printf("%d calls in flight\n#\n", o->queue_depth);
    } else {
        printf("blocking calls\n#\n");
    }
    for (int peer = 0; peer < bench->size; peer++) {
        char text[PEER_TEXT_MAX];
        if (kolo_describe_peer(bench->comm, text, sizeof text, peer) == KOLO_OK) {
            printf("#  %s\n", text);
        }
    }
}

void perf_report_begin(struct perf_report *report, const struct perf_bench *bench)
{
    memset(report, 0, sizeof *report);
    report->bench = bench;
    print_settings(bench);
    printf("#\n# %58s%-36s%-36s%-20s%s\n", "", "         out of place", "           in place",
           "   out of place", "     in place");
    printf("# %10s %12s %8s %8s %6s %9s %7s %7s %7s   %9s %7s %7s %7s   %9s %9s  %9s %9s\n", "size",
           "count", "type", "redop", "root", "time", "algbw", "busbw", "#wrong", "time", "algbw",
           "busbw", "#wrong", "median", "p99", "median", "p99");
    printf("# %10s %12s %8s %8s %6s %9s %7s %7s %7s   %9s %7s %7s %7s   %9s %9s  %9s %9s\n", "(B)",
           "(elements)", "", "", "", "(us)", "(GB/s)", "(GB/s)", "", "(us)", "(GB/s)", "(GB/s)", "",
           "(us)", "(us)", "(us)", "(us)");
    fflush(stdout);
}

/* Four digits or so, whatever the size: as nccl-tests does. */
static int decimals(double value)
{
    return value < 100 ? 2 : value < 10000 ? 1 : 0;
}

static void print_figures(const struct perf_timing *timing)
{
    printf(" %9.*f %7.2f %7.2f", decimals(timing->mean_us), timing->mean_us, timing->algbw_GBps,
           timing->busbw_GBps);
    if (timing->checked) {
        printf(" %7" PRIu64 "  ", timing->wrong);
    } else {
        printf(" %7s  ", "N/A");
    }
}

static void print_quantiles(const struct perf_timing *timing)
{
    printf(" %9.*f %9.*f ", decimals(timing->median_us), timing->median_us,
           decimals(timing->p99_us), timing->p99_us);
}

static void erase_progress(void)
{
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
}

static void print_record(const struct perf_options *options, const struct perf_record *record)
{
    const struct perf_collective *collective = options->collective;
    const struct perf_case *what = &record->what;
    printf("  %10zu %12zu %8s %8s %6d", what->bytes, what->count,
           collective->moves ? kolo_type_name(what->type) : "none",
           collective->reduces ? kolo_operator_name(what->op) : "none",
           collective->rooted ? options->root : -1);
    for (int i = 0; i < PERF_PLACEMENTS; i++) {
        print_figures(&record->timing[i]);
    }
    for (int i = 0; i < PERF_PLACEMENTS; i++) {
        print_quantiles(&record->timing[i]);
    }
    putchar('\n');
    fflush(stdout);
}

static kolo_status keep(struct perf_report *report, const struct perf_record *record)
{
    if (report->count == report->room) {
        size_t room = report->room > 0 ? 2 * report->room : 64;
        struct perf_record *records = realloc(report->records, room * sizeof *records);
        if (records == NULL) {
            return KOLO_ERR_MEMORY;
        }
        report->records = records;
        report->room = room;
    }
    report->records[report->count++] = *record;
    return KOLO_OK;
}

kolo_status perf_report_add(struct perf_report *report, const struct perf_record *record)
{
    erase_progress();
    print_record(report->bench->options, record);
    for (int i = 0; i < PERF_PLACEMENTS; i++) {
        report->wrong += record->timing[i].wrong;
        report->busbw_sum_GBps += record->timing[i].busbw_GBps;
        report->busbw_terms++;
    }
    return keep(report, record);
}

void perf_report_end(const struct perf_report *report)
{
    if (report->bench->options->check && report->bench->options->collective->moves) {
        printf("# Out of bounds values : %" PRIu64 " %s\n", report->wrong,
               report->wrong == 0 ? "OK" : "FAILED");
    }
    if (report->busbw_terms > 0) {
        printf("# Avg bus bandwidth    : %g\n",
               report->busbw_sum_GBps / (double)report->busbw_terms);
    }
    fflush(stdout);
}

void perf_report_free(struct perf_report *report)
{
    free(report->records);
}

void perf_report_progress(size_t done, size_t all, const struct perf_case *next)
{
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    char bar[PROGRESS_CELLS + 1];
    size_t filled = all > 0 ? done * PROGRESS_CELLS / all : 0;
    memset(bar, '.', PROGRESS_CELLS);
    memset(bar, '#', filled);
    bar[PROGRESS_CELLS] = 0;
    fprintf(stderr, "\r\033[K[%s] %zu/%zu  %zu B %s", bar, done, all, next->bytes,
            kolo_type_name(next->type));
}
