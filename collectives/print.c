#include "collectives/print.h"

#include <inttypes.h>

#define CELL_MAX 64

static const char *const kind_names[] = {
    [INSTRUCTION_SEND] = "send",
    [INSTRUCTION_RECEIVE] = "receive",
    [INSTRUCTION_RECEIVE_REDUCE] = "receive-reduce",
    [INSTRUCTION_COPY] = "copy",
    [INSTRUCTION_FOLD] = "fold",
};

static const char *const buffer_names[] = {
    [BUFFER_INPUT] = "input",
    [BUFFER_OUTPUT] = "output",
    [BUFFER_WORK] = "work",
    [BUFFER_SLOT] = "slot",
};

static bool is_message(const struct instruction *instruction)
{
    return instruction->kind <= INSTRUCTION_RECEIVE_REDUCE;
}

/* ---- cells: each writes one column's text, and "" where it does not apply ------------------------------------------- */

static const char *cell_kind(char *cell, const struct instruction *instruction)
{
    snprintf(cell, CELL_MAX, "%s%s", kind_names[instruction->kind], instruction->final ? " *" : "");
    return cell;
}

static const char *cell_peer(char *cell, const struct instruction *instruction)
{
    cell[0] = '\0';
    if (is_message(instruction)) {
        snprintf(cell, CELL_MAX, "%s %" PRIu32,
                 instruction->kind == INSTRUCTION_SEND ? "to" : "from", instruction->peer);
    }
    return cell;
}

static const char *cell_chunks(char *cell, const struct instruction *instruction)
{
    if (instruction->chunks == 0) {
        snprintf(cell, CELL_MAX, "none");
    } else if (instruction->chunks == 1) {
        snprintf(cell, CELL_MAX, "%" PRIu32, instruction->chunk);
    } else {
        snprintf(cell, CELL_MAX, "%" PRIu32 "-%" PRIu32, instruction->chunk,
                 instruction->chunk + instruction->chunks - 1);
    }
    return cell;
}

static const char *cell_lane(char *cell, const struct instruction *instruction)
{
    cell[0] = '\0';
    if (is_message(instruction)) {
        snprintf(cell, CELL_MAX, "%u", instruction->lane);
    }
    return cell;
}

static const char *cell_place(char *cell, const struct place *place)
{
    if (place->buffer == BUFFER_SLOT) {
        snprintf(cell, CELL_MAX, "slot %" PRIu32, place->slot);
    } else {
        snprintf(cell, CELL_MAX, "%s", buffer_names[place->buffer]);
    }
    return cell;
}

static const char *cell_from(char *cell, const struct instruction *instruction)
{
    cell[0] = '\0';
    if (instruction->kind == INSTRUCTION_FOLD) {
        snprintf(cell, CELL_MAX, "%" PRIu32 " slots%s",
                 instruction->sources - (instruction->own != FOLD_NO_OWN),
                 instruction->own != FOLD_NO_OWN ? "+input" : "");
    } else if (instruction->kind != INSTRUCTION_RECEIVE && instruction->chunks > 0) {
        cell_place(cell, &instruction->from);
    }
    return cell;
}

static const char *cell_to(char *cell, const struct instruction *instruction)
{
    cell[0] = '\0';
    if (instruction->kind != INSTRUCTION_SEND && instruction->chunks > 0) {
        cell_place(cell, &instruction->to);
    }
    return cell;
}

/* ---- lines ---------------------------------------------------------------------------------------------------------- */

static void print_dependencies(FILE *to, const struct schedule *schedule,
                               const struct instruction *instruction)
{
    for (uint32_t d = 0; d < instruction->dependencies; d++) {
        const struct dependency *on = &schedule->dependency[instruction->dependency + d];
        fprintf(to, "%s%" PRIu32 "%s", d > 0 ? " " : "", on->on, on->streamed ? "~" : "");
    }
}

static void print_instruction(FILE *to, const struct schedule *schedule,
                              const struct print_rounds *rounds, uint32_t i)
{
    char cell[CELL_MAX];
    const struct instruction *instruction = &schedule->instruction[i];
    fprintf(to, "%7" PRIu32, i);
    if (rounds != NULL && is_message(instruction)) {
        fprintf(to, "  %5" PRIu32, rounds->round[schedule->rank][i]);
    } else if (rounds != NULL) {
        fprintf(to, "  %5s", "");
    }
    fprintf(to, "  %-16s", cell_kind(cell, instruction));
    fprintf(to, "  %-9s", cell_peer(cell, instruction));
    fprintf(to, "  %-7s", cell_chunks(cell, instruction));
    fprintf(to, "  %-4s", cell_lane(cell, instruction));
    /* Columns are padded only if another one follows. */
    char place[CELL_MAX];
    cell_from(cell, instruction);
    cell_to(place, instruction);
    if (instruction->dependencies > 0) {
        fprintf(to, "  %-12s  %-7s  ", cell, place);
        print_dependencies(to, schedule, instruction);
    } else if (place[0] != '\0') {
        fprintf(to, "  %-12s  %s", cell, place);
    } else {
        fprintf(to, "  %s", cell);
    }
    fputc('\n', to);
}

void print_schedule(FILE *to, const struct schedule *schedule, const struct print_rounds *rounds,
                    uint32_t lines)
{
    uint32_t chunks = schedule->blocks * schedule->block_chunks;
    fprintf(to, "rank %" PRIu32 ": %" PRIu32 " instruction%s on %" PRIu32 " chunk%s\n",
            schedule->rank, schedule->instructions, schedule->instructions == 1 ? "" : "s", chunks,
            chunks == 1 ? "" : "s");
    if (schedule->instructions == 0) {
        return;
    }
    fprintf(to, "%7s%s  %-16s  %-9s  %-7s  %-4s  %-12s  %-7s  %s\n", "step",
            rounds != NULL ? "  round" : "", "kind", "peer", "chunks", "lane", "from", "to",
            "after");
    for (uint32_t i = 0; i < schedule->instructions && i < lines; i++) {
        print_instruction(to, schedule, rounds, i);
    }
    if (schedule->instructions > lines) {
        fprintf(to, "      … %" PRIu32 " more\n", schedule->instructions - lines);
    }
}

void print_schedule_key(FILE *to)
{
    fputs("after: steps that must be done before; ~: followed byte by byte (streamed)\n"
          "*: what is written is the complete result\n",
          to);
}
