#include "tools/run_input.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/** Is it a terminal that we may read, not one that would stop us for it? */
static bool is_our_terminal(void)
{
    return isatty(0) && tcgetpgrp(0) == getpgrp();
}

int run_input_open(struct run_input *input)
{
    *input = (struct run_input){.to = -1};
    if (!isatty(0)) {
        int own = fcntl(0, F_DUPFD_CLOEXEC, 3);
        return own >= 0 ? own
                        : open("/dev/null",
                               O_RDONLY | O_CLOEXEC); /* there may be no standard input at all */
    }
    if (!is_our_terminal()) {
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    input->to = ends[1];
    return ends[0];
}

bool run_input_is_full(const struct run_input *input)
{
    return input->offset < input->length;
}

/** Write what is left. Returns false when rank 0 does not read any more. */
static bool put_rest(struct run_input *input)
{
    while (input->offset < input->length) {
        ssize_t count =
            write(input->to, input->bytes + input->offset, input->length - input->offset);
        if (count < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        input->offset += (size_t)count;
    }
    return true;
}

bool run_input_pump(struct run_input *input)
{
    bool open = true;
    if (!run_input_is_full(input) && is_our_terminal()) {
        ssize_t count = read(0, input->bytes, sizeof input->bytes);
        open = count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
        input->length = count > 0 ? (size_t)count : 0;
        input->offset = 0;
    }
    if (!open || !put_rest(input)) {
        run_input_close(input);
        return false;
    }
    return true;
}

void run_input_close(struct run_input *input)
{
    if (input->to >= 0) {
        close(input->to);
        input->to = -1;
    }
}
