/* perf_report: what `kolo perf` tells on rank 0: the table of nccl-tests with two columns more for each placement (median and
 * p99, at the end of the line, so that programs that read nccl-tests' lines read these), a progress bar on a terminal, and
 * the JSON document. */
#ifndef KOLO_TOOLS_PERF_REPORT_H
#define KOLO_TOOLS_PERF_REPORT_H

#include "tools/perf_measure.h"

struct perf_record {
    struct perf_case what;
    struct perf_timing timing[PERF_PLACEMENTS];
};

/** All results of a run, kept for the JSON document. */
struct perf_report {
    const struct perf_bench *bench; /* borrowed */
    struct perf_record *records;
    size_t count, room;
    uint64_t wrong;
    double busbw_sum_GBps;
    uint64_t busbw_terms;
};

void perf_report_begin(struct perf_report *report, const struct perf_bench *bench);

/** Print one line and keep it. KOLO_ERR_MEMORY if it could not be kept. */
kolo_status perf_report_add(struct perf_report *report, const struct perf_record *record);

/** Print the average bandwidth and the number of wrong elements. */
void perf_report_end(const struct perf_report *report);

/** Free the records. */
void perf_report_free(struct perf_report *report);

/** Show on a terminal that `done` of `all` sizes are measured and which one is next. Nothing where standard error is none. */
void perf_report_progress(size_t done, size_t all, const struct perf_case *next);

/** Write the document. Returns false with errno set if it could not be written. */
bool perf_report_write_json(const struct perf_report *report, const char *path);

#endif
