#include "runtime/topology/interface.h"

#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a == NULL || a->sa_family != b->sa_family) {
        return false;
    }
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *left = (const void *)a, *right = (const void *)b;
        return left->sin_addr.s_addr == right->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *left = (const void *)a, *right = (const void *)b;
    return a->sa_family == AF_INET6 &&
           memcmp(&left->sin6_addr, &right->sin6_addr, sizeof left->sin6_addr) == 0;
}

/* In Mbit/s; 0: unknown. */
static uint32_t ask_driver(const char *name)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return 0;
    }
    struct ethtool_cmd command = {.cmd = ETHTOOL_GSET};
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    request.ifr_data = (void *)&command;
    bool told = ioctl(fd, SIOCETHTOOL, &request) == 0;
    close(fd);
    uint32_t speed = (uint32_t)command.speed_hi << 16 |
                     command.speed; /* the header's own helper shifts an int */
    return told && speed != (uint32_t)SPEED_UNKNOWN && speed != UINT16_MAX ? speed : 0;
}

double interface_rate_Bps(const struct sockaddr *address)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        return 0;
    }
    double rate = 0;
    for (const struct ifaddrs *at = all; at != NULL && rate == 0; at = at->ifa_next) {
        if (same_address(at->ifa_addr, address)) {
            rate = (double)ask_driver(at->ifa_name) * 1e6 / 8;
        }
    }
    freeifaddrs(all);
    return rate;
}
