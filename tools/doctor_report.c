#include "tools/doctor_report.h"

#include <kolo/kolo.h>
#include <string.h>

#include "tools/json.h"

static unsigned count(const struct doctor_findings *findings, enum doctor_severity severity)
{
    unsigned found = 0;
    for (unsigned i = 0; i < findings->count; i++) {
        found += findings->finding[i].severity == severity ? 1 : 0;
    }
    return found;
}

static void print_lines(FILE *to, const struct doctor_findings *findings,
                        enum doctor_severity severity)
{
    for (unsigned i = 0; i < findings->count; i++) {
        const struct doctor_finding *finding = &findings->finding[i];
        if (finding->severity == severity) {
            fprintf(to, "%-8s %-16s %s\n", doctor_severity_name(severity), finding->check,
                    finding->seen);
        }
    }
}

/* Once for findings that have the same cure. */
static bool told_before(const struct doctor_findings *findings, unsigned place)
{
    const struct doctor_finding *finding = &findings->finding[place];
    for (unsigned i = 0; i < place; i++) {
        const struct doctor_finding *other = &findings->finding[i];
        if (other->severity == finding->severity && strcmp(other->check, finding->check) == 0 &&
            strcmp(other->why, finding->why) == 0 && strcmp(other->cure, finding->cure) == 0) {
            return true;
        }
    }
    return false;
}

static void print_cures(FILE *to, const struct doctor_findings *findings,
                        enum doctor_severity severity)
{
    for (unsigned i = 0; i < findings->count; i++) {
        const struct doctor_finding *finding = &findings->finding[i];
        if (finding->severity == severity && finding->why[0] != '\0' && !told_before(findings, i)) {
            fprintf(to, "\n%s: %s.\n", finding->check, finding->why);
            if (finding->cure[0] != '\0') {
                fprintf(to, "    %s\n", finding->cure);
            }
        }
    }
}

static void print_count(FILE *to, unsigned number, const char *what, const char *then)
{
    fprintf(to, "%u %s%s%s", number, what, number == 1 ? "" : "s", then);
}

void doctor_report_print(FILE *to, const struct doctor_findings *findings, bool verbose)
{
    for (int severity = DOCTOR_ERROR; severity >= (verbose ? DOCTOR_OK : DOCTOR_NOTE); severity--) {
        print_lines(to, findings, (enum doctor_severity)severity);
    }
    for (int severity = DOCTOR_ERROR; severity >= DOCTOR_NOTE; severity--) {
        print_cures(to, findings, (enum doctor_severity)severity);
    }
    fputs(doctor_worst(findings) > DOCTOR_OK ? "\n" : "", to);
    print_count(to, count(findings, DOCTOR_ERROR), "error", ", ");
    print_count(to, count(findings, DOCTOR_WARNING), "warning", ", ");
    print_count(to, count(findings, DOCTOR_NOTE), "note", "");
    fprintf(to, "; %u things are fine%s\n", count(findings, DOCTOR_OK),
            verbose ? "" : " (--verbose shows them)");
    if (findings->left_out > 0) {
        fprintf(to, "%u more findings are left out\n", findings->left_out);
    }
}

static void write_finding(struct json *json, const struct doctor_finding *finding)
{
    json_begin_object(json);
    json_member_string(json, "check", finding->check);
    json_member_string(json, "severity", doctor_severity_name(finding->severity));
    json_member_string(json, "seen", finding->seen);
    json_member_string(json, "why", finding->why[0] != '\0' ? finding->why : NULL);
    json_member_string(json, "cure", finding->cure[0] != '\0' ? finding->cure : NULL);
    json_end_object(json);
}

bool doctor_report_write(const struct doctor_findings *findings, const char *path, const char *host,
                         const char *peer)
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
    json_member_string(&json, "host", host);
    json_member_string(&json, "peer", peer);
    json_member_string(&json, "worst", doctor_severity_name(doctor_worst(findings)));
    json_key(&json, "findings");
    json_begin_array(&json);
    for (unsigned i = 0; i < findings->count; i++) {
        write_finding(&json, &findings->finding[i]);
    }
    json_end_array(&json);
    json_key(&json, "left_out");
    json_integer(&json, findings->left_out);
    json_end_object(&json);
    return json_close(&json);
}
