/* The rate of the interface behind an address: known, unknown, and nobody's. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include "runtime/topology/interface.h"

static struct sockaddr_in v4(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, text, &address.sin_addr), 1);
    return address;
}

static void loopback_and_strangers_have_no_rate(void **state)
{
    (void)state;
    struct sockaddr_in loopback = v4("127.0.0.1"), nobody = v4("192.0.2.250");
    assert_true(interface_rate_Bps((const struct sockaddr *)&loopback) == 0);
    assert_true(interface_rate_Bps((const struct sockaddr *)&nobody) == 0);
}

static void every_rate_is_sane(void **state)
{
    (void)state;
    struct ifaddrs *all = NULL;
    assert_int_equal(getifaddrs(&all), 0);
    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr != NULL &&
            (at->ifa_addr->sa_family == AF_INET || at->ifa_addr->sa_family == AF_INET6)) {
            double rate = interface_rate_Bps(at->ifa_addr);
            assert_true(rate == 0 || (rate >= 1e6 / 8 && rate <= 1e13));
        }
    }
    freeifaddrs(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_and_strangers_have_no_rate),
        cmocka_unit_test(every_rate_is_sane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
