#include "tools/link_interface.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The bytes of an address; an IPv4 one inside IPv6 counts as IPv4. Returns how many; 0: another family. */
static size_t address_bytes(const uint8_t **bytes, const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        *bytes = (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
        return 4;
    }
    if (address->sa_family != AF_INET6) {
        return 0;
    }
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    bool mapped = IN6_IS_ADDR_V4MAPPED(v6);
    *bytes = v6->s6_addr + (mapped ? 12 : 0);
    return mapped ? 4 : 16;
}

static bool same(const struct sockaddr *a, const struct sockaddr *b)
{
    const uint8_t *left = NULL, *right = NULL;
    size_t bytes = a != NULL ? address_bytes(&left, a) : 0;
    return bytes > 0 && bytes == address_bytes(&right, b) && memcmp(left, right, bytes) == 0;
}

/* Megabits a second, as the driver says; -1 or nothing: unknown. */
static uint64_t read_rate_Bps(const char *interface)
{
    char path[128];
    long mbit = -1;
    snprintf(path, sizeof path, "/sys/class/net/%.64s/speed", interface);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%ld", &mbit) != 1) {
        mbit = -1;
    }
    fclose(file);
    return mbit > 0 ? (uint64_t)mbit * 125000 : 0;
}

void link_interface_describe(struct link_host *host, int fd)
{
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof local;
    struct ifaddrs *all = NULL;
    if (getsockname(fd, (struct sockaddr *)&local, &length) != 0 || getifaddrs(&all) != 0) {
        return;
    }
    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        if (same(at->ifa_addr, (const struct sockaddr *)&local)) {
            char text[64] = "";
            (void)getnameinfo(at->ifa_addr,
                              at->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                                                 : sizeof(struct sockaddr_in6),
                              text, sizeof text, NULL, 0, NI_NUMERICHOST);
            snprintf(host->device, sizeof host->device, "%s", at->ifa_name);
            snprintf(host->description, sizeof host->description, "%s (%s)", at->ifa_name, text);
            host->rate_Bps = read_rate_Bps(at->ifa_name);
            break;
        }
    }
    freeifaddrs(all);
}
