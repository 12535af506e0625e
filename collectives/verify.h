/* verify: proves a collective right, over all its ranks together, before it meets a socket.
 *
 * What is proved: every send meets a receive of the same chunk range on the same lane, in order; no deadlock even when no
 * message is buffered (the graph of instructions, with each send and its receive as one node, lane order and dependencies
 * as edges, has no cycle); every conflicting pair of accesses of a rank (in place, too) is ordered by dependencies;
 * every contribution is in the result exactly once; what is sent on as a result is complete; every rank ends with the same
 * reduction tree for each element (so: the same bits) and AVG divides exactly once; nothing is read that was not
 * written, nothing is written outside what exists (INPUT is never written unless in place); bytes sent equal the formula. */
#ifndef KOLO_COLLECTIVES_VERIFY_H
#define KOLO_COLLECTIVES_VERIFY_H

#include "collectives/algorithm.h"

#define VERIFY_TEXT_MAX 256

struct verify_report {
    char text[VERIFY_TEXT_MAX]; /* why it is wrong: rank, instruction, chunk, what was expected */
    uint64_t instructions;      /* of all ranks */
    uint64_t messages;
    double sent_fraction_most; /* of the rank that sends most, in vectors */
    uint32_t rounds;           /* longest chain of messages: what multiplies the latency */
};

/** Verify the schedules of all ranks (schedules[size]).
 *  Returns: KOLO_OK; KOLO_ERR_INTERNAL with report->text if they are wrong; KOLO_ERR_MEMORY. Out: report, always. */
kolo_status verify_schedules(struct verify_report *report, const struct schedule *const *schedules,
                             uint32_t size);

/** Build all ranks' schedules of an algorithm and verify them, the formula of bytes sent included. */
kolo_status verify_algorithm(struct verify_report *report, const struct algorithm *algorithm,
                             uint32_t size, uint32_t root);

#endif
