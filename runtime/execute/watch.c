#include "runtime/execute/watch.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/membership/notice.h"
#include "runtime/plan/costs.h"

#define EVENTS 64

static void send_all(struct engine *engine, enum control_kind kind, const void *payload,
                     size_t length)
{
    const struct group *group = engine->group;
    for (uint32_t rank = 0; rank < group->size; rank++) {
        if (group->control[rank] != NULL && !engine->peer[rank].ended) {
            control_send(group->control[rank], kind, payload, length);
        }
    }
}

/* ---- telling ---- */

void watch_tell_failure(struct engine *engine, uint32_t culprit)
{
    const struct group *group = engine->group;
    for (uint32_t rank = 0; rank < group->size; rank++) {
        if (group->control[rank] != NULL && !engine->peer[rank].ended) {
            notice_send(group->control[rank], engine->status, culprit, engine->text);
        }
    }
}

void watch_ask(struct engine *engine)
{
    uint8_t header[TRANSPORT_HEADER_BYTES];
    for (uint32_t rank = 0; rank < engine->group->size; rank++) {
        engine->peer[rank].asked = true;
        engine->peer[rank].answered = false;
    }
    fingerprint_put(header, &engine->operation.fingerprint, 0, 0, 0);
    send_all(engine, CONTROL_PROBE, header, FINGERPRINT_BYTES);
}

void watch_tell_past(struct engine *engine, uint32_t peer)
{
    uint8_t header[TRANSPORT_HEADER_BYTES];
    uint32_t known = engine->sequence < ENGINE_HISTORY ? engine->sequence : ENGINE_HISTORY;
    for (uint32_t i = known; i-- > 0;) { /* the first one that differs is the one to name */
        fingerprint_put(header, &engine->history[(engine->sequence - i) % ENGINE_HISTORY], 0, 0, 0);
        control_send(engine->group->control[peer], CONTROL_PROBE, header, FINGERPRINT_BYTES);
    }
}

void watch_say_goodbye(struct engine *engine)
{
    send_all(engine, CONTROL_BYE, NULL, 0);
}

const char *watch_silent(const struct engine *engine, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t rank = 0; rank < engine->group->size && used + 24 < text_bytes; rank++) {
        const struct peer_watch *peer = &engine->peer[rank];
        if (rank != engine->group->rank && peer->asked && !peer->answered) {
            used += (size_t)snprintf(text + used, text_bytes - used, "%srank %u",
                                     used > 0 ? ", "
                                              : "; not in a call of "
                                                "kolo: ",
                                     rank);
        }
    }
    return text;
}

/* ---- hearing ---- */

static void hear_notice(struct engine *engine, uint32_t from, const struct control_frame *frame)
{
    struct notice notice;
    if (notice_get(&notice, frame)) {
        engine_fail(engine, notice.status, notice.culprit, "%s", notice.text);
    } else {
        engine_fail(engine, KOLO_ERR_PROTOCOL, from, "rank %u sent a notice that makes no sense",
                    from);
    }
}

/* Another rank stands still in an operation. Is ours of that number the same? */
static void hear_fingerprint(struct engine *engine, uint32_t from, const struct fingerprint *theirs)
{
    if (theirs->sequence == 0 || theirs->sequence > engine->sequence ||
        engine->sequence - theirs->sequence >= ENGINE_HISTORY) {
        return;
    }
    const struct fingerprint *ours = &engine->history[theirs->sequence % ENGINE_HISTORY];
    if (!fingerprint_equal(ours, theirs)) {
        char here[FINGERPRINT_TEXT], there[FINGERPRINT_TEXT], what[FINGERPRINT_TEXT];
        engine_fail(engine, KOLO_ERR_MISMATCH, from, "rank %u called %s but rank %u called %s: %s",
                    engine->group->rank, fingerprint_text(here, ours), from,
                    fingerprint_text(there, theirs), fingerprint_difference(what, ours, theirs));
    }
}

static void answer(struct engine *engine, uint32_t to)
{
    uint8_t header[TRANSPORT_HEADER_BYTES];
    fingerprint_put(header, &engine->operation.fingerprint, 0, 0, 0);
    control_send(engine->group->control[to], CONTROL_ANSWER, header, FINGERPRINT_BYTES);
}

static void hear(struct engine *engine, uint32_t from, const struct control_frame *frame)
{
    bool whole = frame->length == FINGERPRINT_BYTES;
    struct fingerprint theirs = whole ? fingerprint_get(frame->payload) : (struct fingerprint){0};
    switch (frame->kind) {
    case CONTROL_NOTICE:
        hear_notice(engine, from, frame);
        break;
    case CONTROL_BYE:
        engine->peer[from].left = true;
        break;
    case CONTROL_PROBE:
        answer(engine, from);
        hear_fingerprint(engine, from, &theirs);
        break;
    case CONTROL_ANSWER:
        engine->peer[from].answered = true;
        engine->peer[from].latest = theirs;
        hear_fingerprint(engine, from, &theirs);
        break;
    default:
        break; /* of the start: late gossip */
    }
}

static void end_of(struct engine *engine, uint32_t rank)
{
    struct control *control = engine->group->control[rank];
    engine->peer[rank].ended = true;
    epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, control_fd(control), NULL);
}

static void listen_to(struct engine *engine, uint32_t rank)
{
    struct control_frame frame;
    struct control *control = engine->group->control[rank];
    int got = 0;
    while (!engine->peer[rank].ended && (got = control_receive(control, &frame)) == 1) {
        hear(engine, rank, &frame);
    }
    if (got < 0) {
        end_of(engine, rank);
    } else {
        control_flush(control);
    }
}

/* Who has died without a good-bye? Notices of others come first: they may know who began. */
static kolo_status judge(struct engine *engine)
{
    const struct group *group = engine->group;
    for (uint32_t rank = 0; rank < group->size && !atomic_load(&engine->failed); rank++) {
        if (engine->peer[rank].ended && !engine->peer[rank].left) {
            char name[MEMBER_NAME_MAX];
            engine_fail(engine, KOLO_ERR_PEER_LOST, rank, "%s was lost: %s",
                        member_name(name, &group->member[rank]),
                        control_cause(group->control[rank]));
        }
    }
    return atomic_load(&engine->failed) ? engine->status : KOLO_OK;
}

kolo_status watch_look(struct engine *engine, int wait_ms)
{
    struct epoll_event event[EVENTS];
    int count = epoll_wait(engine->epoll_fd, event, EVENTS, wait_ms);
    bool ended = false;
    for (int i = 0; i < count; i++) {
        uint32_t tag = event[i].data.u32;
        if (tag == WATCH_WAKE) {
            uint64_t times;
            ssize_t got = read(engine->wake_fd, &times, sizeof times);
            (void)got;
        } else if (tag < engine->group->size) {
            listen_to(engine, tag);
            ended |= engine->peer[tag].ended;
        }
    }
    if (atomic_load(&engine->failed)) {
        return engine->status;
    }
    return ended ? judge(engine) : KOLO_OK;
}

kolo_status watch_drain(struct engine *engine)
{
    const struct group *group = engine->group;
    bool ended = false;
    for (uint32_t rank = 0; rank < group->size; rank++) {
        if (group->control[rank] != NULL && !engine->peer[rank].ended) {
            listen_to(engine, rank);
            ended |= engine->peer[rank].ended;
        }
    }
    if (atomic_load(&engine->failed)) {
        return engine->status;
    }
    return ended ? judge(engine) : KOLO_OK;
}

/* ---- settling ---- */

static kolo_status hear_settle(struct engine *engine, struct network_uniform *network,
                               uint32_t rank, bool *settled)
{
    struct control *control = engine->group->control[rank];
    struct control_frame frame;
    char name[MEMBER_NAME_MAX];
    member_name(name, &engine->group->member[rank]);
    for (int kind = control_peek(control); kind != 0; kind = control_peek(control)) {
        if (kind < 0 || kind == CONTROL_BYE) {
            return fail(KOLO_ERR_PEER_LOST, "%s was lost while connecting: %s", name,
                        kind < 0 ? control_cause(control) : "it gave up");
        }
        control_receive(control, &frame);
        struct notice notice;
        if (kind == CONTROL_NOTICE && notice_get(&notice, &frame)) {
            return fail(notice.status, "%s", notice.text);
        }
        if (kind == CONTROL_SETTLE) {
            struct wire_reader reader = {.bytes = frame.payload, .length = frame.length};
            struct network_uniform theirs;
            costs_get(&reader, &theirs);
            if (reader.failed) {
                return fail(KOLO_ERR_PROTOCOL, "%s sent figures of its network that make no sense",
                            name);
            }
            costs_worst(network, &theirs);
            *settled = true;
            return KOLO_OK; /* what follows belongs to the first operations */
        }
    }
    return KOLO_OK;
}

kolo_status watch_settle(struct engine *engine, struct network_uniform *network,
                         const uint8_t *bytes, size_t length, uint64_t deadline_ns)
{
    const struct group *group = engine->group;
    send_all(engine, CONTROL_SETTLE, bytes, length);
    for (uint32_t rank = 0; rank < group->size; rank++) {
        bool settled = rank == group->rank;
        while (!settled) {
            kolo_status status = hear_settle(engine, network, rank, &settled);
            if (status != KOLO_OK) {
                return status;
            }
            uint64_t now_ns = clock_now_ns();
            if (!settled && now_ns >= deadline_ns) {
                char name[MEMBER_NAME_MAX];
                return fail(KOLO_ERR_TIMEOUT, "%s is connected but not ready in time",
                            member_name(name, &group->member[rank]));
            }
            wires_progress(engine->wires);
            struct pollfd fd = {.fd = control_fd(group->control[rank]), .events = POLLIN};
            poll(&fd, settled ? 0 : 1, settled ? 0 : clock_ms_until(deadline_ns, now_ns, 10));
        }
    }
    return KOLO_OK;
}
