/* The environment is read once a process, so each case is a child process whose standard error is read here. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#undef fail /* cmocka's, which takes no argument */

#include "runtime/base/log.h"
#include "runtime/base/status.h"

#define OUTPUT_MAX 65536

static char output[OUTPUT_MAX];

/* Run `work` in a child with KOLO_LOG and KOLO_LOG_FILE (NULL: unset); its standard error goes to `output`. */
static void in_child(void (*work)(void), const char *level, const char *file)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        level == NULL ? unsetenv("KOLO_LOG") : setenv("KOLO_LOG", level, 1);
        file == NULL ? unsetenv("KOLO_LOG_FILE") : setenv("KOLO_LOG_FILE", file, 1);
        work();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t got = 0;
    while ((got = read(ends[0], output + used, sizeof output - 1 - used)) > 0) {
        used += (size_t)got;
    }
    output[used] = '\0';
    close(ends[0]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static unsigned lines(void)
{
    unsigned count = 0;
    for (const char *at = output; (at = strchr(at, '\n')) != NULL; at++) {
        count++;
    }
    return count;
}

static void log_all_levels(void)
{
    log_line(LOG_ERROR, "an error of %d", 1);
    log_line(LOG_WARN, "a warning");
    log_line(LOG_INFO, "a notice");
    log_line(LOG_DEBUG, "a detail");
}

static void levels(void **state)
{
    (void)state;
    static const struct {
        const char *level;
        unsigned lines;
    } cases[] = {{"none", 0},  {"error", 1}, {"warn", 2}, {"info", 3},
                 {"debug", 4}, {NULL, 2},    {"", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        in_child(log_all_levels, cases[i].level, NULL);
        assert_int_equal(lines(), cases[i].lines);
    }
    assert_non_null(strstr(output, " error: an error of 1\n"));
    assert_non_null(strstr(output, " warn: a warning\n"));
}

static void an_unknown_level_is_told(void **state)
{
    (void)state;
    in_child(log_all_levels, "verbose", NULL);
    assert_non_null(strstr(output, "KOLO_LOG=verbose is none of: none, error, warn, info, debug"));
    assert_int_equal(lines(), 1 + 2);
}

static void log_with_rank(void)
{
    log_set_rank(12);
    log_line(LOG_ERROR, "with rank");
    log_set_rank(-1);
    log_line(LOG_ERROR, "without");
}

static void lines_say_who(void **state)
{
    (void)state;
    in_child(log_with_rank, "error", NULL);
    int hour = 0;
    int minute = 0;
    double second = 0;
    char host[65];
    int process = 0;
    assert_int_equal(sscanf(output, "kolo %d:%d:%lf %64[^/]/%d rank 12 error: with rank", &hour,
                            &minute, &second, host, &process),
                     5);
    char name[65] = "";
    gethostname(name, sizeof name - 1);
    assert_string_equal(host, name);
    assert_int_not_equal(process, (int)getpid()); /* the child's */
    const char *next = strchr(output, '\n') + 1;
    assert_null(strstr(next, "rank"));
    assert_non_null(strstr(next, "error: without\n"));
}

static void log_long_line(void)
{
    char text[5000];
    memset(text, 'l', sizeof text);
    text[sizeof text - 1] = '\0';
    log_line(LOG_ERROR, "%s", text);
    log_line(LOG_ERROR, "next");
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    in_child(log_long_line, "error", NULL);
    assert_int_equal(lines(), 2);
    assert_in_range(strchr(output, '\n') - output, 1000, 1024);
    assert_non_null(strstr(output, "error: next\n"));
}

static void a_file_takes_the_lines(void **state)
{
    (void)state;
    char path[] = "/tmp/kolo-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    in_child(log_all_levels, "debug", path);
    assert_string_equal(output, "");
    in_child(log_all_levels, "error", path); /* appended */
    ssize_t got = read(fd, output, sizeof output - 1);
    assert_true(got > 0);
    output[got] = '\0';
    assert_int_equal(lines(), 5);
    close(fd);
    unlink(path);
}

static void a_file_that_cannot_be_opened(void **state)
{
    (void)state;
    in_child(log_all_levels, "error", "/nonexistent/folder/log");
    assert_non_null(strstr(output, "KOLO_LOG_FILE=/nonexistent/folder/log cannot be opened"));
    assert_non_null(strstr(output, "error: an error of 1\n"));
}

static void make_errors(void)
{
    fail(KOLO_ERR_SYSTEM, "loud");
    fail_quietly(KOLO_ERR_SYSTEM, "quiet");
    fail_again(KOLO_ERR_SYSTEM, "again");
    fail_more(KOLO_ERR_SYSTEM, "more");
}

/* Whoever decides that it is an error logs it, once. */
static void errors_are_logged_once(void **state)
{
    (void)state;
    in_child(make_errors, "error", NULL);
    assert_int_equal(lines(), 1);
    assert_non_null(strstr(output, "error: KOLO_ERR_SYSTEM: loud\n"));
    in_child(make_errors, "debug", NULL);
    assert_int_equal(lines(), 2);
}

#define WRITERS 4
#define LINES_EACH 50

static void *write_lines(void *letter)
{
    char text[101];
    memset(text, *(char *)letter, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < LINES_EACH; i++) {
        log_line(LOG_ERROR, "%s", text);
    }
    return NULL;
}

static void write_from_threads(void)
{
    pthread_t thread[WRITERS];
    static char letters[WRITERS] = {'w', 'x', 'y', 'z'};
    for (int i = 0; i < WRITERS; i++) {
        if (pthread_create(&thread[i], NULL, write_lines, &letters[i]) != 0) {
            _exit(1);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(thread[i], NULL);
    }
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    in_child(write_from_threads, "error", NULL);
    assert_int_equal(lines(), WRITERS * LINES_EACH);
    for (char *line = strtok(output, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        const char *text = strstr(line, "error: ");
        assert_non_null(text);
        text += 7;
        assert_int_equal(strlen(text), 100);
        assert_int_equal(strspn(text, (char[]){text[0], '\0'}), 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(an_unknown_level_is_told),
        cmocka_unit_test(lines_say_who),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(a_file_takes_the_lines),
        cmocka_unit_test(a_file_that_cannot_be_opened),
        cmocka_unit_test(errors_are_logged_once),
        cmocka_unit_test(lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
