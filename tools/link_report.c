#include "tools/link_report.h"

#include <inttypes.h>
#include <stdio.h>

#define GBPS(rate_Bps) ((rate_Bps)*8 / 1e9)

static const char rule[] =
    "------------------------------------------------------------------------"
    "----------------";

static void print_side(const char *which, const struct link_host *host)
{
    printf(" %-8s: %s, %u processors%s%s\n", which, host->name, host->processors,
           host->description[0] != '\0' ? ", " : "", host->description);
}

static void print_columns(const struct link_request *request)
{
    printf(" #bytes     ");
    if (request->modes & LINK_BANDWIDTH) {
        printf("#iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]   port[%%]  ");
    }
    if (request->modes & LINK_LATENCY) {
        printf("t_min[usec]    t_typical[usec]    t_avg[usec]    t_stdev[usec]   99%%[usec]   "
               "99.9%%[usec]   t_max[usec]  ");
    }
    printf("CPU[%%]\n");
}

void link_report_head(const struct link_options *options, const struct link_record *first)
{
    const struct link_request *request = &options->goal.request;
    printf("%s\n kolo perf link: %s%s%s to %s, %u pair%s, %s%" PRIu32 " in flight%s\n", rule,
           link_test_name(first->test), request->bidirectional ? ", bidirectional" : "",
           request->reverse ? ", reverse" : "", options->goal.host, request->pairs,
           request->pairs == 1 ? "" : "s", request->rdma_cm ? "rdma_cm, " : "", request->depth,
           request->validate ? ", validated" : "");
    print_side("client", &first->hosts[LINK_CLIENT]);
    print_side("server", &first->hosts[LINK_SERVER]);
    printf("%s\n", rule);
    print_columns(request);
    fflush(stdout);
}

static void print_share(double share)
{
    if (share > 0) {
        printf("   %-9.1f", share * 100);
    } else {
        printf("   %-9s", "-");
    }
}

void link_report_row(const struct link_options *options, const struct link_record *record)
{
    const struct link_request *request = &options->goal.request;
    printf(" %-10" PRIu64, record->size_bytes);
    if (request->modes & LINK_BANDWIDTH) {
        printf(" %-14" PRIu64 " %-18.3f %-20.3f %-13.6f", record->iterations,
               GBPS(record->bandwidth_peak_Bps), GBPS(record->bandwidth_Bps),
               record->messages_per_s / 1e6);
        print_share(record->share_of_port_rate);
    }
    if (request->modes & LINK_LATENCY) {
        const struct link_times *times = &record->latency_us;
        printf(" %-14.2f %-18.2f %-14.2f %-15.2f %-12.2f %-14.2f %-12.2f", times->min,
               times->median, times->mean, times->deviation, times->p99, times->p999, times->max);
    }
    printf(" %.0f/%.0f", record->processor_percent[LINK_CLIENT],
           record->processor_percent[LINK_SERVER]);
    if (record->wrong > 0) {
        printf("   %" PRIu64 " messages WRONG", record->wrong);
    }
    printf("\n");
    fflush(stdout);
}
