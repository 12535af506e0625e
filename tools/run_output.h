/* run_output: what the peers write, line by line, with the rank before each. Lines of different peers do not mix: a line is
 * written when it is whole, when it is RUN_LINE_BYTES long, or when its peer has ended. A carriage return (a progress bar)
 * ends a piece, too. */
#ifndef KOLO_TOOLS_RUN_OUTPUT_H
#define KOLO_TOOLS_RUN_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#define RUN_LINE_BYTES 65536
#define RUN_PREFIX_BYTES 32

/** One peer's standard output or standard error. */
struct run_stream {
    int from; /* a pipe, not blocking, owned; -1: closed */
    int to;   /* 1 or 2 */
    char prefix[RUN_PREFIX_BYTES];
    size_t prefix_bytes;
    char *line;    /* what has come since the last line end, owned: [RUN_LINE_BYTES] */
    size_t length; /* of it */
};

/** Open a stream for `rank` of `peers`: the prefix is as wide as the greatest rank, and has a colour if `to` is a terminal.
 *  Takes over `from`. Returns false without memory (`from` is closed). */
bool run_stream_open(struct run_stream *stream, int from, int to, unsigned rank, unsigned peers);

/** Pass on what has come. Returns false at the end of the stream. Blocks if the terminal or file does. */
bool run_stream_pump(struct run_stream *stream);

/** Pass on what is still there, a last line without its end included, and close. Does not wait for more. */
void run_stream_close(struct run_stream *stream);

/** True once nobody reads our own output any more (`kolo run ... | head`). */
bool run_output_is_gone(void);

#endif
