#include "runtime/execute/wires.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/membership/notice.h"

#ifdef KOLO_HAVE_VERBS
#include "transport/verbs/verbs.h"
#define VERBS (&transport_verbs)
#else
#define VERBS NULL /* the row stays: its number travels */
#endif

static const struct transport_ops *const rows[WIRES_TRANSPORTS] = {&transport_shm, VERBS,
                                                                   &transport_tcp};
#define ROW_VERBS 1u
#define ROW_TCP 2u
static const char *const names_of_rows[WIRES_TRANSPORTS] = {"shm", "verbs", "tcp"};

#define WHY_BYTES 256

/* How far a pair has come with one transport. */
enum pair_state {
    PAIR_NONE = 0, /* not tried in this round */
    PAIR_OFFERED,  /* our offer is out, theirs is awaited */
    PAIR_TRYING,   /* connecting */
    PAIR_UP,       /* our end is up; their verdict is awaited */
    PAIR_DOWN,     /* our end has failed; their verdict is awaited */
    PAIR_SETTLED   /* both ends know */
};

/* What has come from a peer, possibly before we got there. */
struct word {
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    size_t offer_bytes;
    bool offered;
    int8_t verdict; /* 0: none yet, 1: up, -1: down */
};

struct wiring {
    struct wires *wires;
    const struct wires_config *config;
    enum pair_state *state; /* [size] */
    struct word *word;      /* [size * WIRES_TRANSPORTS] */
    struct pollfd *fds;     /* [size + 1] */
    char (*why)[WHY_BYTES]; /* [size] why the last transport that was tried does not work */
    kolo_status made[WIRES_TRANSPORTS];         /* how making each transport ended; and */
    char made_why[WIRES_TRANSPORTS][WHY_BYTES]; /* why not */
};

const char *wires_name(unsigned row)
{
    assert(row < WIRES_TRANSPORTS);
    return names_of_rows[row];
}

/* The row of a name; -1: none. */
static int row_of(const char *name, size_t length)
{
    for (int row = 0; row < WIRES_TRANSPORTS; row++) {
        if (strlen(names_of_rows[row]) == length &&
            strncmp(names_of_rows[row], name, length) == 0) {
            return row;
        }
    }
    return -1;
}

static uint32_t all_rows(void)
{
    uint32_t all = 0;
    for (unsigned row = 0; row < WIRES_TRANSPORTS; row++) {
        all |= rows[row] != NULL ? 1u << row : 0;
    }
    return all;
}

kolo_status wires_parse(uint32_t *transports, const char *names)
{
    *transports = 0;
    for (const char *at = names; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ",");
        int row = row_of(at, length);
        if (row < 0) {
            return fail(
                KOLO_ERR_ARGUMENT,
                "there is no transport '%.*s'; KOLO_TRANSPORT takes a list of: shm, verbs, tcp",
                (int)length, at);
        }
        if (rows[row] == NULL) {
            return fail(KOLO_ERR_ARGUMENT,
                        "transport '%s' is not in this build of kolo (KOLO_VERBS=off, or its "
                        "libraries were missing); it has: shm, tcp",
                        names_of_rows[row]);
        }
        *transports |= 1u << row;
        at += length + (at[length] == ',');
    }
    if (*transports == 0) {
        *transports = all_rows();
    }
    return KOLO_OK;
}

/* ---- a round: all pairs that may use one transport try it ---- */

static struct word *word_of(struct wiring *wiring, uint32_t peer, unsigned row)
{
    return &wiring->word[peer * WIRES_TRANSPORTS + row];
}

static bool may_use(const struct group *group, uint32_t peer, unsigned row)
{
    const struct member *self = &group->member[group->rank];
    const struct member *other = &group->member[peer];
    bool both = rows[row] != NULL && (self->transports & other->transports & (1u << row)) != 0;
    bool same_host = memcmp(self->host, other->host, sizeof self->host) == 0;
    return both && peer != group->rank && (rows[row] != &transport_shm || same_host);
}

#ifdef KOLO_HAVE_VERBS
static kolo_status ensure_transport(struct wiring *wiring, unsigned row);

/* What links go on by that lose RDMA: tcp, if this process may use it. */
static bool ensure_spare(struct wiring *wiring)
{
    const struct group *group = wiring->wires->group;
    return (group->member[group->rank].transports & (1u << ROW_TCP)) != 0 &&
           ensure_transport(wiring, ROW_TCP) == KOLO_OK;
}
#endif

static kolo_status ensure_transport(struct wiring *wiring, unsigned row)
{
    struct wires *wires = wiring->wires;
    if (wires->transport[row] != NULL || wiring->made[row] != KOLO_OK) {
        return wiring->made[row];
    }
    struct transport_config config = {.peer_timeout_ns = wiring->config->peer_timeout_ns,
                                      .sleeps_alone = true};
    memcpy(config.self, wires->group->member[wires->group->rank].id, sizeof config.self);
#ifdef KOLO_HAVE_VERBS
    bool spare = rows[row] == &transport_verbs && ensure_spare(wiring);
    struct verbs_wire verbs = {
        .spare = spare ? wires->transport[ROW_TCP] : NULL,
        .wish = {.names = wiring->config->verbs_devices,
                 .gid_index = wiring->config->verbs_gid_index,
                 .queue_pairs = (unsigned)wiring->config->verbs_queue_pairs}};
    config.wire = rows[row] == &transport_verbs ? &verbs : NULL;
#endif
    if (rows[row] == &transport_tcp) {
        config.wire = wiring->config->port;
    }
    wiring->made[row] = rows[row]->create(&wires->transport[row], &config);
    if (wiring->made[row] != KOLO_OK) {
        snprintf(wiring->made_why[row], WHY_BYTES, "%s", kolo_last_error());
        log_line(LOG_DEBUG, "no %s: %s", names_of_rows[row], wiring->made_why[row]);
    }
    return wiring->made[row];
}

static void give_verdict(struct wiring *wiring, uint32_t peer, unsigned row, bool up)
{
    uint8_t bytes[2] = {(uint8_t)row, up};
    control_send(wiring->wires->group->control[peer], CONTROL_VERDICT, bytes, sizeof bytes);
    wiring->state[peer] = up ? PAIR_UP : PAIR_DOWN;
}

/* Both ends compute the same token: from the two identities. */
static uint64_t token_of(const struct member *a, const struct member *b)
{
    uint64_t halves[4], token = 0;
    memcpy(halves, a->id, 16);
    memcpy(halves + 2, b->id, 16);
    token = (halves[0] ^ halves[2]) + (halves[1] ^ halves[3]) * 0x9e3779b97f4a7c15ULL;
    return token;
}

static void make_offer(struct wiring *wiring, uint32_t peer, unsigned row)
{
    struct wires *wires = wiring->wires;
    const struct group *group = wires->group;
    const struct member *self = &group->member[group->rank];
    char name[MEMBER_NAME_MAX];
    struct link_config config = {.dials = group->rank < peer,
                                 .token = token_of(self, &group->member[peer])};
    config.peer_name = member_name(name, &group->member[peer]);
    memcpy(config.peer, group->member[peer].id, sizeof config.peer);
    uint8_t frame[3 + TRANSPORT_OFFER_BYTES], offer[TRANSPORT_OFFER_BYTES];
    size_t offer_bytes = 0;
    kolo_status status = ensure_transport(wiring, row);
    if (status == KOLO_OK) {
        status = rows[row]->link_create(&wires->link[peer], offer, &offer_bytes,
                                        wires->transport[row], &config);
    }
    if (status != KOLO_OK) {
        wires->link[peer] = NULL;
        snprintf(wiring->why[peer], WHY_BYTES, "%s: %s", names_of_rows[row],
                 wiring->made[row] != KOLO_OK ? wiring->made_why[row] : kolo_last_error());
        give_verdict(wiring, peer, row, false);
        return;
    }
    struct wire_writer writer = {.bytes = frame, .capacity = sizeof frame};
    wire_put_u8(&writer, (uint8_t)row);
    wire_put_blob(&writer, offer, offer_bytes);
    assert(!writer.failed);
    control_send(group->control[peer], CONTROL_OFFER, frame, writer.length);
    wiring->state[peer] = PAIR_OFFERED;
}

static kolo_status peer_gone(const struct wiring *wiring, uint32_t peer, const char *why)
{
    char name[MEMBER_NAME_MAX];
    return fail(KOLO_ERR_PEER_LOST, "%s was lost while connecting: %s",
                member_name(name, &wiring->wires->group->member[peer]), why);
}

static void hear(struct wiring *wiring, uint32_t peer, const struct control_frame *frame)
{
    struct wire_reader reader = {.bytes = frame->payload, .length = frame->length};
    unsigned row = wire_get_u8(&reader);
    if (reader.failed || row >= WIRES_TRANSPORTS) {
        return;
    }
    struct word *word = word_of(wiring, peer, row);
    if (frame->kind == CONTROL_OFFER) {
        word->offer_bytes = wire_get_blob(&reader, word->offer, sizeof word->offer);
        word->offered = !reader.failed;
    } else {
        word->verdict = wire_get_u8(&reader) == 1 ? 1 : -1;
    }
}

/* Take the frames of this phase; later ones stay. */
static kolo_status listen_to(struct wiring *wiring, uint32_t peer)
{
    struct control *control = wiring->wires->group->control[peer];
    struct control_frame frame;
    for (int kind = control_peek(control); kind != 0; kind = control_peek(control)) {
        if (kind < 0) {
            return peer_gone(wiring, peer, control_cause(control));
        }
        if (kind == CONTROL_BYE) {
            return peer_gone(wiring, peer, "it gave up");
        }
        if (kind == CONTROL_SETTLE) {
            return KOLO_OK; /* it is done already */
        }
        control_receive(control, &frame);
        struct notice notice;
        if (kind == CONTROL_NOTICE && notice_get(&notice, &frame)) {
            return fail(notice.status, "%s", notice.text);
        }
        if (kind == CONTROL_OFFER || kind == CONTROL_VERDICT) {
            hear(wiring, peer, &frame);
        }
    }
    return KOLO_OK;
}

static void settle(struct wiring *wiring, uint32_t peer, unsigned row)
{
    struct wires *wires = wiring->wires;
    bool up = wiring->state[peer] == PAIR_UP && word_of(wiring, peer, row)->verdict == 1;
    if (up) {
        wires->row[peer] = (uint8_t)row;
    } else if (wires->link[peer] != NULL) {
        wires->link[peer]->ops->link_close(wires->link[peer]);
        wires->link[peer] = NULL;
    }
    wiring->state[peer] = PAIR_SETTLED;
}

static void step_pair(struct wiring *wiring, uint32_t peer, unsigned row)
{
    struct link *link = wiring->wires->link[peer];
    struct word *word = word_of(wiring, peer, row);
    if (wiring->state[peer] == PAIR_OFFERED && word->offered) {
        wiring->state[peer] = PAIR_TRYING;
        if (rows[row]->link_connect(link, word->offer, word->offer_bytes) != KOLO_OK) {
            log_line(LOG_DEBUG, "no %s with rank %u: %s", rows[row]->name, peer, kolo_last_error());
            give_verdict(wiring, peer, row, false);
        }
    } else if (wiring->state[peer] == PAIR_OFFERED && word->verdict == -1) {
        give_verdict(wiring, peer, row, false); /* the other end could not even make an offer */
    }
    if (wiring->state[peer] == PAIR_TRYING) {
        const char *why = "";
        enum link_state state = rows[row]->link_state(link, NULL, &why);
        if (state == LINK_LOST) {
            log_line(LOG_DEBUG, "no %s with rank %u: %s", rows[row]->name, peer, why);
            snprintf(wiring->why[peer], WHY_BYTES, "%s: %s", rows[row]->name, why);
        }
        if (state == LINK_UP || state == LINK_LOST || word->verdict == -1) {
            give_verdict(wiring, peer, row, state == LINK_UP);
        }
    }
    if ((wiring->state[peer] == PAIR_UP || wiring->state[peer] == PAIR_DOWN) &&
        word->verdict != 0) {
        settle(wiring, peer, row);
    }
}

static bool step_round(struct wiring *wiring, unsigned row, kolo_status *status)
{
    const struct group *group = wiring->wires->group;
    bool settled = true;
    wires_progress(wiring->wires);
    for (uint32_t peer = 0; peer < group->size && *status == KOLO_OK; peer++) {
        if (wiring->state[peer] == PAIR_NONE) {
            continue;
        }
        if (wiring->state[peer] != PAIR_SETTLED) {
            *status = listen_to(wiring, peer);
            step_pair(wiring, peer, row);
            control_flush(group->control[peer]);
        }
        settled = settled && wiring->state[peer] == PAIR_SETTLED;
    }
    return settled;
}

static kolo_status too_late(const struct wiring *wiring, unsigned row)
{
    const struct group *group = wiring->wires->group;
    for (uint32_t peer = 0; peer < group->size; peer++) {
        if (wiring->state[peer] != PAIR_NONE && wiring->state[peer] != PAIR_SETTLED) {
            char name[MEMBER_NAME_MAX];
            return fail(KOLO_ERR_TIMEOUT,
                        "no %s link with %s in time: is its port open to this host?",
                        rows[row]->name, member_name(name, &group->member[peer]));
        }
    }
    return fail(KOLO_ERR_TIMEOUT, "connecting took too long");
}

/* Poll with a short limit: links that are coming up have descriptors of their own. */
static void nap(struct wiring *wiring)
{
    const struct wires *wires = wiring->wires;
    nfds_t count = 0;
    for (uint32_t peer = 0; peer < wires->group->size; peer++) {
        if (wiring->state[peer] != PAIR_NONE && wiring->state[peer] != PAIR_SETTLED) {
            wiring->fds[count++] =
                (struct pollfd){.fd = control_fd(wires->group->control[peer]), .events = POLLIN};
        }
    }
    poll(wiring->fds, count, 1);
}

static kolo_status run_round(struct wiring *wiring, unsigned row)
{
    struct wires *wires = wiring->wires;
    bool any = false;
    for (uint32_t peer = 0; peer < wires->group->size; peer++) {
        wiring->state[peer] = PAIR_NONE;
        if (wires->link[peer] == NULL && may_use(wires->group, peer, row)) {
            make_offer(wiring, peer, row);
            any = true;
        }
    }
    /* What the user asked for and cannot be had (KOLO_VERBS_DEVICE, KOLO_VERBS_QUEUE_PAIRS) must not turn into another transport in
     * silence. */
    kolo_status made = wiring->made[row];
    kolo_status status = made == KOLO_ERR_ARGUMENT || made == KOLO_ERR_LIMIT
                             ? fail_again(made, wiring->made_why[row])
                             : KOLO_OK;
    while (any && status == KOLO_OK && !step_round(wiring, row, &status) && status == KOLO_OK) {
        if (clock_now_ns() >= wiring->config->deadline_ns) {
            return too_late(wiring, row);
        }
        nap(wiring);
    }
    return status;
}

static kolo_status check_all_linked(const struct wiring *wiring)
{
    const struct wires *wires = wiring->wires;
    const struct group *group = wires->group;
    for (uint32_t peer = 0; peer < group->size; peer++) {
        if (peer != group->rank && wires->link[peer] == NULL) {
            char name[MEMBER_NAME_MAX];
            member_name(name, &group->member[peer]);
            if (wiring->why[peer][0] != '\0') {
                return fail(KOLO_ERR_SYSTEM, "%s cannot be reached: %s", name, wiring->why[peer]);
            }
            return fail(
                KOLO_ERR_ARGUMENT,
                "no transport that both ends may use reaches %s; check KOLO_TRANSPORT here and "
                "there",
                name);
        }
    }
    return KOLO_OK;
}

/* A transport that no link uses would only be polled in vain. But verbs keeps tcp, for later. */
static void drop_unused(struct wires *wires)
{
    for (unsigned row = 0; row < WIRES_TRANSPORTS; row++) {
        bool used = false;
        for (uint32_t peer = 0; peer < wires->group->size; peer++) {
            used = used || (wires->link[peer] != NULL && wires->row[peer] == row);
        }
        if (!used && row == ROW_TCP && wires->transport[ROW_VERBS] != NULL) {
            wires->spare = wires->transport[row];
            wires->transport[row] = NULL;
        }
        if (!used && wires->transport[row] != NULL) {
            rows[row]->destroy(wires->transport[row]);
            wires->transport[row] = NULL;
        }
    }
}

kolo_status wires_open(struct wires *wires, struct group *group, const struct wires_config *config)
{
    uint32_t size = group->size;
    *wires = (struct wires){.group = group};
    wires->link = calloc(size, sizeof *wires->link);
    wires->row = calloc(size, sizeof *wires->row);
    struct wiring wiring = {.wires = wires, .config = config};
    wiring.state = calloc(size, sizeof *wiring.state);
    wiring.word = calloc((size_t)size * WIRES_TRANSPORTS, sizeof *wiring.word);
    wiring.fds = calloc(size + 1, sizeof *wiring.fds);
    wiring.why = calloc(size, sizeof *wiring.why);
    kolo_status status = KOLO_OK;
    if (wires->link == NULL || wires->row == NULL || wiring.state == NULL || wiring.word == NULL ||
        wiring.fds == NULL || wiring.why == NULL) {
        status = fail(KOLO_ERR_MEMORY, "no memory for %u links", size);
    }
    for (unsigned row = 0; row < WIRES_TRANSPORTS && status == KOLO_OK; row++) {
        status = run_round(&wiring, row);
    }
    if (status == KOLO_OK) {
        status = check_all_linked(&wiring);
    }
    if (status == KOLO_OK) {
        drop_unused(wires);
    }
    free(wiring.state);
    free(wiring.word);
    free(wiring.fds);
    free(wiring.why);
    return status;
}

void wires_cut(struct wires *wires)
{
    for (uint32_t peer = 0; wires->link != NULL && peer < wires->group->size; peer++) {
        if (wires->link[peer] != NULL) {
            wires->link[peer]->ops->link_close(wires->link[peer]);
            wires->link[peer] = NULL;
        }
    }
}

void wires_close(struct wires *wires)
{
    wires_cut(wires);
    for (unsigned row = 0; row < WIRES_TRANSPORTS; row++) {
        if (wires->transport[row] != NULL) {
            wires->transport[row]->ops->destroy(wires->transport[row]);
        }
    }
    if (wires->spare != NULL) {
        wires->spare->ops->destroy(wires->spare);
    }
    free(wires->link);
    free(wires->row);
    *wires = (struct wires){0};
}

bool wires_progress(struct wires *wires)
{
    bool moved = false;
    for (unsigned row = 0; row < WIRES_TRANSPORTS; row++) {
        if (wires->transport[row] != NULL) {
            moved |= wires->transport[row]->ops->progress(wires->transport[row]);
        }
    }
    return moved;
}

struct transport *wires_board(const struct wires *wires)
{
    struct transport *board = NULL;
    for (uint32_t peer = 0; peer < wires->group->size; peer++) {
        const struct link *link = wires->link[peer];
        if (link != NULL && board == NULL) {
            board = link->transport;
        }
        if (link != NULL && link->transport != board) {
            return NULL;
        }
    }
    return board != NULL && (board->ops->features & TRANSPORT_SHOWS) ? board : NULL;
}

double wires_verbs_rate_Bps(const struct wires *wires)
{
#ifdef KOLO_HAVE_VERBS
    for (unsigned row = 0; row < WIRES_TRANSPORTS; row++) {
        if (rows[row] == &transport_verbs && wires->transport[row] != NULL) {
            return (double)verbs_rate_Bps(wires->transport[row]);
        }
    }
#endif
    (void)wires;
    return 0;
}
