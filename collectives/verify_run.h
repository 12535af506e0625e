/* verify_run: what an instruction does to the symbols, and what must be there at the end. In both worlds at once (in place and
 * not). Only for verify*.c. */
#ifndef KOLO_COLLECTIVES_VERIFY_RUN_H
#define KOLO_COLLECTIVES_VERIFY_RUN_H

#include "collectives/verify_memory.h"
#include "collectives/verify_parts.h"

#define WORLDS 2

struct run {
    const struct proof *proof;
    struct values values;
    struct memory memory[WORLDS]; /* INPUT and OUTPUT apart; the same memory */
    uint64_t *heard; /* barrier: [all * words] whom each instruction has heard of; else NULL */
    size_t words;
};

/** Returns KOLO_OK, KOLO_ERR_MEMORY (nothing is left to free then). */
kolo_status verify_run_init(struct run *run, const struct proof *proof);
void verify_run_free(struct run *run);

/** A copy or a fold. Returns KOLO_OK; KOLO_ERR_INTERNAL and a text if it reads what was not written, adds to what is complete,
 *  or completes what is not; KOLO_ERR_MEMORY. */
kolo_status verify_run_local(struct run *run, uint32_t rank, uint32_t index);

/** A message from one rank's send to another's receive (or receive-reduce). Returns as verify_run_local(). */
kolo_status verify_run_message(struct run *run, uint32_t rank, uint32_t index, uint32_t peer,
                               uint32_t peer_index);

/** Everything has happened: is the collective's result in every output? Returns as verify_run_local(). */
kolo_status verify_run_end(struct run *run);

#endif
