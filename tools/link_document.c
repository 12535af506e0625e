/* The JSON document of link_report:
 *   kolo       version
 *   goal       what was asked for
 *   hosts      client and server, as they were in the first record
 *   records    one for each test and size
 *   ok, error  how it ended */
#include "tools/json.h"
#include "tools/link_report.h"

static void write_host(struct json *json, const char *key, const struct link_host *host)
{
    json_key(json, key);
    json_begin_object(json);
    json_member_string(json, "name", host->name);
    json_member_string(json, "device", host->device[0] != '\0' ? host->device : NULL);
    json_member_string(json, "description",
                       host->description[0] != '\0' ? host->description : NULL);
    json_member_integer(json, "port_rate_Bps", host->rate_Bps);
    json_member_integer(json, "processors", host->processors);
    json_end_object(json);
}

static const char *wait_name(enum link_wait wait)
{
    return wait == LINK_WAIT_POLL ? "poll" : wait == LINK_WAIT_EVENTS ? "events" : "default";
}

static void write_end(struct json *json, const char *key, const struct link_end *end)
{
    json_key(json, key);
    json_begin_object(json);
    json_member_string(json, "device", end->device[0] != '\0' ? end->device : NULL);
    json_key(json, "gid_index");
    json_integer(json, end->gid_index);
    json_key(json, "numa_node");
    json_integer(json, end->numa_node);
    json_key(json, "core");
    json_integer(json, end->core);
    json_end_object(json);
}

static void write_goal(struct json *json, const struct link_options *options)
{
    const struct link_request *request = &options->goal.request;
    json_key(json, "goal");
    json_begin_object(json);
    json_member_string(json, "host", options->goal.host);
    json_member_integer(json, "port", (uint64_t)options->goal.port);
    json_member_bool(json, "bidirectional", request->bidirectional);
    json_member_bool(json, "reverse", request->reverse);
    json_member_number(json, "duration_s", (double)request->duration_ns / 1e9);
    json_member_integer(json, "iterations", request->iterations);
    json_member_number(json, "warmup_s", (double)request->warmup_ns / 1e9);
    json_member_integer(json, "warmup_iterations", request->warmup_iterations);
    json_member_integer(json, "pairs", request->pairs);
    json_member_integer(json, "depth", request->depth);
    json_key(json, "inline_bytes");
    json_integer(json, request->inline_bytes);
    json_member_integer(json, "post_list", request->post_list);
    json_member_integer(json, "signal_interval", request->signal_interval);
    json_member_integer(json, "mtu", request->mtu);
    json_member_integer(json, "service_level", request->service_level);
    json_member_integer(json, "traffic_class", request->traffic_class);
    json_member_bool(json, "rdma_cm", request->rdma_cm);
    json_member_string(json, "wait", wait_name(request->wait));
    json_member_integer(json, "rate_limit_Bps", request->rate_limit_Bps);
    json_member_bool(json, "validate", request->validate);
    json_member_bool(json, "huge_pages", request->huge_pages);
    json_member_string(json, "transport",
                       request->transport[0] != '\0' ? request->transport : NULL);
    write_end(json, "client", &request->ends[LINK_CLIENT]);
    write_end(json, "server", &request->ends[LINK_SERVER]);
    json_end_object(json);
}

static void write_times(struct json *json, const struct link_times *times)
{
    json_begin_object(json);
    json_member_number(json, "min", times->min);
    json_member_number(json, "median", times->median);
    json_member_number(json, "mean", times->mean);
    json_member_number(json, "deviation", times->deviation);
    json_member_number(json, "p99", times->p99);
    json_member_number(json, "p999", times->p999);
    json_member_number(json, "max", times->max);
    json_end_object(json);
}

static void write_bandwidth(struct json *json, const struct link_record *record)
{
    const bool has = record->has_bandwidth;
    const struct {
        const char *key;
        double value;
    } figures[] = {{"bandwidth_Bps", record->bandwidth_Bps},
                   {"bandwidth_median_Bps", record->bandwidth_median_Bps},
                   {"bandwidth_peak_Bps", record->bandwidth_peak_Bps},
                   {"client_sends_Bps", record->direction_Bps[LINK_CLIENT]},
                   {"server_sends_Bps", record->direction_Bps[LINK_SERVER]},
                   {"messages_per_s", record->messages_per_s}};
    for (unsigned i = 0; i < sizeof figures / sizeof *figures; i++) {
        json_key(json, figures[i].key);
        has ? json_number(json, figures[i].value) : json_string(json, NULL);
    }
    json_member_integer(json, "iterations", record->iterations);
    json_key(json, "share_of_port_rate");
    record->share_of_port_rate > 0 ? json_number(json, record->share_of_port_rate)
                                   : json_string(json, NULL);
}

static void write_record(struct json *json, const struct link_record *record)
{
    json_begin_object(json);
    json_member_string(json, "test", link_test_name(record->test));
    json_member_integer(json, "size_bytes", record->size_bytes);
    write_bandwidth(json, record);
    json_key(json, "latency_us");
    if (record->has_latency) {
        write_times(json, &record->latency_us);
    } else {
        json_string(json, NULL);
    }
    json_member_integer(json, "latency_iterations", record->latency_iterations);
    json_member_number(json, "client_processor_percent", record->processor_percent[LINK_CLIENT]);
    json_member_number(json, "server_processor_percent", record->processor_percent[LINK_SERVER]);
    json_member_string(json, "client_device", record->hosts[LINK_CLIENT].device);
    json_member_string(json, "server_device", record->hosts[LINK_SERVER].device);
    json_member_bool(json, "validated", record->validated);
    json_member_integer(json, "wrong", record->wrong);
    json_end_object(json);
}

bool link_report_json(const char *path, const struct link_options *options,
                      const struct link_record *records, size_t count, kolo_status status,
                      const char *why)
{
    struct json json;
    if (!json_open(&json, path)) {
        return false;
    }
    json_begin_object(&json);
    json_member_string(&json, "kolo", kolo_version());
    write_goal(&json, options);
    if (count > 0) {
        json_key(&json, "hosts");
        json_begin_object(&json);
        write_host(&json, "client", &records[0].hosts[LINK_CLIENT]);
        write_host(&json, "server", &records[0].hosts[LINK_SERVER]);
        json_end_object(&json);
    }
    json_key(&json, "records");
    json_begin_array(&json);
    for (size_t i = 0; i < count; i++) {
        write_record(&json, &records[i]);
    }
    json_end_array(&json);
    json_member_bool(&json, "ok", status == KOLO_OK);
    json_member_string(&json, "error", status == KOLO_OK ? NULL : why);
    json_end_object(&json);
    return json_close(&json);
}
