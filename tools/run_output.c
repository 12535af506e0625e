#include "tools/run_output.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLOURS 6 /* red .. cyan: 31 to 36 */

/* Lines on their way out, so that many short ones cost one call. */
static struct {
    char bytes[2 * RUN_LINE_BYTES];
    size_t length;
} outgoing;

static bool output_gone;

bool run_output_is_gone(void)
{
    return output_gone;
}

static void flush_to(int to)
{
    size_t written = 0;
    while (written < outgoing.length && !output_gone) {
        ssize_t count = write(to, outgoing.bytes + written, outgoing.length - written);
        if (count >= 0) {
            written += (size_t)count;
        } else if (errno != EINTR) {
            output_gone = true;
        }
    }
    outgoing.length = 0;
}

/** Write prefix and text; the text is at most a line of RUN_LINE_BYTES and an end. */
static void put_line(const struct run_stream *stream, const char *text, size_t length)
{
    if (outgoing.length + stream->prefix_bytes + length > sizeof outgoing.bytes) {
        flush_to(stream->to);
    }
    memcpy(outgoing.bytes + outgoing.length, stream->prefix, stream->prefix_bytes);
    outgoing.length += stream->prefix_bytes;
    memcpy(outgoing.bytes + outgoing.length, text, length);
    outgoing.length += length;
}

static void set_prefix(struct run_stream *stream, unsigned rank, unsigned peers)
{
    char widest[16];
    int width = snprintf(widest, sizeof widest, "%u", peers - 1);
    const char *no_color = getenv("NO_COLOR");
    bool coloured = isatty(stream->to) && (no_color == NULL || no_color[0] == '\0');
    int length = coloured ? snprintf(stream->prefix, RUN_PREFIX_BYTES, "\033[%um[%*u]\033[0m ",
                                     31 + rank % COLOURS, width, rank)
                          : snprintf(stream->prefix, RUN_PREFIX_BYTES, "[%*u] ", width, rank);
    assert(length > 0 && length < RUN_PREFIX_BYTES);
    stream->prefix_bytes = (size_t)length;
}

bool run_stream_open(struct run_stream *stream, int from, int to, unsigned rank, unsigned peers)
{
    assert(rank < peers);
    *stream = (struct run_stream){.from = from, .to = to, .line = malloc(RUN_LINE_BYTES + 1)};
    if (stream->line == NULL) {
        close(from);
        stream->from = -1;
        return false;
    }
    set_prefix(stream, rank, peers);
    return true;
}

/** How many of the first `length` bytes are a whole piece; 0: none yet. "\r\n" is one end, so a last '\r' waits. */
static size_t piece_length(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\n') {
            return i + 1;
        }
        if (bytes[i] == '\r' && i + 1 < length) {
            return bytes[i + 1] == '\n' ? i + 2 : i + 1;
        }
    }
    return 0;
}

/** Write the whole pieces of the line buffer and keep the rest. */
static void put_pieces(struct run_stream *stream)
{
    size_t done = 0, piece;
    while ((piece = piece_length(stream->line + done, stream->length - done)) > 0) {
        put_line(stream, stream->line + done, piece);
        done += piece;
    }
    memmove(stream->line, stream->line + done, stream->length - done);
    stream->length -= done;
}

/** Write what has no end yet, and give it one. */
static void put_rest(struct run_stream *stream)
{
    if (stream->length > 0) {
        stream->line[stream->length] = '\n'; /* there is one byte more than RUN_LINE_BYTES */
        put_line(stream, stream->line, stream->length + 1);
        stream->length = 0;
    }
}

/** Read once. Returns bytes read, 0 if there is nothing now, -1 at the end. */
static ssize_t read_some(struct run_stream *stream)
{
    ssize_t count =
        read(stream->from, stream->line + stream->length, RUN_LINE_BYTES - stream->length);
    if (count > 0) {
        stream->length += (size_t)count;
        put_pieces(stream);
        if (stream->length == RUN_LINE_BYTES) {
            put_rest(stream);
        }
        return count;
    }
    return count < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

bool run_stream_pump(struct run_stream *stream)
{
    ssize_t count = read_some(stream);
    flush_to(stream->to);
    return count >= 0;
}

void run_stream_close(struct run_stream *stream)
{
    if (stream->from < 0) {
        return;
    }
    /* What its children still write is not waited for: a pipe holds less than this many reads. */
    for (int reads = 0; reads < 64 && read_some(stream) > 0; reads++) {
    }
    put_rest(stream);
    flush_to(stream->to);
    close(stream->from);
    stream->from = -1;
    free(stream->line);
    stream->line = NULL;
}
