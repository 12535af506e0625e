/* doctor_report: findings as people read them (a line each, worst first, then why and the cure), and as a JSON document. */
#ifndef KOLO_TOOLS_DOCTOR_REPORT_H
#define KOLO_TOOLS_DOCTOR_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "tools/doctor_finding.h"

/** Print to `to`. `verbose`: what is fine, too. */
void doctor_report_print(FILE *to, const struct doctor_findings *findings, bool verbose);

/** Write the document: kolo (version), host, peer (null: none), worst, findings. False with errno set if that failed. */
bool doctor_report_write(const struct doctor_findings *findings, const char *path, const char *host,
                         const char *peer);

#endif
