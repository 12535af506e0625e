#include "tests/transport/conformance/far.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void far_fail(const char *what)
{
    perror(what);
    exit(1);
}

void far_stream_open(struct far_stream *stream, int socket)
{
    int one = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    stream->in = fdopen(socket, "rb");
    stream->out = fdopen(dup(socket), "wb");
    if (stream->in == NULL || stream->out == NULL) {
        far_fail("fdopen");
    }
}

void far_put(struct far_stream *stream, const void *bytes, size_t length)
{
    if (length > 0 && fwrite(bytes, length, 1, stream->out) != 1) {
        far_fail("writing to the other host");
    }
}

void far_get(struct far_stream *stream, void *bytes, size_t length)
{
    if (length > 0 && fread(bytes, length, 1, stream->in) != 1) {
        far_fail("reading from the other host");
    }
}

void far_flush(struct far_stream *stream)
{
    if (fflush(stream->out) != 0) {
        far_fail("writing to the other host");
    }
}
