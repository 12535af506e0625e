#include "transport/tcp/socket.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "runtime/base/clock.h"
#include "transport/tcp/address.h"

#define KEEPALIVE_IDLE_S 1
#define KEEPALIVE_INTERVAL_S 1
#define LOCAL_SEND_BYTES                                                                           \
    (256 * 1024)                /* the kernel doubles it; measured: more falls out of the caches */
#define KEEPALIVE_COUNT_MAX 127 /* the kernel's limit */

static void set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

void socket_tune(int fd, uint64_t peer_timeout_ns)
{
    uint64_t ms = peer_timeout_ns / NS_PER_MS;
    uint64_t probes = peer_timeout_ns / NS_PER_S;
    probes = probes > KEEPALIVE_IDLE_S ? probes - KEEPALIVE_IDLE_S : 1;
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (peer_timeout_ns == 0) {
        return;
    }
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT,
        probes < KEEPALIVE_COUNT_MAX ? (int)probes : KEEPALIVE_COUNT_MAX);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms < INT_MAX ? (int)ms : INT_MAX);
}

void socket_keep_local_in_cache(int fd)
{
    struct port_address here = {0};
    struct port_address there = {0};
    socklen_t length = sizeof here.as;
    if (getsockname(fd, &here.as.any, &length) != 0) {
        return;
    }
    length = sizeof there.as;
    if (getpeername(fd, &there.as.any, &length) == 0 && address_same_host(&here, &there)) {
        set(fd, SOL_SOCKET, SO_SNDBUF, LOCAL_SEND_BYTES);
        /* Nothing is ever congested inside a host; a pacing algorithm (bbr) costs a timer a message there. */
        static const char reno[] = "reno";
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof reno - 1);
    }
}
