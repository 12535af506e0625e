#include "transport/tcp/port.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "transport/tcp/address.h"
#include "transport/tcp/dial.h"
#include "transport/tcp/interface.h"
#include "transport/tcp/socket.h"
#include "transport/tcp/stranger.h"

#define PORT_BACKLOG 4096 /* connections that the kernel keeps until they are accepted */
#define PORT_EVENTS_PER_STEP                                                                       \
    128 /* what one step handles at most, so that a flood does not hold up the caller */
#define PORT_ACCEPTS_PER_EVENT 16
#define PORT_PURPOSES 3 /* enum port_purpose counts from 1 */

/* What an epoll event is about: the low bits of its number; strangers have their place above. A dial is its address, which
 * is aligned. Events are fetched one at a time, so none can outlive what it is about. */
enum { EVENT_LISTENER = 1, EVENT_TIMER = 2, EVENT_STRANGER = 3, EVENT_KIND_MASK = 7 };

struct tcp_port {
    uint8_t self[TRANSPORT_ID_BYTES];
    uint8_t run[PORT_RUN_BYTES];
    uint64_t peer_timeout_ns;
    struct interface_set interfaces;
    struct port_handler handlers[PORT_PURPOSES];
    int number;
    int listen_fd;
    int epoll_fd;
    int timer_fd; /* in the epoll set: so time-outs, too, make wait_fd readable */
    int spare_fd; /* given up for a moment when descriptors run out, to turn a connection away */
    uint64_t deadline_ns; /* what the timer is set to */
    uint64_t accepted;    /* connections so far */
    bool stepping;        /* inside tcp_port_step() */
    struct port_dial *
        dials; /* oldest first; all have the same patience, so the first one's deadline comes first */
    struct port_dial *last_dial;
    struct stranger strangers[PORT_STRANGERS_MAX];
};

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static kolo_status bind_failed(int number)
{
    if (errno == EADDRINUSE) {
        return fail(KOLO_ERR_SYSTEM,
                    "port %d is in use by another process on this host: choose another one with "
                    "KOLO_PORT, or leave it unset to let the system choose",
                    number);
    }
    if (errno == EACCES) {
        return fail(KOLO_ERR_SYSTEM,
                    "this user may not listen on port %d: choose one above 1023 with KOLO_PORT",
                    number);
    }
    return fail(KOLO_ERR_SYSTEM, "cannot bind to port %d: %s; choose another one with KOLO_PORT",
                number, strerror(errno));
}

/* Returns the socket, or -1 with errno. */
static int listen_on(const struct port_address *address)
{
    int on = 1;
    int off = 0;
    int fd =
        socket(address->as.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) {
        return -1;
    }
    bool v6 = address->as.any.sa_family == AF_INET6;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (!v6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
        bind(fd, &address->as.any, address_length(address)) == 0 && listen(fd, PORT_BACKLOG) == 0) {
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static kolo_status open_listener(struct tcp_port *port, int number)
{
    struct port_address any = {.as.v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any}};
    address_set_port(&any, (uint16_t)number);
    port->listen_fd = listen_on(&any);
    if (port->listen_fd < 0 && errno != EADDRINUSE && errno != EACCES) {
        any = (struct port_address){.as.v4 = {.sin_family = AF_INET}}; /* a host without IPv6 */
        address_set_port(&any, (uint16_t)number);
        port->listen_fd = listen_on(&any);
    }
    if (port->listen_fd < 0) {
        return bind_failed(number);
    }
    socklen_t length = sizeof any.as;
    if (getsockname(port->listen_fd, &any.as.any, &length) != 0) {
        return fail(KOLO_ERR_SYSTEM, "getsockname: %s", strerror(errno));
    }
    port->number = address_port(&any);
    return KOLO_OK;
}

static bool watch(const struct tcp_port *port, int fd, uint32_t events, uint64_t about)
{
    struct epoll_event event = {.events = events, .data.u64 = about};
    return epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static kolo_status open_epoll(struct tcp_port *port)
{
    port->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    port->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    port->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (port->epoll_fd < 0 || port->timer_fd < 0 ||
        !watch(port, port->listen_fd, EPOLLIN, EVENT_LISTENER) ||
        !watch(port, port->timer_fd, EPOLLIN, EVENT_TIMER)) {
        return fail(KOLO_ERR_SYSTEM, "cannot set up the port's epoll and timer: %s",
                    strerror(errno));
    }
    return KOLO_OK;
}

static kolo_status select_interfaces(struct tcp_port *port, const char *selection)
{
    unsigned count;
    struct interface *list = calloc(INTERFACES_MAX, sizeof *list);
    if (list == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for the list of network interfaces");
    }
    kolo_status status = interface_list(list, &count);
    if (status == KOLO_OK) {
        status = interface_select(&port->interfaces, list, count, selection);
    }
    free(list);
    return status;
}

kolo_status tcp_port_open(struct tcp_port **port, const struct port_config *config)
{
    if (config->number < 0 || config->number > 65535) {
        return fail(KOLO_ERR_ARGUMENT, "port %d is not in 0..65535: correct KOLO_PORT",
                    config->number);
    }
    struct tcp_port *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a port");
    }
    memcpy(made->self, config->self, sizeof made->self);
    memcpy(made->run, config->run, sizeof made->run);
    made->peer_timeout_ns = config->peer_timeout_ns;
    made->listen_fd = made->epoll_fd = made->timer_fd = made->spare_fd = -1;
    made->deadline_ns = CLOCK_FOREVER;
    for (unsigned i = 0; i < PORT_STRANGERS_MAX; i++) {
        made->strangers[i].fd = -1;
    }
    kolo_status status = select_interfaces(made, config->interfaces);
    if (status == KOLO_OK) {
        status = open_listener(made, config->number);
    }
    if (status == KOLO_OK) {
        status = open_epoll(made);
    }
    if (status != KOLO_OK) {
        tcp_port_close(made);
        return status;
    }
    *port = made;
    return KOLO_OK;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void tcp_port_close(struct tcp_port *port)
{
    if (port == NULL) {
        return;
    }
    assert(!port->stepping);
    for (unsigned i = 0; i < PORT_STRANGERS_MAX; i++) {
        close_fd(port->strangers[i].fd);
    }
    while (port->dials != NULL) {
        struct port_dial *dial = port->dials;
        port->dials = dial->next;
        dial_drop(dial);
        free(dial);
    }
    close_fd(port->listen_fd);
    close_fd(port->timer_fd);
    close_fd(port->spare_fd);
    close_fd(port->epoll_fd);
    free(port);
}

int tcp_port_number(const struct tcp_port *port)
{
    return port->number;
}

unsigned tcp_port_addresses(const struct tcp_port *port,
                            struct port_address addresses[PORT_ADDRESSES_MAX])
{
    unsigned count = port->interfaces.count;
    if (count > PORT_ADDRESSES_MAX) {
        count = PORT_ADDRESSES_MAX;
    }
    for (unsigned i = 0; i < count; i++) {
        addresses[i] = port->interfaces.addresses[i];
        address_set_port(&addresses[i], (uint16_t)port->number);
        if (addresses[i].as.any.sa_family == AF_INET6) {
            addresses[i].as.v6.sin6_scope_id = 0; /* an interface number means nothing elsewhere */
        }
    }
    return count;
}

void tcp_port_handle(struct tcp_port *port, enum port_purpose purpose,
                     const struct port_handler *handler)
{
    assert(purpose > 0 && purpose < PORT_PURPOSES);
    port->handlers[purpose] = handler != NULL ? *handler : (struct port_handler){0};
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

static uint64_t earliest_deadline(const struct tcp_port *port)
{
    uint64_t earliest = port->dials != NULL ? port->dials->deadline_ns : CLOCK_FOREVER;
    for (unsigned i = 0; i < PORT_STRANGERS_MAX; i++) {
        const struct stranger *stranger = &port->strangers[i];
        if (stranger->fd >= 0 && stranger->deadline_ns < earliest) {
            earliest = stranger->deadline_ns;
        }
    }
    return earliest;
}

static void set_timer(struct tcp_port *port)
{
    uint64_t deadline_ns = earliest_deadline(port);
    if (deadline_ns == port->deadline_ns) {
        return;
    }
    struct itimerspec at = {0}; /* all zero: off */
    if (deadline_ns != CLOCK_FOREVER) {
        at.it_value.tv_sec = (time_t)(deadline_ns / NS_PER_S);
        at.it_value.tv_nsec = (long)(deadline_ns % NS_PER_S);
        if (deadline_ns == 0) {
            at.it_value.tv_nsec = 1; /* long past: at once */
        }
    }
    (void)timerfd_settime(port->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    port->deadline_ns = deadline_ns;
}

/* ---- strangers ---------------------------------------------------------------------------------------------------- */

static void stranger_close(struct stranger *stranger, const char *why)
{
    if (log_shows(LOG_DEBUG)) {
        char text[PORT_ADDRESS_TEXT];
        log_line(LOG_DEBUG, "connection from %s dropped: %s",
                 port_address_text(text, &stranger->from), why);
    }
    close(stranger->fd);
    stranger->fd = -1;
}

/* Gives the connection to its handler. The place is free before the handler runs. */
static void welcome(struct tcp_port *port, struct stranger *stranger,
                    const struct port_handler *handler, const struct port_hello *hello)
{
    int fd = stranger->fd;
    struct port_address from = stranger->from;
    stranger_answer(stranger, PORT_WELCOME, port->self);
    (void)epoll_ctl(port->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    stranger->fd = -1;
    socket_tune(fd, port->peer_timeout_ns);
    handler->opened(handler->context, hello, &from, fd);
}

static void judge(struct tcp_port *port, struct stranger *stranger)
{
    struct port_hello hello;
    enum port_verdict verdict =
        hello_decode(&hello, stranger->frame, stranger->length, port->self, port->run);
    bool ours = verdict != PORT_REFUSED_RUN && verdict != PORT_REFUSED_VERSION;
    if (verdict == PORT_REFUSED_GARBAGE) {
        stranger_close(stranger, hello_verdict_text(verdict));
        return;
    }
    if (verdict == PORT_WELCOME) {
        struct port_handler handler = {0};
        if (hello.purpose < PORT_PURPOSES) {
            handler = port->handlers[hello.purpose];
        }
        verdict = handler.arrived != NULL
                      ? handler.arrived(handler.context, &hello, &stranger->from)
                      : PORT_REFUSED_CLOSED;
        if (verdict == PORT_WELCOME) {
            welcome(port, stranger, &handler, &hello);
            return;
        }
    }
    stranger_answer(stranger, verdict, ours ? port->self : NULL);
    stranger_close(stranger, ours ? "its hello was refused" : hello_verdict_text(verdict));
}

static void stranger_step(struct tcp_port *port, struct stranger *stranger)
{
    if (stranger->fd < 0) {
        return;
    }
    switch (stranger_read(stranger)) {
    case STRANGER_WAITING:
        return;
    case STRANGER_SPOKEN:
        judge(port, stranger);
        return;
    case STRANGER_GARBAGE:
        stranger_close(stranger, hello_verdict_text(PORT_REFUSED_GARBAGE));
        return;
    case STRANGER_GONE:
        stranger_close(stranger, "it left before its hello was answered");
        return;
    }
}

/* A free place; the oldest stranger leaves if there is none. */
static struct stranger *stranger_place(struct tcp_port *port)
{
    struct stranger *oldest = &port->strangers[0];
    for (unsigned i = 0; i < PORT_STRANGERS_MAX; i++) {
        struct stranger *stranger = &port->strangers[i];
        if (stranger->fd < 0) {
            return stranger;
        }
        if (stranger->number < oldest->number) {
            oldest = stranger;
        }
    }
    stranger_close(oldest, "too many others came before it said hello");
    return oldest;
}

static void stranger_enter(struct tcp_port *port, int fd, const struct port_address *from,
                           uint64_t now_ns)
{
    struct port_address here = {0};
    socklen_t length = sizeof here.as;
    if (getsockname(fd, &here.as.any, &length) != 0) {
        close(fd);
        return;
    }
    address_unmap(&here);
    if (!interface_allows(&port->interfaces, &here)) {
        close(fd); /* it came by an interface that the user did not select */
        return;
    }
    struct stranger *stranger = stranger_place(port);
    stranger->fd = fd;
    stranger->length = 0;
    stranger->from = *from;
    stranger->number = port->accepted++;
    stranger->deadline_ns = clock_after(now_ns, PORT_HELLO_TIMEOUT_NS);
    uint64_t place = (uint64_t)(stranger - port->strangers);
    if (!watch(port, fd, EPOLLIN, place << 3 | EVENT_STRANGER)) {
        stranger_close(stranger, "epoll has no room");
        return;
    }
    stranger_step(port, stranger); /* its hello has often come along: no need for another round */
}

/* Out of descriptors: without this the listener would stay readable for ever, and nobody would be told. */
static void turn_away(struct tcp_port *port)
{
    for (unsigned i = 0; i < PORT_STRANGERS_MAX; i++) {
        if (port->strangers[i].fd >= 0) {
            stranger_close(stranger_place(port), "this process has no descriptors left");
            return;
        }
    }
    if (port->spare_fd >= 0) {
        close(port->spare_fd);
        close_fd(accept4(port->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
        port->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

static void accept_some(struct tcp_port *port, uint64_t now_ns)
{
    for (unsigned i = 0; i < PORT_ACCEPTS_PER_EVENT; i++) {
        struct port_address from = {0};
        socklen_t length = sizeof from.as;
        int fd = accept4(port->listen_fd, &from.as.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            address_unmap(&from);
            stranger_enter(port, fd, &from, now_ns);
        } else if (errno == EMFILE || errno == ENFILE) {
            turn_away(port);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }
        /* Anything else is about the connection, which is gone (accept(2)): on to the next one. */
    }
}

/* ---- dials -------------------------------------------------------------------------------------------------------- */

static void dial_link(struct tcp_port *port, struct port_dial *dial)
{
    dial->previous = port->last_dial;
    if (port->last_dial != NULL) {
        port->last_dial->next = dial;
    } else {
        port->dials = dial;
    }
    port->last_dial = dial;
}

static void dial_unlink(struct tcp_port *port, struct port_dial *dial)
{
    assert((dial == port->dials) == (dial->previous == NULL));
    assert((dial == port->last_dial) == (dial->next == NULL));
    if (dial->previous != NULL) {
        dial->previous->next = dial->next;
    } else {
        port->dials = dial->next;
    }
    if (dial->next != NULL) {
        dial->next->previous = dial->previous;
    } else {
        port->last_dial = dial->previous;
    }
}

static void dial_link_first(struct tcp_port *port, struct port_dial *dial)
{
    dial->next = port->dials;
    if (port->dials != NULL) {
        port->dials->previous = dial;
    } else {
        port->last_dial = dial;
    }
    port->dials = dial;
}

/* Link-local addresses travel without their scope: here it is that of the first selected interface that has such an address. */
static void add_scope(const struct tcp_port *port, struct port_address *address)
{
    if (address->as.any.sa_family != AF_INET6 || address->as.v6.sin6_scope_id != 0 ||
        address_reach(address) != ADDRESS_LINK_LOCAL) {
        return;
    }
    for (unsigned i = 0; i < port->interfaces.count; i++) {
        const struct port_address *own = &port->interfaces.addresses[i];
        if (own->as.any.sa_family == AF_INET6 && address_reach(own) == ADDRESS_LINK_LOCAL) {
            address->as.v6.sin6_scope_id = own->as.v6.sin6_scope_id;
            return;
        }
    }
}

static void dial_begin(struct tcp_port *port, struct port_dial *dial, struct port_address *target)
{
    const struct port_address *source = NULL;
    add_scope(port, target);
    if (port->interfaces.restricted) {
        source = interface_source(&port->interfaces, target);
        if (source == NULL) {
            dial->fd = -1;
            dial->error = ENETUNREACH;
            return;
        }
    }
    dial_start(dial, target, source);
    if (dial->fd >= 0 && !watch(port, dial->fd, EPOLLOUT, (uint64_t)(uintptr_t)dial)) {
        dial->error = errno;
        dial_drop(dial);
    }
}

kolo_status tcp_port_dial(struct port_dial **dial, struct tcp_port *port,
                          const struct port_address *address, const struct port_hello *hello,
                          void *context,
                          void (*answered)(void *context, const struct port_answer *answer))
{
    int family = address->as.any.sa_family;
    if ((family != AF_INET && family != AF_INET6) || address_port(address) == 0) {
        return fail(KOLO_ERR_ARGUMENT, "an address to dial needs a family and a port");
    }
    struct port_dial *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "out of memory for a connection");
    }
    struct port_address target = *address;
    made->context = context;
    made->answered = answered;
    made->hello = *hello;
    memcpy(made->hello.from, port->self, sizeof made->hello.from);
    hello_encode(made->hello_frame, &made->hello, port->run);
    dial_begin(port, made, &target);
    if (made->fd >= 0) {
        made->deadline_ns = clock_after(clock_now_ns(), PORT_HELLO_TIMEOUT_NS);
        dial_link(port, made);
    } else {
        made->deadline_ns = 0; /* it failed already: told in the next step */
        dial_link_first(port, made);
    }
    set_timer(port);
    *dial = made;
    return KOLO_OK;
}

void tcp_port_cancel(struct tcp_port *port, struct port_dial *dial)
{
    dial_unlink(port, dial);
    dial_drop(dial);
    free(dial);
    set_timer(port);
}

static void dial_end(struct tcp_port *port, struct port_dial *dial,
                     const struct port_answer *answer)
{
    void *context = dial->context;
    void (*answered)(void *, const struct port_answer *) = dial->answered;
    if (answer->fd >= 0) {
        (void)epoll_ctl(port->epoll_fd, EPOLL_CTL_DEL, answer->fd, NULL);
        socket_tune(answer->fd, port->peer_timeout_ns);
    }
    dial_unlink(port, dial);
    dial_drop(dial);
    free(dial);
    answered(context, answer);
}

static void dial_step(struct tcp_port *port, struct port_dial *dial)
{
    struct port_answer answer;
    bool spoken_before = dial->spoken;
    if (dial_advance(dial, &answer)) {
        dial_end(port, dial, &answer);
        return;
    }
    if (dial->spoken != spoken_before) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)dial};
        (void)epoll_ctl(port->epoll_fd, EPOLL_CTL_MOD, dial->fd, &event);
    }
}

/* ---- stepping ----------------------------------------------------------------------------------------------------- */

static bool expire(struct tcp_port *port, uint64_t now_ns)
{
    bool any = false;
    unsigned dials =
        0; /* those of now: a handler that dials again at once must not hold up the caller for ever */
    for (const struct port_dial *dial = port->dials; dial != NULL; dial = dial->next) {
        dials++;
    }
    while (dials-- > 0 && port->dials != NULL && port->dials->deadline_ns <= now_ns) {
        struct port_dial *dial = port->dials;
        struct port_answer answer = {.fd = -1, .why = KOLO_ERR_TIMEOUT, .error = ETIMEDOUT};
        if (dial->error != 0) {
            answer.why = KOLO_ERR_SYSTEM;
            answer.error = dial->error;
        }
        dial_end(port, dial, &answer);
        any = true;
    }
    for (unsigned i = 0; i < PORT_STRANGERS_MAX; i++) {
        struct stranger *stranger = &port->strangers[i];
        if (stranger->fd >= 0 && stranger->deadline_ns <= now_ns) {
            stranger_close(stranger, "it said no hello in time");
            any = true;
        }
    }
    return any;
}

static void handle(struct tcp_port *port, uint64_t about, uint64_t now_ns)
{
    uint64_t count;
    switch (about & EVENT_KIND_MASK) {
    case EVENT_LISTENER:
        accept_some(port, now_ns);
        break;
    case EVENT_TIMER:
        (void)!read(port->timer_fd, &count, sizeof count);
        port->deadline_ns = CLOCK_FOREVER; /* it has fired: set_timer() winds it again */
        break;
    case EVENT_STRANGER:
        assert(about >> 3 < PORT_STRANGERS_MAX);
        stranger_step(port, &port->strangers[about >> 3]);
        break;
    default:
        assert((about & EVENT_KIND_MASK) == 0);
        dial_step(port, (struct port_dial *)(uintptr_t)about);
        break;
    }
}

bool tcp_port_step(struct tcp_port *port, uint64_t now_ns)
{
    if (port->stepping) {
        return false; /* a handler that drives its own engine */
    }
    port->stepping = true;
    bool any = false;
    for (unsigned i = 0; i < PORT_EVENTS_PER_STEP; i++) {
        struct epoll_event
            event; /* one at a time: handlers may cancel what a second one is about */
        if (epoll_wait(port->epoll_fd, &event, 1, 0) <= 0) {
            break;
        }
        handle(port, event.data.u64, now_ns);
        any = true;
    }
    if (port->deadline_ns <= now_ns || any) {
        any |= expire(port, now_ns);
        set_timer(port);
    }
    port->stepping = false;
    return any;
}

int tcp_port_wait_fd(const struct tcp_port *port)
{
    return port->epoll_fd;
}

uint64_t tcp_port_deadline_ns(const struct tcp_port *port)
{
    return earliest_deadline(port);
}
