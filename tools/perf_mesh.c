/* kolo perf mesh: how fast is the way between every two hosts, and which one is sick? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/perf_kind.h"
#include "tools/perf_mesh_options.h"
#include "tools/perf_mesh_report.h"
#include "tools/perf_mesh_run.h"
#include "tools/perf_mesh_serve.h"

static const struct command command = {.name = "perf mesh", .what = "", .main = NULL};

static void say_round(unsigned round, unsigned rounds)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "kolo perf mesh: round %u of %u\r", round + 1, rounds);
    }
}

static int report(const struct mesh_matrix *matrix, const struct mesh_options *options)
{
    mesh_report_print(stdout, matrix);
    if (options->json != NULL && !mesh_report_json(matrix, options, options->json)) {
        return command_failed(&command, "--json %s: %s", options->json, strerror(errno));
    }
    if (options->svg != NULL && !mesh_report_svg(matrix, options->svg)) {
        return command_failed(&command, "--svg %s: %s", options->svg, strerror(errno));
    }
    return matrix->slow + matrix->failed + matrix->silent > 0 ? COMMAND_FAILED : COMMAND_OK;
}

static int ask(const struct mesh_options *options)
{
    struct mesh_matrix matrix;
    if (!mesh_run(&matrix, options, say_round)) {
        return command_failed(&command, "no memory for the matrix of %u hosts", options->hosts);
    }
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "%40s\r", ""); /* where the rounds were counted */
    }
    int code = report(&matrix, options);
    mesh_matrix_free(&matrix);
    return code;
}

static int mesh_main(int argc, char **argv)
{
    struct mesh_options *options = calloc(1, sizeof *options);
    int code = COMMAND_OK;
    if (options == NULL) {
        return command_failed(&command, "no memory");
    }
    switch (mesh_options_read(options, &command, argc, argv)) {
    case MESH_OPTIONS_HELP:
        break;
    case MESH_OPTIONS_WRONG:
        code = COMMAND_USAGE;
        break;
    case MESH_OPTIONS_RUN:
        (void)setenv("KOLO_LOG", "none", 0); /* what fails is in the report */
        code = options->serve ? mesh_serve(&command, options->port) : ask(options);
        break;
    }
    free(options);
    return code;
}

const struct perf_kind perf_kind_mesh = {
    .name = "mesh", .what = "all links between some hosts: which one is sick", .main = mesh_main};
