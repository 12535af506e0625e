/* The fabric: carries out what was posted, a step at a time, in an order that is drawn; and what happens when no answer comes. */
#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "tests/transport/verbs/fake/world.h"

#define POLL_STEPS_MAX 24u      /* of one poll, when shuffled */
#define THREAD_PERIOD_NS 500000 /* how often the thread looks while something is pending */
#define ACK_TIMEOUT_UNIT_NS 4096u
#define NOT_READY_FOREVER 7

/* Volume 1, table 45: the receiver-not-ready timer, in units of 10 us. */
static const uint32_t not_ready_10us[32] = {65536, 1,    2,    3,     4,     6,     8,     12,
                                            16,    24,   32,   48,    64,    96,    128,   192,
                                            256,   384,  512,  768,   1024,  1536,  2048,  3072,
                                            4096,  6144, 8192, 12288, 16384, 24576, 32768, 49152};

static struct work *work_at(const struct queue_pair *pair, uint64_t position)
{
    return &pair->work[position % pair->made.cap.max_send_wr];
}

static bool pair_is_busy(const struct queue_pair *pair)
{
    return pair->attr.qp_state == IBV_QPS_RTS && pair->acknowledged != pair->posted &&
           !pair->hca->gone;
}

/* The oldest request ends like this, and the pair with it. What was delivered before counts as answered. */
static void pair_error(struct queue_pair *pair, enum ibv_wc_status status)
{
    while (pair->acknowledged != pair->delivered) {
        pair_complete_send(pair, IBV_WC_SUCCESS);
    }
    pair_complete_send(pair, status);
    pair_fail(pair);
}

/* Nobody answers: after the pair's timeout, times its retries, it gives up. True if so. */
static bool pair_wait_silent(struct queue_pair *pair, uint64_t now_ns)
{
    if (pair->silent_since_ns == 0) {
        pair->silent_since_ns = now_ns;
    }
    uint64_t patience_ns =
        ((uint64_t)ACK_TIMEOUT_UNIT_NS << pair->attr.timeout) * (pair->attr.retry_cnt + 1u);
    if (pair->attr.timeout == 0 || now_ns - pair->silent_since_ns < patience_ns) {
        return false;
    }
    pair_complete_send(pair, IBV_WC_RETRY_EXC_ERR); /* the oldest that has no answer */
    pair_fail(pair);
    return true;
}

/* The receiver has nothing posted. True if the sender gives up. */
static bool pair_wait_ready(struct queue_pair *pair, const struct queue_pair *peer, uint64_t now_ns)
{
    uint64_t pause_ns = not_ready_10us[peer->attr.min_rnr_timer & 31] * UINT64_C(10000);
    if (pair->not_ready_since_ns == 0) {
        pair->not_ready_since_ns = now_ns;
    }
    uint64_t patience_ns = pause_ns * (pair->attr.rnr_retry + 1u);
    if (pair->attr.rnr_retry == NOT_READY_FOREVER ||
        now_ns - pair->not_ready_since_ns < patience_ns) {
        return false;
    }
    pair_error(pair, IBV_WC_RNR_RETRY_EXC_ERR);
    return true;
}

static bool work_is_placed(const struct work *work)
{
    uint64_t all = work->pieces == 64 ? UINT64_MAX : (UINT64_C(1) << work->pieces) - 1;
    return work->pieces > 0 && work->placed == all;
}

static unsigned piece_draw(const struct work *work)
{
    unsigned piece = (unsigned)world_random(work->pieces);
    while ((work->placed >> piece & 1) != 0) {
        piece = (piece + 1) % work->pieces;
    }
    return piece;
}

/* One piece of one request of the window. */
static bool step_place(struct queue_pair *pair, struct queue_pair *peer, uint64_t position,
                       uint64_t now_ns)
{
    struct work *work = work_at(pair, position);
    enum ibv_wc_status status = IBV_WC_SUCCESS;
    enum outcome outcome = OUTCOME_DONE;
    bool is_first = position == pair->delivered;
    if (work->pieces == 0) {
        outcome = transfer_begin(pair, peer, work, is_first, &status);
    }
    if (outcome == OUTCOME_DONE) {
        outcome = transfer_place(pair, peer, work, piece_draw(work), &status);
    }
    if (outcome == OUTCOME_ERROR) {
        while (pair->acknowledged != position && pair->attr.qp_state == IBV_QPS_RTS) {
            bool answered = pair->acknowledged < pair->delivered;
            pair_complete_send(pair, answered ? IBV_WC_SUCCESS : IBV_WC_WR_FLUSH_ERR);
        }
        pair_error(pair, status);
        return true;
    }
    if (outcome == OUTCOME_NOT_READY) {
        return is_first && pair_wait_ready(pair, peer, now_ns);
    }
    pair->not_ready_since_ns = 0;
    return true;
}

static bool step_end(struct queue_pair *pair, struct queue_pair *peer, uint64_t now_ns)
{
    if (transfer_end(pair, peer, work_at(pair, pair->delivered)) == OUTCOME_NOT_READY) {
        return pair_wait_ready(pair, peer, now_ns);
    }
    pair->not_ready_since_ns = 0;
    return true;
}

static bool work_is_write(const struct work *work)
{
    return work->opcode == IBV_WR_RDMA_WRITE || work->opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
}

/* A request whose next piece can come: the oldest, or a write close behind it, if all between are writes. */
static uint64_t position_draw(const struct queue_pair *pair, uint64_t now_ns, uint64_t delay_ns)
{
    uint64_t candidate[WORLD_WINDOW], first = pair->delivered;
    unsigned candidates = 0;
    for (uint64_t p = first; p != pair->posted && p < first + WORLD_WINDOW; p++) {
        const struct work *work = work_at(pair, p);
        if (work->posted_ns + delay_ns > now_ns || (p != first && !work_is_write(work))) {
            break;
        }
        if (!work_is_placed(work)) {
            candidate[candidates++] = p;
        }
        if (world.order == FAKE_PROMPT || !work_is_write(work)) {
            break;
        }
    }
    return candidates == 0 ? UINT64_MAX : candidate[world_random(candidates)];
}

/* One of the things that can happen next to a pair: an answer comes back, a message is complete at its receiver, a piece is placed. */
static bool pair_step(struct queue_pair *pair, uint64_t now_ns)
{
    uint64_t delay_ns = 0;
    struct queue_pair *peer = route_peer(pair, &delay_ns);
    if (peer == NULL) {
        return pair_wait_silent(pair, now_ns);
    }
    pair->silent_since_ns = 0;
    bool hurried = world.order == FAKE_PROMPT || world_random(2) == 0;
    bool answers = pair->acknowledged != pair->delivered;
    if (answers && hurried) {
        pair_complete_send(pair, IBV_WC_SUCCESS);
        return true;
    }
    if (pair->delivered != pair->posted && work_is_placed(work_at(pair, pair->delivered)) &&
        (hurried || pair->posted - pair->delivered < 2) && step_end(pair, peer, now_ns)) {
        return true;
    }
    uint64_t position = position_draw(pair, now_ns, delay_ns);
    if (position != UINT64_MAX && step_place(pair, peer, position, now_ns)) {
        return true;
    }
    if (answers && pair->attr.qp_state == IBV_QPS_RTS && pair->acknowledged != pair->delivered) {
        pair_complete_send(pair, IBV_WC_SUCCESS);
        return true;
    }
    return pair->delivered != pair->posted && work_is_placed(work_at(pair, pair->delivered)) &&
           pair->attr.qp_state == IBV_QPS_RTS && step_end(pair, peer, now_ns);
}

/* One step of any pair that can take one, the first asked being drawn. */
static bool fabric_step(uint64_t now_ns)
{
    unsigned count = world.pairs;
    unsigned first = count > 1 ? (unsigned)world_random(count) : 0;
    for (unsigned i = 0; i < count; i++) {
        struct queue_pair *pair = world.made[(first + i) % count];
        if (pair_is_busy(pair) && pair_step(pair, now_ns)) {
            return true;
        }
    }
    return false;
}

unsigned fabric_steps(unsigned steps)
{
    unsigned done = 0;
    uint64_t now_ns = world_now_ns();
    while (done < steps && fabric_step(now_ns)) {
        done++;
    }
    return done;
}

bool fabric_pending(void)
{
    for (unsigned i = 0; i < world.pairs; i++) {
        if (pair_is_busy(world.made[i])) {
            return true;
        }
    }
    return false;
}

void fabric_poll(void)
{
    if (world.order == FAKE_PROMPT) {
        fabric_steps(UINT32_MAX);
    } else if (world.order == FAKE_SHUFFLED) {
        fabric_steps((unsigned)world_random(POLL_STEPS_MAX));
    }
}

static void *fabric_thread(void *unused)
{
    (void)unused;
    world_lock();
    while (!world.thread_ends) {
        if (!fabric_pending() || world.order == FAKE_MANUAL) {
            pthread_cond_wait(&world.wake, &world.lock);
            continue;
        }
        world_unlock();
        nanosleep(&(struct timespec){.tv_nsec = THREAD_PERIOD_NS}, NULL);
        world_lock();
        fabric_poll();
    }
    world_unlock();
    return NULL;
}

void fabric_wake(void)
{
    pthread_cond_signal(&world.wake);
}

void fabric_start(void)
{
    world_lock();
    if (world.contexts++ == 0) {
        world.thread_ends = false;
        if (pthread_create(&world.thread, NULL, fabric_thread, NULL) != 0) {
            abort();
        }
    }
    world_unlock();
}

void fabric_end(void)
{
    world_lock();
    assert(world.contexts > 0);
    bool last = --world.contexts == 0;
    pthread_t thread = world.thread;
    if (last) {
        world.thread_ends = true;
        pthread_cond_signal(&world.wake);
    }
    world_unlock();
    if (last) {
        pthread_join(thread, NULL);
    }
}
