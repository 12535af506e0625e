/* doctor_finding: what `kolo doctor` has to say: one finding for each thing looked at, with its severity, what was seen, why it
 * hurts and the command that cures it. A bounded list; whoever looks adds, the report (doctor_report.h) reads. */
#ifndef KOLO_TOOLS_DOCTOR_FINDING_H
#define KOLO_TOOLS_DOCTOR_FINDING_H

#define DOCTOR_TEXT_MAX 400     /* bytes of each text; longer ones are cut */
#define DOCTOR_FINDINGS_MAX 200 /* more are counted and left out */

enum doctor_severity {
    DOCTOR_OK = 0,  /* looked at, and fine: shown with --verbose */
    DOCTOR_NOTE,    /* good to know; costs little, or only some runs */
    DOCTOR_WARNING, /* runs will be slower, or fail on some paths */
    DOCTOR_ERROR    /* something that a run needs does not work */
};

struct doctor_finding {
    const char *check; /* which check found it: "memlock". Static */
    enum doctor_severity severity;
    char seen[DOCTOR_TEXT_MAX];
    char why[DOCTOR_TEXT_MAX];  /* "" with DOCTOR_OK */
    char cure[DOCTOR_TEXT_MAX]; /* a command, or several; "" if there is none */
};

struct doctor_findings {
    unsigned count;
    unsigned left_out;
    struct doctor_finding finding[DOCTOR_FINDINGS_MAX + 1]; /* the last is for what is left out */
};

/** Add a finding; the format is of `seen`. Returns it, for doctor_why() and doctor_cure(). */
struct doctor_finding *doctor_add(struct doctor_findings *findings, const char *check,
                                  enum doctor_severity severity, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void doctor_why(struct doctor_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void doctor_cure(struct doctor_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The worst severity in the list; DOCTOR_OK if it is empty. */
enum doctor_severity doctor_worst(const struct doctor_findings *findings);

/** "ok", "note", "warning", "error". */
const char *doctor_severity_name(enum doctor_severity severity);

#endif
