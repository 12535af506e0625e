#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* cmocka's, which takes no argument */

#include "runtime/base/status.h"

static void every_status_has_its_name(void **state)
{
    (void)state;
    static const struct {
        kolo_status status;
        const char *name;
    } names[] = {
        {KOLO_OK, "KOLO_OK"},
        {KOLO_ERR_ARGUMENT, "KOLO_ERR_ARGUMENT"},
        {KOLO_ERR_LIMIT, "KOLO_ERR_LIMIT"},
        {KOLO_ERR_STATE, "KOLO_ERR_STATE"},
        {KOLO_ERR_PEER_LOST, "KOLO_ERR_PEER_LOST"},
        {KOLO_ERR_MISMATCH, "KOLO_ERR_MISMATCH"},
        {KOLO_ERR_TIMEOUT, "KOLO_ERR_TIMEOUT"},
        {KOLO_ERR_PROTOCOL, "KOLO_ERR_PROTOCOL"},
        {KOLO_ERR_ABORTED, "KOLO_ERR_ABORTED"},
        {KOLO_ERR_SYSTEM, "KOLO_ERR_SYSTEM"},
        {KOLO_ERR_MEMORY, "KOLO_ERR_MEMORY"},
        {KOLO_ERR_INTERNAL, "KOLO_ERR_INTERNAL"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_string_equal(kolo_status_name(names[i].status), names[i].name);
    }
    assert_non_null(kolo_status_name((kolo_status)999));
}

static void fail_explains_and_returns(void **state)
{
    (void)state;
    assert_int_equal(fail(KOLO_ERR_LIMIT, "%d of %s", 3, "four"), KOLO_ERR_LIMIT);
    assert_string_equal(kolo_last_error(), "3 of four");
    assert_int_equal(fail_quietly(KOLO_ERR_STATE, "closed"), KOLO_ERR_STATE);
    assert_string_equal(kolo_last_error(), "closed");
    assert_int_equal(fail_again(KOLO_ERR_TIMEOUT, "saved: 100 %"), KOLO_ERR_TIMEOUT);
    assert_string_equal(kolo_last_error(), "saved: 100 %");
}

static void fail_more_goes_before(void **state)
{
    (void)state;
    fail(KOLO_ERR_SYSTEM, "bind failed");
    assert_int_equal(fail_more(KOLO_ERR_SYSTEM, "port %d", 80), KOLO_ERR_SYSTEM);
    assert_string_equal(kolo_last_error(), "port 80: bind failed");
    fail_more(KOLO_ERR_SYSTEM, "opening");
    assert_string_equal(kolo_last_error(), "opening: port 80: bind failed");
}

static void long_explanations_are_cut(void **state)
{
    (void)state;
    char text[2 * STATUS_TEXT_MAX];
    memset(text, 'e', sizeof text);
    text[sizeof text - 1] = '\0';
    fail(KOLO_ERR_SYSTEM, "%s", text);
    assert_int_equal(strlen(kolo_last_error()), STATUS_TEXT_MAX - 1);
    fail_more(KOLO_ERR_SYSTEM, "before");
    assert_memory_equal(kolo_last_error(), "before: eee", 11);
    assert_int_equal(strlen(kolo_last_error()), STATUS_TEXT_MAX - 1);
    fail_more(KOLO_ERR_SYSTEM, "%s", text);
    assert_int_equal(strlen(kolo_last_error()), STATUS_TEXT_MAX - 1);
    fail_again(KOLO_ERR_SYSTEM, text);
    assert_int_equal(strlen(kolo_last_error()), STATUS_TEXT_MAX - 1);
}

/* Explaining an error with the last explanation itself, as "%s" of kolo_last_error(), happens: it must not garble. */
static void an_explanation_of_itself(void **state)
{
    (void)state;
    fail(KOLO_ERR_SYSTEM, "first");
    char saved[STATUS_TEXT_MAX];
    strcpy(saved, kolo_last_error());
    fail_again(KOLO_ERR_SYSTEM, saved);
    assert_string_equal(kolo_last_error(), "first");
}

static void *other_thread(void *unused)
{
    (void)unused;
    int empty = kolo_last_error()[0] == '\0';
    fail(KOLO_ERR_MEMORY, "of the other thread");
    return (void *)(intptr_t)(empty && strcmp(kolo_last_error(), "of the other thread") == 0);
}

static void explanations_are_a_threads_own(void **state)
{
    (void)state;
    fail(KOLO_ERR_STATE, "of this thread");
    pthread_t thread;
    void *good = NULL;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &good), 0);
    assert_non_null(good);
    assert_string_equal(kolo_last_error(), "of this thread");
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_name),
        cmocka_unit_test(fail_explains_and_returns),
        cmocka_unit_test(fail_more_goes_before),
        cmocka_unit_test(long_explanations_are_cut),
        cmocka_unit_test(an_explanation_of_itself),
        cmocka_unit_test(explanations_are_a_threads_own),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
