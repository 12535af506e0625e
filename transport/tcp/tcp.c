#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "transport/tcp/tcp_connect.h"
#include "transport/tcp/tcp_link.h"
#include "transport/tcp/tcp_offer.h"
#include "transport/transport.h"

#define EVENTS_MAX 64 /* fetched by one call */
#define EAGER_LANES                                                                                \
    4 /* up to so many waiting lanes, asking each one is cheaper than asking epoll first */
#define UNPOLLED_ROUNDS 32 /* rounds of eager asking until epoll is asked for everything else */

/* ---- making and freeing ------------------------------------------------------------------------------------------- */

static bool watch(const struct tcp_transport *transport, int fd, void *about)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = about};
    return epoll_ctl(transport->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void tcp_destroy(struct transport *base)
{
    struct tcp_transport *transport = (struct tcp_transport *)base;
    while (transport->links != NULL) {
        tcp_link_free(transport->links);
    }
    tcp_transport_linger(transport, CLOCK_FOREVER);
    tcp_port_handle(transport->port, PORT_LANE, NULL);
    if (transport->epoll_fd >= 0) {
        (void)epoll_ctl(transport->epoll_fd, EPOLL_CTL_DEL, tcp_port_wait_fd(transport->port),
                        NULL);
        close(transport->epoll_fd);
    }
    if (transport->timer_fd >= 0) {
        close(transport->timer_fd);
    }
    free(transport);
}

static kolo_status tcp_create(struct transport **transport, const struct transport_config *config)
{
    assert(config->wire != NULL);
    struct tcp_transport *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for the tcp transport");
    }
    made->base.ops = &transport_tcp;
    made->port = config->wire;
    made->peer_timeout_ns = config->peer_timeout_ns;
    memcpy(made->self, config->self, sizeof made->self);
    made->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    made->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (made->epoll_fd < 0 || made->timer_fd < 0 ||
        !watch(made, tcp_port_wait_fd(made->port), NULL) || !watch(made, made->timer_fd, made)) {
        kolo_status status =
            fail(KOLO_ERR_SYSTEM, "cannot set up the tcp transport's epoll: %s", strerror(errno));
        tcp_destroy(&made->base);
        return status;
    }
    struct port_handler handler = {
        .context = made, .arrived = tcp_connect_arrived, .opened = tcp_connect_opened};
    tcp_port_handle(made->port, PORT_LANE, &handler);
    *transport = &made->base;
    return KOLO_OK;
}

/* ---- links -------------------------------------------------------------------------------------------------------- */

static kolo_status tcp_link_create(struct link **link, uint8_t *offer, size_t *offer_bytes,
                                   struct transport *base, const struct link_config *config)
{
    struct tcp_transport *transport = (struct tcp_transport *)base;
    struct tcp_link *made;
    kolo_status status = tcp_link_make(&made, transport, config);
    if (status != KOLO_OK) {
        return status;
    }
    struct tcp_offer mine = {.token = config->token};
    memcpy(mine.who, transport->self, sizeof mine.who);
    mine.count = tcp_port_addresses(transport->port, mine.addresses);
    *offer_bytes = tcp_offer_encode(offer, &mine);
    *link = &made->base;
    return KOLO_OK;
}

static kolo_status tcp_link_connect(struct link *base, const uint8_t *offer, size_t offer_bytes)
{
    struct tcp_link *link = (struct tcp_link *)base;
    struct tcp_offer theirs;
    assert(link->state == LINK_NEW || link->state == LINK_LOST);
    if (!tcp_offer_decode(&theirs, offer, offer_bytes) || theirs.token != link->token ||
        memcmp(theirs.who, link->peer, sizeof theirs.who) != 0) {
        return fail(KOLO_ERR_PROTOCOL, "the tcp offer of %s is not one for this link", link->name);
    }
    if (link->dials && theirs.count == 0) {
        return fail_quietly(KOLO_ERR_STATE, "%s has no address that can be dialled", link->name);
    }
    if (link->state == LINK_LOST) {
        return KOLO_OK; /* the other end has dialled and left again: link_state() tells */
    }
    link->state = LINK_CONNECTING;
    if (link->dials) {
        memcpy(link->connect.addresses, theirs.addresses, sizeof theirs.addresses);
        link->connect.count = theirs.count;
        tcp_connect_begin(link);
    } else {
        tcp_link_try_up(link);
    }
    tcp_transport_wind(link->transport);
    return KOLO_OK;
}

static enum link_state tcp_link_state(const struct link *base, kolo_status *why, const char **text)
{
    const struct tcp_link *link = (const struct tcp_link *)base;
    if (why != NULL) {
        *why = link->status;
    }
    if (text != NULL) {
        *text = link->text;
    }
    return link->state;
}

static void tcp_link_close(struct link *base)
{
    struct tcp_link *link = (struct tcp_link *)base;
    for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
        tcp_lane_fail(&link->lanes[i], KOLO_ERR_ABORTED);
    }
    tcp_link_free(link);
}

/* ---- transfers ---------------------------------------------------------------------------------------------------- */

static void fail_at_once(struct transfer *transfer, kolo_status status)
{
    transfer->moved = 0;
    transfer->span = NULL;
    transfer->span_bytes = 0;
    transfer->status = status;
    transfer->state = TRANSFER_FAILED;
}

static void tcp_send(struct link *base, unsigned lane, struct transfer *transfer)
{
    struct tcp_link *link = (struct tcp_link *)base;
    assert(lane < TRANSPORT_LANES);
    if (link->state == LINK_LOST) {
        fail_at_once(transfer, link->status);
        return;
    }
    tcp_lane_post_send(&link->lanes[lane], transfer);
    tcp_lane_activate(link->transport, &link->lanes[lane]);
    link->transport->settle_due |= link->ending;
}

static void tcp_receive(struct link *base, unsigned lane, struct transfer *transfer)
{
    struct tcp_link *link = (struct tcp_link *)base;
    assert(lane < TRANSPORT_LANES);
    if (link->state == LINK_LOST) {
        fail_at_once(transfer, link->status);
        return;
    }
    tcp_lane_post_receive(&link->lanes[lane], transfer);
    tcp_lane_activate(link->transport, &link->lanes[lane]);
    link->transport->settle_due |= link->ending;
}

static void tcp_release(struct link *base, unsigned lane, struct transfer *transfer, size_t bytes)
{
    struct tcp_link *link = (struct tcp_link *)base;
    assert(lane < TRANSPORT_LANES);
    tcp_lane_release(&link->lanes[lane], transfer, bytes);
}

static void tcp_cancel(struct link *base, unsigned lane, struct transfer *transfer)
{
    struct tcp_link *link = (struct tcp_link *)base;
    assert(lane < TRANSPORT_LANES && transfer->state == TRANSFER_POSTED);
    if (!tcp_lane_cancel(&link->lanes[lane], transfer)) {
        tcp_link_lose(link, KOLO_ERR_ABORTED,
                      "a message with %s was taken back when a part of it had moved", link->name);
    }
}

/* ---- progress ----------------------------------------------------------------------------------------------------- */

/* One round over the lanes with work. */
static bool work(struct tcp_transport *transport)
{
    bool moved = false;
    bool eager = transport->waiting <= EAGER_LANES;
    unsigned waiting = 0;
    transport->blocked = false;
    for (struct tcp_lane *lane = transport->active, *next; lane != NULL; lane = next) {
        struct tcp_link *link = lane->link;
        next = lane->next;
        if (link->state != LINK_UP || lane->end != TCP_LANE_OPEN) {
            continue;
        }
        if (tcp_lane_can_send(lane)) {
            moved |= tcp_lane_send(lane);
        }
        if (tcp_lane_wants(lane)) {
            waiting++;
            if (eager || tcp_lane_can_receive(lane)) {
                moved |= tcp_lane_receive(lane);
            }
        }
        transport->blocked |= lane->sends != NULL && !lane->writable;
        if (lane->end != TCP_LANE_OPEN || lane->send_error != 0) {
            link->ending = transport->settle_due = true;
        } else if (lane->sends == NULL && lane->receives == NULL) {
            tcp_lane_deactivate(transport, lane);
        }
    }
    transport->waiting = waiting;
    return moved;
}

/* Ask epoll, and take down what it says. Returns true if it said anything. */
static bool poll_events(struct tcp_transport *transport)
{
    struct epoll_event events[EVENTS_MAX];
    transport->unpolled = 0;
    int count = epoll_wait(transport->epoll_fd, events, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == NULL) {
            transport->port_due = true;
            continue;
        }
        if (events[i].data.ptr == transport) {
            transport->tick_due = true;
            continue;
        }
        struct tcp_lane *lane = events[i].data.ptr;
        uint32_t what = events[i].events;
        bool over = (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        lane->readable |= over || (what & EPOLLIN) != 0;
        lane->writable |= (what & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0;
        if (over) {
            struct tcp_link *link = lane->link;
            lane->hung_up = true;
            link->ending = transport->settle_due = true;
        }
    }
    return count > 0;
}

static void tick(struct tcp_transport *transport, uint64_t now_ns)
{
    uint64_t expirations;
    (void)!read(transport->timer_fd, &expirations, sizeof expirations);
    for (struct tcp_link *link = transport->links; link != NULL; link = link->next) {
        if (link->state == LINK_CONNECTING && link->dials) {
            tcp_connect_tick(link, now_ns);
        } else if (link->state == LINK_UP) {
            tcp_link_watch(link);
        }
        transport->settle_due |= link->ending;
    }
    tcp_transport_linger(transport, now_ns);
    tcp_transport_wind(transport);
}

static void settle(struct tcp_transport *transport)
{
    uint64_t now_ns = clock_now_ns();
    transport->settle_due = false;
    for (struct tcp_link *link = transport->links; link != NULL; link = link->next) {
        if (link->ending) {
            tcp_link_settle(link, now_ns);
        }
    }
}

/* What is rare: the port, time, and links that end. None of it is bytes that moved: whoever waits must not take it for news. */
static void rare_work(struct tcp_transport *transport)
{
    if (transport->port_due) {
        transport->port_due = false;
        tcp_port_step(transport->port, clock_now_ns());
    }
    if (transport->tick_due) {
        transport->tick_due = false;
        tick(transport, clock_now_ns());
    }
    if (transport->settle_due) {
        settle(transport);
    }
}

static bool tcp_progress(struct transport *base)
{
    struct tcp_transport *transport = (struct tcp_transport *)base;
    bool moved = work(transport);
    bool poll = transport->blocked || transport->waiting == 0 || transport->waiting > EAGER_LANES ||
                ++transport->unpolled >= UNPOLLED_ROUNDS;
    if (poll && poll_events(transport)) {
        moved |= work(transport);
    }
    if (transport->port_due || transport->tick_due || transport->settle_due) {
        rare_work(transport);
    }
    return moved;
}

/* ---- sleeping ----------------------------------------------------------------------------------------------------- */

static int tcp_wait_fd(const struct transport *base)
{
    return ((const struct tcp_transport *)base)->epoll_fd;
}

static bool tcp_arm(struct transport *base)
{
    struct tcp_transport *transport = (struct tcp_transport *)base;
    poll_events(transport);
    if (transport->port_due || transport->tick_due || transport->settle_due) {
        return false;
    }
    for (const struct tcp_lane *lane = transport->active; lane != NULL; lane = lane->next) {
        const struct tcp_link *link = lane->link;
        if (link->state == LINK_UP && lane->end == TCP_LANE_OPEN &&
            (tcp_lane_can_send(lane) || tcp_lane_can_receive(lane))) {
            return false;
        }
    }
    return true;
}

static void tcp_disarm(struct transport *base)
{
    (void)base; /* epoll keeps watching either way */
}

static void tcp_count(const struct transport *base, uint64_t *sent, uint64_t *received)
{
    const struct tcp_transport *transport = (const struct tcp_transport *)base;
    *sent = transport->sent_bytes;
    *received = transport->received_bytes;
    for (const struct tcp_link *link = transport->links; link != NULL; link = link->next) {
        for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
            *sent += link->lanes[i].sent_bytes;
            *received += link->lanes[i].received_bytes;
        }
    }
}

const struct transport_ops transport_tcp = {
    .name = "tcp",
    .features = 0,
    .create = tcp_create,
    .destroy = tcp_destroy,
    .link_create = tcp_link_create,
    .link_connect = tcp_link_connect,
    .link_state = tcp_link_state,
    .link_close = tcp_link_close,
    .send = tcp_send,
    .receive = tcp_receive,
    .release = tcp_release,
    .reserve = NULL,
    .commit = NULL,
    .show = NULL,
    .look = NULL,
    .withdraw = NULL,
    .cancel = tcp_cancel,
    .progress = tcp_progress,
    .wait_fd = tcp_wait_fd,
    .arm = tcp_arm,
    .disarm = tcp_disarm,
    .sleep = NULL,
    .count = tcp_count,
};
