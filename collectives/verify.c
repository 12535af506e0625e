#include "collectives/verify.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "collectives/verify_parts.h"

#define SENT_TOLERANCE 1e-9 /* of rounding in the formula */

/* ---- for all steps ------------------------------------------------------------------------------------------------ */

kolo_status verify_wrong(struct verify_report *report, const char *format, ...)
{
    if (report->text[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(report->text, sizeof report->text, format, arguments);
        va_end(arguments);
    }
    return KOLO_ERR_INTERNAL;
}

kolo_status verify_starved(struct verify_report *report)
{
    verify_wrong(report, "no memory to verify the schedules");
    return KOLO_ERR_MEMORY;
}

const char *verify_buffer_name(uint8_t buffer)
{
    static const char *const names[] = {"INPUT", "OUTPUT", "WORK", "SLOT"};
    return buffer <= BUFFER_SLOT ? names[buffer] : "?";
}

bool verify_input_has(const struct schedule *schedule, uint32_t chunk)
{
    if (schedule->collective == COLLECTIVE_ALL_GATHER) {
        return chunk / schedule->block_chunks == schedule->rank;
    }
    return schedule->collective != COLLECTIVE_BROADCAST || schedule->rank == schedule->root;
}

bool verify_output_has(const struct schedule *schedule, uint32_t chunk)
{
    if (schedule->collective == COLLECTIVE_REDUCE_SCATTER) {
        return chunk / schedule->block_chunks == schedule->rank;
    }
    return schedule->collective != COLLECTIVE_REDUCE || schedule->rank == schedule->root;
}

/* ---- schedules ---------------------------------------------------------------------------------------------------- */

static void count_sent(const struct proof *proof)
{
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        const struct schedule *schedule = proof->schedules[rank];
        uint64_t sent = 0;
        for (uint32_t i = 0; i < schedule->instructions; i++) {
            const struct instruction *instruction = &schedule->instruction[i];
            sent += instruction->kind == INSTRUCTION_SEND ? instruction->chunks : 0;
        }
        double fraction = proof->chunks ? (double)sent / proof->chunks : 0;
        if (proof->report->sent_fraction_most < fraction) {
            proof->report->sent_fraction_most = fraction;
        }
    }
}

static kolo_status verify_steps(struct proof *proof)
{
    kolo_status status = verify_order(proof);
    if (status == KOLO_OK) {
        status = verify_match(proof);
    }
    if (status == KOLO_OK) {
        status = verify_flow(proof);
    }
    return status;
}

/* Number all instructions through. Returns false if they are too many or memory ran out. */
static bool proof_alloc(struct proof *proof)
{
    uint64_t all = 0;
    proof->base = calloc((size_t)proof->size + 1, sizeof *proof->base);
    for (uint32_t rank = 0; proof->base && rank < proof->size; rank++) {
        all += proof->schedules[rank]->instructions;
        if (all >= NOBODY) {
            return false;
        }
        proof->base[rank + 1] = (uint32_t)all;
    }
    proof->report->instructions = all;
    proof->partner = calloc(all + 1, sizeof *proof->partner);
    proof->lane_next = calloc(all + 1, sizeof *proof->lane_next);
    return proof->base && proof->partner && proof->lane_next;
}

kolo_status verify_schedules(struct verify_report *report, const struct schedule *const *schedules,
                             uint32_t size)
{
    assert(size > 0);
    *report = (struct verify_report){0};
    struct proof proof = {.schedules = schedules, .size = size, .report = report};
    uint64_t chunks = (uint64_t)schedules[0]->blocks * schedules[0]->block_chunks;
    if (chunks >= UINT32_MAX) {
        return verify_wrong(report, "a vector of %llu chunks", (unsigned long long)chunks);
    }
    proof.chunks = (uint32_t)chunks;
    kolo_status status = verify_form(&proof);
    if (status != KOLO_OK) {
        return status;
    }
    count_sent(&proof);
    status = proof_alloc(&proof) ? verify_steps(&proof) : verify_starved(report);
    free(proof.base);
    free(proof.partner);
    free(proof.lane_next);
    return status;
}

/* ---- algorithms --------------------------------------------------------------------------------------------------- */

static void free_all(struct schedule **schedules, uint32_t size)
{
    for (uint32_t rank = 0; schedules != NULL && rank < size; rank++) {
        schedule_free(schedules[rank]);
    }
    free(schedules);
}

static kolo_status check_sent(struct verify_report *report, const struct algorithm *algorithm,
                              uint32_t size)
{
    double expected = algorithm->sent_fraction(size), most = report->sent_fraction_most;
    if (fabs(most - expected) <= SENT_TOLERANCE * (1 + expected)) {
        return KOLO_OK;
    }
    return verify_wrong(report, "a rank sends %.9g vectors; the formula says %.9g", most, expected);
}

static kolo_status verify_built(struct verify_report *report, struct schedule **schedules,
                                const struct algorithm *algorithm, uint32_t size, uint32_t root)
{
    for (uint32_t rank = 0; rank < size; rank++) {
        kolo_status status = algorithm_build(&schedules[rank], algorithm, rank, size, root);
        if (status != KOLO_OK) {
            verify_wrong(report, "rank %u of %u cannot be built (%s)", rank, size,
                         kolo_status_name(status));
            return status == KOLO_ERR_MEMORY ? status : KOLO_ERR_INTERNAL;
        }
    }
    kolo_status status = verify_schedules(report, (const struct schedule *const *)schedules, size);
    return status == KOLO_OK ? check_sent(report, algorithm, size) : status;
}

kolo_status verify_algorithm(struct verify_report *report, const struct algorithm *algorithm,
                             uint32_t size, uint32_t root)
{
    *report = (struct verify_report){0};
    struct schedule **schedules = calloc(size, sizeof(struct schedule *));
    if (schedules == NULL) {
        return verify_starved(report);
    }
    kolo_status status = verify_built(report, schedules, algorithm, size, root);
    free_all(schedules, size);
    return status;
}
