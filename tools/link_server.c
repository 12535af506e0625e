/* The serving end: link_serve() of link.h. One process listens, tells clients from strangers, and starts a process for each client;
 * so nothing that a client does or suffers outlives it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "tools/link_session.h"
#include "tools/link_stream.h"

#define STRANGERS_MAX 64 /* connections without a valid hello; the oldest goes first */
#define HELLO_NS (3 * NS_PER_S)
#define HANGUP_NS (2 * NS_PER_S) /* that a session may go on after its client has gone */
#define BACKLOG 64
#define TEXT_BYTES 512

struct stranger {
    int fd; /* -1: free */
    size_t have;
    uint64_t deadline_ns;
    uint8_t hello[LINK_HELLO_BYTES];
};

struct server {
    const struct link_service *service;
    int listener;
    struct stranger strangers[STRANGERS_MAX];
    pid_t child;        /* 0: nobody is served */
    int child_fd;       /* our end of its pair of sockets: streams go in, its last words come out */
    int control_fd;     /* its client's connection, to see it go */
    uint64_t token;     /* of its session */
    uint64_t hangup_ns; /* when it is ended; CLOCK_FOREVER: not now */
    unsigned served;
    struct link_guests guests;
};

enum { WATCH_STOP, WATCH_LISTENER, WATCH_CHILD, WATCH_CONTROL, WATCH_STRANGERS };

static void say(const struct server *server, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const struct server *server, const char *format, ...)
{
    char line[TEXT_BYTES + 128];
    va_list arguments;
    if (server->service->news == NULL) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    server->service->news(server->service->context, line);
}

static void close_if_open(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static int listen_on(int family, int port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    int yes = 1, no = 0;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    }
    int bound = family == AF_INET6 ? bind(fd, (struct sockaddr *)&v6, sizeof v6)
                                   : bind(fd, (struct sockaddr *)&v4, sizeof v4);
    if (bound != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static kolo_status open_port(struct server *server)
{
    int port = server->service->port;
    server->listener = listen_on(AF_INET6, port);
    if (server->listener < 0 && errno != EADDRINUSE) {
        server->listener = listen_on(AF_INET, port); /* a host without IPv6 */
    }
    if (server->listener < 0) {
        return errno == EADDRINUSE
                   ? fail_quietly(KOLO_ERR_SYSTEM,
                                  "port %d is in use, perhaps by another `kolo perf link --serve`: "
                                  "end that one, or choose another --port",
                                  port)
                   : fail_quietly(KOLO_ERR_SYSTEM, "cannot listen on port %d: %s", port,
                                  strerror(errno));
    }
    struct sockaddr_in6 bound = {0};
    socklen_t length = sizeof bound;
    if (server->service->listening != NULL &&
        getsockname(server->listener, (struct sockaddr *)&bound, &length) == 0) {
        server->service->listening(server->service->context, ntohs(bound.sin6_port));
    }
    return KOLO_OK;
}

static void answer(int fd, enum link_verdict verdict)
{
    uint8_t bytes[LINK_ANSWER_BYTES];
    link_answer_encode(bytes, verdict);
    (void)send(fd, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT); /* a stranger may be gone */
}

/* In the new process: serve, leave the last words, end. */
static _Noreturn void be_child(struct server *server, int control_fd, int streams_fd, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(EXIT_FAILURE);
    }
    sigset_t none;
    sigemptyset(&none);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    close_if_open(&server->listener);
    for (unsigned i = 0; i < STRANGERS_MAX; i++) {
        close_if_open(&server->strangers[i].fd);
    }
    struct link_session session = {.control_fd = control_fd,
                                   .streams_fd = streams_fd,
                                   .token = server->token,
                                   .end = server->service->end};
    kolo_status status = link_session_serve(&session);
    if (status != KOLO_OK) {
        const char *why = kolo_last_error();
        (void)send(streams_fd, why, strlen(why), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    _exit(status == KOLO_OK ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* A welcomed client gets a process. Takes the descriptor. */
static void start_session(struct server *server, int control_fd)
{
    int pair[2];
    if (getrandom(&server->token, sizeof server->token, 0) != (ssize_t)sizeof server->token ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        say(server, "cannot serve a client: %s", strerror(errno));
        close(control_fd);
        return;
    }
    pid_t parent = getpid();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        be_child(server, control_fd, pair[1], parent);
    }
    close(pair[1]);
    if (child < 0) {
        say(server, "cannot serve a client: %s", strerror(errno));
        close(pair[0]);
        close(control_fd);
        return;
    }
    server->child = child;
    server->child_fd = pair[0];
    server->control_fd = control_fd;
    server->hangup_ns = CLOCK_FOREVER;
    say(server, "a client has come");
}

/* The child has ended, or must. */
static void end_session(struct server *server, bool by_force)
{
    char why[TEXT_BYTES];
    ssize_t length = recv(server->child_fd, why, sizeof why - 1, MSG_DONTWAIT);
    why[length > 0 ? length : 0] = '\0';
    if (by_force) {
        (void)kill(server->child, SIGKILL);
    }
    int how = 0;
    while (waitpid(server->child, &how, 0) < 0 && errno == EINTR) {
    }
    if (length > 0) {
        say(server, "the client's session failed: %s", why);
    } else if (WIFSIGNALED(how) && !by_force) {
        say(server, "the client's session was ended by signal %d (%s)", WTERMSIG(how),
            strsignal(WTERMSIG(how)));
    } else {
        say(server, "the client has gone");
    }
    close_if_open(&server->child_fd);
    close_if_open(&server->control_fd);
    server->child = 0;
    server->served++;
}

/* Somebody with another question. Guests do not wait for clients, nor clients for guests. */
static void receive_guest(struct server *server, int fd, uint16_t purpose)
{
    const struct link_guest *kind = link_guest_find(server->service->guests, purpose);
    if (kind == NULL) {
        answer(fd, LINK_REFUSED_SESSION);
    } else if (!link_guests_room(&server->guests)) {
        answer(fd, LINK_REFUSED_BUSY);
    } else {
        answer(fd, LINK_WELCOME);
        if (!link_guests_start(&server->guests, kind, fd)) {
            say(server, "cannot answer a guest: %s", strerror(errno));
        }
    }
}

/* A whole hello has come: the stranger becomes a client, a stream, or nothing. Its descriptor is used up. */
static void judge(struct server *server, struct stranger *stranger)
{
    struct link_hello hello;
    int fd = stranger->fd;
    stranger->fd = -1;
    if (!link_hello_decode(&hello, stranger->hello)) {
        close(fd);
        return;
    }
    link_hello_tune(fd);
    if (hello.version != LINK_VERSION) {
        answer(fd, LINK_REFUSED_VERSION);
    } else if (hello.purpose == LINK_PURPOSE_STREAM) {
        bool known = server->child != 0 && hello.token == server->token;
        answer(fd, known ? LINK_WELCOME : LINK_REFUSED_SESSION);
        if (known && link_stream_pass(server->child_fd, fd, hello.index) != 0) {
            say(server, "a stream could not be passed on: %s", strerror(errno));
        }
    } else if (hello.purpose != LINK_PURPOSE_CONTROL) {
        receive_guest(server, fd, hello.purpose);
    } else if (server->child != 0) {
        answer(fd, LINK_REFUSED_BUSY);
    } else {
        answer(fd, LINK_WELCOME);
        start_session(server, fd);
        return;
    }
    close(fd);
}

static void hear_stranger(struct server *server, struct stranger *stranger)
{
    ssize_t got = recv(stranger->fd, stranger->hello + stranger->have,
                       LINK_HELLO_BYTES - stranger->have, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        close_if_open(&stranger->fd);
        return;
    }
    stranger->have += got > 0 ? (size_t)got : 0;
    if (stranger->have == LINK_HELLO_BYTES) {
        judge(server, stranger);
    }
}

/* A free place; the one that has waited longest if there is none. */
static struct stranger *make_room(struct server *server)
{
    struct stranger *oldest = &server->strangers[0];
    for (unsigned i = 0; i < STRANGERS_MAX; i++) {
        struct stranger *stranger = &server->strangers[i];
        if (stranger->fd < 0) {
            return stranger;
        }
        oldest = stranger->deadline_ns < oldest->deadline_ns ? stranger : oldest;
    }
    close_if_open(&oldest->fd);
    return oldest;
}

static void accept_strangers(struct server *server, uint64_t now_ns)
{
    for (unsigned i = 0; i < BACKLOG; i++) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            return;
        }
        struct stranger *stranger = make_room(server);
        stranger->fd = fd;
        stranger->have = 0;
        stranger->deadline_ns = now_ns + HELLO_NS;
    }
}

static uint64_t forget_silent(struct server *server, uint64_t now_ns)
{
    uint64_t next_ns = CLOCK_FOREVER;
    for (unsigned i = 0; i < STRANGERS_MAX; i++) {
        struct stranger *stranger = &server->strangers[i];
        if (stranger->fd >= 0 && stranger->deadline_ns <= now_ns) {
            close_if_open(&stranger->fd);
        } else if (stranger->fd >= 0 && stranger->deadline_ns < next_ns) {
            next_ns = stranger->deadline_ns;
        }
    }
    return next_ns;
}

static void watch_child(struct server *server, const struct pollfd *watched, uint64_t now_ns)
{
    if (server->child != 0 && watched[WATCH_CHILD].revents != 0) {
        end_session(server, false);
    } else if (server->child != 0 && now_ns >= server->hangup_ns) {
        end_session(server, true);
    } else if (server->child != 0 && watched[WATCH_CONTROL].revents != 0 &&
               server->hangup_ns == CLOCK_FOREVER) {
        server->hangup_ns = now_ns + HANGUP_NS;
    }
}

/* Wait for something and handle it. False: told to stop. */
static bool step(struct server *server)
{
    struct pollfd watched[WATCH_STRANGERS + STRANGERS_MAX];
    bool hung_up = server->hangup_ns != CLOCK_FOREVER;
    watched[WATCH_STOP] = (struct pollfd){.fd = server->service->stop_fd, .events = POLLIN};
    watched[WATCH_LISTENER] = (struct pollfd){.fd = server->listener, .events = POLLIN};
    watched[WATCH_CHILD] = (struct pollfd){.fd = server->child_fd, .events = POLLIN};
    watched[WATCH_CONTROL] =
        (struct pollfd){.fd = hung_up ? -1 : server->control_fd, .events = POLLRDHUP};
    for (unsigned i = 0; i < STRANGERS_MAX; i++) {
        watched[WATCH_STRANGERS + i] =
            (struct pollfd){.fd = server->strangers[i].fd, .events = POLLIN};
    }
    uint64_t now_ns = clock_now_ns(), next_ns = forget_silent(server, now_ns);
    if (server->child != 0 && server->hangup_ns < next_ns) {
        next_ns = server->hangup_ns;
    }
    int timeout_ms = next_ns == CLOCK_FOREVER ? -1 : clock_ms_until(next_ns, now_ns, INT_MAX);
    if (poll(watched, WATCH_STRANGERS + STRANGERS_MAX, timeout_ms) < 0) {
        return errno == EINTR;
    }
    now_ns = clock_now_ns();
    watch_child(server, watched, now_ns);
    for (unsigned i = 0; i < STRANGERS_MAX; i++) {
        if (watched[WATCH_STRANGERS + i].revents != 0 && server->strangers[i].fd >= 0) {
            hear_stranger(server, &server->strangers[i]);
        }
    }
    if (watched[WATCH_LISTENER].revents != 0) {
        accept_strangers(server, now_ns);
    }
    return watched[WATCH_STOP].revents == 0;
}

kolo_status link_serve(const struct link_service *service)
{
    struct server server = {.service = service,
                            .listener = -1,
                            .child_fd = -1,
                            .control_fd = -1,
                            .hangup_ns = CLOCK_FOREVER};
    for (unsigned i = 0; i < STRANGERS_MAX; i++) {
        server.strangers[i].fd = -1;
    }
    kolo_status status = open_port(&server);
    while (status == KOLO_OK && !(service->once && server.served > 0) && step(&server)) {
    }
    if (server.child != 0) {
        end_session(&server, true);
    }
    for (unsigned i = 0; i < STRANGERS_MAX; i++) {
        close_if_open(&server.strangers[i].fd);
    }
    link_guests_end(&server.guests);
    close_if_open(&server.listener);
    return status;
}
