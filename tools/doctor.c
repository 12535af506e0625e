/* kolo doctor: what on this host would hurt a run, in plain words, and the cure. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/env.h"
#include "tools/command.h"
#include "tools/doctor_check.h"
#include "tools/doctor_options.h"
#include "tools/doctor_peer.h"
#include "tools/doctor_report.h"
#include "tools/perf_mesh_serve.h"

/* What a diagnosis works on: too large for a stack. */
struct diagnosis {
    struct doctor_view view;
    struct doctor_findings findings;
};

/* Where peers of this host would listen; 0: anywhere. */
static int own_port(void)
{
    int port = 0;
    return env_int(&port, "KOLO_PORT", 0, 65535) == KOLO_OK ? port : 0;
}

static void look(struct diagnosis *diagnosis, const struct doctor_options *options)
{
    (void)setenv("KOLO_LOG", "none", 0); /* what fails is a finding */
    doctor_view_read(&diagnosis->view);
    for (const struct doctor_check *check = doctor_checks; check->name != NULL; check++) {
        check->look(&diagnosis->findings, &diagnosis->view);
    }
    if (options->host[0] != '\0') {
        struct doctor_peer peer = {.host = options->host,
                                   .port = options->port,
                                   .back_port = own_port(),
                                   .timeout_s = options->timeout_s};
        doctor_peer_check(&diagnosis->findings, &diagnosis->view, &peer);
    }
}

static int tell(const struct diagnosis *diagnosis, const struct doctor_options *options)
{
    const char *peer = options->host[0] != '\0' ? options->host : NULL;
    doctor_report_print(stdout, &diagnosis->findings, options->verbose);
    if (options->json != NULL &&
        !doctor_report_write(&diagnosis->findings, options->json, diagnosis->view.host, peer)) {
        return command_failed(&command_doctor, "--json %s: %s", options->json, strerror(errno));
    }
    return doctor_worst(&diagnosis->findings) >= DOCTOR_WARNING ? COMMAND_FAILED : COMMAND_OK;
}

static int doctor_main(int argc, char **argv)
{
    struct doctor_options options;
    switch (doctor_options_read(&options, &command_doctor, argc, argv)) {
    case DOCTOR_OPTIONS_HELP:
        return COMMAND_OK;
    case DOCTOR_OPTIONS_WRONG:
        return COMMAND_USAGE;
    case DOCTOR_OPTIONS_RUN:
        break;
    }
    if (options.serve) {
        return mesh_serve(&command_doctor, options.port);
    }
    struct diagnosis *diagnosis = calloc(1, sizeof *diagnosis);
    if (diagnosis == NULL) {
        return command_failed(&command_doctor, "no memory for %zu bytes", sizeof *diagnosis);
    }
    look(diagnosis, &options);
    int code = tell(diagnosis, &options);
    free(diagnosis);
    return code;
}

const struct command command_doctor = {
    .name = "doctor", .what = "find what would hurt a run, and the cure", .main = doctor_main};
