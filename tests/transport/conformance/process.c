/* The peer is another process: it talks, is killed, is stopped. */
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/transport/conformance/cases.h"

#define ECHO_BYTES 100000
#define LOST_WITHIN_NS (2 * NS_PER_S) /* of a kill -9 */

struct child {
    pid_t pid;
    int socket;
};

/* The other process: sends back every message of ECHO_BYTES, on both lanes, until its peer is gone. Never returns. */
static void child_run(const struct conformance_wire *wire, int socket)
{
    struct mesh mesh;
    static uint8_t memory[TRANSPORT_LANES][ECHO_BYTES];
    struct transfer in[TRANSPORT_LANES] = {0};
    struct transfer out[TRANSPORT_LANES] = {0};
    setenv("CMOCKA_TEST_ABORT", "1",
           1); /* a failed assertion ends this process, not its copy of the test */
    mesh_open_half(&mesh, wire, 1);
    if (!mesh_connect_half(&mesh, 1, socket)) {
        _exit(1);
    }
    struct link *link = mesh.peers[1].links[0];
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        in[lane] = out[lane] = (struct transfer){.data = memory[lane], .length = ECHO_BYTES};
        in[lane].ready = ECHO_BYTES;
        link->ops->receive(link, lane, &in[lane]);
    }
    while (mesh_state(&mesh, 1, 0) == LINK_UP) {
        mesh_step(&mesh);
        for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
            if (out[lane].state != TRANSFER_POSTED && in[lane].state == TRANSFER_DONE) {
                in[lane].state = TRANSFER_IDLE;
                out[lane].ready = ECHO_BYTES;
                link->ops->send(link, lane, &out[lane]);
            }
            if (in[lane].state == TRANSFER_IDLE && out[lane].state == TRANSFER_DONE) {
                out[lane].state = TRANSFER_IDLE;
                link->ops->receive(link, lane, &in[lane]);
            }
        }
    }
    mesh_close(&mesh);
    _exit(0);
}

/* Start the other process and link with it. Skips the case where peers cannot be processes. */
static void child_start(struct child *child, struct mesh *mesh, void **state)
{
    const struct conformance_wire *wire = *state;
    int sockets[2];
    if (!wire->forks) {
        skip();
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    child->pid = fork();
    assert_true(child->pid >= 0);
    if (child->pid == 0) {
        close(sockets[0]);
        child_run(wire, sockets[1]);
    }
    close(sockets[1]);
    child->socket = sockets[0];
    mesh_open_half(mesh, wire, 0);
    assert_true(mesh_connect_half(mesh, 0, child->socket));
}

/* The process has ended, or is made to. Returns its wait status. */
static int child_end(struct child *child, int signal_number)
{
    int status = 0;
    if (signal_number != 0) {
        kill(child->pid, signal_number);
    }
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->socket);
    return status;
}

/* Give the child headers that are all zero: it does not know better. */
static void echo_begin(struct message *out, struct message *in, struct mesh *mesh, uint64_t seed,
                       unsigned lane)
{
    message_outgoing(out, seed, ECHO_BYTES);
    message_incoming(in, seed, ECHO_BYTES);
    memset(out->transfer.header, 0, TRANSPORT_HEADER_BYTES);
    memset(in->transfer.header, 0, TRANSPORT_HEADER_BYTES);
    message_receive(in, mesh, 0, 1, lane);
    message_send(out, mesh, 0, 1, lane);
}

static void echo_end(struct message *out, struct message *in, struct mesh *mesh)
{
    MESH_WAIT(mesh, message_done(in) && message_done(out));
    message_check(in);
    message_free(in);
    message_free(out);
}

void process_talks_with_another(void **state)
{
    struct child child;
    struct mesh mesh;
    struct message out[TRANSPORT_LANES];
    struct message in[TRANSPORT_LANES];
    child_start(&child, &mesh, state);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
            echo_begin(&out[lane], &in[lane], &mesh, round * 2 + lane, lane);
        }
        for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
            echo_end(&out[lane], &in[lane], &mesh);
        }
    }
    mesh_link_close(&mesh, 0, 1);
    assert_int_equal(child_end(&child, 0), 0); /* it notices, and ends by itself */
    mesh_close(&mesh);
}

/* The peer has been killed: the link and what is posted on it must be lost in time. */
static void assert_lost_soon(struct mesh *mesh, struct message *out, struct message *in)
{
    uint64_t killed_ns = clock_now_ns();
    MESH_WAIT(mesh, mesh_state(mesh, 0, 1) == LINK_LOST);
    assert_true(clock_now_ns() - killed_ns < LOST_WITHIN_NS);
    assert_int_equal(mesh_why(mesh, 0, 1), KOLO_ERR_PEER_LOST);
    assert_int_not_equal(out->transfer.state, TRANSFER_POSTED);
    assert_true(message_failed(in));
    assert_int_equal(in->transfer.status, KOLO_ERR_PEER_LOST);
    message_free(out);
    message_free(in);
    message_outgoing(out, 3, 100);
    message_send(out, mesh, 0, 1, 0);
    assert_true(message_failed(out));
    message_free(out);
}

void process_killed_is_lost_soon(void **state)
{
    struct child child;
    struct mesh mesh;
    struct message out;
    struct message in;
    child_start(&child, &mesh, state);
    echo_begin(&out, &in, &mesh, 1, 0);
    echo_end(&out, &in, &mesh);
    message_incoming(&in, 2, 1000); /* nobody will send that */
    message_receive(&in, &mesh, 0, 1, 1);
    message_outgoing(&out, 2, 0); /* nothing under way */
    child_end(&child, SIGKILL);
    assert_lost_soon(&mesh, &out, &in);
    mesh_close(&mesh);
}

void process_killed_in_mid_message_is_lost_soon(void **state)
{
    struct child child;
    struct mesh mesh;
    struct message out;
    struct message in;
    child_start(&child, &mesh, state);
    message_outgoing(&out, 1, ECHO_BYTES);
    message_incoming(&in, 2, 1000);
    memset(out.transfer.header, 0, TRANSPORT_HEADER_BYTES);
    out.transfer.ready = ECHO_BYTES / 2;
    message_receive(&in, &mesh, 0, 1, 1);
    message_send(&out, &mesh, 0, 1, 0);
    MESH_WAIT(&mesh, out.transfer.moved == ECHO_BYTES / 2);
    child_end(&child, SIGKILL);
    assert_lost_soon(&mesh, &out, &in);
    mesh_close(&mesh);
}

/* Wait until the process has been stopped. */
static void stop(const struct child *child)
{
    int status = 0;
    kill(child->pid, SIGSTOP);
    assert_int_equal(waitpid(child->pid, &status, WUNTRACED), child->pid);
    assert_true(WIFSTOPPED(status));
}

void process_stopped_loses_nothing(void **state)
{
    struct child child;
    struct mesh mesh;
    struct message out[TRANSPORT_LANES];
    struct message in[TRANSPORT_LANES];
    child_start(&child, &mesh, state);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
            echo_begin(&out[lane], &in[lane], &mesh, round * 2 + lane, lane);
        }
        if (round % 3 == 1) {
            stop(&child);
            mesh_settle(&mesh);
            assert_int_equal(mesh_state(&mesh, 0, 1), LINK_UP);
            kill(child.pid, SIGCONT);
        }
        for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
            echo_end(&out[lane], &in[lane], &mesh);
        }
    }
    mesh_close(&mesh);
    assert_int_equal(child_end(&child, 0), 0);
}
