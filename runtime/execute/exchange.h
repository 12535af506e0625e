/* exchange: how an operation is done whose schedule is an exchange (collectives/exchange.h), where all peers can look at one
 * board: this rank shows its input, looks at what each other rank shows, and does the rest of the schedule with that, in the
 * order of the list. What others show is folded where it lies. */
#ifndef KOLO_EXECUTE_EXCHANGE_H
#define KOLO_EXECUTE_EXCHANGE_H

#include "runtime/execute/operation.h"

/** Can the operation, whose plan and request are set, be shown? The same on all ranks, if they call the same. */
bool exchange_fits(const struct operation *operation);

/** Show this rank's input. The steps have been reserved. */
void exchange_begin(struct operation *operation);

/** As operation_step(). */
bool exchange_step(struct operation *operation);

/** As operation_waits_for(). */
const char *exchange_waits_for(const struct operation *operation, char *text, size_t text_bytes);

#endif
