/* Strangers at the door while a group forms: silence, garbage, other protocols, and crowds of them. They must not disturb. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/membership/forming.h"

#define LIMIT_S 40
#define CROWD 200

struct visit {
    int port;
    int done[2]; /* a pipe: the last peer waits until the visitors have been there */
};

static int knock(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int result = -1;
    for (int tries = 0; tries < 1000; tries++) { /* until it listens */
        result = connect(fd, (struct sockaddr *)&address, sizeof address);
        if (result == 0 || errno != ECONNREFUSED) {
            break;
        }
        forming_be_late(10);
    }
    assert_int_equal(result, 0);
    return fd;
}

/* Three peers; the last begins only after the strangers have been. */
static int form_meanwhile(unsigned rank, void *context)
{
    const struct visit *visit = context;
    char byte;
    close(visit->done[1]);
    forming_set("KOLO_PEERS", "127.0.0.1:%d", visit->port);
    if (rank == 0) {
        forming_set("KOLO_PORT", "%d", visit->port);
    } else if (rank == 2) {
        PEER_CHECK(read(visit->done[0], &byte, 1) == 0, "read");
    }
    PEER_CHECK(forming_join(3) == (int)rank, "its rank");
    return 0;
}

static void form_with(const void *bytes, size_t length, unsigned visitors, bool stay)
{
    struct visit visit = {.port = forming_free_port()};
    const char *environment[] = {"KOLO_LOG=none", NULL};
    int fds[CROWD], status[3];
    assert_true(visitors <= CROWD);
    assert_int_equal(pipe(visit.done), 0);
    struct peers *peers = peers_start(3, form_meanwhile, &visit, environment);
    for (unsigned i = 0; i < visitors; i++) {
        fds[i] = knock(visit.port);
        if (length > 0) {
            send(fds[i], bytes, length, MSG_NOSIGNAL);
        }
        if (!stay) {
            close(fds[i]);
        }
    }
    close(visit.done[1]);
    close(visit.done[0]);
    peers_wait(peers, LIMIT_S, status);
    for (unsigned i = 0; i < visitors && stay; i++) {
        close(fds[i]);
    }
    for (unsigned rank = 0; rank < 3; rank++) {
        assert_int_equal(status[rank], 0);
    }
}

static void silent_strangers_do_not_disturb(void **state)
{
    (void)state;
    form_with(NULL, 0, 1, true);
    form_with(NULL, 0, 1, false);
}

static void garbage_does_not_disturb(void **state)
{
    (void)state;
    static uint8_t garbage[100000];
    uint32_t seed = 5;
    for (size_t i = 0; i < sizeof garbage; i++) {
        seed = seed * 1103515245u + 12345u;
        garbage[i] = (uint8_t)(seed >> 16);
    }
    form_with(garbage, sizeof garbage, 3, true);
    form_with(garbage, 3, 3, false);
}

static void other_protocols_do_not_disturb(void **state)
{
    (void)state;
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static const char ssh[] = "SSH-2.0-OpenSSH_9.2\r\n";
    static const uint8_t later[8] = {'K', 'O', 'L', 'O', 0xff, 0x7f, 8, 0};
    form_with(http, sizeof http - 1, 2, true);
    form_with(ssh, sizeof ssh - 1, 2, true);
    form_with(later, sizeof later, 2, true); /* of a version to come */
}

static void a_crowd_does_not_disturb(void **state)
{
    (void)state;
    form_with(NULL, 0, CROWD, true);
    form_with("KOLO", 4, CROWD, true); /* the beginning of a hello */
    form_with("nonsense", 8, CROWD, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silent_strangers_do_not_disturb),
        cmocka_unit_test(garbage_does_not_disturb),
        cmocka_unit_test(other_protocols_do_not_disturb),
        cmocka_unit_test(a_crowd_does_not_disturb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
