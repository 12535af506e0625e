#include "tests/membership/forming.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* The socket stays, bound and deaf, so that no outgoing connection is given the port meanwhile; with SO_REUSEADDR on both
 * sides a peer may listen there all the same. */
int forming_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        perror("no port");
        abort();
    }
    return ntohs(address.sin_port);
}

void forming_set(const char *name, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    setenv(name, text, 1);
}

/* Everyone tells its process id at its rank: all must come to the same list. */
static void compare_lists(kolo_comm *comm, unsigned size)
{
    int32_t self = getpid(), list[PEERS_MAX];
    uint64_t hash = 0, extremes[2];
    PEER_CHECK(kolo_all_gather(comm, list, &self, 1, KOLO_I32, NULL) == KOLO_OK, "all-gather");
    PEER_CHECK(list[kolo_rank(comm)] == self, "rank %d", kolo_rank(comm));
    for (unsigned i = 0; i < size; i++) {
        for (unsigned k = 0; k < i; k++) {
            PEER_CHECK(list[i] != list[k], "ranks %u and %u are one process", i, k);
        }
        hash = hash * 31 + (uint64_t)list[i];
    }
    PEER_CHECK(kolo_all_reduce(comm, &extremes[0], &hash, 1, KOLO_U64, KOLO_MIN, NULL) == KOLO_OK,
               "min");
    PEER_CHECK(kolo_all_reduce(comm, &extremes[1], &hash, 1, KOLO_U64, KOLO_MAX, NULL) == KOLO_OK,
               "max");
    PEER_CHECK(extremes[0] == hash && extremes[1] == hash, "the lists differ");
}

int forming_join(unsigned size)
{
    assert(size <= PEERS_MAX);
    kolo_comm *comm = peer_open();
    int rank = kolo_rank(comm);
    PEER_CHECK(kolo_size(comm) == (int)size, "size %d", kolo_size(comm));
    compare_lists(comm, size);
    PEER_CHECK(kolo_close(comm) == KOLO_OK, "close");
    return rank;
}

void forming_fails(kolo_status status, const char *what)
{
    kolo_comm *comm = NULL;
    kolo_status got = kolo_open(&comm, NULL);
    PEER_CHECK(got == status, "%s instead of %s", kolo_status_name(got), kolo_status_name(status));
    PEER_CHECK(comm == NULL, "assigned on success only");
    PEER_CHECK(strstr(kolo_last_error(), what) != NULL, "no word of '%s'", what);
}

void forming_be_late(unsigned ms)
{
    const struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&span, NULL);
}
