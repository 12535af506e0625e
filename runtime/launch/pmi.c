#include "runtime/launch/pmi.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

#define WORD_MAX 64    /* of a command or a number in an answer */
#define VALUE_LEAST 64 /* an address with its port fits */
#define QUOTED 100     /* letters of a strange answer */

/* ---- lines ---- */

static kolo_status wait_for(int fd, short events, const char *question, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t now_ns = clock_now_ns();
        struct pollfd ready = {.fd = fd, .events = events};
        int count = poll(&ready, 1, clock_ms_until(deadline_ns, now_ns, INT_MAX));
        if (count > 0) {
            return KOLO_OK;
        }
        if (count < 0 && errno != EINTR) {
            return fail_quietly(KOLO_ERR_SYSTEM, "poll on PMI_FD failed: %s", strerror(errno));
        }
        if (count == 0 && now_ns >= deadline_ns) {
            return fail_quietly(KOLO_ERR_TIMEOUT, "no answer to \"%s\" in time", question);
        }
    }
}

static kolo_status broken(const char *question, int error)
{
    return fail_quietly(KOLO_ERR_SYSTEM, "the launcher closed the connection at \"%s\"%s%s",
                        question, error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
}

static bool try_again(ssize_t moved)
{
    return moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

/* Whose would an answer be that is there before the question? */
static kolo_status check_quiet(int fd, const char *question)
{
    char byte;
    ssize_t waiting = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (waiting > 0) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "somebody else in this process uses PMI_FD now");
    }
    return try_again(waiting) ? KOLO_OK : broken(question, waiting < 0 ? errno : 0);
}

static kolo_status send_line(int fd, const char *line, const char *question, uint64_t deadline_ns)
{
    size_t length = strlen(line);
    for (size_t sent = 0; sent < length;) {
        ssize_t moved = send(fd, line + sent, length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (moved > 0) {
            sent += (size_t)moved;
            continue;
        }
        kolo_status status = try_again(moved) ? wait_for(fd, POLLOUT, question, deadline_ns)
                                              : broken(question, errno);
        if (status != KOLO_OK) {
            return status;
        }
    }
    return KOLO_OK;
}

/* Out: line, without its end. */
static kolo_status receive_line(int fd, char line[PMI_LINE_MAX], const char *question,
                                uint64_t deadline_ns)
{
    size_t used = 0;
    while (used == 0 || line[used - 1] != '\n') {
        if (used == PMI_LINE_MAX) {
            return fail_quietly(KOLO_ERR_PROTOCOL, "the answer to \"%s\" is longer than %d bytes",
                                question, PMI_LINE_MAX);
        }
        ssize_t moved = recv(fd, line + used, PMI_LINE_MAX - used, MSG_DONTWAIT);
        if (moved > 0) {
            used += (size_t)moved;
            continue;
        }
        kolo_status status = try_again(moved) ? wait_for(fd, POLLIN, question, deadline_ns)
                                              : broken(question, moved < 0 ? errno : 0);
        if (status != KOLO_OK) {
            return status;
        }
    }
    line[used - 1] = '\0';
    if (strlen(line) != used - 1 || strchr(line, '\n') != NULL) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "more than one answer to \"%s\": \"%.*s\"", question,
                            (int)strcspn(line, "\n"), line);
    }
    return KOLO_OK;
}

bool pmi_field(char *value, size_t value_bytes, const char *line, const char *name)
{
    size_t name_length = strlen(name);
    for (const char *at = line + strspn(line, " "); *at != '\0'; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        bool found =
            length > name_length && strncmp(at, name, name_length) == 0 && at[name_length] == '=';
        if (found) {
            size_t value_length = length - name_length - 1;
            if (value_length >= value_bytes) {
                return false;
            }
            memcpy(value, at + name_length + 1, value_length);
            value[value_length] = '\0';
            return true;
        }
        at += length;
    }
    return false;
}

/* ---- questions ---- */

/* An answer names what it answers, and says rc=0, or nothing of that kind. */
static kolo_status check_answer(const char *line, const char *expected, const char *question)
{
    char word[WORD_MAX];
    if (!pmi_field(word, sizeof word, line, "cmd") || strcmp(word, expected) != 0) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "\"%.*s\" is no answer to \"%s\"", QUOTED, line,
                            question);
    }
    if (pmi_field(word, sizeof word, line, "rc") && strcmp(word, "0") != 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "\"%s\" was refused: \"%.*s\"", question, QUOTED,
                            line);
    }
    return KOLO_OK;
}

/* `words` follow cmd=question. Out: line, the answer. */
static kolo_status ask(const struct pmi *pmi, char line[PMI_LINE_MAX], const char *question,
                       const char *words, const char *expected, uint64_t deadline_ns)
{
    int length =
        snprintf(line, PMI_LINE_MAX, "cmd=%s%s%s\n", question, words[0] != '\0' ? " " : "", words);
    assert(length > 0 && length < PMI_LINE_MAX);
    (void)length;
    kolo_status status = check_quiet(pmi->fd, question);
    if (status == KOLO_OK) {
        status = send_line(pmi->fd, line, question, deadline_ns);
    }
    if (status == KOLO_OK) {
        status = receive_line(pmi->fd, line, question, deadline_ns);
    }
    return status == KOLO_OK ? check_answer(line, expected, question) : status;
}

static kolo_status read_number(int *number, const char *line, const char *name, int least)
{
    char word[WORD_MAX];
    char *end = word;
    long read = pmi_field(word, sizeof word, line, name) ? strtol(word, &end, 10) : 0;
    if (end == word || *end != '\0' || read < least || read > INT_MAX) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "\"%.*s\" has no %s of %d or more", QUOTED, line,
                            name, least);
    }
    *number = (int)read;
    return KOLO_OK;
}

kolo_status pmi_init(const struct pmi *pmi, uint64_t deadline_ns)
{
    char line[PMI_LINE_MAX];
    return ask(pmi, line, "init", "pmi_version=1 pmi_subversion=1", "response_to_init",
               deadline_ns);
}

kolo_status pmi_ask_space(struct pmi *pmi, uint64_t deadline_ns)
{
    char line[PMI_LINE_MAX];
    kolo_status status = ask(pmi, line, "get_maxes", "", "maxes", deadline_ns);
    if (status == KOLO_OK) {
        status = read_number(&pmi->key_bytes, line, "keylen_max", 1);
    }
    if (status == KOLO_OK) {
        status = read_number(&pmi->value_bytes, line, "vallen_max", VALUE_LEAST);
    }
    if (status == KOLO_OK) {
        status = ask(pmi, line, "get_my_kvsname", "", "my_kvsname", deadline_ns);
    }
    if (status == KOLO_OK &&
        (!pmi_field(pmi->space, sizeof pmi->space, line, "kvsname") || pmi->space[0] == '\0')) {
        status = fail_quietly(KOLO_ERR_PROTOCOL, "\"%.*s\" has no name of 1 to %d letters", QUOTED,
                              line, PMI_NAME_MAX - 1);
    }
    return status;
}

static inline bool is_word(const char *text)
{
    return text[0] != '\0' && text[strcspn(text, " =\n")] == '\0';
}

kolo_status pmi_put(const struct pmi *pmi, const char *key, const char *value, uint64_t deadline_ns)
{
    assert(is_word(key) && is_word(value));
    char words[PMI_LINE_MAX / 2];
    char line[PMI_LINE_MAX];
    int length =
        snprintf(words, sizeof words, "kvsname=%s key=%s value=%s", pmi->space, key, value);
    if (strlen(key) >= (size_t)pmi->key_bytes || strlen(value) >= (size_t)pmi->value_bytes ||
        length >= (int)sizeof words) {
        return fail_quietly(KOLO_ERR_LIMIT,
                            "%s=%s is too long: the launcher takes keys of %d bytes and values of "
                            "%d",
                            key, value, pmi->key_bytes, pmi->value_bytes);
    }
    return ask(pmi, line, "put", words, "put_result", deadline_ns);
}

kolo_status pmi_barrier(const struct pmi *pmi, uint64_t deadline_ns)
{
    char line[PMI_LINE_MAX];
    return ask(pmi, line, "barrier_in", "", "barrier_out", deadline_ns);
}

kolo_status pmi_get(const struct pmi *pmi, char *value, size_t value_bytes, const char *key,
                    uint64_t deadline_ns)
{
    assert(is_word(key) && strlen(key) < WORD_MAX);
    char words[PMI_NAME_MAX + WORD_MAX + 32];
    char line[PMI_LINE_MAX];
    snprintf(words, sizeof words, "kvsname=%s key=%s", pmi->space, key);
    kolo_status status = ask(pmi, line, "get", words, "get_result", deadline_ns);
    if (status == KOLO_OK && !pmi_field(value, value_bytes, line, "value")) {
        status = fail_quietly(KOLO_ERR_PROTOCOL, "\"%.*s\" has no value of at most %zu bytes",
                              QUOTED, line, value_bytes - 1);
    }
    return status;
}

kolo_status pmi_finalize(const struct pmi *pmi, uint64_t deadline_ns)
{
    char line[PMI_LINE_MAX];
    return ask(pmi, line, "finalize", "", "finalize_ack", deadline_ns);
}
