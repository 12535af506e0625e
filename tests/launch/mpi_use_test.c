/* What is seen of an MPI library that a plugin may have brought, hidden from the program's own symbols. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/launch/mpi_use.h"

static const char *fake; /* the library's path */

static void none(void **state)
{
    (void)state;
    assert_int_equal(mpi_use_now(), MPI_ABSENT);
    assert_int_equal(mpi_use_open_mpi(), 0);
}

static void every_state(void **state)
{
    (void)state;
    static const struct {
        const char *is;
        enum mpi_use use;
    } cases[] = {{"loaded", MPI_LOADED},
                 {"idle", MPI_IDLE},
                 {"elsewhere", MPI_SHARED},
                 {"shared", MPI_SHARED},
                 {"over", MPI_OVER}};
    void *library = dlopen(fake, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setenv("FAKE_MPI", cases[i].is, 1);
        assert_int_equal(mpi_use_now(), cases[i].use);
    }
    dlclose(library);
    assert_int_equal(mpi_use_now(), MPI_ABSENT); /* looking has not kept it */
}

static void versions(void **state)
{
    (void)state;
    void *library = dlopen(fake, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    assert_int_equal(mpi_use_open_mpi(), 0);
    setenv("FAKE_MPI_VERSION", "Open MPI v4.1.4, package: x", 1);
    assert_int_equal(mpi_use_open_mpi(), 4);
    setenv("FAKE_MPI_VERSION", "Open MPI v5.0.11, package: x", 1);
    assert_int_equal(mpi_use_open_mpi(), 5);
    dlclose(library);
}

int main(int arguments, char **argument)
{
    if (arguments != 2) {
        fprintf(stderr, "usage: mpi_use_test FAKE_LIBRARY\n");
        return 2;
    }
    fake = argument[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none),
        cmocka_unit_test(every_state),
        cmocka_unit_test(versions),
    };
    return cmocka_run_group_tests_name("mpi_use", tests, NULL, NULL);
}
