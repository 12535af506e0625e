#include "transport/verbs/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/verbs/link.h"
#include "transport/verbs/parting.h"
#include "transport/verbs/resolver.h"

#define TICK_ROUNDS 64                /* of progress() between two looks at the clock */
#define BUSY_TICK_NS (20 * NS_PER_MS) /* while links come up or part */
#define PROBE_LEAST_NS (20 * NS_PER_MS)
#define PROBE_DEFAULT_NS NS_PER_S
#define ACK_TIMEOUT_LEAST 10 /* 4.096 us x 2^10 = 4 ms */
#define ACK_TIMEOUT_MOST 18  /* 1 s */
#define ACK_TRIES (LINK_RETRIES + 1)

/* ---- making and freeing ------------------------------------------------------------------------------------------- */

static void verbs_destroy(struct transport *base)
{
    struct verbs *verbs = (struct verbs *)base;
    parting_destroy(verbs);
    if (verbs->registrations != NULL) {
        registrations_close(verbs->registrations);
    }
    meeting_close(&verbs->meeting);
    resolver_close(verbs->resolver);
    completion_close(&verbs->completion);
    if (verbs->timer_fd >= 0) {
        close(verbs->timer_fd);
    }
    devices_close(&verbs->devices);
    free(verbs);
}

/* A dead peer is noticed when a probe has gone unanswered ACK_TRIES times: both together in about half of the time that the user
 * has given. */
static void choose_times(struct verbs *verbs, uint64_t peer_timeout_ns)
{
    verbs->probe_ns = peer_timeout_ns > 0 ? peer_timeout_ns / 8 : PROBE_DEFAULT_NS;
    if (verbs->probe_ns < PROBE_LEAST_NS) {
        verbs->probe_ns = PROBE_LEAST_NS;
    }
    verbs->answer_ns = 4 * verbs->probe_ns;
    verbs->patience_ns = peer_timeout_ns > 0 ? peer_timeout_ns : SPARE_PATIENCE_NS;
    verbs->ack_timeout = ACK_TIMEOUT_LEAST;
    while (verbs->ack_timeout < ACK_TIMEOUT_MOST &&
           ((uint64_t)4096 << (verbs->ack_timeout + 1)) * ACK_TRIES <= peer_timeout_ns / 3) {
        verbs->ack_timeout++;
    }
}

static kolo_status open_parts(struct verbs *verbs, const struct verbs_wire *wire)
{
    struct device_wish any = {.gid_index = -1};
    kolo_status status = devices_open(&verbs->devices, wire != NULL ? &wire->wish : &any);
    if (status != KOLO_OK) {
        return status;
    }
    if (verbs->devices.ports == 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "there is no RDMA device with a port that is up");
    }
    status = completion_open(&verbs->completion, &verbs->devices);
    if (status != KOLO_OK) {
        return status;
    }
    verbs->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (verbs->timer_fd < 0 ||
        epoll_ctl(verbs->completion.wait_fd, EPOLL_CTL_ADD, verbs->timer_fd, &event) != 0) {
        return fail(KOLO_ERR_SYSTEM, "no timer for the verbs transport: %s", strerror(errno));
    }
    verbs->spare = wire != NULL ? wire->spare : NULL;
    if (verbs->spare != NULL && epoll_ctl(verbs->completion.wait_fd, EPOLL_CTL_ADD,
                                          verbs->spare->ops->wait_fd(verbs->spare), &event) != 0) {
        return fail(KOLO_ERR_SYSTEM, "cannot watch the spare transport: %s", strerror(errno));
    }
    status = resolver_open(&verbs->resolver);
    if (status == KOLO_OK && epoll_ctl(verbs->completion.wait_fd, EPOLL_CTL_ADD,
                                       resolver_fd(verbs->resolver), &event) != 0) {
        status = fail(KOLO_ERR_SYSTEM, "cannot watch a resolver: %s", strerror(errno));
    }
    if (status != KOLO_OK) {
        return status;
    }
    status = registrations_open(&verbs->registrations, &verbs->devices);
    if (status == KOLO_OK) {
        status = meeting_open(verbs, wire != NULL && wire->by_cm);
    }
    if (status == KOLO_OK && verbs->meeting.cm != NULL &&
        epoll_ctl(verbs->completion.wait_fd, EPOLL_CTL_ADD, cm_fd(verbs->meeting.cm), &event) !=
            0) {
        status = fail(KOLO_ERR_SYSTEM, "cannot watch rdma_cm: %s", strerror(errno));
    }
    return status;
}

static kolo_status verbs_create(struct transport **transport, const struct transport_config *config)
{
    struct verbs *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for the verbs transport");
    }
    made->base.ops = &transport_verbs;
    made->timer_fd = -1;
    memcpy(made->self, config->self, sizeof made->self);
    choose_times(made, config->peer_timeout_ns);
    kolo_status status = open_parts(made, config->wire);
    if (status != KOLO_OK) {
        verbs_destroy(&made->base);
        return status;
    }
    *transport = &made->base;
    return KOLO_OK;
}

/* ---- links -------------------------------------------------------------------------------------------------------- */

static kolo_status verbs_create_link(struct link **link, uint8_t *offer, size_t *offer_bytes,
                                     struct transport *base, const struct link_config *config)
{
    struct verbs_link *made;
    kolo_status status = verbs_link_make(&made, (struct verbs *)base, config);
    if (status == KOLO_OK) {
        *offer_bytes = verbs_link_offer(made, offer);
        *link = &made->base;
    }
    return status;
}

static kolo_status verbs_connect(struct link *base, const uint8_t *offer, size_t offer_bytes)
{
    return verbs_link_connect((struct verbs_link *)base, offer, offer_bytes);
}

static enum link_state verbs_state(const struct link *base, kolo_status *why, const char **text)
{
    const struct verbs_link *link = (const struct verbs_link *)base;
    if (why != NULL) {
        *why = link->status;
    }
    if (text != NULL) {
        *text = link->text;
    }
    return link->state;
}

static void verbs_close(struct link *base)
{
    parting_close((struct verbs_link *)base);
}

/* ---- transfers ---------------------------------------------------------------------------------------------------- */

/* The peer has said goodbye: what the poster does may leave nothing to wait for. */
static void reconsider(struct verbs_link *link)
{
    if (link->leaving) {
        verbs_link_settle_soon(link);
    }
}

/* Returns false if the link is lost: then the transfer has failed. */
static bool take_in(struct verbs_link *link, struct queue *queue, struct transfer *transfer)
{
    assert(transfer->state != TRANSFER_POSTED);
    transfer->moved = 0;
    transfer->span = NULL;
    transfer->span_bytes = 0;
    transfer->scratch = 0;
    transfer->status = link->status;
    if (link->state == LINK_LOST) {
        transfer->state = TRANSFER_FAILED;
        return false;
    }
    queue_push(queue, transfer);
    reconsider(link);
    return true;
}

static void verbs_send(struct link *base, unsigned lane, struct transfer *transfer)
{
    struct verbs_link *link = (struct verbs_link *)base;
    assert(lane < TRANSPORT_LANES);
    struct outbox *box = &link->outbox[lane];
    if (!take_in(link, &box->queue, transfer)) {
        return;
    }
    if (box->queue.head == transfer && link->state == LINK_UP && !link->leaving) {
        outbox_step(box);
        verbs_link_ring(link);
    }
    verbs_link_enlist(link);
}

static void verbs_receive(struct link *base, unsigned lane, struct transfer *transfer)
{
    struct verbs_link *link = (struct verbs_link *)base;
    assert(lane < TRANSPORT_LANES);
    struct inbox *box = &link->inbox[lane];
    if (!take_in(link, &box->queue, transfer)) {
        return;
    }
    inbox_posted(box, transfer);
    if (link->state == LINK_UP && !link->leaving) {
        inbox_step(box);
        inbox_grant(box);
        notice_credits(link);
        verbs_link_ring(link);
    }
    verbs_link_enlist(link);
}

static void verbs_release(struct link *base, unsigned lane, struct transfer *transfer, size_t bytes)
{
    struct verbs_link *link = (struct verbs_link *)base;
    assert(lane < TRANSPORT_LANES);
    inbox_release(&link->inbox[lane], transfer, bytes);
    reconsider(link);
    if (notice_credits(link)) {
        verbs_link_ring(link);
    }
    verbs_link_enlist(link);
}

static size_t verbs_reserve(struct link *base, unsigned lane, struct transfer *transfer,
                            uint8_t **place)
{
    struct verbs_link *link = (struct verbs_link *)base;
    assert(lane < TRANSPORT_LANES);
    return link->state == LINK_UP ? outbox_reserve(&link->outbox[lane], transfer, place) : 0;
}

static void verbs_commit(struct link *base, unsigned lane, struct transfer *transfer, size_t bytes)
{
    struct verbs_link *link = (struct verbs_link *)base;
    assert(lane < TRANSPORT_LANES);
    outbox_commit(&link->outbox[lane], transfer, bytes);
    verbs_link_ring(link);
}

static void verbs_cancel(struct link *base, unsigned lane, struct transfer *transfer)
{
    struct verbs_link *link = (struct verbs_link *)base;
    assert(lane < TRANSPORT_LANES && transfer->state == TRANSFER_POSTED);
    if (outbox_cancel(&link->outbox[lane], transfer) ||
        inbox_cancel(&link->inbox[lane], transfer)) {
        reconsider(link);
        transfer->status = KOLO_ERR_ABORTED;
        transfer->state = TRANSFER_FAILED;
        return;
    }
    verbs_link_lose(link, KOLO_ERR_ABORTED,
                    "a message with %s was taken back when a part of it had moved, or might have",
                    link->name);
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

void verbs_wind(struct verbs *verbs)
{
    uint64_t period_ns = 0;
    for (const struct verbs_link *link = verbs->links; link != NULL; link = link->next) {
        bool busy = link->parting || link->state == LINK_CONNECTING ||
                    (spare_is_alive(link) && spare_path(link) == NULL);
        uint64_t wanted_ns = busy ? BUSY_TICK_NS : link->state == LINK_UP ? verbs->probe_ns : 0;
        if (wanted_ns > 0 && (period_ns == 0 || wanted_ns < period_ns)) {
            period_ns = wanted_ns;
        }
    }
    if (period_ns == verbs->period_ns) {
        return;
    }
    struct timespec period = {.tv_sec = (time_t)(period_ns / NS_PER_S),
                              .tv_nsec = (long)(period_ns % NS_PER_S)};
    struct itimerspec at = {.it_interval = period, .it_value = period};
    (void)timerfd_settime(verbs->timer_fd, 0, &at, NULL);
    verbs->period_ns = period_ns;
    verbs->next_tick_ns = period_ns > 0 ? clock_after(clock_now_ns(), period_ns) : CLOCK_FOREVER;
}

/* Remember which ports are of no use for new links. */
static void note_ports(struct verbs *verbs, const struct ibv_context *context,
                       const struct ibv_async_event *event)
{
    for (unsigned i = 0; i < verbs->devices.ports; i++) {
        const struct device_port *port = &verbs->devices.port[i];
        bool whole = event->event_type == IBV_EVENT_DEVICE_FATAL;
        bool named = (event->event_type == IBV_EVENT_PORT_ERR ||
                      event->event_type == IBV_EVENT_PORT_ACTIVE) &&
                     event->element.port_num == port->number;
        if (port->context == context && (whole || named)) {
            bool up = event->event_type == IBV_EVENT_PORT_ACTIVE;
            verbs->down &= ~(UINT32_C(1) << i);
            verbs->down |= (uint32_t)!up << i;
        }
    }
}

/* The device, or one of its ports, or a queue pair, has failed. */
static void told(void *owner, const struct ibv_context *context,
                 const struct ibv_async_event *event)
{
    struct verbs *verbs = owner;
    const char *text = ibv_event_type_str(event->event_type);
    bool device = event->event_type == IBV_EVENT_DEVICE_FATAL;
    bool port = event->event_type == IBV_EVENT_PORT_ERR;
    bool pair = event->event_type == IBV_EVENT_QP_FATAL ||
                event->event_type == IBV_EVENT_QP_REQ_ERR ||
                event->event_type == IBV_EVENT_QP_ACCESS_ERR;
    log_line(LOG_DEBUG, "verbs: %s: %s", ibv_get_device_name(context->device), text);
    note_ports(verbs, context, event);
    for (struct verbs_link *link = verbs->links; link != NULL && (device || port || pair);
         link = link->next) {
        for (unsigned i = 0; i < link->rails; i++) {
            struct rail *rail = &link->rail[i];
            const struct device_port *of = &verbs->devices.port[i];
            bool hit = of->context == context &&
                       (device || (port && event->element.port_num == of->number) ||
                        (pair && rail->pair != NULL && event->element.qp == rail->pair->qp));
            if (hit) {
                rail_break(rail, KOLO_ERR_PEER_LOST, "the device says: %s", text);
            }
        }
    }
}

void verbs_events(struct verbs *verbs)
{
    completion_events(&verbs->completion, told, verbs);
}

static void tick(struct verbs *verbs, uint64_t now_ns)
{
    uint64_t expirations;
    (void)!read(verbs->timer_fd, &expirations, sizeof expirations);
    verbs->next_tick_ns = clock_after(now_ns, verbs->period_ns);
    verbs_events(verbs);
    meeting_step(verbs);
    for (struct verbs_link *link = verbs->links, *next; link != NULL; link = next) {
        next = link->next;
        verbs_link_tick(link, now_ns);
    }
}

/* ---- progress ----------------------------------------------------------------------------------------------------- */

static bool step_busy(struct verbs *verbs)
{
    bool any = false;
    struct verbs_link **at = &verbs->busy;
    while (*at != NULL) {
        struct verbs_link *link = *at;
        if (verbs_link_has_work(link)) {
            any |= verbs_link_step(link);
            at = &link->next_busy;
        } else {
            link->listed = false;
            *at = link->next_busy;
        }
    }
    return any;
}

static void settle(struct verbs *verbs)
{
    verbs->due = false;
    for (struct verbs_link *link = verbs->links, *next; link != NULL; link = next) {
        next = link->next;
        if (link->due) {
            verbs_link_settle(link);
        }
    }
}

/* Now and then, and after every sleep: time, rdma_cm and the devices' events. */
static void look_around(struct verbs *verbs)
{
    bool slept = verbs->rounds > TICK_ROUNDS;
    uint64_t expirations;
    uint64_t now_ns = clock_tick_ns();
    bool due = now_ns >= verbs->next_tick_ns;
    verbs->rounds = 0;
    if (slept) { /* one of these may have ended the sleep, and would end the next one at once */
        due |= read(verbs->timer_fd, &expirations, sizeof expirations) > 0;
        meeting_step(verbs);
        verbs_events(verbs);
    }
    if (slept || now_ns >= verbs->next_watch_ns) {
        verbs->next_watch_ns = clock_after(now_ns, BUSY_TICK_NS);
        spare_watch(verbs);
    }
    if (due) {
        tick(verbs, clock_now_ns());
    }
}

static bool look_on(struct verbs *verbs)
{
    bool any = false;
    resolver_hear(verbs->resolver);
    for (struct verbs_link *link = verbs->links; link != NULL && verbs->looking > 0;
         link = link->next) {
        any |= verbs_link_look_on(link);
    }
    if (verbs->looking == 0) {
        resolver_hear(verbs->resolver); /* of what was done meanwhile: nobody would hear it later */
    }
    return any;
}

static bool verbs_progress(struct transport *base)
{
    struct verbs *verbs = (struct verbs *)base;
    bool any = verbs->news;
    verbs->news = false;
    any |= completion_poll(&verbs->completion) > 0;
    if (verbs->sparing > 0) {
        any |= spare_progress(verbs);
    }
    if (verbs->looking > 0) {
        any |= look_on(verbs);
    }
    any |= step_busy(verbs);
    if (++verbs->rounds >= TICK_ROUNDS) {
        look_around(verbs);
    }
    if (verbs->due) {
        settle(verbs);
    }
    return any;
}

/* ---- sleeping ----------------------------------------------------------------------------------------------------- */

static int verbs_wait_fd(const struct transport *base)
{
    return ((const struct verbs *)base)->completion.wait_fd;
}

/* What the timer is about to ask for is done before the sleep, so that it need not end soon. */
static bool tick_early(struct verbs *verbs)
{
    uint64_t now_ns = clock_now_ns();
    if (verbs->period_ns == 0 || clock_after(now_ns, verbs->period_ns / 4) < verbs->next_tick_ns) {
        return false;
    }
    tick(verbs, now_ns);
    verbs->period_ns = 0; /* wind it up anew */
    verbs_wind(verbs);
    return true;
}

static bool verbs_arm(struct transport *base)
{
    struct verbs *verbs = (struct verbs *)base;
    if (tick_early(verbs) || verbs->due) {
        return false;
    }
    completion_arm(&verbs->completion);
    bool news = completion_poll(&verbs->completion) > 0;
    news |= step_busy(verbs);
    verbs->news |= news;
    bool quiet = verbs->sparing == 0 || verbs->spare->ops->arm(verbs->spare);
    return quiet && !verbs->news && !verbs->due;
}

static void verbs_disarm(struct transport *base)
{
    struct verbs *verbs = (struct verbs *)base;
    verbs->rounds = TICK_ROUNDS; /* time may have passed */
    if (verbs->sparing > 0) {
        verbs->spare->ops->disarm(verbs->spare);
    }
}

static void verbs_count(const struct transport *base, uint64_t *sent, uint64_t *received)
{
    const struct verbs *verbs = (const struct verbs *)base;
    *sent = verbs->sent_bytes;
    *received = verbs->received_bytes;
    for (const struct verbs_link *link = verbs->links; link != NULL; link = link->next) {
        for (unsigned i = 0; i < TRANSPORT_LANES; i++) {
            *sent += link->outbox[i].sent_bytes;
            *received += link->inbox[i].received_bytes;
        }
    }
}

uint64_t verbs_rate_Bps(const struct transport *transport)
{
    const struct devices *devices = &((const struct verbs *)transport)->devices;
    uint64_t slowest = 0;
    for (unsigned i = 0; i < devices->ports; i++) {
        uint64_t rate_Bps = devices->port[i].rate_Bps;
        slowest = slowest == 0 || (rate_Bps > 0 && rate_Bps < slowest) ? rate_Bps : slowest;
    }
    return slowest;
}

const struct transport_ops transport_verbs = {
    .name = "verbs",
    .features = TRANSPORT_RESERVES,
    .create = verbs_create,
    .destroy = verbs_destroy,
    .link_create = verbs_create_link,
    .link_connect = verbs_connect,
    .link_state = verbs_state,
    .link_close = verbs_close,
    .send = verbs_send,
    .receive = verbs_receive,
    .release = verbs_release,
    .reserve = verbs_reserve,
    .commit = verbs_commit,
    .show = NULL,
    .look = NULL,
    .withdraw = NULL,
    .cancel = verbs_cancel,
    .progress = verbs_progress,
    .wait_fd = verbs_wait_fd,
    .arm = verbs_arm,
    .disarm = verbs_disarm,
    .sleep = NULL,
    .count = verbs_count,
};
