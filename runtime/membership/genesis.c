#include "runtime/membership/genesis.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/membership/candidate.h"
#include "runtime/membership/contacts.h"
#include "runtime/membership/notice.h"
#include "runtime/membership/roster.h"

#define RETRY_FIRST_NS (10 * NS_PER_MS)
#define RETRY_MOST_NS (500 * NS_PER_MS)
#define ARRIVALS_MAX 256 /* accepted connections whose first frame has not come */
#define SPARE_MAX 64     /* connections beyond the size: more processes may have been started */
struct target {
    struct genesis *genesis;
    struct port_dial *dial; /* NULL: not dialling */
    bool answered;          /* by `who` */
    bool self;              /* that is us */
    bool refused;           /* `problem` is what a process there said */
    uint8_t who[TRANSPORT_ID_BYTES];
    uint64_t retry_ns, pause_ns;
    char problem[96]; /* why the last dial failed */
};

/* A dial to a candidate. */
struct call {
    struct genesis *genesis;
    struct candidate *candidate;
    struct port_dial *dial;
};

struct arrival {
    struct control *control;
    uint8_t id[TRANSPORT_ID_BYTES];
};

struct genesis {
    const struct genesis_config *config;
    struct candidates candidates;
    struct contacts contacts;
    struct target *target; /* [CONTACTS_ADDRESSES_MAX], one an address of contacts */
    struct call call[CANDIDATES_MAX];
    struct arrival arrival[ARRIVALS_MAX];
    unsigned arrivals;
    struct roster roster;
};

/* Is there no room for more connections? */
static bool crowded(const struct genesis *genesis)
{
    return candidates_connected(&genesis->candidates) + 1 >=
           genesis->config->self->size + SPARE_MAX;
}

/* ---- gossip ---- */

static void send_member(struct candidate *to, const struct member *member)
{
    uint8_t bytes[MEMBER_WIRE_MAX];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    member_put(&writer, member);
    assert(!writer.failed);
    if (control_send(to->control, CONTROL_MEMBER, bytes, writer.length) != KOLO_OK) {
        log_line(LOG_DEBUG, "a peer left while it was told of the others");
    }
}

static void send_ready(const struct genesis *genesis, struct candidate *to)
{
    uint8_t bytes[8];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    wire_put_u64(&writer, genesis->roster.hash);
    to->promised = true;
    if (control_send(to->control, CONTROL_READY, bytes, writer.length) != KOLO_OK) {
        log_line(LOG_DEBUG, "a peer left while it was told that all are there");
    }
}

/* A connection is new: say who we are, whom we know, and whether we are ready. */
static void introduce(struct genesis *genesis, struct candidate *to)
{
    send_member(to, genesis->config->self);
    for (unsigned i = 0; i < genesis->candidates.count; i++) {
        struct candidate *other = genesis->candidates.at[i];
        if (other != to && other->known && other->control != NULL) {
            send_member(to, &other->member);
        }
    }
    if (genesis->roster.ready) {
        send_ready(genesis, to);
    }
}

static void tell_others(struct genesis *genesis, const struct candidate *about)
{
    for (unsigned i = 0; i < genesis->candidates.count; i++) {
        struct candidate *to = genesis->candidates.at[i];
        if (to != about && to->control != NULL) {
            send_member(to, &about->member);
        }
    }
}

/* A record has come, from its owner or by hearsay. */
static kolo_status learn(struct genesis *genesis, const struct member *member)
{
    const struct member *self = genesis->config->self;
    char name[MEMBER_NAME_MAX];
    if (memcmp(member->id, self->id, sizeof self->id) == 0) {
        return KOLO_OK;
    }
    if (member->size != self->size) {
        char own[MEMBER_NAME_MAX];
        return fail(KOLO_ERR_ARGUMENT,
                    "%s expects %u peers but %s expects %u; give all the same KOLO_SIZE",
                    member_name(name, member), member->size, member_name(own, self), self->size);
    }
    struct candidate *candidate = candidates_get(&genesis->candidates, member->id);
    if (candidate == NULL) {
        return fail(KOLO_ERR_LIMIT, "more than %u processes want to join a run of %u",
                    CANDIDATES_MAX, self->size);
    }
    if (!candidate->known) {
        candidate->member = *member;
        candidate->known = true;
        log_line(LOG_DEBUG, "heard of %s", member_name(name, member));
        tell_others(genesis, candidate);
    }
    return KOLO_OK;
}

static kolo_status take_member(struct genesis *genesis, const struct control_frame *frame,
                               struct member *member)
{
    struct wire_reader reader = {.bytes = frame->payload, .length = frame->length};
    member_get(&reader, member);
    if (reader.failed) {
        log_line(LOG_WARN, "ignored a malformed member record");
        return KOLO_OK;
    }
    return learn(genesis, member);
}

/* ---- failing together ---- */

/* What is wrong with the settings concerns all: tell, so that nobody waits in vain for those who have given up. */
static void tell_failure(struct control *control, kolo_status status)
{
    if (status == KOLO_ERR_ARGUMENT && control != NULL) {
        notice_send(control, status, NOTICE_NOBODY, kolo_last_error());
    }
}

static void tell_all_failure(struct genesis *genesis, kolo_status status)
{
    for (unsigned i = 0; i < genesis->candidates.count; i++) {
        tell_failure(genesis->candidates.at[i]->control, status);
    }
    for (unsigned i = 0; i < genesis->arrivals; i++) {
        tell_failure(genesis->arrival[i].control, status);
    }
}

static kolo_status take_failure(const struct control_frame *frame)
{
    struct notice notice;
    if (!notice_get(&notice, frame)) {
        return fail(KOLO_ERR_PROTOCOL, "a peer gave up the start for a reason that makes no sense");
    }
    return fail(notice.status, "%s", notice.text);
}

/* ---- connections ---- */

static void connected(struct genesis *genesis, struct candidate *candidate, struct control *control,
                      bool dialled)
{
    struct control *before = candidate->control;
    candidate->control = NULL;
    candidate_adopt(candidate, control, dialled);
    introduce(genesis, candidate);
    control_close(
        before); /* after the first frame on the new one: the other end must not find itself with none */
    if (candidate->known) {
        tell_others(genesis, candidate);
    }
}

static void dialled(struct genesis *genesis, const struct port_answer *answer)
{
    struct candidate *candidate = candidates_get(&genesis->candidates, answer->who);
    bool has = candidate != NULL && candidate->control != NULL;
    /* Once the list is announced, the other end may be done: what it has then is no longer replaced. */
    bool wanted = candidate != NULL && (has ? !genesis->roster.ready : !crowded(genesis)) &&
                  candidate_prefers(&genesis->candidates, candidate, true);
    struct control *control = NULL;
    if (!wanted) {
        close(answer->fd);
    } else if (control_open(&control, answer->fd) == KOLO_OK) {
        connected(genesis, candidate, control, true);
    }
}

static void explain(char *text, size_t text_bytes, const struct port_answer *answer)
{
    static const char *const verdicts[] = {
        "welcome",          "it is of another run", "it speaks another version of kolo",
        "someone else",     "connected already",    "its group is complete",
        "it is not kolo's", "this process itself"};
    if (answer->why == KOLO_ERR_SYSTEM) {
        snprintf(text, text_bytes, "%s", strerror(answer->error));
    } else if (answer->why == KOLO_ERR_PROTOCOL &&
               answer->verdict < sizeof verdicts / sizeof verdicts[0]) {
        snprintf(text, text_bytes, "%s", verdicts[answer->verdict]);
    } else {
        snprintf(text, text_bytes, "no answer");
    }
}

static void target_answered(void *context, const struct port_answer *answer)
{
    struct target *target = context;
    struct genesis *genesis = target->genesis;
    target->dial = NULL;
    target->pause_ns = target->pause_ns * 2 < RETRY_MOST_NS ? target->pause_ns * 2 : RETRY_MOST_NS;
    target->retry_ns = clock_now_ns() + target->pause_ns;
    bool self = memcmp(answer->who, genesis->candidates.self, TRANSPORT_ID_BYTES) == 0;
    target->self = answer->verdict == PORT_REFUSED_SELF || (answer->fd >= 0 && self);
    if (answer->fd >= 0 || answer->verdict == PORT_REFUSED_DUPLICATE) {
        target->answered = true;
        memcpy(target->who, answer->who, sizeof target->who);
    }
    if (answer->fd < 0) {
        bool refused = answer->why == KOLO_ERR_PROTOCOL;
        if (refused || !target->refused) { /* a refusal says more than a port that is closed now */
            explain(target->problem, sizeof target->problem, answer);
            target->refused = refused;
        }
    } else if (target->self) {
        close(answer->fd);
    } else {
        dialled(genesis, answer);
    }
}

static void call_answered(void *context, const struct port_answer *answer)
{
    struct call *call = context;
    struct candidate *candidate = call->candidate;
    candidate->dialling = false;
    call->dial = NULL;
    candidate->retry_ns = clock_now_ns() + RETRY_MOST_NS / 4;
    if (answer->fd >= 0) {
        dialled(call->genesis, answer);
    } else {
        candidate->next_address++;
    }
}

static enum port_verdict arrived(void *context, const struct port_hello *hello,
                                 const struct port_address *from)
{
    struct genesis *genesis = context;
    (void)from;
    const struct candidate *candidate = candidates_find(&genesis->candidates, hello->from);
    bool has = candidate != NULL && candidate->control != NULL;
    if (has && !candidate_prefers(&genesis->candidates, candidate, false)) {
        return PORT_REFUSED_DUPLICATE;
    }
    bool room = (has || !crowded(genesis)) && genesis->arrivals < ARRIVALS_MAX;
    return room ? PORT_WELCOME : PORT_REFUSED_CLOSED;
}

static void opened(void *context, const struct port_hello *hello, const struct port_address *from,
                   int fd)
{
    struct genesis *genesis = context;
    (void)from;
    struct control *control = NULL;
    if (genesis->arrivals == ARRIVALS_MAX) {
        close(fd);
    } else if (control_open(&control, fd) == KOLO_OK) {
        struct arrival *arrival = &genesis->arrival[genesis->arrivals++];
        arrival->control = control;
        memcpy(arrival->id, hello->from, sizeof arrival->id);
    }
}

/* The first frame of an accepted connection: from now on it counts, if it is still wanted. */
static kolo_status admit(struct genesis *genesis, const struct arrival *arrival,
                         const struct control_frame *frame)
{
    struct member member = {0};
    kolo_status status = take_member(genesis, frame, &member);
    struct candidate *candidate = candidates_find(&genesis->candidates, arrival->id);
    bool wanted = status == KOLO_OK && candidate != NULL &&
                  memcmp(member.id, arrival->id, sizeof member.id) == 0 &&
                  (candidate->control != NULL || !crowded(genesis)) &&
                  candidate_prefers(&genesis->candidates, candidate, false);
    if (wanted) {
        connected(genesis, candidate, arrival->control, false);
    } else {
        tell_failure(arrival->control, status);
        control_close(arrival->control);
    }
    return status;
}

static kolo_status step_arrivals(struct genesis *genesis)
{
    kolo_status status = KOLO_OK;
    struct control_frame frame;
    for (unsigned i = 0; i < genesis->arrivals && status == KOLO_OK;) {
        struct arrival arrival = genesis->arrival[i];
        int kind = control_peek(arrival.control);
        if (kind == 0) {
            i++;
            continue;
        }
        genesis->arrival[i] = genesis->arrival[--genesis->arrivals];
        if (kind == CONTROL_MEMBER && control_receive(arrival.control, &frame) == 1) {
            status = admit(genesis, &arrival, &frame);
        } else {
            control_close(arrival.control);
        }
    }
    return status;
}

/* Frames of one candidate, up to the first that belongs to what comes after genesis. */
static kolo_status step_candidate(struct genesis *genesis, struct candidate *candidate)
{
    struct control_frame frame;
    struct member member;
    kolo_status status = KOLO_OK;
    while (candidate->control != NULL && status == KOLO_OK) {
        int kind = control_peek(candidate->control);
        if (kind == CONTROL_MEMBER) {
            control_receive(candidate->control, &frame);
            status = take_member(genesis, &frame, &member);
        } else if (kind == CONTROL_READY) {
            control_receive(candidate->control, &frame);
            struct wire_reader reader = {.bytes = frame.payload, .length = frame.length};
            candidate->ready_hash = wire_get_u64(&reader);
        } else if (kind == CONTROL_NOTICE) {
            control_receive(candidate->control, &frame);
            status = take_failure(&frame);
        } else if (kind < 0 || kind == CONTROL_BYE) {
            log_line(LOG_DEBUG, "a peer left during the start: %s",
                     control_cause(candidate->control));
            candidate_drop(candidate);
        } else {
            control_flush(candidate->control);
            break;
        }
    }
    return status;
}

/* ---- dialling ---- */

static void dial_targets(struct genesis *genesis, uint64_t now_ns)
{
    contacts_refresh(&genesis->contacts, now_ns);
    for (unsigned i = 0; i < genesis->contacts.count; i++) {
        struct target *target = &genesis->target[i];
        const struct candidate *who =
            target->answered ? candidates_find(&genesis->candidates, target->who) : NULL;
        bool there = target->self || (who != NULL && who->control != NULL);
        if (there || target->dial != NULL || now_ns < target->retry_ns) {
            continue;
        }
        if (target->pause_ns == 0) {
            target->pause_ns = RETRY_FIRST_NS;
        }
        target->genesis = genesis;
        struct port_hello hello = {.purpose = PORT_CONTROL};
        kolo_status status =
            tcp_port_dial(&target->dial, genesis->config->port, &genesis->contacts.address[i],
                          &hello, target, target_answered);
        if (status != KOLO_OK) {
            target->dial = NULL;
            target->retry_ns = now_ns + RETRY_MOST_NS;
            snprintf(target->problem, sizeof target->problem, "%.90s", kolo_last_error());
        }
    }
}

static bool loopback(const struct port_address *address)
{
    return address->as.any.sa_family == AF_INET
               ? (ntohl(address->as.v4.sin_addr.s_addr) >> 24) == 127
               : IN6_IS_ADDR_LOOPBACK(&address->as.v6.sin6_addr);
}

static void dial_candidate(struct genesis *genesis, unsigned index, uint64_t now_ns)
{
    struct candidate *candidate = genesis->candidates.at[index];
    struct call *call = &genesis->call[index];
    const struct member *member = &candidate->member;
    for (unsigned tried = 0; tried < member->addresses; tried++, candidate->next_address++) {
        const struct port_address *address =
            &member->address[candidate->next_address % member->addresses];
        bool elsewhere =
            memcmp(member->host, genesis->config->self->host, sizeof member->host) != 0;
        if (elsewhere && loopback(address)) {
            continue;
        }
        struct port_hello hello = {.purpose = PORT_CONTROL};
        memcpy(hello.to, member->id, sizeof hello.to);
        *call = (struct call){.genesis = genesis, .candidate = candidate};
        candidate->dialling = tcp_port_dial(&call->dial, genesis->config->port, address, &hello,
                                            call, call_answered) == KOLO_OK;
        break;
    }
    candidate->retry_ns = now_ns + RETRY_MOST_NS / 4;
}

static void dial_candidates(struct genesis *genesis, uint64_t now_ns)
{
    if (crowded(genesis)) {
        return;
    }
    for (unsigned i = 0; i < genesis->candidates.count; i++) {
        const struct candidate *candidate = genesis->candidates.at[i];
        if (candidate->known && candidate->control == NULL && !candidate->dialling &&
            now_ns >= candidate->retry_ns) {
            dial_candidate(genesis, i, now_ns);
        }
    }
}

static void cancel_dials(struct genesis *genesis)
{
    for (unsigned i = 0; i < genesis->contacts.count; i++) {
        if (genesis->target[i].dial != NULL) {
            tcp_port_cancel(genesis->config->port, genesis->target[i].dial);
            genesis->target[i].dial = NULL;
        }
    }
    for (unsigned i = 0; i < genesis->candidates.count; i++) {
        if (genesis->candidates.at[i]->dialling) {
            tcp_port_cancel(genesis->config->port, genesis->call[i].dial);
            genesis->candidates.at[i]->dialling = false;
        }
    }
}

static void announce_list(struct genesis *genesis)
{
    cancel_dials(genesis);
    for (unsigned i = 0; i < genesis->candidates.count; i++) {
        if (genesis->candidates.at[i]->control != NULL) {
            send_ready(genesis, genesis->candidates.at[i]);
        }
    }
}

static kolo_status step(struct genesis *genesis, uint64_t now_ns)
{
    tcp_port_step(genesis->config->port, now_ns);
    kolo_status status = step_arrivals(genesis);
    for (unsigned i = 0; i < genesis->candidates.count && status == KOLO_OK; i++) {
        status = step_candidate(genesis, genesis->candidates.at[i]);
    }
    if (status != KOLO_OK) {
        return status;
    }
    bool announce = false;
    status = roster_step(&genesis->roster, &announce, &genesis->candidates, now_ns);
    if (announce) {
        announce_list(genesis);
    }
    if (status == KOLO_OK && !roster_quiet(&genesis->roster)) {
        dial_targets(genesis, now_ns);
        dial_candidates(genesis, now_ns);
    }
    return status;
}

static void sleep_until_news(struct genesis *genesis, struct pollfd *fds, uint64_t now_ns)
{
    nfds_t count = 0;
    fds[count++] = (struct pollfd){.fd = tcp_port_wait_fd(genesis->config->port), .events = POLLIN};
    for (unsigned i = 0; i < genesis->arrivals; i++) {
        fds[count++] =
            (struct pollfd){.fd = control_fd(genesis->arrival[i].control), .events = POLLIN};
    }
    for (unsigned i = 0; i < genesis->candidates.count; i++) {
        struct control *control = genesis->candidates.at[i]->control;
        if (control != NULL && control_peek(control) == 0) {
            short events = control_wants_write(control) ? POLLIN | POLLOUT : POLLIN;
            fds[count++] = (struct pollfd){.fd = control_fd(control), .events = events};
        }
    }
    uint64_t wake = tcp_port_deadline_ns(genesis->config->port);
    poll(fds, count, clock_ms_until(wake, now_ns, roster_quiet(&genesis->roster) ? 100 : 10));
}

/* ---- how it ends ---- */

static void add_text(char *text, size_t room, const char *format, const char *what, const char *why)
{
    size_t used = strlen(text);
    if (used + 8 < room) {
        snprintf(text + used, room - used, format, used > 0 ? "; " : "", what, why);
    }
}

static void list_unanswered(char *text, size_t room, const struct genesis *genesis)
{
    unsigned listed = 0;
    for (unsigned i = 0; i < genesis->contacts.count; i++) {
        const struct target *target = &genesis->target[i];
        if ((!target->answered || target->refused) && !target->self && listed++ < 4) {
            char address[PORT_ADDRESS_TEXT];
            add_text(text, room, "%scontact %s: %s",
                     port_address_text(address, &genesis->contacts.address[i]),
                     target->problem[0] != '\0' ? target->problem : "no answer");
        }
    }
    for (unsigned i = 0; i < genesis->candidates.count; i++) {
        const struct candidate *candidate = genesis->candidates.at[i];
        if (candidate->known && candidate->control == NULL && listed++ < 6) {
            char name[MEMBER_NAME_MAX];
            add_text(text, room, "%s%s is known but %s", member_name(name, &candidate->member),
                     "was not reached");
        }
    }
}

static void list_missing_ranks(char *text, size_t room, const struct genesis *genesis)
{
    uint32_t size = genesis->config->self->size;
    bool *there = calloc(size, sizeof *there);
    bool given = genesis->config->self->rank >= 0;
    if (there == NULL || !given) {
        free(there);
        return;
    }
    there[genesis->config->self->rank] = true;
    for (unsigned i = 0; i < genesis->candidates.count; i++) {
        const struct candidate *candidate = genesis->candidates.at[i];
        if (candidate->known && candidate->member.rank >= 0 &&
            candidate->member.rank < (int32_t)size) {
            there[candidate->member.rank] = true;
        }
    }
    char list[128] = "";
    for (uint32_t rank = 0; rank < size && strlen(list) + 16 < sizeof list; rank++) {
        if (!there[rank]) {
            size_t used = strlen(list);
            snprintf(list + used, sizeof list - used, "%s%u", used > 0 ? ", " : "", rank);
        }
    }
    if (list[0] != '\0') {
        add_text(text, room, "%smissing: rank %s%s", list, "");
    }
    free(there);
}

static void list_gone(char *text, size_t room, const struct genesis *genesis)
{
    unsigned left = 0;
    for (unsigned i = 0; i < genesis->candidates.count; i++) {
        const struct candidate *candidate = genesis->candidates.at[i];
        left += candidate->was_here && candidate->control == NULL;
    }
    if (left + 1 >= genesis->config->self->size && left > 0) {
        add_text(text, room, "%s%s%s",
                 "all others have been here and left: the group may be complete without this ",
                 "process, if more were started than KOLO_SIZE says");
    }
}

static kolo_status too_late(const struct genesis *genesis)
{
    char text[STATUS_TEXT_MAX - 128] = "";
    uint32_t size = genesis->config->self->size;
    unsigned there = candidates_connected(&genesis->candidates) + 1;
    if (there >= size) {
        return fail(
            KOLO_ERR_TIMEOUT,
            "all %u peers are connected but have not agreed on the list in time: more than %u "
            "processes of this run may have been started, or a peer is stopped",
            size, size);
    }
    list_gone(text, sizeof text, genesis);
    list_missing_ranks(text, sizeof text, genesis);
    list_unanswered(text, sizeof text, genesis);
    const char *problem = genesis->contacts.problem;
    return fail(KOLO_ERR_TIMEOUT, "%u of %u peers are there in time; %s%s%s", there, size,
                text[0] != '\0' ? text : "nobody else was heard of", problem[0] != '\0' ? "; " : "",
                problem);
}

static kolo_status hand_over(struct group *group, struct genesis *genesis)
{
    uint32_t size = genesis->config->self->size;
    struct control **control = calloc(size, sizeof *control);
    if (control == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory for a group of %u", size);
    }
    *group = (struct group){.size = size, .member = genesis->roster.list, .control = control};
    genesis->roster.list = NULL;
    for (uint32_t rank = 0; rank < size; rank++) {
        struct candidate *candidate = candidates_find(&genesis->candidates, group->member[rank].id);
        if (candidate == NULL) {
            group->rank = rank;
        } else {
            control[rank] = candidate->control;
            candidate->control = NULL;
        }
    }
    return KOLO_OK;
}

static kolo_status run(struct genesis *genesis, struct pollfd *fds)
{
    kolo_status status = KOLO_OK;
    while (status == KOLO_OK) {
        uint64_t now_ns = clock_now_ns();
        status = step(genesis, now_ns);
        if (status == KOLO_OK && roster_settled(&genesis->roster, &genesis->candidates)) {
            return KOLO_OK;
        }
        if (status == KOLO_OK && now_ns >= genesis->config->deadline_ns) {
            status = too_late(genesis);
        }
        if (status == KOLO_OK) {
            sleep_until_news(genesis, fds, now_ns);
        }
    }
    return status;
}

static enum port_verdict refuse(void *context, const struct port_hello *hello,
                                const struct port_address *from)
{
    (void)context, (void)hello, (void)from;
    return PORT_REFUSED_CLOSED;
}

static void clean_up(struct genesis *genesis, kolo_status status)
{
    static const struct port_handler closed = {.arrived = refuse};
    tell_all_failure(genesis, status);
    tcp_port_handle(genesis->config->port, PORT_CONTROL, &closed);
    cancel_dials(genesis);
    for (unsigned i = 0; i < genesis->arrivals; i++) {
        control_close(genesis->arrival[i].control);
    }
    candidates_free(&genesis->candidates);
    contacts_close(&genesis->contacts);
    free(genesis->target);
    roster_close(&genesis->roster);
    free(genesis);
}

kolo_status genesis_run(struct group *group, const struct genesis_config *config)
{
    uint32_t size = config->self->size;
    assert(size >= 1 && size <= GENESIS_SIZE_MAX);
    struct genesis *genesis = calloc(1, sizeof *genesis);
    struct pollfd *fds = calloc(1 + ARRIVALS_MAX + CANDIDATES_MAX, sizeof *fds);
    if (genesis == NULL || fds == NULL) {
        free(genesis);
        free(fds);
        return fail(KOLO_ERR_MEMORY, "no memory to find the peers with");
    }
    genesis->config = config;
    memcpy(genesis->candidates.self, config->self->id, TRANSPORT_ID_BYTES);
    genesis->target = calloc(CONTACTS_ADDRESSES_MAX, sizeof *genesis->target);
    kolo_status status = roster_open(&genesis->roster, config->self);
    if (status == KOLO_OK && genesis->target == NULL) {
        status = fail(KOLO_ERR_MEMORY, "no memory for the contacts of a group of %u", size);
    }
    if (status == KOLO_OK) {
        status = contacts_open(&genesis->contacts, config->launch, config->self->id,
                               config->self->address, config->self->addresses);
    }
    const struct port_handler handler = {.context = genesis, .arrived = arrived, .opened = opened};
    tcp_port_handle(config->port, PORT_CONTROL, &handler);
    if (status == KOLO_OK) {
        status = run(genesis, fds);
    }
    if (status == KOLO_OK) {
        status = hand_over(group, genesis);
    }
    clean_up(genesis, status);
    free(fds);
    return status;
}

void group_close(struct group *group)
{
    for (uint32_t rank = 0; group->control != NULL && rank < group->size; rank++) {
        control_close(group->control[rank]);
    }
    free(group->control);
    free(group->member);
    *group = (struct group){0};
}
