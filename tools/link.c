/* kolo perf link: how fast is the way between two hosts? Serves, or asks and reports. */
#include "tools/link.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/link_options.h"
#include "tools/link_report.h"
#include "tools/perf_kind.h"
#include "tools/perf_mesh_serve.h"

static const struct command command = {.name = "perf link", .what = "", .main = NULL};

static void say_port(void *context, int port)
{
    (void)context;
    printf("kolo perf link: serving on port %d\n", port);
    fflush(stdout);
}

static void say_news(void *context, const char *line)
{
    (void)context;
    printf("kolo perf link: %s\n", line);
    fflush(stdout);
}

static int serve(struct link_service *service)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    service->stop_fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    if (service->stop_fd < 0) {
        return command_failed(&command, "signalfd: %s", strerror(errno));
    }
    service->listening = say_port;
    service->news = say_news;
    service->guests = mesh_guests;
    kolo_status status = link_serve(service);
    close(service->stop_fd);
    return status == KOLO_OK ? COMMAND_OK : command_failed(&command, "%s", kolo_last_error());
}

/* Rows are printed as they come. */
struct table {
    const struct link_options *options;
    size_t rows;
    enum link_test test; /* of the last row */
};

static void print_row(void *context, const struct link_record *record)
{
    struct table *table = context;
    if (table->rows++ == 0 || table->test != record->test) {
        link_report_head(table->options, record);
    }
    table->test = record->test;
    link_report_row(table->options, record);
}

static bool write_files(const struct link_options *options, const struct link_record *records,
                        size_t count, kolo_status status, const char *why)
{
    if (options->json != NULL &&
        !link_report_json(options->json, options, records, count, status, why)) {
        command_failed(&command, "--json %s: %s", options->json, strerror(errno));
        return false;
    }
    if (options->plot != NULL && count > 0 && !link_report_plot(options->plot, records, count)) {
        command_failed(&command, "--plot %s: %s", options->plot, strerror(errno));
        return false;
    }
    return true;
}

/* Is the best bandwidth of every test as good as asked for, and all data right? */
static bool good_enough(const struct link_options *options, const struct link_record *records,
                        size_t count)
{
    double best_Bps[LINK_TESTS] = {0};
    bool measured[LINK_TESTS] = {false}, good = true;
    uint64_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const struct link_record *record = &records[i];
        measured[record->test] = measured[record->test] || record->has_bandwidth;
        best_Bps[record->test] = record->bandwidth_Bps > best_Bps[record->test]
                                     ? record->bandwidth_Bps
                                     : best_Bps[record->test];
        wrong += record->wrong;
    }
    for (unsigned test = 0; test < LINK_TESTS; test++) {
        if (measured[test] && best_Bps[test] < options->least_Bps) {
            command_failed(&command, "%s: %.3f Gbit/s is below the %.3f of --min-gbps",
                           link_test_name((enum link_test)test), best_Bps[test] * 8 / 1e9,
                           options->least_Bps * 8 / 1e9);
            good = false;
        }
    }
    if (wrong > 0) {
        command_failed(&command, "%llu messages were not what was sent", (unsigned long long)wrong);
    }
    return good && wrong == 0;
}

static int ask(struct link_options *options)
{
    struct table table = {.options = options};
    struct link_record *records = NULL;
    size_t count = 0;
    char why[512] = "";
    options->goal.done = print_row;
    options->goal.context = &table;
    kolo_status status = link_measure(&records, &count, &options->goal);
    if (status != KOLO_OK) {
        snprintf(why, sizeof why, "%s", kolo_last_error());
        command_failed(&command, "%s", why);
    }
    bool written = write_files(options, records, count, status, why);
    bool good = status == KOLO_OK && good_enough(options, records, count);
    free(records);
    return written && good ? COMMAND_OK : COMMAND_FAILED;
}

static int link_main(int argc, char **argv)
{
    struct link_options options;
    switch (link_options_read(&options, &command, argc, argv)) {
    case LINK_OPTIONS_HELP:
        return COMMAND_OK;
    case LINK_OPTIONS_WRONG:
        return COMMAND_USAGE;
    case LINK_OPTIONS_RUN:
        break;
    }
    return options.serve ? serve(&options.service) : ask(&options);
}

const struct perf_kind perf_kind_link = {
    .name = "link", .what = "one link between two hosts: RDMA, TCP, messages", .main = link_main};
