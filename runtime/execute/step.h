/* step: the inside of an operation, for the two that bring it on: operation.c, which moves messages, and exchange.c, which shows
 * and looks. */
#ifndef KOLO_EXECUTE_STEP_H
#define KOLO_EXECUTE_STEP_H

#include "runtime/execute/operation.h"

/** One instruction under way. */
struct step {
    struct transfer transfer;
    uint8_t *to;
    const uint8_t *from;
    size_t length;
    size_t offset; /* of what is received from a peer that shows: where in that */
    size_t done;   /* bytes from the start */
    bool finished;
};

/** Bytes of an element; of a barrier, which has none, 1. */
size_t operation_element_bytes(const struct operation *operation);

/** Reckon where an instruction's bytes are, in the pass under way: to, from and length of its step. */
void operation_lay_out(struct operation *operation, uint32_t index);

/** What reduce() is to be called with for an instruction. */
unsigned operation_divisor(const struct operation *operation,
                           const struct instruction *instruction);
kolo_operator operation_operator(const struct operation *operation);

#endif
