#include "runtime/execute/engine.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/execute/watch.h"
#include "runtime/plan/costs.h"

#define POLLS_BEFORE_CLOCK 32     /* looks for news before the first look at the clock */
#define POLITE_NS (4 * NS_PER_US) /* of spinning before others are let in between */
#define CHECK_NS (2 * NS_PER_MS)  /* between looks at the control connections while spinning */
#define YIELD_NS                                                                                   \
    (300 * NS_PER_US)   /* giving way to others before sleeping, when processors are short */
#define BUSY_ROUNDS 16u /* of moving bytes between looks at aborts and at the clock; and */
#define BUSY_CHECK_NS (8 * NS_PER_MS) /* between looks at the control connections meanwhile */
#define STRANGER_NS                                                                                \
    (2000 * NS_PER_US) /* away for longer after giving way: a stranger has the processor; then */
#define SLEEPY_NS (30 * NS_PER_MS) /* nobody is given way to for as long */
#define SLEEP_NS (100 * NS_PER_MS) /* the longest sleep that does not see control connections */
#define PROBE_NS NS_PER_S /* of standing still before the peers are asked what they are doing */
#define CULPRIT_NS (300 * NS_PER_MS) /* to find out who began when a link breaks */
#define PAST_NS (3 * NS_PER_S)       /* to find out what a peer has called that does the same now */

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- opening and closing ---- */

static kolo_status watch_fd(struct engine *engine, int fd, uint32_t tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = tag};
    if (epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return fail(KOLO_ERR_SYSTEM, "epoll_ctl failed: %s", strerror(errno));
    }
    return KOLO_OK;
}

static kolo_status watch_all(struct engine *engine)
{
    const struct group *group = engine->group;
    kolo_status status = watch_fd(engine, engine->wake_fd, WATCH_WAKE);
    for (uint32_t rank = 0; rank < group->size && status == KOLO_OK; rank++) {
        if (group->control[rank] != NULL) {
            status = watch_fd(engine, control_fd(group->control[rank]), rank);
        }
    }
    unsigned used = 0;
    for (unsigned row = 0; row < WIRES_TRANSPORTS && status == KOLO_OK; row++) {
        struct transport *transport = engine->wires->transport[row];
        int fd = transport != NULL ? transport->ops->wait_fd(transport) : -1;
        used += transport != NULL;
        if (transport != NULL && transport->ops->sleep != NULL) {
            engine->sleeper = transport;
            engine->sleeps = transport->ops;
        }
        if (fd >= 0) {
            status = watch_fd(engine, fd, WATCH_TRANSPORT);
        }
    }
    if (used != 1) {
        engine->sleeper = NULL;
        engine->sleeps = NULL;
    }
    return status;
}

kolo_status engine_open(struct engine *engine, struct group *group, struct wires *wires,
                        const struct engine_config *config)
{
    *engine = (struct engine){
        .group = group, .wires = wires, .config = *config, .epoll_fd = -1, .wake_fd = -1};
    engine->peer = calloc(group->size, sizeof *engine->peer);
    if (engine->peer == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory to watch %u peers", group->size);
    }
    engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (engine->epoll_fd < 0 || engine->wake_fd < 0) {
        return fail(KOLO_ERR_SYSTEM, "epoll_create1 or eventfd failed: %s", strerror(errno));
    }
    return watch_all(engine);
}

void engine_close(struct engine *engine)
{
    if (engine->peer == NULL) {
        return;
    }
    engine_heed_abort(engine);
    watch_say_goodbye(engine);
    operation_free(&engine->operation);
    if (engine->epoll_fd >= 0) {
        close(engine->epoll_fd);
    }
    if (engine->wake_fd >= 0) {
        close(engine->wake_fd);
    }
    free(engine->peer);
    engine->peer = NULL;
}

/* ---- failing ---- */

kolo_status engine_fail(struct engine *engine, kolo_status status, uint32_t culprit,
                        const char *format, ...)
{
    if (!atomic_load(&engine->failed)) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(engine->text, sizeof engine->text, format, arguments);
        va_end(arguments);
        engine->status = status;
        watch_tell_failure(engine, culprit);
        operation_withdraw(&engine->operation);
        wires_cut(engine->wires);
        engine->operation.running = false;
        atomic_store(&engine->failed, true);
        return fail(status, "%s", engine->text);
    }
    return fail_again(engine->status, engine->text);
}

void engine_abort(struct engine *engine)
{
    atomic_store(&engine->abort_wanted, true);
    uint64_t one = 1;
    ssize_t written = write(engine->wake_fd, &one, sizeof one);
    (void)written; /* full: it is awake already */
}

static kolo_status fail_aborted(struct engine *engine)
{
    return engine_fail(engine, KOLO_ERR_ABORTED, engine->group->rank, "rank %u called kolo_abort",
                       engine->group->rank);
}

void engine_heed_abort(struct engine *engine)
{
    if (atomic_load(&engine->abort_wanted) && !atomic_load(&engine->failed)) {
        fail_aborted(engine);
    }
}

static kolo_status fail_mismatch(struct engine *engine, uint32_t peer,
                                 const struct fingerprint *theirs)
{
    char here[FINGERPRINT_TEXT], there[FINGERPRINT_TEXT], what[FINGERPRINT_TEXT];
    const struct fingerprint *ours = &engine->operation.fingerprint;
    return engine_fail(engine, KOLO_ERR_MISMATCH, peer,
                       "rank %u called %s but rank %u called %s: %s", engine->group->rank,
                       fingerprint_text(here, ours), peer, fingerprint_text(there, theirs),
                       fingerprint_difference(what, ours, theirs));
}

/* A peer does the same now, but has called something else before, which nobody has noticed. Both tell each other what they have
 * called: whoever finds the difference fails, and says so to all. */
static kolo_status fail_past(struct engine *engine, uint32_t peer)
{
    uint64_t deadline_ns = clock_now_ns() + PAST_NS;
    watch_tell_past(engine, peer);
    while (!engine->peer[peer].ended && clock_now_ns() < deadline_ns) {
        wires_progress(engine->wires); /* their descriptors would end every wait */
        if (watch_look(engine, 1) != KOLO_OK) {
            return engine->status;
        }
    }
    return engine_fail(engine, KOLO_ERR_MISMATCH, peer,
                       "rank %u and rank %u have called different things before operation %u, and "
                       "rank %u has not said in time what it called",
                       engine->group->rank, peer, engine->sequence, peer);
}

/* A link broke. Its other end may be dead, or may have cut it because of someone else: give the news of that time to come. */
static kolo_status fail_link(struct engine *engine, uint32_t peer, kolo_status status)
{
    char name[MEMBER_NAME_MAX];
    uint64_t deadline_ns = clock_now_ns() + CULPRIT_NS;
    const struct link *link = engine->wires->link[peer];
    const char *why = "its link broke";
    if (watch_drain(engine) != KOLO_OK) {
        return engine->status;
    }
    while (!engine->peer[peer].ended && !engine->peer[peer].left && clock_now_ns() < deadline_ns) {
        wires_progress(engine->wires); /* their descriptors would end every wait */
        if (watch_look(engine, 1) != KOLO_OK) {
            return engine->status;
        }
    }
    watch_look(engine, 0); /* a notice from another may have come at the same time as the end */
    if (atomic_load(&engine->failed)) {
        return engine->status;
    }
    if (engine->peer[peer].left) {
        why = "it closed the communicator before this operation was done";
    } else if (engine->peer[peer].ended) {
        why = control_cause(engine->group->control[peer]);
    } else if (link != NULL && link->ops->link_state(link, NULL, &why) == LINK_LOST) {
        return engine_fail(engine, status, peer, "rank %u was lost: %s", peer,
                           why); /* the link names the peer in full */
    }
    return engine_fail(engine, status, peer, "%s was lost: %s",
                       member_name(name, &engine->group->member[peer]), why);
}

static kolo_status fail_operation(struct engine *engine)
{
    const struct operation *operation = &engine->operation;
    if (operation->status == KOLO_ERR_MISMATCH && operation->theirs_known) {
        struct fingerprint theirs = operation->theirs;
        return fail_mismatch(engine, operation->culprit, &theirs);
    }
    if (operation->status == KOLO_ERR_MISMATCH) {
        return fail_past(engine, operation->culprit);
    }
    const struct link *link = engine->wires->link[operation->culprit];
    if (operation->status == KOLO_ERR_PROTOCOL && link != NULL &&
        link->ops->link_state(link, NULL, NULL) == LINK_UP) {
        return engine_fail(engine, KOLO_ERR_PROTOCOL, operation->culprit,
                           "rank %u shows a message that has not the length of the operation that "
                           "it names",
                           operation->culprit);
    }
    return fail_link(engine, operation->culprit, operation->status);
}

static kolo_status fail_timeout(struct engine *engine, uint64_t waited_ns)
{
    char waits[256], what[FINGERPRINT_TEXT], silent[128];
    operation_waits_for(&engine->operation, waits, sizeof waits);
    return engine_fail(engine, KOLO_ERR_TIMEOUT, OPERATION_NO_PEER,
                       "nothing moved for %.1f s in %s; rank %u waits for %s%s; raise KOLO_TIMEOUT "
                       "if that is normal",
                       (double)waited_ns / 1e9,
                       fingerprint_text(what, &engine->operation.fingerprint), engine->group->rank,
                       waits, watch_silent(engine, silent, sizeof silent));
}

/* ---- waiting ---- */

struct wait {
    unsigned polls;     /* without news */
    uint64_t since_ns;  /* when the news stopped; 0: not looked yet */
    uint64_t looked_ns; /* at the control connections */
    uint64_t back_ns;   /* after giving way just now; 0: the clock is to be asked */
    bool probed;
};

static void sleep_a_while(struct engine *engine)
{
    struct wires *wires = engine->wires;
    bool quiet = true;
    for (unsigned row = 0; row < WIRES_TRANSPORTS; row++) {
        if (wires->transport[row] != NULL) {
            quiet &= wires->transport[row]->ops->arm(wires->transport[row]);
        }
    }
    if (quiet && engine->sleeper != NULL) {
        engine->sleeps->sleep(engine->sleeper, SLEEP_NS);
    } else if (quiet) {
        struct epoll_event event;
        epoll_wait(engine->epoll_fd, &event, 1, (int)(SLEEP_NS / NS_PER_MS));
    }
    for (unsigned row = 0; row < WIRES_TRANSPORTS; row++) {
        if (wires->transport[row] != NULL) {
            wires->transport[row]->ops->disarm(wires->transport[row]);
        }
    }
}

static kolo_status look_around(struct engine *engine, struct wait *wait, uint64_t now_ns)
{
    wait->looked_ns = now_ns;
    if (atomic_load(&engine->abort_wanted)) {
        return fail_aborted(engine);
    }
    if (watch_look(engine, 0) != KOLO_OK) {
        return engine->status;
    }
    uint64_t waited_ns = now_ns - wait->since_ns;
    if (waited_ns >= engine->config.timeout_ns) {
        return fail_timeout(engine, waited_ns);
    }
    if (waited_ns >= PROBE_NS && !wait->probed) {
        wait->probed = true;
        watch_ask(engine);
    }
    return KOLO_OK;
}

/* Give way to whoever wants this processor. A peer gives it back in microseconds; if it was away for long, a stranger has it,
 * and it is better not to for a while: the scheduler lets those go first who wake from a sleep. */
static void give_way(struct engine *engine, struct wait *wait, uint64_t now_ns)
{
    sched_yield();
    wait->back_ns = clock_now_ns();
    if (wait->back_ns - now_ns > STRANGER_NS) {
        engine->sleepy_until_ns = wait->back_ns + SLEEPY_NS;
    }
}

/* Look again before anything else? Where processors are short, the first look in vain gives way: what is waited for may have to come
 * from a peer on this processor, and who waits for others only does not lose by letting them go first. */
static bool looks_again(const struct engine *engine, struct wait *wait)
{
    return engine->config.spin_ns > 0 && wait->polls++ < POLLS_BEFORE_CLOCK;
}

/* Nothing moved: spin, give way, or sleep. */
static kolo_status idle(struct engine *engine, struct wait *wait)
{
    bool crowded = engine->config.spin_ns == 0;
    if (looks_again(engine, wait)) {
        relax();
        return KOLO_OK;
    }
    uint64_t now_ns = wait->back_ns != 0 ? wait->back_ns : clock_now_ns();
    wait->back_ns = 0;
    if (wait->since_ns == 0) {
        wait->since_ns = now_ns;
        wait->looked_ns = now_ns;
    }
    uint64_t waited_ns = now_ns - wait->since_ns;
    bool spins = waited_ns < engine->config.spin_ns;
    bool sleepy = now_ns < engine->sleepy_until_ns;
    if (!sleepy && (crowded ? waited_ns < YIELD_NS : spins && waited_ns >= POLITE_NS)) {
        give_way(engine, wait, now_ns);
        if (now_ns - wait->looked_ns < CHECK_NS) {
            return KOLO_OK;
        }
        spins = true;
    }
    kolo_status status = KOLO_OK;
    if (!spins || now_ns - wait->looked_ns >= CHECK_NS) {
        status = look_around(engine, wait, now_ns);
    }
    for (int i = 0; status == KOLO_OK && spins && i < 8; i++) {
        relax();
    }
    if (status == KOLO_OK && !spins) {
        sleep_a_while(engine);
    }
    return status;
}

/* While bytes move: aborts and notices count, too. Where processors are short, a peer on this one may have what is needed next: a
 * stream of small pieces must not keep it away. */
static kolo_status look_while_busy(struct engine *engine, uint64_t *looked_ns)
{
    if (engine->config.spin_ns == 0) {
        sched_yield();
    }
    if (atomic_load_explicit(&engine->abort_wanted, memory_order_relaxed)) {
        return fail_aborted(engine);
    }
    uint64_t now_ns = clock_tick_ns();
    if (now_ns - *looked_ns < BUSY_CHECK_NS) {
        return KOLO_OK;
    }
    bool first = *looked_ns == 0;
    *looked_ns = now_ns;
    return first ? KOLO_OK : watch_look(engine, 0);
}

static kolo_status drive(struct engine *engine)
{
    struct operation *operation = &engine->operation;
    struct wait wait = {0};
    unsigned busy = 0;
    uint64_t looked_ns = 0;
    for (;;) {
        bool moved = operation_step(operation);
        if (!operation->running) {
            return operation->status == KOLO_OK ? KOLO_OK : fail_operation(engine);
        }
        moved |= wires_progress(engine->wires);
        kolo_status status = KOLO_OK;
        if (!moved) {
            status = idle(engine, &wait);
        } else {
            wait = (struct wait){0};
            status = ++busy % BUSY_ROUNDS == 0 ? look_while_busy(engine, &looked_ns) : KOLO_OK;
        }
        if (status != KOLO_OK) {
            return status;
        }
    }
}

/* ---- one operation ---- */

static uint64_t vector_bytes(const struct engine *engine, const struct request *request)
{
    bool blocks = request->collective == COLLECTIVE_ALL_GATHER ||
                  request->collective == COLLECTIVE_REDUCE_SCATTER;
    return request->count * kolo_type_size(request->type) * (blocks ? engine->group->size : 1);
}

kolo_status engine_run(struct engine *engine, const struct request *request)
{
    if (atomic_load_explicit(&engine->failed, memory_order_acquire)) {
        return fail_again(engine->status, engine->text);
    }
    if (atomic_load_explicit(&engine->abort_wanted, memory_order_relaxed)) {
        return fail_aborted(engine);
    }
    uint64_t start_ns = clock_tick_ns();
    const struct plan *plan = NULL;
    kolo_status status = plans_get(&plan, engine->plans, request->collective,
                                   vector_bytes(engine, request), request->root);
    if (status == KOLO_OK) {
        engine->operation.past = engine->chain;
        status = operation_begin(&engine->operation, plan, request, engine->sequence + 1,
                                 engine->wires->link);
    }
    if (status != KOLO_OK) {
        /* The peers go on with this operation; without us they cannot end it. */
        return engine_fail(engine, status, engine->group->rank, "rank %u: %s", engine->group->rank,
                           kolo_last_error());
    }
    engine->sequence++;
    engine->history[engine->sequence % ENGINE_HISTORY] = engine->operation.fingerprint;
    engine->chain = fingerprint_chain(engine->chain, &engine->operation.fingerprint);
    status = drive(engine);
    engine->operations += status == KOLO_OK;
    engine->busy_ns += clock_tick_ns() - start_ns;
    return status;
}

/* ---- settling ---- */

kolo_status engine_settle(struct engine *engine, struct network_uniform *network,
                          uint64_t deadline_ns)
{
    uint8_t bytes[64];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    costs_put(&writer, network);
    assert(!writer.failed);
    kolo_status status = watch_settle(engine, network, bytes, writer.length, deadline_ns);
    if (status == KOLO_OK && network->shown_bytes > 0) {
        engine->operation.board = wires_board(engine->wires);
        engine->operation.board_bytes = (size_t)network->shown_bytes;
    }
    return status == KOLO_OK ? watch_drain(engine) : status;
}
