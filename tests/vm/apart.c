/* apart: the two ends of a link in two hosts. Usage: test_apart_WIRE serve|ADDRESS [VARIANT], on one host each. Both run the same
 * cases in step; a socket between them carries the offers and the pace. (What one process can see of both ends is proved by the
 * conformance suite, whose messages and wires these are.) */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "runtime/base/wire.h"
#include "tests/transport/conformance/message.h"

#define PORT 4711 /* the hosts are the test's own: nobody else listens there */
#define PATIENCE_S 60
#define FLIGHT 300
#define STREAM_BYTES 60011
#define ENDING_MESSAGES 10
#define LARGE_BYTES ((size_t)4 << 20)
#define LOST_WITHIN_NS (MESH_PEER_TIMEOUT_NS + 5 * NS_PER_S) /* emulated processors are slow */

static struct {
    const struct conformance_wire *wire;
    unsigned self; /* 0: the one that serves */
    int socket;
    struct mesh mesh; /* of the case that runs: its half */
} here;

static void out_of_time(int signal_number)
{
    (void)signal_number;
    static const char text[] = "apart: the case did not end in time\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    _exit(99);
}

static void fail_unless(bool well, const char *what)
{
    if (!well) {
        perror(what);
        exit(1);
    }
}

static void send_all(const void *bytes, size_t length)
{
    assert_int_equal(send(here.socket, bytes, length, MSG_NOSIGNAL), length);
}

static void receive_all(void *bytes, size_t length)
{
    assert_int_equal(recv(here.socket, bytes, length, MSG_WAITALL), length);
}

/* Wait for the other end to come to the same place, while the link goes on. */
static void meet(uint8_t place)
{
    uint8_t theirs = 0;
    send_all(&place, 1);
    MESH_WAIT(&here.mesh, recv(here.socket, &theirs, 1, MSG_DONTWAIT) == 1);
    assert_int_equal(theirs, place);
}

static struct link *link_here(void)
{
    return here.mesh.peers[here.self].links[1 - here.self];
}

static enum link_state state_here(void)
{
    return mesh_state(&here.mesh, here.self, 1 - here.self);
}

static void post_send(struct message *message, uint64_t seed, size_t length, unsigned lane)
{
    message_outgoing(message, seed, length);
    message_send(message, &here.mesh, here.self, 1 - here.self, lane);
}

static void post_receive(struct message *message, uint64_t seed, size_t length, unsigned lane)
{
    message_incoming(message, seed, length);
    message_receive(message, &here.mesh, here.self, 1 - here.self, lane);
}

static void receive_now(uint64_t seed, size_t length, unsigned lane)
{
    struct message in;
    post_receive(&in, seed, length, lane);
    MESH_WAIT(&here.mesh, in.transfer.state != TRANSFER_POSTED);
    message_check(&in);
    message_free(&in);
}

static int case_begin(void **state)
{
    (void)state;
    uint8_t mine[TRANSPORT_OFFER_BYTES];
    uint8_t theirs[TRANSPORT_OFFER_BYTES];
    size_t mine_bytes;
    uint16_t length;
    alarm(PATIENCE_S + 30);
    mesh_open_half(&here.mesh, here.wire, here.self);
    mesh_link_create(&here.mesh, here.self, 1 - here.self, 77, mine, &mine_bytes);
    length = (uint16_t)mine_bytes;
    send_all(&length, sizeof length); /* both hosts are of one kind */
    send_all(mine, mine_bytes);
    receive_all(&length, sizeof length);
    assert_true(length <= sizeof theirs);
    receive_all(theirs, length);
    struct link *link = link_here();
    assert_int_equal(link->ops->link_connect(link, theirs, length), KOLO_OK);
    MESH_WAIT(&here.mesh, state_here() == LINK_UP);
    return 0;
}

static int case_end(void **state)
{
    (void)state;
    meet('e');
    mesh_close(&here.mesh);
    alarm(0);
    return 0;
}

static void lengths_in_both_directions(void **state)
{
    (void)state;
    static const size_t lengths[] = {0,     1,     2,     15,     64,     65,   255,
                                     256,   4095,  4096,  4097,   8192,   9001, 0,
                                     65535, 65536, 65537, 262144, 1000003};
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct message out;
        struct message in;
        post_receive(&in, i, lengths[i], i % TRANSPORT_LANES);
        post_send(&out, i, lengths[i], i % TRANSPORT_LANES);
        MESH_WAIT(&here.mesh, message_done(&in) && message_done(&out));
        message_check(&in);
        message_free(&in);
        message_free(&out);
    }
}

static void spans_in_odd_pieces(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct message out;
        struct message in;
        size_t length = 1 + 50021 * (size_t)i;
        message_incoming_spans(&in, i, length);
        message_receive(&in, &here.mesh, here.self, 1 - here.self, i % TRANSPORT_LANES);
        post_send(&out, i, length, i % TRANSPORT_LANES);
        MESH_WAIT(&here.mesh, (message_drain(&in, link_here(), 1 + 977 * (size_t)i),
                               message_done(&in) && message_done(&out)));
        message_check(&in);
        message_free(&in);
        message_free(&out);
    }
}

static size_t flight_length(unsigned i)
{
    return (i * 7919u) % 6000;
}

static bool all_done(const struct message *messages)
{
    for (unsigned i = FLIGHT; i-- > 0;) { /* the last one posted is the last one done */
        if (!message_done(&messages[i])) {
            return false;
        }
    }
    return true;
}

static void hundreds_in_flight(void **state)
{
    (void)state;
    static struct message out[FLIGHT];
    static struct message in[FLIGHT];
    for (unsigned i = 0; i < FLIGHT; i++) {
        post_send(&out[i], i, flight_length(i), i % TRANSPORT_LANES);
    }
    meet('f'); /* so that some have arrived before there is a receive */
    for (unsigned i = 0; i < FLIGHT; i++) {
        post_receive(&in[i], i, flight_length(i), i % TRANSPORT_LANES);
    }
    MESH_WAIT(&here.mesh, all_done(in) && all_done(out));
    for (unsigned i = 0; i < FLIGHT; i++) {
        message_check(&in[i]);
        message_free(&in[i]);
        message_free(&out[i]);
    }
}

static void sends_that_grow(void **state)
{
    (void)state;
    struct message out;
    struct message in;
    post_receive(&in, 5, STREAM_BYTES, 1);
    message_outgoing(&out, 5, STREAM_BYTES);
    out.transfer.ready = 0;
    message_send(&out, &here.mesh, here.self, 1 - here.self, 1);
    srandom(21 + here.self);
    while (out.transfer.ready < STREAM_BYTES) {
        size_t left = STREAM_BYTES - out.transfer.ready;
        size_t step = 1 + (size_t)random() % 4000;
        out.transfer.ready += step < left ? step : left;
        MESH_WAIT(&here.mesh, out.transfer.moved == out.transfer.ready);
    }
    MESH_WAIT(&here.mesh, message_done(&in) && message_done(&out));
    message_check(&in);
    message_free(&in);
    message_free(&out);
}

static void large_messages_on_all_lanes_at_once(void **state)
{
    (void)state;
    struct message out[TRANSPORT_LANES];
    struct message in[TRANSPORT_LANES];
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        post_receive(&in[lane], lane, LARGE_BYTES + lane, lane);
        post_send(&out[lane], lane, LARGE_BYTES + lane, lane);
    }
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        MESH_WAIT(&here.mesh, message_done(&in[lane]) && message_done(&out[lane]));
        message_check(&in[lane]);
        message_free(&in[lane]);
        message_free(&out[lane]);
    }
}

/* Nobody receives on lane 0: what is sent there waits at its sender, and lane 1 goes on. */
static void a_full_lane_holds_up_only_itself(void **state)
{
    (void)state;
    struct message out;
    struct message in;
    post_send(&out, 1, LARGE_BYTES, 0);
    for (unsigned i = 0; i < 20; i++) {
        struct message other;
        post_send(&other, 100 + i, 20000, 1);
        receive_now(100 + i, 20000, 1);
        MESH_WAIT(&here.mesh, message_done(&other));
        message_free(&other);
    }
    assert_int_equal(out.transfer.state, TRANSFER_POSTED);
    assert_true(out.transfer.moved < LARGE_BYTES);
    meet('h');
    post_receive(&in, 1, LARGE_BYTES, 0);
    MESH_WAIT(&here.mesh, message_done(&in) && message_done(&out));
    message_check(&in);
    message_free(&in);
    message_free(&out);
}

/* A receive into which nothing has come is taken back; the next one gets its message. */
static void a_receive_is_taken_back(void **state)
{
    (void)state;
    struct message out;
    struct message never;
    struct link *link = link_here();
    message_incoming(&never, 1, 100);
    message_receive(&never, &here.mesh, here.self, 1 - here.self, 0);
    link->ops->cancel(link, 0, &never.transfer);
    assert_true(message_failed(&never));
    assert_int_equal(never.transfer.status, KOLO_ERR_ABORTED);
    message_free(&never);
    meet('t');
    post_send(&out, 1, 100, 0);
    receive_now(1, 100, 0);
    MESH_WAIT(&here.mesh, message_done(&out));
    message_free(&out);
}

/* An end that does nothing for longer than the peer timeout, as a process that is stopped or computes, is not lost. */
static void a_pause_is_no_loss(void **state)
{
    (void)state;
    struct message out;
    if (here.self == 0) {
        const struct timespec pause = {.tv_sec = 1 + MESH_PEER_TIMEOUT_NS / NS_PER_S};
        nanosleep(&pause, NULL); /* the pause is what is tested */
    }
    meet('p');
    assert_int_equal(state_here(), LINK_UP);
    post_send(&out, 1, 100000, 0);
    receive_now(1, 100000, 0);
    MESH_WAIT(&here.mesh, message_done(&out));
    message_free(&out);
}

static void a_mismatch_fails_its_receive_alone(void **state)
{
    (void)state;
    struct message out[TRANSPORT_LANES];
    struct message in[TRANSPORT_LANES];
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        post_send(&out[lane], 30 + lane, 1000, lane);
        post_receive(&in[lane], lane == 0 ? 99 : 30 + lane, 1000, lane);
    }
    MESH_WAIT(&here.mesh, message_failed(&in[0]) && message_done(&in[1]));
    assert_int_equal(in[0].transfer.status, KOLO_ERR_MISMATCH);
    assert_int_equal(in[0].transfer.length_sent, 1000);
    message_check(&in[1]);
    meet('m');
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        message_free(&in[lane]);
        message_free(&out[lane]);
    }
}

/* End 0 closes when its messages are done; end 1 receives them all the same, then sees the end. */
static void a_close_comes_behind_what_was_sent(void **state)
{
    (void)state;
    if (here.self == 1) {
        for (unsigned i = 0; i < ENDING_MESSAGES; i++) {
            receive_now(i, 3000 * (size_t)i, i % TRANSPORT_LANES);
        }
        MESH_WAIT(&here.mesh, state_here() == LINK_LOST);
        assert_int_equal(mesh_why(&here.mesh, 1, 0), KOLO_ERR_PEER_LOST);
        return;
    }
    struct message out[ENDING_MESSAGES];
    for (unsigned i = 0; i < ENDING_MESSAGES; i++) {
        post_send(&out[i], i, 3000 * (size_t)i, i % TRANSPORT_LANES);
    }
    for (unsigned i = 0; i < ENDING_MESSAGES; i++) {
        MESH_WAIT(&here.mesh, message_done(&out[i]));
        message_free(&out[i]);
    }
    mesh_link_close(&here.mesh, 0, 1);
}

/* The last case: end 1 dies in the middle of a message. End 0 must notice in time. */
static void a_killed_peer_is_lost_in_time(void **state)
{
    (void)state;
    struct message out;
    struct message in;
    post_receive(&in, 1, 1000, 1);
    message_outgoing(&out, 1, STREAM_BYTES);
    out.transfer.ready = STREAM_BYTES / 2;
    message_send(&out, &here.mesh, here.self, 1 - here.self, 0);
    meet('k');
    if (here.self == 1) {
        printf("[  KILLED  ] on purpose, as the last case wants\n");
        fflush(stdout);
        raise(SIGKILL);
    }
    uint64_t killed_ns = clock_now_ns();
    MESH_WAIT(&here.mesh, state_here() == LINK_LOST);
    assert_true(clock_now_ns() - killed_ns < LOST_WITHIN_NS);
    assert_int_equal(mesh_why(&here.mesh, 0, 1), KOLO_ERR_PEER_LOST);
    assert_true(message_failed(&in));
    assert_int_equal(in.transfer.status, KOLO_ERR_PEER_LOST);
    message_free(&in);
    message_free(&out);
    mesh_close(&here.mesh);
}

/* Join the two: the one that serves listens before the other comes, which the launching script sees to by `ready`. */
static void join(const char *where)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int one = 1;
    int limited = socket(AF_INET, SOCK_STREAM, 0);
    fail_unless(limited >= 0, "socket");
    if (strcmp(where, "serve") == 0) {
        setsockopt(limited, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        fail_unless(bind(limited, (struct sockaddr *)&at, sizeof at) == 0, "bind");
        fail_unless(listen(limited, 1) == 0, "listen");
        printf("ready\n");
        fflush(stdout);
        here.socket = accept(limited, NULL, NULL);
        fail_unless(here.socket >= 0, "accept");
        close(limited);
    } else {
        here.self = 1;
        here.socket = limited;
        fail_unless(inet_pton(AF_INET, where, &at.sin_addr) == 1, where);
        fail_unless(connect(limited, (struct sockaddr *)&at, sizeof at) == 0, "connect");
    }
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(here.socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(here.socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int main(int argc, char **argv)
{
    here.wire = argc > 1 ? conformance_wire(argc > 2 ? argv[2] : "") : NULL;
    if (here.wire == NULL) {
        fprintf(stderr, "usage: %s serve|ADDRESS [VARIANT]\n", argv[0]);
        return 2;
    }
    message_init();
    signal(SIGALRM, out_of_time);
    alarm(PATIENCE_S);
    join(argv[1]);
#define ENTRY(name) cmocka_unit_test_setup_teardown(name, case_begin, case_end)
    const struct CMUnitTest cases[] = {
        ENTRY(lengths_in_both_directions),
        ENTRY(spans_in_odd_pieces),
        ENTRY(hundreds_in_flight),
        ENTRY(sends_that_grow),
        ENTRY(large_messages_on_all_lanes_at_once),
        ENTRY(a_full_lane_holds_up_only_itself),
        ENTRY(a_receive_is_taken_back),
        ENTRY(a_pause_is_no_loss),
        ENTRY(a_mismatch_fails_its_receive_alone),
        ENTRY(a_close_comes_behind_what_was_sent),
        cmocka_unit_test_setup(a_killed_peer_is_lost_in_time, case_begin),
    };
#undef ENTRY
    return cmocka_run_group_tests_name(here.wire->name, cases, NULL, NULL);
}
