#include "transport/shm/link.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "transport/shm/greeting.h"
#include "transport/shm/shm.h"

#define BIT_IN(lane) (1u << (lane))
#define BIT_OUT(lane) (1u << (TRANSPORT_LANES + (lane)))
#define BIT_LOOK (1u << (2 * TRANSPORT_LANES))

/* ---- states ---------------------------------------------------------------------------------------------------- */

static void close_sockets(struct shm_link *link)
{
    int poller = shm_of(link)->poller;
    if (link->socket.fd >= 0) {
        /* Tell the peer even if a forked child of ours holds the socket, too. */
        shutdown(link->socket.fd, SHUT_RDWR);
    }
    shm_watch_end(&link->socket, poller);
    shm_watch_end(&link->process, poller);
    link->peer.socket = -1;
}

static void fail_posted(struct shm_link *link, kolo_status status)
{
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        queue_fail(&link->in[lane].queue, status);
        queue_fail(&link->out[lane].queue, status);
    }
    link->busy = 0;
}

/* The only place where a link's state changes. */
static void set_state(struct shm_link *link, enum link_state state)
{
    static const bool allowed[4][4] = {
        [LINK_NEW] = {[LINK_CONNECTING] = true, [LINK_LOST] = true},
        [LINK_CONNECTING] = {[LINK_UP] = true, [LINK_LOST] = true},
        [LINK_UP] = {[LINK_LOST] = true},
    };
    assert(allowed[link->state][state]);
    (void)allowed;
    struct shm *shm = shm_of(link);
    shm->connecting -= link->state == LINK_CONNECTING;
    shm->connecting += state == LINK_CONNECTING;
    if (state == LINK_LOST && link->leaving) {
        link->leaving = false;
        shm->leaving--;
    }
    link->state = state;
    shm->look = true;
    shm->countdown = 1;
}

void shm_link_start(struct shm_link *link)
{
    set_state(link, LINK_CONNECTING);
}

void shm_link_lose(struct shm_link *link, kolo_status status, const char *format, ...)
{
    if (link->state == LINK_LOST) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int length = snprintf(link->text, sizeof link->text, "%s: ", link->peer_name);
    vsnprintf(link->text + length, sizeof link->text - (size_t)length, format, arguments);
    va_end(arguments);
    link->status = status;
    set_state(link, LINK_LOST);
    close_sockets(link);
    fail_posted(link, status);
    enum log_level level = status == KOLO_ERR_PROTOCOL ? LOG_ERROR : LOG_INFO;
    log_line(level, "shm: link lost: %s", link->text);
}

static void lose_last_error(struct shm_link *link, kolo_status status)
{
    char text[STATUS_TEXT_MAX];
    snprintf(text, sizeof text, "%s", kolo_last_error());
    shm_link_lose(link, status, "%s", text);
}

/* ---- the socket, once it is up --------------------------------------------------------------------------------- */

#define WAKE_UPS_MAX 8 /* read at a time; epoll tells of the rest */

bool shm_link_hear(struct shm_link *link)
{
    if (link->socket.fd < 0) {
        return false;
    }
    if (!link->attached) {
        return shm_greeting_hear(link);
    }
    for (unsigned i = 0; i < WAKE_UPS_MAX; i++) {
        uint8_t byte;
        ssize_t got = recv(link->socket.fd, &byte, sizeof byte, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return false;
        }
        if (got <= 0) {
            return shm_link_leave(link);
        }
    }
    return false;
}

/* ---- leaving --------------------------------------------------------------------------------------------------- */

/* Is a message awaited that the peer has not shown? */
static bool awaits_look(const struct shm_link *link)
{
    struct shown shown;
    return (link->busy & BIT_LOOK) != 0 &&
           shm_board_read(&shown, link->peer.board, link->awaited) == LOOK_NOT_YET;
}

/* Is there anything left that the dead peer's messages can satisfy, and nothing that they cannot, a look included? */
static bool lives_on(struct shm_link *link)
{
    if (awaits_look(link)) {
        return false;
    }
    bool posted = false, left = false;
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        bool whole = shm_inbox_lives_on(&link->in[lane]);
        bool waits = link->in[lane].queue.head;
        bool broken = link->in[lane].reader.broken; /* found out by looking for a whole one */
        if (link->out[lane].queue.head || (waits && !whole) || broken) {
            return false;
        }
        posted |= waits;
        left |= whole;
    }
    return posted || left;
}

static bool settle(struct shm_link *link)
{
    if (lives_on(link)) {
        return false;
    }
    shm_link_lose(link, KOLO_ERR_PEER_LOST,
                  "the process ended or closed its end of the "
                  "shared-memory link");
    return true;
}

bool shm_link_leave(struct shm_link *link)
{
    if (link->state == LINK_LOST || link->leaving) {
        return false;
    }
    close_sockets(link);
    link->leaving = true;
    shm_of(link)->leaving++;
    return shm_link_step(link);
}

bool shm_link_step(struct shm_link *link)
{
    if (link->state == LINK_CONNECTING && link->attached) {
        set_state(link, LINK_UP);
        shm_link_move(link);
        return true;
    }
    if (link->state == LINK_CONNECTING && link->dials && !link->segment) {
        kolo_status status = shm_greeting_dial(link);
        if (status != KOLO_OK) {
            lose_last_error(link, status == KOLO_ERR_STATE ? KOLO_ERR_PEER_LOST : status);
        }
        shm_of(link)->look = true; /* nothing else would call us again */
        return status != KOLO_OK;
    }
    return link->state == LINK_UP && link->leaving && shm_link_move(link);
}

/* ---- moving ---------------------------------------------------------------------------------------------------- */

/* Have the link looked at by progress(). */
static void enlist(struct shm_link *link, unsigned bit)
{
    struct shm *shm = shm_of(link);
    link->busy |= bit;
    if (!link->listed && link->state == LINK_UP) {
        link->listed = true;
        shm->busy[shm->busy_count++] = link;
    }
}

static void lose_broken(struct shm_link *link)
{
    shm_link_lose(link, KOLO_ERR_PROTOCOL, "wrote nonsense into the shared memory of its link");
}

static bool move_lane(struct shm_link *link, bool *broken, unsigned lane)
{
    bool any = false;
    if (link->busy & BIT_IN(lane)) {
        any |= shm_inbox_step(&link->in[lane]);
        *broken |= link->in[lane].reader.broken;
        if (!link->in[lane].queue.head) {
            link->busy &= ~BIT_IN(lane);
        }
    }
    if (link->busy & BIT_OUT(lane)) {
        any |= shm_outbox_step(&link->out[lane]);
        *broken |= link->out[lane].writer.broken;
        if (!link->out[lane].queue.head) {
            link->busy &= ~BIT_OUT(lane);
        }
    }
    return any;
}

bool shm_link_move(struct shm_link *link)
{
    bool any = false, broken = false;
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        any |= move_lane(link, &broken, lane);
    }
    if (broken) {
        lose_broken(link);
        return true;
    }
    if (link->busy != 0) {
        enlist(link, 0);
    }
    return (link->leaving && settle(link)) || any;
}

bool shm_link_ready(struct shm_link *link)
{
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        if (shm_inbox_ready(&link->in[lane]) || shm_outbox_ready(&link->out[lane]) ||
            link->in[lane].reader.broken || link->out[lane].writer.broken) {
            return true;
        }
    }
    struct shown shown;
    return (link->busy & BIT_LOOK) != 0 &&
           shm_board_read(&shown, link->peer.board, link->awaited) != LOOK_NOT_YET;
}

static bool refuse(const struct shm_link *link, struct transfer *transfer)
{
    if (link->state != LINK_LOST) {
        return false;
    }
    transfer->status = link->status;
    transfer->state = TRANSFER_FAILED;
    return true;
}

static void reset(struct transfer *transfer)
{
    transfer->moved = 0;
    transfer->span = NULL;
    transfer->span_bytes = 0;
    transfer->status = KOLO_OK;
}

/* What is posted on a link that fails here is found by progress(), which then gives the link up. */
void shm_link_send(struct shm_link *link, unsigned lane, struct transfer *transfer)
{
    assert(lane < TRANSPORT_LANES && transfer->state != TRANSFER_POSTED);
    struct shm_outbox *box = &link->out[lane];
    reset(transfer);
    if (refuse(link, transfer)) {
        return;
    }
    bool first = !box->queue.head;
    queue_push(&box->queue, transfer);
    if (first && link->state == LINK_UP && !link->leaving) {
        shm_outbox_step(box);
    }
    if (box->queue.head) {
        enlist(link, BIT_OUT(lane));
    }
}

void shm_link_receive(struct shm_link *link, unsigned lane, struct transfer *transfer)
{
    assert(lane < TRANSPORT_LANES && transfer->state != TRANSFER_POSTED);
    struct shm_inbox *box = &link->in[lane];
    reset(transfer);
    if (refuse(link, transfer)) {
        return;
    }
    bool first = !box->queue.head;
    queue_push(&box->queue, transfer);
    if (first && link->state == LINK_UP) {
        shm_inbox_step(box);
    }
    if (box->queue.head) {
        enlist(link, BIT_IN(lane));
    }
}

enum look shm_link_look(struct shm_link *link, struct shown *shown, uint64_t number)
{
    if (!link->attached) {
        return link->state == LINK_LOST ? LOOK_NEVER : LOOK_NOT_YET;
    }
    enum look found = shm_board_read(shown, link->peer.board, number);
    if (found == LOOK_HERE) {
        link->busy &= ~BIT_LOOK;
        return LOOK_HERE;
    }
    if (found == LOOK_NEVER) {
        shm_link_lose(link, KOLO_ERR_PROTOCOL, "shows nonsense in its shared memory");
    }
    if (link->state == LINK_LOST) {
        return LOOK_NEVER;
    }
    link->awaited = number;
    enlist(link, BIT_LOOK);
    return LOOK_NOT_YET;
}

void shm_link_end(struct shm_link *link)
{
    if (link->leaving) {
        shm_of(link)->leaving--;
    }
    if (link->state == LINK_CONNECTING) {
        shm_of(link)->connecting--;
    }
    close_sockets(link);
    fail_posted(link, KOLO_ERR_ABORTED);
    shm_segment_unmap(link->segment, sizeof *link->segment);
    shm_peer_unmap(&link->peer);
}
