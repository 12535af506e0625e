/* link_report: what `kolo perf link` prints and writes: a table in perftest's manner, one JSON document, a picture. */
#ifndef KOLO_TOOLS_LINK_REPORT_H
#define KOLO_TOOLS_LINK_REPORT_H

#include "tools/link_options.h"

/** The table's head, before the first row of a test. */
void link_report_head(const struct link_options *options, const struct link_record *first);
/** One row. */
void link_report_row(const struct link_options *options, const struct link_record *record);

/** Write all records as one JSON document. `status` and `why`: how the measurement ended. Returns false with errno set. */
bool link_report_json(const char *path, const struct link_options *options,
                      const struct link_record *records, size_t count, kolo_status status,
                      const char *why);

/** Write a picture of bandwidth and latency over size. Returns false with errno set. */
bool link_report_plot(const char *path, const struct link_record *records, size_t count);

#endif
