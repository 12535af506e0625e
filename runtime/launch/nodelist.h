/* nodelist: the compressed lists of host names in which Slurm says where a job runs: "node[01-03,7],other". */
#ifndef KOLO_LAUNCH_NODELIST_H
#define KOLO_LAUNCH_NODELIST_H

#include <stdbool.h>
#include <stddef.h>

/** The first host of a list: every bracket stands for its first number, with the zeros it is written with.
 *  Returns false if the list is malformed (a bracket that is not closed or has no number, an empty name) or the name does not
 *  fit. Out: host, `host_bytes` long, terminated; undefined if false. */
bool nodelist_first(char *host, size_t host_bytes, const char *list);

#endif
