#include "tools/plan_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "collectives/verify.h"
#include "tools/plan_time.h"
#include "tools/quantity.h"

#define ROWS_MAX 64

/* One algorithm in the comparison. */
struct row {
    const struct algorithm *algorithm;
    bool too_many; /* ranks for it: neither proved nor timed */
    struct verify_report report;
    struct plan_time time;
};

void plan_table_algorithms(void)
{
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    for (unsigned a = 0; a < count; a++) {
        if (a == 0 || table[a].collective != table[a - 1].collective) {
            printf("%s%s\n", a > 0 ? "\n" : "", collective_name(table[a].collective));
        }
        printf("  %-14s %s", table[a].name, table[a].what);
        if (table[a].size_max < SCHEDULE_RANKS_MAX) {
            printf(" [at most %u ranks]", table[a].size_max);
        }
        if (table[a].baseline_only) {
            printf(" [only by name: a baseline]");
        }
        putchar('\n');
    }
}

void plan_table_network(const struct plan_options *options)
{
    char text[QUANTITY_TEXT_MAX];
    const struct network_uniform *network = &options->network;
    if (options->collective == COLLECTIVE_BARRIER) {
        printf("time");
    } else {
        printf("time for %s", quantity_print_bytes(text, options->bytes));
    }
    printf(" at %s a link", quantity_print_bits(text, network->link_Bps));
    printf(", %s a port", quantity_print_bits(text, network->port_Bps));
    printf(", latency %s", quantity_print_seconds(text, network->latency_s));
    if (network->overhead_s > 0) {
        printf(", overhead %s", quantity_print_seconds(text, network->overhead_s));
    }
    if (network->reduce_Bps > 0) {
        printf(", reducing %s", quantity_print_rate(text, network->reduce_Bps));
    }
    putchar('\n');
}

static int by_time(const void *a, const void *b)
{
    const struct row *first = a, *second = b;
    if (first->too_many != second->too_many) {
        return first->too_many ? 1 : -1;
    }
    double difference = first->time.simulated_s - second->time.simulated_s;
    return difference < 0 ? -1 : difference > 0;
}

static int fill(struct row *row, const struct command *command, const struct plan_options *options)
{
    if (options->ranks > row->algorithm->size_max) {
        row->too_many = true;
        return COMMAND_OK;
    }
    if (options->prove &&
        verify_algorithm(&row->report, row->algorithm, options->ranks, options->root) != KOLO_OK) {
        return command_failed(command, "%s is NOT PROVED: %s", row->algorithm->name,
                              row->report.text[0] != '\0' ? row->report.text : kolo_last_error());
    }
    if (plan_time(&row->time, options, row->algorithm) != KOLO_OK) {
        return command_failed(command, "%s", kolo_last_error());
    }
    return COMMAND_OK;
}

static void print_row(const struct row *row, const struct plan_options *options)
{
    char text[QUANTITY_TEXT_MAX];
    const struct algorithm *algorithm = row->algorithm;
    const struct plan_time *time = &row->time;
    printf("%-14s", algorithm->name);
    if (row->too_many) {
        printf("  for at most %u ranks\n", algorithm->size_max);
        return;
    }
    printf("  %-6s", options->prove ? "proved" : "-");
    if (options->prove) {
        printf("  %6u", row->report.rounds);
    } else {
        printf("  %6s", "-");
    }
    printf("  %9llu", (unsigned long long)time->messages);
    printf("  %7.4g", options->bytes > 0 ? time->sent_bytes / (double)options->bytes : 0);
    printf("  %9s", quantity_print_seconds(text, time->simulated_s));
    printf("  %9s", quantity_print_seconds(text, time->formula_s));
    if (time->simulated_s > 0) {
        printf("  %5.1f %%", 100 * time->bound_s / time->simulated_s);
    } else {
        printf("  %7s", "-");
    }
    if (algorithm->baseline_only) {
        printf("  baseline");
    } else if (options->bytes > algorithm->bytes_max) {
        printf("  meant for at most %s", quantity_print_bytes(text, algorithm->bytes_max));
    }
    putchar('\n');
}

int plan_table_compare(const struct command *command, const struct plan_options *options)
{
    unsigned count = 0, rows = 0;
    const struct algorithm *table = algorithm_table(&count);
    struct row row[ROWS_MAX] = {0};
    for (unsigned a = 0; a < count && rows < ROWS_MAX; a++) {
        if (table[a].collective == options->collective) {
            row[rows] = (struct row){.algorithm = &table[a]};
            int exit = fill(&row[rows++], command, options);
            if (exit != COMMAND_OK) {
                return exit;
            }
        }
    }
    qsort(row, rows, sizeof row[0], by_time);
    printf("%s, %u rank%s\n", collective_name(options->collective), options->ranks,
           options->ranks == 1 ? "" : "s");
    plan_table_network(options);
    printf("\n%-14s  %-6s  %6s  %9s  %7s  %9s  %9s  %7s\n", "algorithm", "proof", "rounds",
           "messages", "sent", "simulated", "formula", "bound");
    for (unsigned r = 0; r < rows; r++) {
        print_row(&row[r], options);
    }
    puts("\nsent: vectors sent by the busiest rank; bound: what no algorithm beats, as a share of "
         "the time");
    printf("(%s)\n", plan_time_bound_text(options->collective));
    return COMMAND_OK;
}
