#include "tools/perf_mesh_report.h"

#include <kolo/kolo.h>
#include <string.h>

#include "tools/json.h"

#define NAME_WIDTH_MAX 40

double mesh_percent_below(const struct mesh_matrix *matrix, double bandwidth_Bps)
{
    return matrix->median_Bps > 0 ? 100 * (1 - bandwidth_Bps / matrix->median_Bps) : 0;
}

static double gbit(double rate_Bps)
{
    return rate_Bps * 8 / 1e9;
}

static int name_width(const struct mesh_matrix *matrix)
{
    size_t width = 4;
    for (unsigned i = 0; i < matrix->hosts; i++) {
        size_t length = strlen(matrix->host[i].name);
        width = length > width ? length : width;
    }
    return width < NAME_WIDTH_MAX ? (int)width : NAME_WIDTH_MAX;
}

static void print_cell(FILE *to, const struct mesh_cell *cell, double value, bool slow)
{
    if (cell->outcome == MESH_FAILED) {
        fprintf(to, " %8s ", "failed");
    } else if (cell->outcome == MESH_NOT_TRIED || !(value > 0)) {
        fprintf(to, " %8s ", "-");
    } else {
        fprintf(to, " %8.4g%c", value, slow ? '*' : ' ');
    }
}

static void print_table(FILE *to, const struct mesh_matrix *matrix, bool latency)
{
    int width = name_width(matrix);
    fprintf(to, "%s, from row to column%s\n",
            latency ? "latency, us (median)" : "bandwidth, Gbit/s",
            matrix->slow > 0 ? "; * slow" : "");
    fprintf(to, "%4s %-*s", "", width, "");
    for (unsigned column = 0; column < matrix->hosts; column++) {
        fprintf(to, " %8u ", column + 1);
    }
    fputc('\n', to);
    for (unsigned row = 0; row < matrix->hosts; row++) {
        fprintf(to, "%4u %-*.*s", row + 1, width, width, matrix->host[row].name);
        for (unsigned column = 0; column < matrix->hosts; column++) {
            const struct mesh_cell *cell = mesh_at(matrix, row, column);
            if (latency) {
                print_cell(to, cell, cell->latency_us, cell->slow_latency);
            } else {
                print_cell(to, cell, gbit(cell->bandwidth_Bps), cell->slow_bandwidth);
            }
        }
        fputc('\n', to);
    }
    fputc('\n', to);
}

static void print_pair(FILE *to, const struct mesh_matrix *matrix, unsigned one, unsigned other)
{
    const struct mesh_cell *there = mesh_at(matrix, one, other);
    const struct mesh_cell *back = mesh_at(matrix, other, one);
    const char *left = matrix->host[one].name, *right = matrix->host[other].name;
    if (there->slow_bandwidth && back->slow_bandwidth) {
        fprintf(
            to,
            "slow pair: %s <-> %s: %.4g and %.4g Gbit/s, %.0f %% and %.0f %% below the median\n",
            left, right, gbit(there->bandwidth_Bps), gbit(back->bandwidth_Bps),
            mesh_percent_below(matrix, there->bandwidth_Bps),
            mesh_percent_below(matrix, back->bandwidth_Bps));
    } else if (there->slow_bandwidth || back->slow_bandwidth) {
        const struct mesh_cell *slow = there->slow_bandwidth ? there : back;
        fprintf(
            to,
            "slow direction: %s -> %s: %.4g Gbit/s, %.0f %% below the median; %.4g the other way\n",
            there->slow_bandwidth ? left : right, there->slow_bandwidth ? right : left,
            gbit(slow->bandwidth_Bps), mesh_percent_below(matrix, slow->bandwidth_Bps),
            gbit((there->slow_bandwidth ? back : there)->bandwidth_Bps));
    }
    if (there->slow_latency || back->slow_latency) {
        fprintf(to, "slow to answer: %s <-> %s: %.4g and %.4g us, the median is %.4g\n", left,
                right, there->latency_us, back->latency_us, matrix->median_us);
    }
}

static void print_failures(FILE *to, const struct mesh_matrix *matrix)
{
    for (unsigned i = 0; i < matrix->hosts; i++) {
        if (!matrix->host[i].answers) {
            fprintf(to, "no answer: %s: %s\n", matrix->host[i].name, matrix->host[i].why);
        }
    }
    for (unsigned i = 0; i < matrix->hosts * matrix->hosts; i++) {
        if (matrix->cell[i].outcome == MESH_FAILED) {
            fprintf(to, "failed: %s -> %s: %s\n", matrix->host[i / matrix->hosts].name,
                    matrix->host[i % matrix->hosts].name, matrix->cell[i].why);
        }
    }
}

void mesh_report_print(FILE *to, const struct mesh_matrix *matrix)
{
    print_table(to, matrix, false);
    print_table(to, matrix, true);
    fprintf(to, "%u directions measured (%s): median %.4g Gbit/s, deviation %.2g; %.4g us\n",
            matrix->measured, matrix->test[0] != '\0' ? matrix->test : "nothing",
            gbit(matrix->median_Bps), gbit(matrix->deviation_Bps), matrix->median_us);
    for (unsigned i = 0; i < matrix->hosts; i++) {
        if (matrix->host[i].slow) {
            fprintf(to,
                    "slow host: %s: most of its directions are slow; look at it before cables\n",
                    matrix->host[i].name);
        }
    }
    for (unsigned one = 0; one < matrix->hosts; one++) {
        for (unsigned other = one + 1; other < matrix->hosts; other++) {
            print_pair(to, matrix, one, other);
        }
    }
    print_failures(to, matrix);
}

static void text(struct json *json, const char *key, const char *value)
{
    json_member_string(json, key, value[0] != '\0' ? value : NULL);
}

static void write_hosts(struct json *json, const struct mesh_matrix *matrix)
{
    json_key(json, "hosts");
    json_begin_array(json);
    for (unsigned i = 0; i < matrix->hosts; i++) {
        const struct mesh_host *host = &matrix->host[i];
        json_begin_object(json);
        text(json, "name", host->name);
        json_member_integer(json, "port", (uint64_t)host->port);
        json_member_bool(json, "answers", host->answers);
        text(json, "why", host->why);
        json_member_bool(json, "slow", host->slow);
        json_end_object(json);
    }
    json_end_array(json);
}

static void write_direction(struct json *json, const struct mesh_matrix *matrix, unsigned from,
                            unsigned to)
{
    const struct mesh_cell *cell = mesh_at(matrix, from, to);
    json_begin_object(json);
    text(json, "from", matrix->host[from].name);
    text(json, "to", matrix->host[to].name);
    json_member_bool(json, "measured", cell->outcome == MESH_MEASURED);
    text(json, "why", cell->why);
    if (cell->outcome == MESH_MEASURED) {
        json_member_number(json, "bandwidth_Bps", cell->bandwidth_Bps);
        json_member_number(json, "below_median_percent",
                           mesh_percent_below(matrix, cell->bandwidth_Bps));
        json_member_number(json, "latency_us", cell->latency_us);
        json_member_number(json, "latency_p99_us", cell->latency_p99_us);
        json_member_number(json, "port_rate_Bps", cell->rate_Bps);
        json_member_bool(json, "slow_bandwidth", cell->slow_bandwidth);
        json_member_bool(json, "slow_latency", cell->slow_latency);
    }
    json_end_object(json);
}

static void write_directions(struct json *json, const struct mesh_matrix *matrix)
{
    json_key(json, "directions");
    json_begin_array(json);
    for (unsigned from = 0; from < matrix->hosts; from++) {
        for (unsigned to = 0; to < matrix->hosts; to++) {
            if (from != to) {
                write_direction(json, matrix, from, to);
            }
        }
    }
    json_end_array(json);
}

static void write_configuration(struct json *json, const struct mesh_options *options)
{
    json_key(json, "configuration");
    json_begin_object(json);
    json_member_integer(json, "size_bytes", options->size_bytes);
    json_member_number(json, "duration_s", options->duration_s);
    json_member_integer(json, "pairs", (uint64_t)options->pairs);
    json_member_number(json, "slow_percent", 100 * options->threshold);
    json_end_object(json);
}

bool mesh_report_json(const struct mesh_matrix *matrix, const struct mesh_options *options,
                      const char *path)
{
    struct json json;
    char version[32];
    if (!json_open(&json, path)) {
        return false;
    }
    snprintf(version, sizeof version, "%d.%d.%d", KOLO_VERSION_MAJOR, KOLO_VERSION_MINOR,
             KOLO_VERSION_PATCH);
    json_begin_object(&json);
    json_member_string(&json, "kolo", version);
    write_configuration(&json, options);
    text(&json, "test", matrix->test);
    json_member_number(&json, "median_Bps", matrix->median_Bps);
    json_member_number(&json, "deviation_Bps", matrix->deviation_Bps);
    json_member_number(&json, "median_us", matrix->median_us);
    json_member_number(&json, "deviation_us", matrix->deviation_us);
    json_member_integer(&json, "slow", matrix->slow);
    json_member_integer(&json, "failed", matrix->failed);
    json_member_integer(&json, "silent", matrix->silent);
    write_hosts(&json, matrix);
    write_directions(&json, matrix);
    json_end_object(&json);
    return json_close(&json);
}
