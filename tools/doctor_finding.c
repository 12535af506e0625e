#include "tools/doctor_finding.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct doctor_finding *doctor_add(struct doctor_findings *findings, const char *check,
                                  enum doctor_severity severity, const char *format, ...)
{
    assert(findings->count <= DOCTOR_FINDINGS_MAX);
    struct doctor_finding *finding = &findings->finding[findings->count];
    if (findings->count < DOCTOR_FINDINGS_MAX) {
        findings->count++;
    } else {
        findings->left_out++;
    }
    memset(finding, 0, sizeof *finding);
    finding->check = check;
    finding->severity = severity;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->seen, sizeof finding->seen, format, arguments);
    va_end(arguments);
    return finding;
}

void doctor_why(struct doctor_finding *finding, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->why, sizeof finding->why, format, arguments);
    va_end(arguments);
}

void doctor_cure(struct doctor_finding *finding, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->cure, sizeof finding->cure, format, arguments);
    va_end(arguments);
}

enum doctor_severity doctor_worst(const struct doctor_findings *findings)
{
    enum doctor_severity worst = DOCTOR_OK;
    for (unsigned i = 0; i < findings->count; i++) {
        worst = findings->finding[i].severity > worst ? findings->finding[i].severity : worst;
    }
    return worst;
}

const char *doctor_severity_name(enum doctor_severity severity)
{
    static const char *const names[] = {"ok", "note", "warning", "error"};
    assert(severity <= DOCTOR_ERROR);
    return names[severity];
}
