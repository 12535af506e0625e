/* plan_table: the tables of `kolo plan`: all algorithms there are, and those of one collective side by side. */
#ifndef KOLO_TOOLS_PLAN_TABLE_H
#define KOLO_TOOLS_PLAN_TABLE_H

#include "tools/plan_options.h"

/** Print all algorithms with what they are. */
void plan_table_algorithms(void);

/** Print one line: how many bytes on what network. */
void plan_table_network(const struct plan_options *options);

/** Prove and time all algorithms of the collective and print them, fastest first.
 *  Returns COMMAND_OK; COMMAND_FAILED if one could not be proved or timed (it has been said why). */
int plan_table_compare(const struct command *command, const struct plan_options *options);

#endif
