/* How ends meet: who is refused, and that it disturbs nobody. Both ends live in this process. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "tests/transport/shm/pair.h"
#include "transport/shm/shm.h"

#include <cmocka.h> /* after status.h: it has a fail() of its own */

#define TOKEN 77

struct half {
    struct transport *transport;
    struct link *link;
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    size_t offer_bytes;
};

static void half_open(struct half *half, unsigned self)
{
    half->transport = pair_transport(self);
    struct link_config config = {.dials = self == 0, .token = TOKEN, .peer_name = "the other half"};
    memset(config.peer, 2 - (int)self,
           TRANSPORT_ID_BYTES); /* pair_transport(n) is n + 1 everywhere */
    assert_int_equal(transport_shm.link_create(&half->link, half->offer, &half->offer_bytes,
                                               half->transport, &config),
                     KOLO_OK);
}

static void halves_open(struct half halves[2])
{
    half_open(&halves[0], 0);
    half_open(&halves[1], 1);
}

static void halves_close(struct half halves[2])
{
    transport_shm.destroy(halves[0].transport);
    transport_shm.destroy(halves[1].transport);
}

static kolo_status connect_half(struct half halves[2], unsigned which)
{
    return transport_shm.link_connect(halves[which].link, halves[1 - which].offer,
                                      halves[1 - which].offer_bytes);
}

static void progress_both(struct half halves[2])
{
    transport_shm.progress(halves[0].transport);
    transport_shm.progress(halves[1].transport);
}

static enum link_state state_of(const struct half *half)
{
    return transport_shm.link_state(half->link, NULL, NULL);
}

static void assert_comes_up(struct half halves[2])
{
    uint64_t deadline_ns = clock_now_ns() + PAIR_PATIENCE_S * NS_PER_S;
    while (state_of(&halves[0]) != LINK_UP || state_of(&halves[1]) != LINK_UP) {
        progress_both(halves);
        assert_true(clock_now_ns() < deadline_ns);
        assert_true(state_of(&halves[0]) != LINK_LOST && state_of(&halves[1]) != LINK_LOST);
    }
}

/* ---- another host ---------------------------------------------------------------------------------------------- */

static kolo_status connect_changed(void (*change)(struct shm_offer *offer))
{
    struct half halves[2];
    struct shm_offer offer;
    halves_open(halves);
    assert_int_equal(shm_offer_read(&offer, halves[1].offer, halves[1].offer_bytes), KOLO_OK);
    change(&offer);
    halves[1].offer_bytes = shm_offer_write(halves[1].offer, &offer);
    kolo_status status = connect_half(halves, 0);
    assert_true(status == KOLO_OK || state_of(&halves[0]) == LINK_NEW);
    halves_close(halves);
    return status;
}

static void nothing(struct shm_offer *offer)
{
    (void)offer;
}

static void boot(struct shm_offer *offer)
{
    offer->host.boot[35] ^= 1;
}

static void network(struct shm_offer *offer)
{
    offer->host.network.inode++;
}

static void users(struct shm_offer *offer)
{
    offer->host.user.device++;
}

static void uid(struct shm_offer *offer)
{
    offer->host.uid++;
}

static void unknown(struct shm_offer *offer)
{
    offer->host.known = false;
}

/* A clone of this machine: everything is the same, but the socket is not here. */
static void door(struct shm_offer *offer)
{
    offer->name[3] ^= 1;
}

static void token(struct shm_offer *offer)
{
    offer->token++;
}

static void identity(struct shm_offer *offer)
{
    offer->self[0]++;
}

static void test_other_hosts_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(connect_changed(nothing), KOLO_OK);
    assert_int_equal(connect_changed(boot), KOLO_ERR_STATE);
    assert_int_equal(connect_changed(network), KOLO_ERR_STATE);
    assert_int_equal(connect_changed(users), KOLO_ERR_STATE);
    assert_int_equal(connect_changed(uid), KOLO_ERR_STATE);
    assert_int_equal(connect_changed(unknown), KOLO_ERR_STATE);
    assert_int_equal(connect_changed(door), KOLO_ERR_STATE);
    assert_int_equal(connect_changed(token), KOLO_ERR_PROTOCOL);
    assert_int_equal(connect_changed(identity), KOLO_ERR_PROTOCOL);
}

static void test_the_end_that_waits_finds_out_too(void **state)
{
    (void)state;
    struct half halves[2];
    struct shm_offer offer;
    halves_open(halves);
    shm_offer_read(&offer, halves[0].offer, halves[0].offer_bytes);
    door(&offer);
    halves[0].offer_bytes = shm_offer_write(halves[0].offer, &offer);
    assert_int_equal(connect_half(halves, 1), KOLO_ERR_STATE);
    halves_close(halves);
}

static void test_another_network_namespace(void **state)
{
    (void)state;
    int sockets[2], status;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
    pid_t child = fork();
    struct half half;
    if (child == 0) {
        if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
            _exit(2); /* not allowed here */
        }
        half_open(&half, 1);
        _exit(send(sockets[1], half.offer, half.offer_bytes, 0) > 0 ? 0 : 1);
    }
    close(sockets[1]);
    half_open(&half, 0);
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    ssize_t bytes = recv(sockets[0], offer, sizeof offer, 0);
    waitpid(child, &status, 0);
    bool allowed = WIFEXITED(status) && WEXITSTATUS(status) != 2;
    if (allowed) {
        assert_int_equal(status, 0);
        assert_true(bytes > 0);
        assert_int_equal(transport_shm.link_connect(half.link, offer, (size_t)bytes),
                         KOLO_ERR_STATE);
    }
    transport_shm.destroy(half.transport);
    close(sockets[0]);
    if (!allowed) {
        skip();
    }
}

/* ---- hellos ---------------------------------------------------------------------------------------------------- */

static int knock(const struct half *half)
{
    struct shm_offer offer;
    int fd;
    shm_offer_read(&offer, half->offer, half->offer_bytes);
    assert_int_equal(shm_door_knock(&fd, offer.name), KOLO_OK);
    return fd;
}

static int memory_of(off_t bytes, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0 && ftruncate(fd, bytes) == 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* The hello that would be right for halves[1], with memory that would be, too. */
static struct shm_hello right_hello(void)
{
    struct shm_hello hello = {.token = TOKEN};
    off_t page = sysconf(_SC_PAGESIZE);
    memset(hello.from, 1, TRANSPORT_ID_BYTES);
    memset(hello.to, 2, TRANSPORT_ID_BYTES);
    off_t bytes = ((off_t)sizeof(struct shm_segment) + page - 1) / page * page;
    hello.segment = memory_of(bytes, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    hello.bell = memory_of(page, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    bytes = ((off_t)sizeof(struct shm_board) + page - 1) / page * page;
    hello.board = memory_of(bytes, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    return hello;
}

/* Send a hello to halves[1] as a stranger; returns whether it was taken for a peer. */
static bool is_welcome(struct half halves[2], const struct shm_hello *hello)
{
    int fd = knock(&halves[1]);
    assert_int_equal(shm_hello_send(fd, hello), KOLO_OK);
    uint64_t deadline_ns = clock_now_ns() + PAIR_PATIENCE_S * NS_PER_S;
    struct shm_hello answer;
    enum shm_heard heard;
    do {
        progress_both(halves);
        heard = shm_hello_receive(&answer, fd);
        assert_true(clock_now_ns() < deadline_ns);
    } while (heard == SHM_HEARD_NOTHING);
    if (heard == SHM_HEARD_HELLO) {
        shm_hello_drop(&answer);
    }
    close(fd);
    shm_hello_drop(hello);
    return heard == SHM_HEARD_HELLO;
}

static void swap_memory(struct shm_hello *hello, int *which, off_t bytes, int seals)
{
    (void)hello;
    close(*which);
    *which = memory_of(bytes, seals);
}

static void test_wrong_hellos_are_refused(void **state)
{
    (void)state;
    struct half halves[2];
    off_t good_bytes = 16 << 20;
    halves_open(halves);
    for (unsigned i = 0; i < 10; i++) {
        struct shm_hello hello = right_hello();
        switch (i) {
        case 0:
            hello.token++;
            break;
        case 1:
            hello.from[3]++;
            break;
        case 2:
            hello.to[15]++;
            break;
        case 3: /* memory that can be cut off under our feet */
            swap_memory(&hello, &hello.segment, good_bytes, 0);
            break;
        case 4:
            swap_memory(&hello, &hello.segment, 4096, F_SEAL_SHRINK | F_SEAL_GROW);
            break;
        case 5:
            swap_memory(&hello, &hello.bell, 0, F_SEAL_SHRINK);
            break;
        case 6:
            swap_memory(&hello, &hello.segment, good_bytes, F_SEAL_SHRINK | F_SEAL_WRITE);
            break;
        case 7:
            swap_memory(&hello, &hello.board, 4096, F_SEAL_SHRINK);
            break;
        case 8:
            swap_memory(&hello, &hello.board, good_bytes, 0);
            break;
        default: /* no memory at all */
            close(hello.segment);
            hello.segment = open("/dev/null", O_RDWR | O_CLOEXEC);
        }
        assert_false(is_welcome(halves, &hello));
    }
    assert_int_equal(connect_half(halves, 0), KOLO_OK);
    assert_int_equal(connect_half(halves, 1), KOLO_OK);
    assert_comes_up(halves);
    struct shm_hello late = right_hello(); /* right, but there is a peer already */
    assert_false(is_welcome(halves, &late));
    assert_int_equal(state_of(&halves[1]), LINK_UP);
    halves_close(halves);
}

static void test_a_right_hello_is_welcome_before_connect(void **state)
{
    (void)state;
    struct half halves[2];
    halves_open(halves);
    struct shm_hello hello = right_hello();
    assert_true(is_welcome(halves, &hello));
    assert_int_equal(state_of(&halves[1]), LINK_NEW);
    halves_close(halves);
}

static void test_garbage_and_silence_cost_nothing(void **state)
{
    (void)state;
    enum { STRANGERS = 3 * SHM_STRANGERS_MAX };
    struct half halves[2];
    int fds[STRANGERS];
    uint8_t garbage[300];
    memset(garbage, 0x6b, sizeof garbage);
    halves_open(halves);
    struct shm *shm = (struct shm *)halves[1].transport;
    for (unsigned i = 0; i < STRANGERS; i++) {
        fds[i] = knock(&halves[1]);
        if (i % 3 == 1) {
            assert_true(send(fds[i], garbage, i % sizeof garbage, MSG_NOSIGNAL) >= 0);
        }
        shm->look = true;
        shm->countdown = 1;
        progress_both(halves);
        assert_in_range(shm->door.strangers_count, 0, SHM_STRANGERS_MAX);
    }
    assert_int_equal(shm->door.strangers_count, SHM_STRANGERS_MAX);
    shm_door_tidy(&shm->door, clock_now_ns() + 2 * SHM_STRANGER_NS); /* time passes */
    assert_int_equal(shm->door.strangers_count, 0);
    assert_int_equal(connect_half(halves, 1), KOLO_OK);
    assert_int_equal(connect_half(halves, 0), KOLO_OK);
    assert_comes_up(halves);
    for (unsigned i = 0; i < STRANGERS; i++) {
        close(fds[i]);
    }
    halves_close(halves);
}

/* A packet with as many descriptors as it takes to be rude. */
static void send_descriptors(int socket, unsigned count)
{
    enum { MOST = 8 };
    union {
        char bytes[CMSG_SPACE(MOST * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    int fds[MOST];
    for (unsigned i = 0; i < count; i++) {
        fds[i] = STDIN_FILENO;
    }
    struct iovec vector = {.iov_base = "hello", .iov_len = 5};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    assert_int_equal(sendmsg(socket, &message, 0), 5);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void test_descriptors_of_strangers_are_closed(void **state)
{
    (void)state;
    struct half halves[2];
    halves_open(halves);
    progress_both(halves);
    unsigned before = open_descriptors();
    for (unsigned count = 1; count <= 8; count++) {
        int fd = knock(&halves[1]);
        struct shm *shm = (struct shm *)halves[1].transport;
        send_descriptors(fd, count);
        uint64_t deadline_ns = clock_now_ns() + PAIR_PATIENCE_S * NS_PER_S;
        char byte;
        while (recv(fd, &byte, 1, MSG_DONTWAIT) != 0) { /* until it is sent away */
            shm->look = true;
            progress_both(halves);
            assert_true(clock_now_ns() < deadline_ns);
        }
        close(fd);
        assert_int_equal(open_descriptors(), before);
    }
    halves_close(halves);
}

/* The dialling end is answered by somebody who is not its peer. */
static void test_a_wrong_answer_loses_the_link(void **state)
{
    (void)state;
    struct half halves[2];
    halves_open(halves);
    assert_int_equal(connect_half(halves, 0), KOLO_OK);
    struct shm_link *link = (struct shm_link *)halves[0].link;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(dup2(fds[0], link->socket.fd), link->socket.fd);
    close(fds[0]);
    assert_int_equal(send(fds[1], "welcome", 7, 0), 7);
    shm_link_hear(link);
    kolo_status why;
    assert_int_equal(transport_shm.link_state(halves[0].link, &why, NULL), LINK_LOST);
    assert_int_equal(why, KOLO_ERR_PROTOCOL);
    close(fds[1]);
    halves_close(halves);
}

/* ---- no descriptors left ---------------------------------------------------------------------------------------- */

/* Try to connect two transports, up to the point where it fails; whatever happens, everything is given back. */
static void connect_somehow(void)
{
    struct transport *transports[2] = {NULL, NULL};
    struct link *links[2] = {NULL, NULL};
    uint8_t offers[2][TRANSPORT_OFFER_BYTES];
    size_t bytes[2];
    bool fine = true;
    for (unsigned i = 0; i < 2 && fine; i++) {
        struct transport_config config = {.peer_timeout_ns = NS_PER_S};
        struct link_config about = {.dials = i == 0, .token = TOKEN, .peer_name = "peer"};
        memset(config.self, (int)i + 1, TRANSPORT_ID_BYTES);
        memset(about.peer, 2 - (int)i, TRANSPORT_ID_BYTES);
        fine = transport_shm.create(&transports[i], &config) == KOLO_OK &&
               transport_shm.link_create(&links[i], offers[i], &bytes[i], transports[i], &about) ==
                   KOLO_OK;
    }
    fine = fine && transport_shm.link_connect(links[0], offers[1], bytes[1]) == KOLO_OK &&
           transport_shm.link_connect(links[1], offers[0], bytes[0]) == KOLO_OK;
    for (unsigned i = 0; i < 100 && fine; i++) {
        transport_shm.progress(transports[i % 2]);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (transports[i]) {
            transport_shm.destroy(transports[i]);
        }
    }
}

static int lowest_free_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

static void test_running_out_of_descriptors(void **state)
{
    (void)state;
    struct rlimit before;
    int lowest = lowest_free_descriptor();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned spare = 0; spare < 20; spare++) {
        struct rlimit limit = {.rlim_cur = (rlim_t)lowest + spare, .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        connect_somehow();
        setrlimit(RLIMIT_NOFILE, &before);
        assert_int_equal(lowest_free_descriptor(), lowest);
    }
}

/* ---- what is shown -------------------------------------------------------------------------------------------------- */

static void test_only_its_owner_writes_on_a_board(void **state)
{
    (void)state;
    struct shm_board *own = NULL;
    const struct shm_board *seen = NULL;
    struct shown shown;
    const uint8_t header[TRANSPORT_HEADER_BYTES] = {1, 2, 3};
    int fd = -1;
    assert_int_equal(shm_board_create(&own, &fd), KOLO_OK);
    assert_int_equal(shm_board_map(&seen, fd), KOLO_OK);
    assert_int_equal(shm_board_read(&shown, seen, 1), LOOK_NOT_YET);
    shm_board_write(own, 1, header, "four", 4);
    assert_int_equal(shm_board_read(&shown, seen, 1), LOOK_HERE);
    assert_memory_equal(shown.header, header, sizeof header);
    assert_memory_equal(shown.data, "four", 4);
    assert_int_equal(shm_board_read(&shown, seen, 2), LOOK_NOT_YET);
    if (!(fcntl(fd, F_GET_SEALS) & F_SEAL_FUTURE_WRITE)) {
        skip(); /* an old kernel: everything but the last */
    }
    void *writable = mmap(NULL, sizeof *own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_equal(writable, MAP_FAILED);
    assert_int_equal(errno, EPERM);
    void *later = mmap(NULL, sizeof *own, PROT_READ, MAP_SHARED, fd, 0);
    assert_int_equal(mprotect(later, sizeof *own, PROT_READ | PROT_WRITE), -1);
    munmap(later, sizeof *own);
    shm_board_unmap(seen);
    shm_board_unmap(own);
    close(fd);
}

static void show_nonsense(uint64_t number, uint64_t length)
{
    struct half halves[2];
    struct shown shown;
    kolo_status why = KOLO_OK;
    halves_open(halves);
    assert_int_equal(connect_half(halves, 0), KOLO_OK);
    assert_int_equal(connect_half(halves, 1), KOLO_OK);
    assert_comes_up(halves);
    assert_int_equal(transport_shm.look(&shown, halves[1].link, 1), LOOK_NOT_YET);
    struct shm_board *board = ((struct shm *)halves[0].transport)->board;
    atomic_store(&board->cell[1].length, length);
    atomic_store(&board->cell[1].number, number);
    assert_int_equal(transport_shm.look(&shown, halves[1].link, 1), LOOK_NEVER);
    assert_int_equal(transport_shm.link_state(halves[1].link, &why, NULL), LINK_LOST);
    assert_int_equal(why, KOLO_ERR_PROTOCOL);
    assert_int_equal(state_of(&halves[0]), LINK_UP);
    halves_close(halves);
}

static void test_nonsense_that_is_shown_loses_the_link(void **state)
{
    (void)state;
    show_nonsense(1, TRANSPORT_SHOWN_BYTES + 1); /* longer than a cell */
    show_nonsense(1, UINT64_MAX);
    show_nonsense(3, 8); /* a number that nobody can have come to */
    show_nonsense(UINT64_MAX, 0);
}

static void test_memory_of_eight_peers_is_bounded(void **state)
{
    (void)state;
    /* All rings of all links of 8 peers used to the full, shared memory counted once. */
    size_t links = 8 * 7 / 2;
    size_t all = links * sizeof(struct shm_segment) + 8 * 7 * sizeof(struct shm_link) +
                 8 * (sizeof(struct shm_board) + sizeof(struct shm_bell));
    assert_true(all / 8 < (8u << 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_hosts_are_told_apart),
        cmocka_unit_test(test_the_end_that_waits_finds_out_too),
        cmocka_unit_test(test_another_network_namespace),
        cmocka_unit_test(test_wrong_hellos_are_refused),
        cmocka_unit_test(test_a_right_hello_is_welcome_before_connect),
        cmocka_unit_test(test_garbage_and_silence_cost_nothing),
        cmocka_unit_test(test_descriptors_of_strangers_are_closed),
        cmocka_unit_test(test_a_wrong_answer_loses_the_link),
        cmocka_unit_test(test_running_out_of_descriptors),
        cmocka_unit_test(test_only_its_owner_writes_on_a_board),
        cmocka_unit_test(test_nonsense_that_is_shown_loses_the_link),
        cmocka_unit_test(test_memory_of_eight_peers_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
