/* kolo perf: how fast are the collectives between these peers, and are their results right? */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/perf_kind.h"
#include "tools/perf_options.h"
#include "tools/perf_report.h"

/* The exit status of a kolo call that failed, explained. */
static int failed(const char *what, kolo_status status)
{
    const char *why = kolo_last_error();
    return command_failed(&command_perf, "%s: %s%s%s", what, kolo_status_name(status),
                          *why ? ": " : "", why);
}

static uint64_t next_size(const struct perf_options *options, uint64_t bytes)
{
    return options->step_bytes > 0 ? bytes + options->step_bytes : bytes * options->factor;
}

static size_t count_sizes(const struct perf_options *options)
{
    size_t sizes = 1;
    if (!options->collective->moves) {
        return sizes;
    }
    uint64_t bytes = options->first_bytes;
    while (next_size(options, bytes) > bytes && next_size(options, bytes) <= options->last_bytes) {
        bytes = next_size(options, bytes);
        sizes++;
    }
    return sizes;
}

static kolo_status measure_case(struct perf_record *record, struct perf_bench *bench)
{
    kolo_status status = KOLO_OK;
    for (int i = 0; i < PERF_PLACEMENTS && status == KOLO_OK; i++) {
        status = perf_measure(&record->timing[i], bench, &record->what, (enum perf_placement)i);
    }
    return status;
}

/* Every size of one type and operator. `done` of `all` cases are behind. */
static kolo_status measure_sizes(struct perf_report *report, size_t *done, struct perf_bench *bench,
                                 kolo_type type, kolo_operator op, size_t all)
{
    const struct perf_options *options = bench->options;
    uint64_t bytes = options->first_bytes;
    size_t sizes = count_sizes(options);
    for (size_t i = 0; i < sizes; i++, bytes = next_size(options, bytes)) {
        struct perf_record record = {.what = perf_case_make(bench, type, op, bytes)};
        if (bench->rank == 0) {
            perf_report_progress((*done)++, all, &record.what);
        }
        kolo_status status = measure_case(&record, bench);
        if (status == KOLO_OK && bench->rank == 0) {
            status = perf_report_add(report, &record);
        }
        if (status != KOLO_OK) {
            return status;
        }
        report->wrong += bench->rank == 0 ? 0 : record.timing[0].wrong + record.timing[1].wrong;
    }
    return KOLO_OK;
}

static kolo_status measure_all(struct perf_report *report, struct perf_bench *bench)
{
    const struct perf_options *o = bench->options;
    int type_first = o->collective->moves ? o->type_first : 0;
    int type_last = o->collective->moves ? o->type_last : 0;
    int op_first = o->collective->reduces ? o->operator_first : 0;
    int op_last = o->collective->reduces ? o->operator_last : 0;
    int types = type_last - type_first + 1, operators = op_last - op_first + 1;
    size_t kinds = (size_t)types * (size_t)operators, done = 0;
    for (int type = type_first; type <= type_last; type++) {
        for (int op = op_first; op <= op_last; op++) {
            kolo_status status = measure_sizes(report, &done, bench, (kolo_type)type,
                                               (kolo_operator)op, kinds * count_sizes(o));
            if (status != KOLO_OK) {
                return status;
            }
        }
    }
    return KOLO_OK;
}

/* What rank 0 has to say at the end; the others only know whether something was wrong. */
static int conclude(const struct perf_report *report)
{
    const struct perf_bench *bench = report->bench;
    if (bench->rank == 0) {
        perf_report_end(report);
        const char *json = bench->options->json;
        if (json != NULL && !perf_report_write_json(report, json)) {
            return command_failed(&command_perf, "--json %s: %s", json, strerror(errno));
        }
    }
    return report->wrong == 0 ? COMMAND_OK : COMMAND_FAILED;
}

static int measure(const struct perf_options *options, kolo_comm *comm)
{
    struct perf_bench bench;
    struct perf_report report = {.bench = &bench};
    kolo_status status = perf_bench_init(&bench, options, comm);
    if (status != KOLO_OK) {
        return command_failed(&command_perf,
                              "two buffers of %" PRIu64 " bytes: %s; choose a smaller -e",
                              options->last_bytes, kolo_status_name(status));
    }
    if (bench.rank == 0) {
        perf_report_begin(&report, &bench);
    }
    status = measure_all(&report, &bench);
    int code = status == KOLO_OK ? conclude(&report) : failed(options->collective->name, status);
    perf_report_free(&report);
    perf_bench_free(&bench);
    return code;
}

/* What has a command line of its own. */
static const struct perf_kind *const kinds[] = {&perf_kind_link, &perf_kind_mesh, NULL};

static const struct perf_kind *find_kind(const char *name)
{
    for (unsigned i = 0; kinds[i] != NULL; i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

static void print_kinds(void)
{
    for (unsigned i = 0; kinds[i] != NULL; i++) {
        printf("\nkolo perf %s: %s; see kolo perf %s --help\n", kinds[i]->name, kinds[i]->what,
               kinds[i]->name);
    }
}

static int perf_main(int argc, char **argv)
{
    struct perf_options options;
    const struct perf_kind *kind = argc > 1 ? find_kind(argv[1]) : NULL;
    if (kind != NULL) {
        return kind->main(argc - 1, argv + 1);
    }
    switch (perf_options_read(&options, &command_perf, argc, argv)) {
    case PERF_OPTIONS_HELP:
        print_kinds();
        return COMMAND_OK;
    case PERF_OPTIONS_WRONG:
        return COMMAND_USAGE;
    case PERF_OPTIONS_RUN:
        break;
    }
    kolo_config config = KOLO_CONFIG_INIT;
    config.transport = options.transport;
    config.algorithm = options.algorithm;
    kolo_comm *comm;
    kolo_status status = kolo_open(&comm, &config);
    if (status != KOLO_OK) {
        return failed("open", status);
    }
    int code = options.root < kolo_size(comm)
                   ? measure(&options, comm)
                   : command_usage(&command_perf, "-r %d: there are only %d ranks, from 0",
                                   options.root, kolo_size(comm));
    kolo_close(comm);
    return code;
}

const struct command command_perf = {
    .name = "perf", .what = "time and check collectives between peers", .main = perf_main};
