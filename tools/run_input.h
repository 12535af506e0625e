/* run_input: what is typed, for rank 0. A peer is in another process group than the terminal's, so it cannot read the
 * terminal itself; a file or a pipe it simply inherits. */
#ifndef KOLO_TOOLS_RUN_INPUT_H
#define KOLO_TOOLS_RUN_INPUT_H

#include <stdbool.h>
#include <stddef.h>

struct run_input {
    int to; /* a pipe to rank 0, not blocking; -1: nothing to pass on */
    char bytes[4096];
    size_t length, offset; /* read, and written of it */
};

/** Prepare it. Returns rank 0's standard input, which the caller closes; -1 on error (errno). Out: input. */
int run_input_open(struct run_input *input);

/** Something can be read (or written, if some is left). Returns false when it is over and closed. */
bool run_input_pump(struct run_input *input);

/** Is some left that has been read and does not fit into the pipe yet? */
bool run_input_is_full(const struct run_input *input);

void run_input_close(struct run_input *input);

#endif
