#include "transport/shm/shm.h"
#include "transport/shm/greeting.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CALLS_PER_CLOCK 64         /* progress() looks at the clock every so many calls, ... */
#define LOOK_INTERVAL_NS NS_PER_MS /* ... and at the sockets this often */
#define SLEEP_SLICE_NS (100 * NS_PER_MS) /* a sleep by futex is broken to look at them */
#define EVENTS_MAX 32

static struct shm *shm_from(const struct transport *transport)
{
    return (struct shm *)transport;
}

static struct shm_link *link_from(const struct link *link)
{
    return (struct shm_link *)link;
}

/* ---- making and ending --------------------------------------------------------------------------------------- */

static void close_board(struct shm *shm)
{
    shm_board_unmap(shm->board);
    close(shm->board_fd);
}

static kolo_status shm_create(struct transport **transport, const struct transport_config *config)
{
    struct shm *shm = calloc(1, sizeof *shm);
    if (!shm) {
        return fail(KOLO_ERR_MEMORY, "no memory for the shared-memory transport");
    }
    shm->base.ops = &transport_shm;
    memcpy(shm->self, config->self, TRANSPORT_ID_BYTES);
    shm->countdown = 1;
    shm_host_read(&shm->host);
    kolo_status status = shm_sleeper_open(&shm->sleeper);
    if (status != KOLO_OK) {
        goto err_free;
    }
    status = shm_board_create(&shm->board, &shm->board_fd);
    if (status != KOLO_OK) {
        goto err_close_sleeper;
    }
    shm->poller = epoll_create1(EPOLL_CLOEXEC);
    if (shm->poller < 0) {
        status = fail(KOLO_ERR_SYSTEM, "epoll_create1 failed: %s", strerror(errno));
        goto err_close_board;
    }
    shm->door.welcome = shm_greeting_welcome;
    shm->door.context = shm;
    status = shm_door_open(&shm->door, shm->poller);
    if (status != KOLO_OK) {
        goto err_close_poller;
    }
    *transport = &shm->base;
    return KOLO_OK;

err_close_poller:
    close(shm->poller);
err_close_board:
    close_board(shm);
err_close_sleeper:
    shm_sleeper_close(&shm->sleeper);
err_free:
    free(shm);
    return status;
}

static kolo_status make_room(struct shm *shm)
{
    struct shm_link **busy = realloc(shm->busy, (shm->links_count + 1) * sizeof(struct shm_link *));
    if (!busy) {
        return fail(KOLO_ERR_MEMORY, "no memory for another shared-memory link");
    }
    shm->busy = busy;
    return KOLO_OK;
}

static void insert(struct shm_link *link, struct shm *shm)
{
    link->next = shm->links;
    link->previous = &shm->links;
    if (link->next) {
        link->next->previous = &link->next;
    }
    shm->links = link;
    shm->links_count++;
}

static void take_out(struct shm_link *link, struct shm *shm)
{
    *link->previous = link->next;
    assert(shm->links != link); /* else shm_destroy() would meet it again */
    if (link->next) {
        link->next->previous = link->previous;
    }
    shm->links_count--;
    for (size_t i = 0; link->listed && i < shm->busy_count; i++) {
        if (shm->busy[i] == link) {
            shm->busy[i] = shm->busy[--shm->busy_count];
            break;
        }
    }
}

/* Everything but the stages is zeroed: those are touched, and so take memory, only if they are used. */
static void clear(struct shm_link *link)
{
    memset(link, 0, offsetof(struct shm_link, out));
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        memset(&link->out[lane], 0, offsetof(struct shm_outbox, stage));
    }
}

static void fill_in(struct shm_link *link, struct shm *shm, const struct link_config *config)
{
    clear(link);
    link->base.ops = &transport_shm;
    link->base.transport = &shm->base;
    link->socket = (struct shm_watch){.kind = SHM_WATCH_LINK, .fd = -1};
    link->process = (struct shm_watch){.kind = SHM_WATCH_PROCESS, .fd = -1};
    link->peer.socket = -1;
    link->dials = config->dials;
    link->token = config->token;
    memcpy(link->peer_id, config->peer, TRANSPORT_ID_BYTES);
    snprintf(link->peer_name, sizeof link->peer_name, "%s",
             config->peer_name ? config->peer_name : "peer");
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        link->in[lane].peer = &link->peer;
        link->in[lane].bytes = &shm->received;
        link->out[lane].peer = &link->peer;
        link->out[lane].bytes = &shm->sent;
    }
}

static kolo_status shm_link_create(struct link **link, uint8_t *offer, size_t *offer_bytes,
                                   struct transport *transport, const struct link_config *config)
{
    struct shm *shm = shm_from(transport);
    kolo_status status = make_room(shm);
    if (status != KOLO_OK) {
        return status;
    }
    struct shm_link *made = aligned_alloc(alignof(struct shm_link), sizeof *made);
    if (!made) {
        return fail(KOLO_ERR_MEMORY, "no memory for another shared-memory link");
    }
    fill_in(made, shm, config);
    insert(made, shm);
    struct shm_offer said = {.host = shm->host, .token = config->token};
    memcpy(said.name, shm->door.name, SHM_NAME_BYTES);
    memcpy(said.self, shm->self, TRANSPORT_ID_BYTES);
    *offer_bytes = shm_offer_write(offer, &said);
    *link = &made->base;
    return KOLO_OK;
}

static void shm_link_close(struct link *base)
{
    struct shm_link *link = link_from(base);
    struct shm *shm = shm_of(link);
    shm_link_end(link);
    take_out(link, shm);
    free(link);
}

static void shm_destroy(struct transport *transport)
{
    struct shm *shm = shm_from(transport);
    while (shm->links) {
        struct shm_link *link = shm->links;
        shm_link_end(link);
        take_out(link, shm);
        free(link);
    }
    shm_door_close(&shm->door);
    close(shm->poller);
    close_board(shm);
    shm_sleeper_close(&shm->sleeper);
    free(shm->busy);
    free(shm);
}

/* ---- connecting ---------------------------------------------------------------------------------------------- */

static kolo_status check_offer(const struct shm_link *link, const struct shm_offer *offer)
{
    if (offer->token != link->token ||
        memcmp(offer->self, link->peer_id, TRANSPORT_ID_BYTES) != 0) {
        return fail_quietly(KOLO_ERR_PROTOCOL,
                            "%s: the offer is for another link or from another "
                            "process",
                            link->peer_name);
    }
    if (!shm_host_same(&offer->host, &shm_of(link)->host)) {
        return fail_quietly(KOLO_ERR_STATE,
                            "%s: no shared memory: another host, network namespace, "
                            "user namespace or user",
                            link->peer_name);
    }
    return KOLO_OK;
}

static kolo_status shm_link_connect(struct link *base, const uint8_t *bytes, size_t length)
{
    struct shm_link *link = link_from(base);
    struct shm_offer offer;
    if (link->state != LINK_NEW) {
        return fail_quietly(KOLO_ERR_STATE, "%s: the link was connected before", link->peer_name);
    }
    kolo_status status = shm_offer_read(&offer, bytes, length);
    if (status == KOLO_OK) {
        status = check_offer(link, &offer);
    }
    if (status != KOLO_OK) {
        return status;
    }
    memcpy(link->peer_door, offer.name, SHM_NAME_BYTES);
    status = link->dials ? shm_greeting_dial(link) : shm_greeting_probe(link);
    if (status == KOLO_OK) {
        shm_link_start(link);
    }
    return status;
}

static enum link_state shm_link_state(const struct link *base, kolo_status *why, const char **text)
{
    const struct shm_link *link = link_from(base);
    if (why) {
        *why = link->status;
    }
    if (text) {
        *text = link->text;
    }
    return link->state;
}

/* ---- moving -------------------------------------------------------------------------------------------------- */

static void shm_send(struct link *link, unsigned lane, struct transfer *transfer)
{
    shm_link_send(link_from(link), lane, transfer);
}

static void shm_receive(struct link *link, unsigned lane, struct transfer *transfer)
{
    shm_link_receive(link_from(link), lane, transfer);
}

static void shm_release(struct link *link, unsigned lane, struct transfer *transfer, size_t bytes)
{
    if (transfer->state == TRANSFER_POSTED) { /* else the link was lost meanwhile */
        shm_inbox_release(&link_from(link)->in[lane], transfer, bytes);
    }
}

static size_t shm_reserve(struct link *base, unsigned lane, struct transfer *transfer,
                          uint8_t **place)
{
    struct shm_link *link = link_from(base);
    bool moves = link->state == LINK_UP && !link->leaving;
    return moves ? shm_outbox_reserve(&link->out[lane], transfer, place) : 0;
}

static void shm_commit(struct link *link, unsigned lane, struct transfer *transfer, size_t bytes)
{
    if (transfer->state == TRANSFER_POSTED) {
        shm_outbox_commit(&link_from(link)->out[lane], transfer, bytes);
    }
}

static void shm_cancel(struct link *base, unsigned lane, struct transfer *transfer)
{
    struct shm_link *link = link_from(base);
    if (transfer->state != TRANSFER_POSTED) {
        return;
    }
    if (shm_outbox_cancel(&link->out[lane], transfer) ||
        shm_inbox_cancel(&link->in[lane], transfer)) {
        transfer->status = KOLO_ERR_ABORTED;
        transfer->state = TRANSFER_FAILED;
        return;
    }
    shm_link_lose(link, KOLO_ERR_ABORTED, "a message was cancelled half-way");
}

/* ---- showing ------------------------------------------------------------------------------------------------- */

static void shm_show(struct transport *transport, uint64_t number, const uint8_t *header,
                     const void *data, size_t length)
{
    struct shm *shm = shm_from(transport);
    shm_board_write(shm->board, number, header, data, length);
    for (const struct shm_link *link = shm->links; link; link = link->next) {
        if (link->attached && link->state == LINK_UP) {
            shm_peer_wake(&link->peer);
            shm->sent += length;
        }
    }
}

static enum look shm_look(struct shown *shown, struct link *base, uint64_t number)
{
    struct shm_link *link = link_from(base);
    enum look found = shm_link_look(link, shown, number);
    if (found == LOOK_HERE) {
        shm_of(link)->received += shown->length;
    }
    return found;
}

static void shm_withdraw(struct transport *transport, uint64_t number)
{
    shm_board_withdraw(shm_from(transport)->board, number);
}

/* ---- progress ------------------------------------------------------------------------------------------------ */

static bool dispatch(struct shm *shm, struct shm_watch *watch, uint64_t now_ns)
{
    switch (watch->kind) {
    case SHM_WATCH_DOOR:
        shm_door_answer(&shm->door, now_ns);
        return false;
    case SHM_WATCH_STRANGER:
        shm_door_hear(&shm->door, (struct shm_stranger *)((char *)watch -
                                                          offsetof(struct shm_stranger, watch)));
        return false;
    case SHM_WATCH_LINK:
        return shm_link_hear(
            (struct shm_link *)((char *)watch - offsetof(struct shm_link, socket)));
    case SHM_WATCH_PROCESS:
        return shm_link_leave(
            (struct shm_link *)((char *)watch - offsetof(struct shm_link, process)));
    }
    return false;
}

/* Look at the sockets, and at everything else that is not on the data path. */
static bool look_around(struct shm *shm, uint64_t now_ns)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(shm->poller, events, EVENTS_MAX, 0);
    bool any = false;
    shm->look = count == EVENTS_MAX;
    for (int i = 0; i < count; i++) {
        any |= dispatch(shm, events[i].data.ptr, now_ns);
    }
    if (shm->door.strangers_count > 0) {
        shm_door_tidy(&shm->door, now_ns);
    }
    if (shm->connecting > 0 || shm->leaving > 0) {
        for (struct shm_link *link = shm->links; link; link = link->next) {
            any |= shm_link_step(link);
        }
    }
    shm_sleeper_settle(&shm->sleeper);
    shm->next_look_ns = now_ns + LOOK_INTERVAL_NS;
    return any;
}

static bool look_if_due(struct shm *shm)
{
    uint64_t now_ns = clock_now_ns();
    bool due = shm->look || shm->connecting > 0 || now_ns >= shm->next_look_ns;
    bool any = due && look_around(shm, now_ns);
    shm->countdown = shm->connecting > 0 || shm->look ? 1 : CALLS_PER_CLOCK;
    return any;
}

static bool shm_progress(struct transport *transport)
{
    struct shm *shm = shm_from(transport);
    bool any = false;
    for (size_t i = shm->busy_count; i-- > 0;) {
        struct shm_link *link = shm->busy[i];
        any |= shm_link_move(link);
        if (link->busy == 0) {
            link->listed = false;
            shm->busy[i] = shm->busy[--shm->busy_count];
        }
    }
    if (--shm->countdown == 0) {
        any |= look_if_due(shm);
    }
    return any;
}

/* ---- sleeping ------------------------------------------------------------------------------------------------ */

static int shm_wait_fd(const struct transport *transport)
{
    return shm_from(transport)->poller;
}

static bool shm_arm(struct transport *transport)
{
    struct shm *shm = shm_from(transport);
    shm_sleeper_lie_down(&shm->sleeper);
    shm->armed = !shm->look;
    for (size_t i = 0; shm->armed && i < shm->busy_count; i++) {
        shm->armed = !shm_link_ready(shm->busy[i]);
    }
    return shm->armed;
}

static void shm_disarm(struct transport *transport)
{
    struct shm *shm = shm_from(transport);
    bool by_sockets = shm->armed && !shm->sleeper.by_futex;
    shm->look |= shm_sleeper_rise(&shm->sleeper) || by_sockets;
    shm->countdown = 1;
    shm->armed = false;
}

static bool sockets_speak(const struct shm *shm, uint64_t timeout_ns)
{
    struct pollfd poller = {.fd = shm->poller, .events = POLLIN};
    struct timespec limit = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                             .tv_nsec = (long)(timeout_ns % NS_PER_S)};
    return ppoll(&poller, 1, &limit, NULL) > 0;
}

/* While peers are knocking, sleep on the sockets; else on the futex, which is cheaper for whoever wakes us. */
static void shm_sleep(struct transport *transport, uint64_t timeout_ns)
{
    struct shm *shm = shm_from(transport);
    if (shm->connecting > 0 || shm->door.strangers_count > 0) {
        sockets_speak(shm, timeout_ns);
        return;
    }
    while (timeout_ns > 0) {
        uint64_t slice_ns = timeout_ns < SLEEP_SLICE_NS ? timeout_ns : SLEEP_SLICE_NS;
        if (shm_sleeper_sleep(&shm->sleeper, slice_ns)) {
            return;
        }
        if (sockets_speak(shm, 0)) {
            shm->look = true;
            return;
        }
        timeout_ns -= slice_ns;
    }
}

static void shm_count(const struct transport *transport, uint64_t *sent, uint64_t *received)
{
    const struct shm *shm = shm_from(transport);
    *sent = shm->sent;
    *received = shm->received;
}

const struct transport_ops transport_shm = {
    .name = "shm",
    .features = TRANSPORT_RESERVES | TRANSPORT_SHOWS,
    .create = shm_create,
    .destroy = shm_destroy,
    .link_create = shm_link_create,
    .link_connect = shm_link_connect,
    .link_state = shm_link_state,
    .link_close = shm_link_close,
    .send = shm_send,
    .receive = shm_receive,
    .release = shm_release,
    .reserve = shm_reserve,
    .commit = shm_commit,
    .cancel = shm_cancel,
    .show = shm_show,
    .look = shm_look,
    .withdraw = shm_withdraw,
    .progress = shm_progress,
    .wait_fd = shm_wait_fd,
    .arm = shm_arm,
    .disarm = shm_disarm,
    .sleep = shm_sleep,
    .count = shm_count,
};
