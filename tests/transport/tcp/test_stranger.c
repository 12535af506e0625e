/* Strangers of every kind at the port: turned away, bounded, and never a disturbance. */
#include "tests/transport/tcp/peer.h"

#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "transport/tcp/address.h"
#include "transport/tcp/hello.h"

#define FLOOD 10000

static void garbage_and_http_are_dropped_without_a_word(void **state)
{
    (void)state;
    const char *const words[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02", "KOLA",
                                 "S"};
    struct peer a;
    peer_open(&a, "peer a", peer_run_a, NULL);
    unsigned before = peer_descriptors();
    for (unsigned i = 0; i < 4; i++) {
        uint8_t answer[256];
        int fd = peer_raw(&a);
        assert_true(send(fd, words[i], strlen(words[i]), 0) > 0);
        assert_int_equal(peer_await_close(&a, fd, answer, sizeof answer), 0);
        close(fd);
    }
    assert_int_equal(a.arrived, 0);
    assert_int_equal(peer_descriptors(), before);
    peer_assert_undisturbed(&a);
    peer_close(&a);
}

static void another_version_is_answered_and_closed(void **state)
{
    (void)state;
    const unsigned lengths[] = {HELLO_HEAD_BYTES, HELLO_BYTES, HELLO_BYTES_MAX};
    struct peer a;
    peer_open(&a, "peer a", peer_run_a, NULL);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t frame[HELLO_BYTES_MAX] = "KOLO";
        uint8_t answer[HELLO_ANSWER_BYTES + 1];
        uint8_t who[TRANSPORT_ID_BYTES];
        const uint8_t nobody[TRANSPORT_ID_BYTES] = {0};
        frame[4] = HELLO_VERSION + 1;
        frame[6] = (uint8_t)lengths[i];
        frame[7] = (uint8_t)(lengths[i] >> 8);
        int fd = peer_raw(&a);
        assert_int_equal(send(fd, frame, lengths[i], 0), (int)lengths[i]);
        assert_int_equal(peer_await_close(&a, fd, answer, sizeof answer), HELLO_ANSWER_BYTES);
        assert_int_equal(hello_decode_answer(who, answer), PORT_REFUSED_VERSION);
        assert_memory_equal(who, nobody, sizeof nobody);
        close(fd);
    }
    peer_assert_undisturbed(&a);
    peer_close(&a);
}

static void a_hello_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct peer a;
    uint8_t frame[HELLO_BYTES];
    struct port_hello hello = {.from = "slow", .purpose = PORT_CONTROL, .token = 5};
    peer_open(&a, "peer a", peer_run_a, NULL);
    hello_encode(frame, &hello, peer_run_a);
    int fd = peer_raw(&a);
    for (unsigned i = 0; i < HELLO_BYTES; i++) {
        assert_int_equal(a.arrived, 0);
        assert_int_equal(send(fd, frame + i, 1, MSG_NOSIGNAL), 1);
        peer_settle(&a);
    }
    assert_int_equal(a.opened, 1);
    uint8_t answer[HELLO_ANSWER_BYTES];
    assert_int_equal(recv(fd, answer, sizeof answer, MSG_WAITALL), HELLO_ANSWER_BYTES);
    close(fd);
    peer_close(&a);
}

static void one_who_talks_before_the_answer_is_dropped(void **state)
{
    (void)state;
    struct peer a;
    uint8_t frame[HELLO_BYTES + 1];
    uint8_t answer[HELLO_ANSWER_BYTES];
    struct port_hello hello = {.from = "hasty", .purpose = PORT_CONTROL};
    peer_open(&a, "peer a", peer_run_a, NULL);
    hello_encode(frame, &hello, peer_run_a);
    frame[HELLO_BYTES] = 'x';
    int fd = peer_raw(&a);
    assert_int_equal(send(fd, frame, sizeof frame, 0), (int)sizeof frame);
    assert_int_equal(peer_await_close(&a, fd, answer, sizeof answer), 0);
    assert_int_equal(a.arrived, 0);
    close(fd);
    peer_close(&a);
}

static void silence_is_ended_by_the_limit(void **state)
{
    (void)state;
    struct peer a;
    uint8_t byte;
    peer_open(&a, "peer a", peer_run_a, NULL);
    unsigned before = peer_descriptors();
    int fd = peer_raw(&a);
    peer_settle(&a);
    uint64_t deadline_ns = tcp_port_deadline_ns(a.port);
    assert_true(deadline_ns != CLOCK_FOREVER);
    tcp_port_step(a.port, deadline_ns - 1);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    tcp_port_step(a.port, deadline_ns);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
    assert_int_equal(peer_descriptors(), before);
    peer_assert_undisturbed(&a);
    peer_close(&a);
}

static void a_scanner_that_connects_and_leaves_costs_nothing(void **state)
{
    (void)state;
    struct peer a;
    peer_open(&a, "peer a", peer_run_a, NULL);
    unsigned before = peer_descriptors();
    for (unsigned i = 0; i < 200; i++) {
        int fd = peer_raw(&a);
        struct linger reset = {.l_onoff = 1};
        if (i % 2 == 0) {
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        }
        close(fd);
        if (i % 10 == 0) {
            peer_settle(&a);
        }
    }
    peer_settle(&a);
    assert_int_equal(peer_descriptors(), before);
    assert_true(tcp_port_deadline_ns(a.port) == CLOCK_FOREVER);
    peer_assert_undisturbed(&a);
    peer_close(&a);
}

static void half_open_strangers_are_bounded_and_the_oldest_goes_first(void **state)
{
    (void)state;
    enum { MORE = 10 };
    struct peer a;
    int fds[PORT_STRANGERS_MAX + MORE];
    uint8_t byte;
    peer_open(&a, "peer a", peer_run_a, NULL);
    unsigned before = peer_descriptors();
    for (unsigned i = 0; i < PORT_STRANGERS_MAX + MORE; i++) {
        fds[i] = peer_raw(&a);
        peer_settle(&a);
    }
    assert_int_equal(peer_descriptors(), before + PORT_STRANGERS_MAX + MORE + PORT_STRANGERS_MAX);
    for (unsigned i = 0; i < PORT_STRANGERS_MAX + MORE; i++) {
        ssize_t got = recv(fds[i], &byte, 1, MSG_DONTWAIT);
        assert_int_equal(got, i < MORE ? 0 : -1);
    }
    peer_assert_undisturbed(&a); /* one more comes, and gets in */
    for (unsigned i = 0; i < PORT_STRANGERS_MAX + MORE; i++) {
        close(fds[i]);
    }
    peer_close(&a);
}

static long resident_kib(void)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmRSS: %ld kB", &kib) == 1) {
            break;
        }
    }
    fclose(file);
    return kib;
}

/* Ten thousand connections, as many at the same time as the descriptors of this process allow, and a peer in their midst. */
static void a_flood_does_not_keep_peers_out(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    unsigned at_once = limit.rlim_cur < FLOOD + 1000 ? (unsigned)limit.rlim_cur - 300 : FLOOD;
    struct peer a;
    peer_open(&a, "peer a", peer_run_a, NULL);
    struct port_address address = peer_loopback(AF_INET, tcp_port_number(a.port));
    int *fds = malloc(FLOOD * sizeof *fds);
    assert_non_null(fds);
    long before_kib = resident_kib();
    for (unsigned i = 0; i < FLOOD; i++) {
        if (i >= at_once) {
            close(fds[i - at_once]);
        }
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
        (void)!connect(fds[i], &address.as.any, address_length(&address));
        if (i == FLOOD / 2 || i == FLOOD - 1) {
            peer_assert_undisturbed(&a);
        }
        if (i % 16 == 0) {
            tcp_port_step(a.port, clock_now_ns());
        }
    }
    peer_settle(&a);
    peer_assert_undisturbed(&a);
    assert_true(resident_kib() - before_kib < 4096);
    for (unsigned i = FLOOD - at_once; i < FLOOD; i++) {
        close(fds[i]);
    }
    free(fds);
    peer_close(&a);
}

static void running_out_of_descriptors_is_survived(void **state)
{
    (void)state;
    struct peer a;
    struct rlimit old;
    int clients[4];
    peer_open(&a, "peer a", peer_run_a, NULL);
    for (unsigned i = 0; i < 4; i++) {
        clients[i] = peer_raw(&a);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int highest = dup(0);
    assert_true(highest >= 0);
    close(highest);
    struct rlimit none = {.rlim_cur = (rlim_t)highest, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct pollfd fd = {.fd = tcp_port_wait_fd(a.port), .events = POLLIN};
    unsigned steps = 0;
    while (poll(&fd, 1, 0) > 0 && steps < 100) {
        tcp_port_step(a.port, clock_now_ns());
        steps++;
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_in_range(steps, 1, 99); /* they were turned away: the listener did not stay readable */
    for (unsigned i = 0; i < 4; i++) {
        close(clients[i]);
    }
    peer_assert_undisturbed(&a);
    peer_close(&a);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1); /* refusals are expected */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_and_http_are_dropped_without_a_word),
        cmocka_unit_test(another_version_is_answered_and_closed),
        cmocka_unit_test(a_hello_may_come_byte_by_byte),
        cmocka_unit_test(one_who_talks_before_the_answer_is_dropped),
        cmocka_unit_test(silence_is_ended_by_the_limit),
        cmocka_unit_test(a_scanner_that_connects_and_leaves_costs_nothing),
        cmocka_unit_test(half_open_strangers_are_bounded_and_the_oldest_goes_first),
        cmocka_unit_test(a_flood_does_not_keep_peers_out),
        cmocka_unit_test(running_out_of_descriptors_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
