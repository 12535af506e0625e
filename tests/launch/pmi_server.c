#include "tests/launch/pmi_server.h"

// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    const struct pmi_turn *script;
    pthread_t thread;
    int client, fd;
    int asked;
    char surprise[256]; /* a question that was not expected */
} server;

/* A question, without its line end; false: the client has hung up. */
static bool read_question(char *line, size_t line_bytes)
{
    size_t used = 0;
    while (used < line_bytes - 1 && read(server.fd, line + used, 1) == 1) {
        if (line[used++] == '\n') {
            line[used - 1] = '\0';
            return true;
        }
    }
    return false;
}

static void *serve(void *context)
{
    (void)context;
    char line[4096];
    for (const struct pmi_turn *turn = server.script; read_question(line, sizeof line); turn++) {
        server.asked++;
        if (turn->question == NULL && turn->answer == NULL) {
            snprintf(server.surprise, sizeof server.surprise, "%.200s", line);
            shutdown(server.fd, SHUT_RDWR);
            break;
        }
        if (turn->question != NULL && strcmp(turn->question, line) != 0) {
            snprintf(server.surprise, sizeof server.surprise, "%.200s", line);
        }
        if (turn->answer == NULL) {
            continue;
        }
        if (turn->answer[0] == '\0') {
            shutdown(server.fd, SHUT_RDWR);
            break;
        }
        size_t length = strlen(turn->answer);
        if (send(server.fd, turn->answer, length, MSG_NOSIGNAL) != (ssize_t)length) {
            break;
        }
    }
    return NULL;
}

int pmi_server_start(const struct pmi_turn *script)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    server.script = script;
    server.client = ends[0];
    server.fd = ends[1];
    server.asked = 0;
    server.surprise[0] = '\0';
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
    return ends[0];
}

int pmi_server_stop(void)
{
    shutdown(server.client, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.client);
    close(server.fd);
    if (server.surprise[0] != '\0') {
        fail_msg("the server was asked: %s", server.surprise);
    }
    return server.asked;
}
