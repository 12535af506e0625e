#include "tests/transport/verbs/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/verbs/device.h"

bool stage_set(void)
{
    struct devices devices;
    struct device_wish wish = {.gid_index = -1};
    assert_int_equal(devices_open(&devices, &wish), KOLO_OK);
    bool any = devices.ports > 0;
    devices_close(&devices);
    return any;
}

void stage_clear(void)
{
}
