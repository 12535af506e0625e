/* KOLO_SIMD chooses the kernels at the first call: each case is a child process of its own. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/reduce/kernel.h"
#include "runtime/reduce/reduce.h"

/* With KOLO_SIMD set to `simd`, are the kernels in use `expected`? */
static void check_choice(const char *simd, const char *expected)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("KOLO_LOG", "none", 1);
        setenv("KOLO_SIMD", simd, 1);
        _exit(strcmp(reduce_kernels(), expected) == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 0) {
        fail_msg("KOLO_SIMD='%s' did not choose %s", simd, expected);
    }
}

static void what_the_processor_has_can_be_chosen(void **state)
{
    (void)state;
    const struct reduce_kernels *here[REDUCE_KERNELS_MAX];
    unsigned count = reduce_kernels_here(here);
    for (unsigned i = 0; i < count; i++) {
        check_choice(here[i]->name, here[i]->name);
    }
}

static void the_default_is_the_best(void **state)
{
    (void)state;
    const struct reduce_kernels *here[REDUCE_KERNELS_MAX];
    reduce_kernels_here(here);
    check_choice("", here[0]->name);
    check_choice("mmx", here[0]->name);
}

static void *sum_ones(void *unused)
{
    (void)unused;
    int32_t one[100];
    int32_t two[100] = {0};
    for (int i = 0; i < 100; i++) {
        one[i] = 1;
    }
    const void *source[] = {one, one};
    void *destination = two;
    reduce(&destination, 1, source, 2, 100, KOLO_I32, KOLO_SUM, 0);
    return two[0] == 2 && two[99] == 2 ? (void *)(uintptr_t)reduce_kernels() : NULL;
}

/* The first call of several threads at once. */
static void threads_choose_the_same(void **state)
{
    (void)state;
    pthread_t thread[8];
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, sum_ones, NULL), 0);
    }
    for (int i = 0; i < 8; i++) {
        void *name = NULL;
        assert_int_equal(pthread_join(thread[i], &name), 0);
        assert_ptr_equal(name, reduce_kernels());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_processor_has_can_be_chosen),
        cmocka_unit_test(the_default_is_the_best),
        cmocka_unit_test(
            threads_choose_the_same), /* the last: from here on, this process has chosen */
    };
    return cmocka_run_group_tests_name("choice", tests, NULL, NULL);
}
