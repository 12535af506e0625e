/* The conformance suite of one wire. Argument: the wire's variant, if it has any. CMOCKA_TEST_FILTER picks cases. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/transport/conformance/cases.h"

#define CASE_LIMIT_S 90 /* a case that does not come back at all */

static void say(const char *text)
{
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

static void out_of_time(int signal_number)
{
    (void)signal_number;
    say("watchdog: the case did not end in time; it waits for: ");
    say(mesh_waiting_for[0] != '\0' ? mesh_waiting_for : "a call that does not return");
    say("\n");
    _exit(99);
}

static int case_begin(void **state)
{
    (void)state;
    alarm(CASE_LIMIT_S);
    return 0;
}

static int case_end(void **state)
{
    (void)state;
    alarm(0);
    return 0;
}

int main(int argc, char **argv)
{
    const struct conformance_wire *wire = conformance_wire(argc > 1 ? argv[1] : "");
    if (wire == NULL) {
        fprintf(stderr, "this wire has no variant %s\n", argv[1]);
        return 2;
    }
    message_init();
    signal(SIGALRM, out_of_time);
    const char *filter = getenv("CMOCKA_TEST_FILTER");
    if (filter != NULL) {
        cmocka_set_test_filter(filter);
    }
#define ENTRY(case_name)                                                                           \
    {.name = #case_name,                                                                           \
     .test_func = case_name,                                                                       \
     .setup_func = case_begin,                                                                     \
     .teardown_func = case_end,                                                                    \
     .initial_state = (void *)(uintptr_t)wire},
    const struct CMUnitTest cases[] = {CONFORMANCE_CASES(ENTRY)};
#undef ENTRY
    return cmocka_run_group_tests_name(wire->name, cases, NULL, NULL);
}
