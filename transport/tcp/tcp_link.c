#include "transport/tcp/tcp_link.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/tcp/socket.h"
#include "transport/tcp/tcp_connect.h"

#define BUSY_TICK_NS (50 * NS_PER_MS) /* while links come up, or last bytes are on their way */
#define WATCH_TICK_MIN_NS (20 * NS_PER_MS)
#define SILENT_TICKS 2             /* in a row, until a host counts as silent */
#define SILENT_PROBES 3            /* unanswered probes of a closed window, likewise */
#define DRAIN_BYTES_MAX (4u << 20) /* read and thrown away when a link is closed */

kolo_status tcp_link_make(struct tcp_link **link, struct tcp_transport *transport,
                          const struct link_config *config)
{
    struct tcp_link *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a tcp link");
    }
    made->base = (struct link){.ops = transport->base.ops, .transport = &transport->base};
    made->transport = transport;
    memcpy(made->peer, config->peer, sizeof made->peer);
    made->dials = config->dials;
    made->token = config->token;
    snprintf(made->name, sizeof made->name, "%s",
             config->peer_name != NULL ? config->peer_name : "a peer");
    kolo_status status = KOLO_OK;
    for (unsigned i = 0; i < TRANSPORT_LANES && status == KOLO_OK; i++) {
        status = tcp_lane_init(&made->lanes[i], i);
        made->lanes[i].link = made;
    }
    if (status != KOLO_OK) {
        for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
            tcp_lane_fini(&made->lanes[i]);
        }
        free(made);
        return fail(status, "out of memory for the buffers of a tcp link");
    }
    made->next = transport->links;
    if (transport->links != NULL) {
        transport->links->previous = made;
    }
    transport->links = made;
    *link = made;
    return KOLO_OK;
}

/* ---- the list of lanes with work ---------------------------------------------------------------------------------- */

void tcp_lane_activate(struct tcp_transport *transport, struct tcp_lane *lane)
{
    if (lane->active) {
        return;
    }
    lane->active = true;
    lane->previous = NULL;
    lane->next = transport->active;
    if (transport->active != NULL) {
        transport->active->previous = lane;
    }
    transport->active = lane;
}

void tcp_lane_deactivate(struct tcp_transport *transport, struct tcp_lane *lane)
{
    if (!lane->active) {
        return;
    }
    lane->active = false;
    if (lane->previous != NULL) {
        lane->previous->next = lane->next;
    } else {
        transport->active = lane->next;
    }
    if (lane->next != NULL) {
        lane->next->previous = lane->previous;
    }
}

/* ---- coming up ---------------------------------------------------------------------------------------------------- */

void tcp_link_try_up(struct tcp_link *link)
{
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        if (link->lanes[i].fd < 0) {
            return;
        }
    }
    if (link->state == LINK_CONNECTING) {
        link->state = LINK_UP;
        tcp_transport_wind(link->transport);
    }
}

void tcp_link_open_lane(struct tcp_link *link, unsigned lane, int fd)
{
    struct tcp_lane *open = &link->lanes[lane];
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = open};
    int off = 0;
    assert(open->fd < 0 && link->state != LINK_LOST && link->state != LINK_UP);
    open->fd = fd;
    open->writable = true;
    open->readable = true;
    /* A peer that does not read for long is slow, not silent, but TCP_USER_TIMEOUT breaks the connection all the same when its
     * window stays closed. So tcp_link_watch() does it for lanes. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &off, sizeof off);
    socket_keep_local_in_cache(fd);
    if (epoll_ctl(link->transport->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        tcp_link_lose(link, KOLO_ERR_SYSTEM, "epoll_ctl for a lane to %s: %s", link->name,
                      strerror(errno));
        return;
    }
    tcp_link_try_up(link);
}

/* ---- ending ------------------------------------------------------------------------------------------------------- */

/* The FIN must go out even if a child of this process has inherited the descriptor: so shutdown(), too. */
static void close_lane(struct tcp_link *link, struct tcp_lane *lane)
{
    tcp_lane_deactivate(link->transport, lane);
    if (lane->fd >= 0) {
        (void)epoll_ctl(link->transport->epoll_fd, EPOLL_CTL_DEL, lane->fd, NULL);
        (void)shutdown(lane->fd, SHUT_RDWR);
        close(lane->fd);
        lane->fd = -1;
    }
}

void tcp_link_lose(struct tcp_link *link, kolo_status status, const char *format, ...)
{
    if (link->state == LINK_LOST) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(link->text, sizeof link->text, format, arguments);
    va_end(arguments);
    link->state = LINK_LOST;
    link->status = status;
    link->ending = false;
    log_line(status == KOLO_ERR_PEER_LOST ? LOG_INFO : LOG_WARN, "link lost: %s", link->text);
    tcp_connect_cancel(link);
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        tcp_lane_fail(&link->lanes[i], status);
        close_lane(link, &link->lanes[i]);
    }
    tcp_transport_wind(link->transport);
}

static void lose_by(struct tcp_link *link, const struct tcp_lane *lane)
{
    int error = lane->end == TCP_LANE_BROKEN ? lane->error : lane->send_error;
    unsigned index = lane->index;
    if (lane->end == TCP_LANE_HOSTILE) {
        tcp_link_lose(link, KOLO_ERR_PROTOCOL,
                      "%s sent bytes on lane %u that are no message of kolo's", link->name, index);
    } else if (error == 0) {
        tcp_link_lose(link, KOLO_ERR_PEER_LOST,
                      "%s has closed its connection (lane %u): its process has ended or left",
                      link->name, index);
    } else if (error == ECONNRESET || error == EPIPE) {
        tcp_link_lose(link, KOLO_ERR_PEER_LOST,
                      "%s has reset its connection (lane %u): its process was killed or has left",
                      link->name, index);
    } else if (error == ETIMEDOUT) {
        tcp_link_lose(link, KOLO_ERR_PEER_LOST,
                      "the host of %s has been silent for %.3g s (lane %u): it is down, or cut off",
                      link->name, (double)link->transport->peer_timeout_ns / 1e9, index);
    } else {
        tcp_link_lose(link, KOLO_ERR_PEER_LOST, "the connection to %s broke (lane %u): %s",
                      link->name, index, strerror(error));
    }
}

static void deliver(struct tcp_lane *lane)
{
    while (tcp_lane_wants(lane) && tcp_lane_receive(lane)) {
    }
}

/* Find out how a lane stands: everything that has come goes to the receives that are posted. */
static void settle_lane(struct tcp_lane *lane)
{
    if (lane->hung_up || lane->send_error != 0) {
        deliver(lane);
        if (lane->receives == NULL) {
            tcp_lane_probe_end(lane);
        }
    }
}

/* The lane that makes the link lost: one whose posted transfers can never be done. NULL: none, yet. */
static struct tcp_lane *fatal_lane(struct tcp_link *link, unsigned *ended)
{
    struct tcp_lane *fatal = NULL;
    *ended = 0;
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        struct tcp_lane *lane = &link->lanes[i];
        settle_lane(lane);
        bool at_end = lane->end != TCP_LANE_OPEN;
        *ended += at_end;
        bool waits = lane->sends != NULL || lane->receives != NULL;
        bool hostile = lane->end == TCP_LANE_HOSTILE;
        if (fatal == NULL &&
            (hostile || (at_end && waits) || (lane->send_error != 0 && lane->sends != NULL))) {
            fatal = lane;
        }
    }
    return fatal;
}

void tcp_link_settle(struct tcp_link *link, uint64_t now_ns)
{
    unsigned ended;
    struct tcp_lane *fatal = fatal_lane(link, &ended);
    if (fatal == NULL && ended > 0) {
        if (link->ending_ns == 0) {
            link->ending_ns = now_ns;
            tcp_transport_wind(link->transport);
        }
        bool unread = false; /* on a lane that will end, too */
        for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
            unread |= link->lanes[i].end == TCP_LANE_OPEN && link->lanes[i].hung_up;
        }
        if (ended == TRANSPORT_LANES || link->state != LINK_UP ||
            (!unread && now_ns >= link->ending_ns + TCP_CLOSE_NS)) {
            for (unsigned i = 0; i < TRANSPORT_LANES && fatal == NULL; i++) {
                fatal = link->lanes[i].end != TCP_LANE_OPEN ? &link->lanes[i] : NULL;
            }
        }
    }
    if (fatal != NULL) {
        for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
            deliver(&link->lanes[i]);
        }
        lose_by(link, fatal);
    }
}

/* ---- silence ------------------------------------------------------------------------------------------------------ */

/* Has the host not answered anything for most of the limit, although bytes are on their way to it, or its closed window has been
 * probed again and again? (One probe may go unanswered: receivers limit such answers to two a second. Idle connections are
 * watched by the kernel's keepalive.) */
static bool owes_an_answer(const struct tcp_lane *lane, uint64_t limit_ns)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    if (lane->fd < 0 || getsockopt(lane->fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) {
        return false;
    }
    uint64_t unheard_ns = info.tcpi_last_ack_recv * NS_PER_MS;
    bool owes = info.tcpi_unacked > 0 || info.tcpi_probes >= SILENT_PROBES;
    return owes && unheard_ns >= limit_ns / 4 * 3;
}

void tcp_link_watch(struct tcp_link *link)
{
    bool limited = link->transport->peer_timeout_ns > 0;
    for (unsigned i = 0; limited && i < TRANSPORT_LANES && link->state == LINK_UP; i++) {
        struct tcp_lane *lane = &link->lanes[i];
        bool owes = owes_an_answer(lane, link->transport->peer_timeout_ns);
        lane->silent_ticks = owes ? lane->silent_ticks + 1 : 0;
        if (lane->silent_ticks >= SILENT_TICKS) {
            lane->end = TCP_LANE_BROKEN;
            lane->error = ETIMEDOUT;
            lose_by(link, lane);
        }
    }
}

void tcp_transport_wind(struct tcp_transport *transport)
{
    bool busy = transport->lingering > 0;
    bool up = false;
    for (const struct tcp_link *link = transport->links; link != NULL; link = link->next) {
        busy |= (link->state == LINK_CONNECTING && link->dials) || link->ending_ns != 0;
        up |= link->state == LINK_UP && transport->peer_timeout_ns > 0;
    }
    uint64_t watch_ns = transport->peer_timeout_ns / 8;
    watch_ns = watch_ns > WATCH_TICK_MIN_NS ? watch_ns : WATCH_TICK_MIN_NS;
    uint64_t tick_ns = busy ? BUSY_TICK_NS : up ? watch_ns : 0;
    if (tick_ns == transport->tick_ns) {
        return;
    }
    struct timespec period = {.tv_sec = (time_t)(tick_ns / NS_PER_S),
                              .tv_nsec = (long)(tick_ns % NS_PER_S)};
    struct itimerspec at = {.it_interval = period, .it_value = period};
    (void)timerfd_settime(transport->timer_fd, 0, &at, NULL);
    transport->tick_ns = tick_ns;
}

/* ---- closing ------------------------------------------------------------------------------------------------------ */

/* Throw away what has come: closing with unread bytes makes the kernel reset the connection, and forget what it has not sent.
 * Returns true if the peer has closed its side. */
static bool drain(int fd)
{
    size_t bytes = 0;
    while (bytes < DRAIN_BYTES_MAX) {
        ssize_t got =
            recv(fd, NULL, DRAIN_BYTES_MAX, MSG_DONTWAIT | MSG_TRUNC); /* no copy, tcp(7) */
        if (got <= 0) {
            return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
        }
        bytes += (size_t)got;
    }
    return false;
}

static bool all_has_arrived(int fd)
{
    int left = 0;
    return ioctl(fd, SIOCOUTQ, &left) != 0 || left == 0;
}

/* Close one lane so that what the kernel has taken still arrives. */
static void part(struct tcp_link *link, struct tcp_lane *lane)
{
    struct tcp_transport *transport = link->transport;
    int fd = lane->fd;
    if (fd < 0) {
        return;
    }
    bool closed = drain(fd);
    bool arrived = all_has_arrived(fd);
    (void)shutdown(fd, SHUT_WR);
    if (closed || arrived || transport->lingering == TCP_LINGER_MAX) {
        close_lane(link, lane);
        return;
    }
    (void)epoll_ctl(transport->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    lane->fd = -1;
    transport->linger[transport->lingering].fd = fd;
    transport->linger[transport->lingering].deadline_ns = clock_now_ns() + TCP_LINGER_NS;
    transport->lingering++;
}

void tcp_transport_linger(struct tcp_transport *transport, uint64_t now_ns)
{
    for (unsigned i = transport->lingering; i-- > 0;) {
        int fd = transport->linger[i].fd;
        if (drain(fd) || all_has_arrived(fd) || now_ns >= transport->linger[i].deadline_ns) {
            close(fd);
            transport->linger[i] = transport->linger[--transport->lingering];
        }
    }
}

void tcp_link_free(struct tcp_link *link)
{
    struct tcp_transport *transport = link->transport;
    tcp_connect_cancel(link);
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        struct tcp_lane *lane = &link->lanes[i];
        tcp_lane_deactivate(transport, lane);
        part(link, lane);
        transport->sent_bytes += lane->sent_bytes;
        transport->received_bytes += lane->received_bytes;
        tcp_lane_fini(lane);
    }
    if (link->previous != NULL) {
        link->previous->next = link->next;
    } else {
        transport->links = link->next;
    }
    if (link->next != NULL) {
        link->next->previous = link->previous;
    }
    free(link);
    tcp_transport_wind(transport);
}
