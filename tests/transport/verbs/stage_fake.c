#include "tests/transport/verbs/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/transport/verbs/fake/fake.h"

bool stage_set(void)
{
    fake_start(2, NULL);
    return true;
}

void stage_clear(void)
{
    assert_int_equal(fake_leaks(), 0);
}
