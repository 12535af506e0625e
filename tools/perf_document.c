/* The JSON document of perf_report:
 *   kolo           version
 *   configuration  what was asked for; null: the default
 *   host           rank 0's
 *   peers          how rank 0 reaches each rank, as kolo_describe_peer says
 *   results        an object for each line of the table; the figures are explained at struct perf_timing
 *   wrong          elements, over all results */
#include <sys/utsname.h>
#include <unistd.h>

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "tools/json.h"
#include "tools/perf_report.h"

#define PEER_TEXT_MAX 256

static void write_host(struct json *json)
{
    struct utsname host;
    cpu_set_t allowed;
    json_key(json, "host");
    json_begin_object(json);
    if (uname(&host) == 0) {
        json_member_string(json, "name", host.nodename);
        json_member_string(json, "system", host.sysname);
        json_member_string(json, "release", host.release);
        json_member_string(json, "machine", host.machine);
    }
    json_member_integer(json, "processors_online", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        json_member_integer(json, "processors_allowed", (uint64_t)CPU_COUNT(&allowed));
    }
    json_end_object(json);
}

static void write_peers(struct json *json, const struct perf_bench *bench)
{
    json_key(json, "peers");
    json_begin_array(json);
    for (int peer = 0; peer < bench->size; peer++) {
        char text[PEER_TEXT_MAX];
        kolo_status status = kolo_describe_peer(bench->comm, text, sizeof text, peer);
        json_string(json, status == KOLO_OK ? text : NULL);
    }
    json_end_array(json);
}

static void write_configuration(struct json *json, const struct perf_bench *bench)
{
    const struct perf_options *o = bench->options;
    json_key(json, "configuration");
    json_begin_object(json);
    json_member_string(json, "collective", o->collective->name);
    json_member_integer(json, "ranks", (uint64_t)bench->size);
    json_member_string(json, "transport", o->transport);
    json_member_string(json, "algorithm", o->algorithm);
    json_member_string(json, "memory", o->shareable ? "kolo" : "host");
    json_member_integer(json, "first_bytes", o->first_bytes);
    json_member_integer(json, "last_bytes", o->last_bytes);
    json_member_integer(json, "step_bytes", o->step_bytes);
    json_member_integer(json, "step_factor", o->factor);
    json_member_integer(json, "warmups", (uint64_t)o->warmups);
    json_member_integer(json, "calls", (uint64_t)o->calls);
    json_member_number(json, "time_s", o->budget_s);
    json_member_integer(json, "queue_depth", (uint64_t)o->queue_depth);
    json_key(json, "check");
    json_bool(json, o->check != 0);
    json_end_object(json);
}

static void write_timing(struct json *json, const char *key, const struct perf_timing *timing)
{
    json_key(json, key);
    json_begin_object(json);
    json_member_number(json, "mean_us", timing->mean_us);
    json_member_number(json, "median_us", timing->median_us);
    json_member_number(json, "p99_us", timing->p99_us);
    json_member_number(json, "min_us", timing->min_us);
    json_member_number(json, "max_us", timing->max_us);
    json_member_number(json, "algbw_GBps", timing->algbw_GBps);
    json_member_number(json, "busbw_GBps", timing->busbw_GBps);
    json_member_integer(json, "calls", timing->calls);
    json_key(json, "wrong");
    if (timing->checked) {
        json_integer(json, (int64_t)timing->wrong);
    } else {
        json_string(json, NULL);
    }
    json_end_object(json);
}

static void write_record(struct json *json, const struct perf_options *options,
                         const struct perf_record *record)
{
    const struct perf_collective *collective = options->collective;
    json_begin_object(json);
    json_member_integer(json, "bytes", record->what.bytes);
    json_member_integer(json, "count", record->what.count);
    json_member_string(json, "type", collective->moves ? kolo_type_name(record->what.type) : NULL);
    json_member_string(json, "operator",
                       collective->reduces ? kolo_operator_name(record->what.op) : NULL);
    json_key(json, "root");
    json_integer(json, collective->rooted ? options->root : -1);
    write_timing(json, "out_of_place", &record->timing[PERF_OUT_OF_PLACE]);
    write_timing(json, "in_place", &record->timing[PERF_IN_PLACE]);
    json_end_object(json);
}

bool perf_report_write_json(const struct perf_report *report, const char *path)
{
    struct json json;
    if (!json_open(&json, path)) {
        return false;
    }
    json_begin_object(&json);
    json_member_string(&json, "kolo", kolo_version());
    write_configuration(&json, report->bench);
    write_host(&json);
    write_peers(&json, report->bench);
    json_key(&json, "results");
    json_begin_array(&json);
    for (size_t i = 0; i < report->count; i++) {
        write_record(&json, report->bench->options, &report->records[i]);
    }
    json_end_array(&json);
    json_member_integer(&json, "wrong", report->wrong);
    json_end_object(&json);
    return json_close(&json);
}
