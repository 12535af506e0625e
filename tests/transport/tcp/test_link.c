/* Links: how they come up through bad offers and dead addresses, who may open their lanes, and when a silent peer is lost: when
 * its host is silent, not when its process is slow. */
#include "tests/transport/tcp/side.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/tcp/address.h"
#include "transport/tcp/tcp_offer.h"

#define TIMEOUT_NS (10 * NS_PER_S)

static struct port_address loopback(int number)
{
    struct port_address address;
    assert_true(address_parse(&address, "127.0.0.1"));
    address_set_port(&address, (uint16_t)number);
    return address;
}

/* A socket on loopback with a port; listening if `listens`. */
static int bound_socket(struct port_address *address, bool listens)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof address->as;
    assert_true(fd >= 0);
    *address = loopback(0);
    assert_int_equal(bind(fd, &address->as.any, address_length(address)), 0);
    assert_int_equal(getsockname(fd, &address->as.any, &length), 0);
    assert_true(!listens || listen(fd, 16) == 0);
    return fd;
}

static void exchange(struct side *a, struct side *b)
{
    uint8_t bytes[100];
    uint8_t got[100];
    memset(bytes, 3, sizeof bytes);
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        struct transfer out = side_message(bytes, sizeof bytes, 1);
        struct transfer in = side_message(got, sizeof got, 1);
        memset(got, 0, sizeof got);
        transport_tcp.send(a->link, lane, &out);
        transport_tcp.receive(b->link, lane, &in);
        SIDE_WAIT(a, b, in.state == TRANSFER_DONE && out.state == TRANSFER_DONE);
        assert_memory_equal(got, bytes, sizeof got);
    }
}

static void come_up_on(const char *interfaces)
{
    struct side a;
    struct side b;
    side_open(&a, "side a", "side b", true, interfaces, TIMEOUT_NS);
    side_open(&b, "side b", "side a", false, interfaces, TIMEOUT_NS);
    side_connect(&a, &b);
    exchange(&a, &b);
    exchange(&b, &a);
    side_close(&a);
    side_close(&b);
}

static void links_come_up_over_ipv4_and_ipv6(void **state)
{
    (void)state;
    come_up_on(NULL);
    come_up_on("127.0.0.0/8");
    struct port_address v6;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(address_parse(&v6, "::1"));
    if (fd >= 0 && bind(fd, &v6.as.any, address_length(&v6)) == 0) {
        come_up_on("::1");
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* The caller of the port may step it as well. */
static void two_may_step_the_port(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    side_open(&a, "side a", "side b", true, NULL, TIMEOUT_NS);
    side_open(&b, "side b", "side a", false, NULL, TIMEOUT_NS);
    assert_int_equal(transport_tcp.link_connect(b.link, a.offer, a.offer_bytes), KOLO_OK);
    assert_int_equal(transport_tcp.link_connect(a.link, b.offer, b.offer_bytes), KOLO_OK);
    SIDE_WAIT(&a, &b,
              (tcp_port_step(a.port, clock_now_ns()), tcp_port_step(b.port, clock_now_ns()),
               side_state(&a) == LINK_UP && side_state(&b) == LINK_UP));
    exchange(&a, &b);
    side_close(&a);
    side_close(&b);
}

/* Nothing but wait_fd wakes anybody: neither spinning nor time-outs of the caller are needed. */
static void a_link_comes_up_by_waiting_only(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    side_open(&a, "side a", "side b", true, NULL, TIMEOUT_NS);
    side_open(&b, "side b", "side a", false, NULL, TIMEOUT_NS);
    assert_int_equal(transport_tcp.link_connect(b.link, a.offer, a.offer_bytes), KOLO_OK);
    assert_int_equal(transport_tcp.link_connect(a.link, b.offer, b.offer_bytes), KOLO_OK);
    while (side_state(&a) != LINK_UP || side_state(&b) != LINK_UP) {
        if (transport_tcp.arm(a.transport) && transport_tcp.arm(b.transport)) {
            struct pollfd fds[2] = {{.fd = transport_tcp.wait_fd(a.transport), .events = POLLIN},
                                    {.fd = transport_tcp.wait_fd(b.transport), .events = POLLIN}};
            assert_true(poll(fds, 2, 10000) > 0);
        }
        transport_tcp.disarm(a.transport);
        transport_tcp.disarm(b.transport);
        side_step(&a, &b);
    }
    side_close(&a);
    side_close(&b);
}

/* b's offer with other addresses before its own. */
static void offer_with(struct side *b, const struct port_address *first, unsigned count)
{
    struct tcp_offer offer;
    assert_true(tcp_offer_decode(&offer, b->offer, b->offer_bytes));
    memcpy(offer.addresses, first, count * sizeof *first);
    offer.addresses[count] = loopback(tcp_port_number(b->port));
    offer.count = count + 1;
    b->offer_bytes = tcp_offer_encode(b->offer, &offer);
}

static void dead_addresses_are_passed_over(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    struct side other;
    struct port_address bad[3];
    int refusing = bound_socket(&bad[0], false);
    int silent = bound_socket(&bad[1], true);
    side_open(&a, "side a", "side b", true, NULL, TIMEOUT_NS);
    side_open(&b, "side b", "side a", false, NULL, TIMEOUT_NS);
    side_open(&other, "another", "side a", false, NULL, TIMEOUT_NS);
    bad[2] = loopback(tcp_port_number(other.port)); /* a peer of this run, but not the one */
    offer_with(&b, bad, 3);
    assert_int_equal(transport_tcp.link_connect(b.link, a.offer, a.offer_bytes), KOLO_OK);
    assert_int_equal(transport_tcp.link_connect(a.link, b.offer, b.offer_bytes), KOLO_OK);
    uint64_t start_ns = clock_now_ns();
    SIDE_WAIT(&a, &b, (side_step(&other, NULL), side_state(&a) == LINK_UP));
    assert_true(clock_now_ns() - start_ns <
                PORT_HELLO_TIMEOUT_NS); /* the silent one was not waited for */
    SIDE_WAIT(&a, &b, side_state(&b) == LINK_UP);
    exchange(&a, &b);
    side_close(&a);
    side_close(&b);
    side_close(&other);
    close(refusing);
    close(silent);
}

static void a_peer_that_cannot_be_reached_is_named_with_its_addresses(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    struct port_address dead;
    char text[PORT_ADDRESS_TEXT];
    kolo_status status;
    side_open(&a, "side a", "side b", true, "127.0.0.1", TIMEOUT_NS);
    side_open(&b, "side b", "side a", false, "127.0.0.1", TIMEOUT_NS);
    int fd = bound_socket(&dead, false);
    offer_with(&b, &dead, 1);
    struct tcp_port *gone = b.port;
    assert_int_equal(transport_tcp.link_connect(a.link, b.offer, b.offer_bytes), KOLO_OK);
    transport_tcp.destroy(b.transport);
    tcp_port_close(gone);
    SIDE_WAIT(&a, NULL, side_state(&a) == LINK_LOST);
    const char *why = side_why(&a, &status);
    assert_int_equal(status, KOLO_ERR_PEER_LOST);
    assert_non_null(strstr(why, "the other side"));
    assert_non_null(strstr(why, port_address_text(text, &dead)));
    assert_non_null(strstr(why, "refused"));
    side_close(&a);
    close(fd);
}

static void nonsense_is_no_offer(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    uint8_t bytes[TRANSPORT_OFFER_BYTES];
    side_open(&a, "side a", "side b", true, NULL, TIMEOUT_NS);
    side_open(&b, "side b", "side a", false, NULL, TIMEOUT_NS);
    for (size_t length = 0; length < b.offer_bytes; length++) {
        uint8_t *cut = malloc(length + 1);
        assert_non_null(cut);
        memcpy(cut, b.offer, length);
        assert_int_equal(transport_tcp.link_connect(a.link, cut, length), KOLO_ERR_PROTOCOL);
        free(cut);
    }
    for (size_t i = 0; i < 27; i++) { /* magic, identity, token, count */
        memcpy(bytes, b.offer, b.offer_bytes);
        bytes[i] ^= 0x10;
        assert_int_equal(transport_tcp.link_connect(a.link, bytes, b.offer_bytes),
                         KOLO_ERR_PROTOCOL);
    }
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(transport_tcp.link_connect(a.link, bytes, sizeof bytes), KOLO_ERR_PROTOCOL);
    struct tcp_offer none;
    assert_true(tcp_offer_decode(&none, b.offer, b.offer_bytes));
    none.count = 0;
    size_t length = tcp_offer_encode(bytes, &none);
    assert_int_equal(transport_tcp.link_connect(a.link, bytes, length), KOLO_ERR_STATE);
    side_connect(&a, &b); /* none of it did any harm */
    side_close(&a);
    side_close(&b);
}

static void only_the_peer_opens_lanes_and_each_once(void **state)
{
    (void)state;
    struct side side;
    struct raw raw;
    uint8_t byte = 0;
    side_open(&side, "side a", "raw", false, NULL, TIMEOUT_NS);
    const struct {
        const char *name;
        unsigned lane;
        uint64_t token;
    } strangers[] = {
        {"raw", 0, SIDE_TOKEN + 1}, {"raw", TRANSPORT_LANES, SIDE_TOKEN}, {"r", 0, SIDE_TOKEN}};
    for (unsigned i = 0; i < 3; i++) {
        int fd;
        assert_int_equal(
            raw_dial(&fd, &side, strangers[i].name, strangers[i].lane, strangers[i].token),
            PORT_REFUSED_CLOSED);
        close(fd);
    }
    raw_connect(&raw, &side, "raw");
    int fd;
    assert_int_equal(raw_dial(&fd, &side, "raw", 0, SIDE_TOKEN), PORT_REFUSED_DUPLICATE);
    close(fd);
    struct transfer out = side_message(&byte, 1, 0);
    transport_tcp.send(side.link, 0, &out);
    SIDE_WAIT(&side, NULL, out.state == TRANSFER_DONE);
    assert_int_equal(side_state(&side), LINK_UP);
    raw_close(&raw);
    SIDE_WAIT(&side, NULL, side_state(&side) == LINK_LOST);
    assert_int_equal(raw_dial(&fd, &side, "raw", 0, SIDE_TOKEN), PORT_REFUSED_CLOSED);
    close(fd);
    side_close(&side);
}

static void a_dialler_that_leaves_half_way_loses_the_link(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    side_open(&a, "side a", "side b", true, NULL, TIMEOUT_NS);
    side_open(&b, "side b", "side a", false, NULL, TIMEOUT_NS);
    int fd;
    assert_int_equal(raw_dial(&fd, &b, "side a", 0, SIDE_TOKEN), PORT_WELCOME);
    close(fd);
    SIDE_WAIT(&b, NULL, side_state(&b) == LINK_LOST);
    assert_int_equal(transport_tcp.link_connect(b.link, a.offer, a.offer_bytes), KOLO_OK);
    assert_int_equal(side_state(&b), LINK_LOST);
    side_close(&a);
    side_close(&b);
}

static void a_link_closed_while_it_connects_leaves_nothing(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    side_open(&a, "side a", "side b", true, NULL, TIMEOUT_NS);
    side_open(&b, "side b", "side a", false, NULL, TIMEOUT_NS);
    assert_int_equal(transport_tcp.link_connect(a.link, b.offer, b.offer_bytes), KOLO_OK);
    transport_tcp.link_close(a.link);
    a.link = NULL;
    assert_true(tcp_port_deadline_ns(a.port) == CLOCK_FOREVER); /* no dial is left */
    side_close(&a);
    side_close(&b);
}

/* ---- silence ------------------------------------------------------------------------------------------------------ */

/* A peer that computes for long and does not read is slow: its window stays closed for longer than the limit on silence, and
 * its kernel answers all the same. */
static void a_slow_reader_is_not_lost(void **state)
{
    (void)state;
    size_t length = 48u << 20;
    struct side a;
    struct side b;
    uint8_t *bytes = calloc(1, length);
    uint8_t *got = malloc(length);
    assert_true(bytes != NULL && got != NULL);
    struct transfer out = side_message(bytes, length, 0);
    struct transfer in = side_message(got, length, 0);
    side_open(&a, "side a", "side b", true, NULL, NS_PER_S);
    side_open(&b, "side b", "side a", false, NULL, NS_PER_S);
    side_connect(&a, &b);
    transport_tcp.send(a.link, 0, &out);
    uint64_t until_ns = clock_now_ns() + 5 * NS_PER_S / 2;
    while (clock_now_ns() < until_ns) {
        struct pollfd fd = {.fd = transport_tcp.wait_fd(a.transport), .events = POLLIN};
        poll(&fd, 1, 50);
        side_step(&a, NULL);
        assert_int_equal(side_state(&a), LINK_UP);
    }
    assert_true(out.moved < length);
    transport_tcp.receive(b.link, 0, &in);
    SIDE_WAIT(&a, &b, in.state != TRANSFER_POSTED && out.state != TRANSFER_POSTED);
    assert_string_equal(side_why(&a, NULL), "");
    assert_string_equal(side_why(&b, NULL), "");
    assert_int_equal(in.state, TRANSFER_DONE);
    side_close(&a);
    side_close(&b);
    free(bytes);
    free(got);
}

/* A network of this process's own, in which loopback can be cut. Returns false where that is not allowed. */
static bool own_network(void)
{
    return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

static bool set_loopback(bool up)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) != 0) {
        return false;
    }
    int flags = request.ifr_flags;
    request.ifr_flags = (short)(up ? flags | IFF_UP : flags & ~IFF_UP);
    bool done = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    close(fd);
    return done;
}

enum { CHILD_GOOD = 0, CHILD_BAD = 1, CHILD_CANNOT = 77 };

static int lose_silently(bool busy)
{
    if (!own_network() || !set_loopback(true)) {
        return CHILD_CANNOT;
    }
    static uint8_t bytes[1 << 20];
    struct side a;
    struct side b;
    kolo_status status;
    struct transfer out = side_message(bytes, sizeof bytes, 0);
    side_open(&a, "side a", "side b", true, "lo", 2 * NS_PER_S);
    side_open(&b, "side b", "side a", false, "lo", 2 * NS_PER_S);
    side_connect(&a, &b);
    if (!set_loopback(false)) {
        return CHILD_CANNOT;
    }
    if (busy) {
        transport_tcp.send(a.link, 0, &out);
    }
    uint64_t start_ns = clock_now_ns();
    while (side_state(&a) == LINK_UP && clock_now_ns() < start_ns + SIDE_PATIENCE_NS) {
        struct pollfd fd = {.fd = transport_tcp.wait_fd(a.transport), .events = POLLIN};
        poll(&fd, 1, 10000);
        side_step(&a, NULL);
    }
    uint64_t took_ns = clock_now_ns() - start_ns;
    const char *why = side_why(&a, &status);
    bool good = side_state(&a) == LINK_LOST && status == KOLO_ERR_PEER_LOST &&
                strstr(why, "silent") != NULL && took_ns > NS_PER_S && took_ns < 4 * NS_PER_S;
    if (!good) {
        fprintf(stderr, "after %.3f s: %s\n", (double)took_ns / 1e9, why);
    }
    side_close(&a);
    side_close(&b);
    return good ? CHILD_GOOD : CHILD_BAD;
}

/* In a child, since a network of its own cannot be left again. */
static void lose_in_a_child(bool busy)
{
    pid_t child = fork();
    int status;
    assert_true(child >= 0);
    if (child == 0) {
        _exit(lose_silently(busy));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CHILD_CANNOT) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), CHILD_GOOD);
}

static void a_silent_host_is_lost_while_idle(void **state)
{
    (void)state;
    lose_in_a_child(false);
}

static void a_silent_host_is_lost_while_sending(void **state)
{
    (void)state;
    lose_in_a_child(true);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1); /* losses are expected */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_come_up_over_ipv4_and_ipv6),
        cmocka_unit_test(two_may_step_the_port),
        cmocka_unit_test(a_link_comes_up_by_waiting_only),
        cmocka_unit_test(dead_addresses_are_passed_over),
        cmocka_unit_test(a_peer_that_cannot_be_reached_is_named_with_its_addresses),
        cmocka_unit_test(nonsense_is_no_offer),
        cmocka_unit_test(only_the_peer_opens_lanes_and_each_once),
        cmocka_unit_test(a_dialler_that_leaves_half_way_loses_the_link),
        cmocka_unit_test(a_link_closed_while_it_connects_leaves_nothing),
        cmocka_unit_test(a_slow_reader_is_not_lost),
        cmocka_unit_test(a_silent_host_is_lost_while_idle),
        cmocka_unit_test(a_silent_host_is_lost_while_sending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
