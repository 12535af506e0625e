/* kolo plan: shows, proves, times and draws collective algorithms. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/print.h"
#include "collectives/verify.h"
#include "tools/command.h"
#include "tools/plan_options.h"
#include "tools/plan_table.h"
#include "tools/plan_time.h"
#include "tools/quantity.h"

#define LINES_A_RANK 24 /* of a listing, unless --full */
#define RANKS_LISTED 8

static int forward_failure(void)
{
    return command_failed(&command_plan, "%s", kolo_last_error());
}

/* ---- all ranks' schedules ---------------------------------------------------------------------------------------------- */

static void free_schedules(struct schedule **schedules, uint32_t ranks)
{
    for (uint32_t rank = 0; schedules != NULL && rank < ranks; rank++) {
        schedule_free(schedules[rank]);
    }
    free(schedules);
}

/* Those of the first `ranks` ranks. NULL: it has been said why. */
static struct schedule **build_schedules(const struct plan_options *options, uint32_t ranks)
{
    struct schedule **schedules = calloc(ranks, sizeof(struct schedule *));
    for (uint32_t rank = 0; schedules != NULL && rank < ranks; rank++) {
        if (algorithm_build(&schedules[rank], options->algorithm, rank, options->ranks,
                            options->root) != KOLO_OK) {
            forward_failure();
            free_schedules(schedules, ranks);
            return NULL;
        }
    }
    return schedules;
}

/* ---- the listing --------------------------------------------------------------------------------------------------------- */

static void list_schedules(const struct plan_options *options, struct schedule *const *schedules,
                           uint32_t first, uint32_t count)
{
    struct print_rounds rounds = {0};
    bool numbered =
        options->ranks <= PRINT_RANKS_MAX &&
        print_rounds(&rounds, (const struct schedule *const *)schedules, options->ranks) == KOLO_OK;
    for (uint32_t rank = first; rank < first + count; rank++) {
        print_schedule(stdout, schedules[rank], numbered ? &rounds : NULL,
                       options->full ? PRINT_ALL : LINES_A_RANK);
        putchar('\n');
    }
    print_rounds_free(&rounds);
}

/* List the instructions of the ranks asked for. */
static int list(const struct plan_options *options)
{
    uint32_t first = options->rank == PLAN_RANK_ALL ? 0 : (uint32_t)options->rank;
    uint32_t count = options->rank == PLAN_RANK_ALL ? options->ranks : 1;
    if (!options->full && count > RANKS_LISTED) {
        count = RANKS_LISTED;
    }
    /* Round numbers need all ranks; without them (large groups) only those listed are built. */
    uint32_t needed = options->ranks <= PRINT_RANKS_MAX ? options->ranks : first + count;
    struct schedule **schedules = build_schedules(options, needed);
    if (schedules == NULL) {
        return COMMAND_FAILED;
    }
    list_schedules(options, schedules, first, count);
    free_schedules(schedules, needed);
    if (options->rank == PLAN_RANK_ALL && count < options->ranks) {
        printf("… %u more ranks; --full lists everything, --rank R one rank\n\n",
               options->ranks - count);
    }
    print_schedule_key(stdout);
    return COMMAND_OK;
}

/* ---- proof and time ------------------------------------------------------------------------------------------------------ */

static int prove(const struct plan_options *options)
{
    struct verify_report report;
    if (!options->prove) {
        puts("\nnot proved (--no-proof)");
        return COMMAND_OK;
    }
    fflush(stdout); /* a proof may take a while */
    if (verify_algorithm(&report, options->algorithm, options->ranks, options->root) != KOLO_OK) {
        return command_failed(&command_plan, "NOT PROVED: %s",
                              report.text[0] != '\0' ? report.text : kolo_last_error());
    }
    printf("\nproved for all %u ranks together\n", options->ranks);
    puts("  sends meet receives, in order; no deadlock, even if nothing is buffered\n"
         "  conflicting accesses are ordered, in place as well; nothing is read before it is "
         "written\n"
         "  each contribution is in the result exactly once; every rank has the same bits");
    printf("  instructions  %llu\n  messages      %llu\n  rounds        %u\n"
           "  sent          %.4g vectors by the busiest rank, as the formula says\n",
           (unsigned long long)report.instructions, (unsigned long long)report.messages,
           report.rounds, report.sent_fraction_most);
    return COMMAND_OK;
}

static int show_time(const struct plan_options *options)
{
    char text[QUANTITY_TEXT_MAX];
    struct plan_time time;
    if (plan_time(&time, options, options->algorithm) != KOLO_OK) {
        return forward_failure();
    }
    putchar('\n');
    plan_table_network(options);
    printf("  simulated     %s\n", quantity_print_seconds(text, time.simulated_s));
    printf("  by formula    %s\n", quantity_print_seconds(text, time.formula_s));
    printf("  bound         %s", quantity_print_seconds(text, time.bound_s));
    printf("  (%s)\n", plan_time_bound_text(options->collective));
    if (time.simulated_s > 0) {
        printf("  of the bound  %.1f %%\n", 100 * time.bound_s / time.simulated_s);
    }
    double bus_Bps = plan_time_bus_Bps(options, time.simulated_s);
    if (bus_Bps > 0) {
        printf("  bus bandwidth %s\n", quantity_print_rate(text, bus_Bps));
    }
    return COMMAND_OK;
}

/* ---- the picture --------------------------------------------------------------------------------------------------------- */

static kolo_status draw_into(FILE *file, const struct plan_options *options,
                             struct schedule *const *schedules)
{
    char title[128], subtitle[256];
    const struct algorithm *algorithm = options->algorithm;
    int length =
        snprintf(title, sizeof title, "%s by %s, %u rank%s", collective_name(options->collective),
                 algorithm->name, options->ranks, options->ranks == 1 ? "" : "s");
    if (collective_has_root(options->collective)) {
        snprintf(title + length, sizeof title - (size_t)length, ", root %u", options->root);
    }
    snprintf(subtitle, sizeof subtitle, "%s", algorithm->what);
    return print_svg(file, (const struct schedule *const *)schedules, options->ranks, title,
                     subtitle);
}

static int draw(const struct plan_options *options)
{
    struct schedule **schedules = build_schedules(options, options->ranks);
    if (schedules == NULL) {
        return COMMAND_FAILED;
    }
    int exit = COMMAND_OK;
    FILE *file = fopen(options->svg, "w");
    if (file == NULL) {
        exit = command_failed(&command_plan, "--svg %s cannot be written: %s", options->svg,
                              strerror(errno));
    } else {
        kolo_status status = draw_into(file, options, schedules);
        bool broken = ferror(file) != 0;
        if (fclose(file) != 0 || broken) {
            exit = command_failed(&command_plan, "--svg %s: writing failed: %s", options->svg,
                                  strerror(errno));
        } else if (status != KOLO_OK) {
            remove(options->svg); /* empty */
            exit = forward_failure();
        } else {
            printf("\nthe picture is in %s\n", options->svg);
        }
    }
    free_schedules(schedules, options->ranks);
    return exit;
}

/* ---- the command ----------------------------------------------------------------------------------------------------------- */

static int show_one(const struct plan_options *options)
{
    printf("%s by %s, %u rank%s", collective_name(options->collective), options->algorithm->name,
           options->ranks, options->ranks == 1 ? "" : "s");
    if (collective_has_root(options->collective)) {
        printf(", root %u", options->root);
    }
    printf("\n%s\n\n", options->algorithm->what);
    int exit = list(options);
    exit = exit == COMMAND_OK ? prove(options) : exit;
    exit = exit == COMMAND_OK ? show_time(options) : exit;
    return exit == COMMAND_OK && options->svg != NULL ? draw(options) : exit;
}

static int plan_main(int argc, char **argv)
{
    struct plan_options options;
    setenv("KOLO_LOG", "none", 0); /* this command tells of errors itself, once */
    switch (plan_options_read(&options, &command_plan, argc, argv)) {
    case PLAN_HELP:
        plan_options_help();
        return COMMAND_OK;
    case PLAN_LIST:
        plan_table_algorithms();
        return COMMAND_OK;
    case PLAN_WRONG:
        return COMMAND_USAGE;
    case PLAN_RUN:
        break;
    }
    return options.algorithm != NULL ? show_one(&options)
                                     : plan_table_compare(&command_plan, &options);
}

const struct command command_plan = {
    .name = "plan", .what = "show, prove, time and draw an algorithm", .main = plan_main};
