/* The port with real sockets: how peers find each other, how dials end that lead nowhere, and how a port opens. */
#include "tests/transport/tcp/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "transport/tcp/address.h"
#include "transport/tcp/hello.h"

/* ---- peers -------------------------------------------------------------------------------------------------------- */

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
    return value;
}

static void assert_handed_out_well(int fd)
{
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 9);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 10000);
}

static void meet(int family, const char *from_text)
{
    struct peer a;
    struct peer b;
    struct outcome outcome;
    char text[PORT_ADDRESS_TEXT];
    peer_open(&a, "peer a", peer_run_a, NULL);
    peer_open(&b, "peer b", peer_run_a, NULL);
    struct port_address address = peer_loopback(family, tcp_port_number(b.port));
    peer_dial(&a, &b, &address, &outcome);
    peer_await(&a, &b, &outcome);
    assert_int_equal(outcome.answer.why, KOLO_OK);
    assert_memory_equal(outcome.answer.who, b.id, sizeof b.id);
    assert_int_equal(b.opened, 1);
    assert_memory_equal(b.hello.from, a.id, sizeof a.id);
    assert_int_equal(b.hello.token, 77);
    assert_non_null(strstr(port_address_text(text, &b.from), from_text));
    assert_handed_out_well(outcome.answer.fd);
    assert_handed_out_well(b.fd);
    uint8_t byte = 42; /* and not one byte of what follows has been eaten */
    assert_int_equal(send(outcome.answer.fd, &byte, 1, 0), 1);
    byte = 0;
    struct pollfd fd = {.fd = b.fd, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 10000), 1);
    assert_int_equal(recv(b.fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 42);
    close(outcome.answer.fd);
    peer_close(&a);
    peer_close(&b);
}

static void peers_meet_over_ipv4(void **state)
{
    (void)state;
    meet(AF_INET, "127.0.0.1:");
}

static void peers_meet_over_ipv6(void **state)
{
    (void)state;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct port_address address = peer_loopback(AF_INET6, 0);
    bool has_v6 = fd >= 0 && bind(fd, &address.as.any, address_length(&address)) == 0;
    if (fd >= 0) {
        close(fd);
    }
    if (!has_v6) {
        skip();
    }
    meet(AF_INET6, "[::1]:");
}

static void every_announced_address_works(void **state)
{
    (void)state;
    struct peer a;
    struct peer b;
    struct port_address addresses[PORT_ADDRESSES_MAX];
    peer_open(&a, "peer a", peer_run_a, NULL);
    peer_open(&b, "peer b", peer_run_a, NULL);
    unsigned count = tcp_port_addresses(b.port, addresses);
    assert_in_range(count, 1, PORT_ADDRESSES_MAX);
    for (unsigned i = 0; i < count; i++) {
        struct outcome outcome;
        assert_int_equal(address_port(&addresses[i]), tcp_port_number(b.port));
        if (address_reach(&addresses[i]) == ADDRESS_LINK_LOCAL) {
            continue; /* may belong to a second interface: reachable from outside only */
        }
        peer_dial(&a, &b, &addresses[i], &outcome);
        peer_await(&a, &b, &outcome);
        assert_int_equal(outcome.answer.why, KOLO_OK);
        close(outcome.answer.fd);
    }
    peer_close(&a);
    peer_close(&b);
}

static void a_refusal_travels_with_its_reason(void **state)
{
    (void)state;
    struct peer a;
    struct peer b;
    struct outcome outcome;
    peer_open(&a, "peer a", peer_run_a, NULL);
    peer_open(&b, "peer b", peer_run_a, NULL);
    struct port_address address = peer_loopback(AF_INET, tcp_port_number(b.port));
    b.verdict = PORT_REFUSED_DUPLICATE;
    peer_dial(&a, &b, &address, &outcome);
    peer_await(&a, &b, &outcome);
    assert_int_equal(outcome.answer.why, KOLO_ERR_PROTOCOL);
    assert_int_equal(outcome.answer.verdict, PORT_REFUSED_DUPLICATE);
    assert_memory_equal(outcome.answer.who, b.id, sizeof b.id);
    assert_int_equal(outcome.answer.fd, -1);
    tcp_port_handle(b.port, PORT_CONTROL, NULL);
    peer_dial(&a, &b, &address, &outcome);
    peer_await(&a, &b, &outcome);
    assert_int_equal(outcome.answer.verdict, PORT_REFUSED_CLOSED);
    assert_int_equal(b.arrived, 1);
    assert_int_equal(b.opened, 0);
    peer_close(&a);
    peer_close(&b);
}

static void a_process_that_dials_itself_is_told(void **state)
{
    (void)state;
    struct peer a;
    struct outcome outcome;
    peer_open(&a, "peer a", peer_run_a, NULL);
    struct port_address address = peer_loopback(AF_INET, tcp_port_number(a.port));
    peer_dial(&a, NULL, &address, &outcome);
    peer_await(&a, NULL, &outcome);
    assert_int_equal(outcome.answer.why, KOLO_ERR_PROTOCOL);
    assert_int_equal(outcome.answer.verdict, PORT_REFUSED_SELF);
    assert_int_equal(a.arrived, 0);
    peer_close(&a);
}

static void another_run_and_another_identity_are_refused(void **state)
{
    (void)state;
    struct peer a;
    struct peer b;
    struct peer c;
    struct outcome outcome;
    peer_open(&a, "peer a", peer_run_a, NULL);
    peer_open(&b, "peer b", peer_run_b, NULL);
    peer_open(&c, "peer c", peer_run_a, NULL);
    struct port_address address = peer_loopback(AF_INET, tcp_port_number(b.port));
    peer_dial(&a, NULL, &address, &outcome);
    peer_await(&a, &b, &outcome);
    assert_int_equal(outcome.answer.verdict, PORT_REFUSED_RUN);
    address = peer_loopback(AF_INET, tcp_port_number(c.port));
    peer_dial(&a, &b, &address, &outcome);
    peer_await(&a, &c, &outcome);
    assert_int_equal(outcome.answer.verdict, PORT_REFUSED_IDENTITY);
    assert_memory_equal(outcome.answer.who, c.id, sizeof c.id);
    assert_int_equal(b.arrived + c.arrived, 0);
    peer_close(&a);
    peer_close(&b);
    peer_close(&c);
}

/* ---- dials that lead nowhere -------------------------------------------------------------------------------------- */

/* A listening socket that nobody accepts from. */
static int silent_listener(struct port_address *address, int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof address->as;
    assert_true(fd >= 0);
    *address = peer_loopback(AF_INET, 0);
    assert_int_equal(bind(fd, &address->as.any, address_length(address)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, &address->as.any, &length), 0);
    return fd;
}

static void a_refused_dial_says_so_at_once(void **state)
{
    (void)state;
    struct peer a;
    struct outcome outcome;
    struct port_address address;
    int fd = silent_listener(&address, 1);
    close(fd);
    peer_open(&a, "peer a", peer_run_a, NULL);
    peer_dial(&a, NULL, &address, &outcome);
    peer_await(&a, NULL, &outcome);
    assert_int_equal(outcome.answer.why, KOLO_ERR_SYSTEM);
    assert_int_equal(outcome.answer.error, ECONNREFUSED);
    peer_close(&a);
}

/* Time is an argument: nothing is waited for. */
static void a_silent_listener_runs_into_the_limit(void **state)
{
    (void)state;
    struct peer a;
    struct outcome outcome;
    struct port_address address;
    int fd = silent_listener(&address, 1);
    peer_open(&a, "peer a", peer_run_a, NULL);
    peer_dial(&a, NULL, &address, &outcome);
    uint64_t deadline_ns = tcp_port_deadline_ns(a.port);
    uint64_t now_ns = clock_now_ns();
    assert_in_range(deadline_ns, now_ns + PORT_HELLO_TIMEOUT_NS / 2,
                    now_ns + PORT_HELLO_TIMEOUT_NS);
    tcp_port_step(a.port, deadline_ns - 1);
    assert_int_equal(outcome.count, 0);
    tcp_port_step(a.port, deadline_ns);
    assert_int_equal(outcome.count, 1);
    assert_int_equal(outcome.answer.why, KOLO_ERR_TIMEOUT);
    assert_true(tcp_port_deadline_ns(a.port) == CLOCK_FOREVER);
    peer_close(&a);
    close(fd);
}

static void an_answer_that_is_garbage_ends_the_dial(void **state)
{
    (void)state;
    const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "", "OLOKxx", "KOLO"};
    const kolo_status expected[] = {KOLO_ERR_PROTOCOL, KOLO_ERR_SYSTEM, KOLO_ERR_SYSTEM,
                                    KOLO_ERR_PROTOCOL};
    struct peer a;
    struct port_address address;
    int listener = silent_listener(&address, 8);
    peer_open(&a, "peer a", peer_run_a, NULL);
    for (unsigned i = 0; i < 4; i++) {
        struct outcome outcome;
        uint8_t hello[HELLO_BYTES];
        peer_dial(&a, NULL, &address, &outcome);
        int fd = accept(listener, NULL, NULL);
        assert_true(fd >= 0);
        tcp_port_step(a.port, clock_now_ns());
        assert_int_equal(recv(fd, hello, sizeof hello, MSG_WAITALL), HELLO_BYTES);
        assert_int_equal(send(fd, answers[i], strlen(answers[i]), 0), (int)strlen(answers[i]));
        close(fd);
        peer_await(&a, NULL, &outcome);
        assert_int_equal(outcome.answer.why, expected[i]);
        if (expected[i] == KOLO_ERR_PROTOCOL) {
            assert_int_equal(outcome.answer.verdict, PORT_REFUSED_GARBAGE);
        } else {
            assert_int_equal(outcome.answer.error, ECONNRESET);
        }
    }
    peer_close(&a);
    close(listener);
}

static void a_cancelled_dial_is_never_answered(void **state)
{
    (void)state;
    struct peer a;
    struct peer b;
    struct outcome outcome = {0};
    struct port_dial *dial;
    struct port_hello hello = {.purpose = PORT_CONTROL};
    peer_open(&a, "peer a", peer_run_a, NULL);
    peer_open(&b, "peer b", peer_run_a, NULL);
    unsigned before = peer_descriptors();
    struct port_address address = peer_loopback(AF_INET, tcp_port_number(b.port));
    assert_int_equal(tcp_port_dial(&dial, a.port, &address, &hello, &outcome, peer_answered),
                     KOLO_OK);
    tcp_port_step(a.port, clock_now_ns());
    tcp_port_cancel(a.port, dial);
    peer_settle(&b);
    peer_settle(&a);
    assert_int_equal(outcome.count, 0);
    assert_int_equal(b.opened, 0); /* it had left before its hello could be answered */
    assert_int_equal(peer_descriptors(), before);
    peer_assert_undisturbed(&b);
    peer_close(&a);
    peer_close(&b);
}

struct redialler {
    struct peer *peer;
    struct port_address address;
    unsigned count;
};

static void on_answered_redial(void *context, const struct port_answer *answer)
{
    struct redialler *redialler = context;
    struct port_dial *dial;
    struct port_hello hello = {.purpose = PORT_CONTROL};
    assert_int_equal(answer->fd, -1);
    redialler->count++;
    assert_int_equal(tcp_port_dial(&dial, redialler->peer->port, &redialler->address, &hello,
                                   redialler, on_answered_redial),
                     KOLO_OK);
    assert_false(tcp_port_step(redialler->peer->port, clock_now_ns())); /* not again from inside */
}

static void a_handler_that_dials_again_at_once_does_not_hold_up_a_step(void **state)
{
    (void)state;
    struct peer a;
    struct redialler redialler = {.peer = &a};
    struct port_dial *dial;
    struct port_hello hello = {.purpose = PORT_CONTROL};
    peer_open(&a, "peer a", peer_run_a, "lo");
    assert_true(address_parse(&redialler.address, "198.51.100.1")); /* cannot be reached from lo */
    address_set_port(&redialler.address, 9);
    assert_int_equal(
        tcp_port_dial(&dial, a.port, &redialler.address, &hello, &redialler, on_answered_redial),
        KOLO_OK);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(tcp_port_deadline_ns(a.port), 0);
        assert_true(tcp_port_step(a.port, clock_now_ns()));
        assert_int_equal(redialler.count, i);
    }
    peer_close(&a);
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static void a_port_in_use_is_named(void **state)
{
    (void)state;
    struct peer a;
    struct tcp_port *second = NULL;
    char number[16];
    peer_open(&a, "peer a", peer_run_a, NULL);
    struct port_config config = {.number = tcp_port_number(a.port)};
    assert_int_equal(tcp_port_open(&second, &config), KOLO_ERR_SYSTEM);
    snprintf(number, sizeof number, "port %d", tcp_port_number(a.port));
    assert_non_null(strstr(kolo_last_error(), number));
    assert_non_null(strstr(kolo_last_error(), "KOLO_PORT"));
    assert_null(second);
    config.number = 65536;
    assert_int_equal(tcp_port_open(&second, &config), KOLO_ERR_ARGUMENT);
    assert_non_null(strstr(kolo_last_error(), "65536"));
    peer_close(&a);
}

static void a_fixed_port_is_used_and_can_be_used_again(void **state)
{
    (void)state;
    struct peer a;
    peer_open(&a, "peer a", peer_run_a, NULL);
    int number = tcp_port_number(a.port);
    assert_in_range(number, 1, 65535);
    peer_assert_undisturbed(&a);
    close(a.fd); /* this side closes first: its connection stays in TIME_WAIT */
    a.fd = -1;
    peer_close(&a);
    struct tcp_port *again;
    struct port_config config = {.self = "peer a", .number = number};
    assert_int_equal(tcp_port_open(&again, &config), KOLO_OK);
    assert_int_equal(tcp_port_number(again), number);
    tcp_port_close(again);
}

static void a_selection_restricts_both_directions(void **state)
{
    (void)state;
    struct peer a;
    struct peer b;
    struct outcome outcome;
    struct port_address addresses[PORT_ADDRESSES_MAX];
    peer_open(&a, "peer a", peer_run_a, "lo");
    peer_open(&b, "peer b", peer_run_a, NULL);
    unsigned count = tcp_port_addresses(a.port, addresses);
    assert_true(count >= 1);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(address_reach(&addresses[i]), ADDRESS_LOOPBACK);
    }
    struct port_address address = peer_loopback(AF_INET, tcp_port_number(b.port));
    peer_dial(&a, &b, &address, &outcome);
    peer_await(&a, &b, &outcome);
    assert_int_equal(outcome.answer.why, KOLO_OK);
    close(outcome.answer.fd);
    count = tcp_port_addresses(b.port, addresses);
    if (count > 0 && address_reach(&addresses[0]) != ADDRESS_LOOPBACK) {
        peer_dial(&a, &b, &addresses[0], &outcome); /* from lo to elsewhere: no way */
        peer_await(&a, &b, &outcome);
        assert_int_equal(outcome.answer.error, ENETUNREACH);
        address_set_port(&addresses[0], (uint16_t)tcp_port_number(a.port));
        peer_dial(&b, &a, &addresses[0], &outcome); /* and in by another interface: closed */
        peer_await(&b, &a, &outcome);
        assert_int_equal(outcome.answer.why, KOLO_ERR_SYSTEM);
        assert_int_equal(a.arrived, 0);
    }
    peer_close(&a);
    peer_close(&b);
}

static void a_bad_selection_opens_nothing(void **state)
{
    (void)state;
    struct tcp_port *port = NULL;
    struct port_config config = {.interfaces = "no-such-0"};
    unsigned before = peer_descriptors();
    assert_int_equal(tcp_port_open(&port, &config), KOLO_ERR_ARGUMENT);
    assert_non_null(strstr(kolo_last_error(), "lo (127.0.0.1"));
    assert_null(port);
    assert_int_equal(peer_descriptors(), before);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1); /* refusals are expected */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_meet_over_ipv4),
        cmocka_unit_test(peers_meet_over_ipv6),
        cmocka_unit_test(every_announced_address_works),
        cmocka_unit_test(a_refusal_travels_with_its_reason),
        cmocka_unit_test(a_process_that_dials_itself_is_told),
        cmocka_unit_test(another_run_and_another_identity_are_refused),
        cmocka_unit_test(a_refused_dial_says_so_at_once),
        cmocka_unit_test(a_silent_listener_runs_into_the_limit),
        cmocka_unit_test(an_answer_that_is_garbage_ends_the_dial),
        cmocka_unit_test(a_cancelled_dial_is_never_answered),
        cmocka_unit_test(a_handler_that_dials_again_at_once_does_not_hold_up_a_step),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_fixed_port_is_used_and_can_be_used_again),
        cmocka_unit_test(a_selection_restricts_both_directions),
        cmocka_unit_test(a_bad_selection_opens_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
