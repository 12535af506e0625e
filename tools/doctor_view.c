#include "tools/doctor_view.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LINK_MASK_WORDS_MAX                                                                        \
    128 /* of ethtool's bitmaps, each of 32 modes: what a signed char can count */

/* What each of ethtool's link modes carries (linux/ethtool.h), as first..last. Newer ones than these are not counted. */
static const struct {
    unsigned short first, last;
    uint32_t Mbps;
} modes[] = {
    {0, 1, 10},       {2, 3, 100},      {4, 5, 1000},     {12, 12, 10000},  {15, 15, 2500},
    {17, 17, 1000},   {18, 20, 10000},  {21, 22, 20000},  {23, 26, 40000},  {27, 30, 56000},
    {31, 33, 25000},  {34, 35, 50000},  {36, 39, 100000}, {40, 40, 50000},  {41, 41, 1000},
    {42, 46, 10000},  {47, 47, 2500},   {48, 48, 5000},   {52, 56, 50000},  {57, 61, 100000},
    {62, 66, 200000}, {69, 73, 400000}, {75, 79, 100000}, {80, 84, 200000}, {85, 89, 400000},
    {93, 98, 800000},
};

static uint32_t mode_Mbps(unsigned bit)
{
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (bit >= modes[i].first && bit <= modes[i].last) {
            return modes[i].Mbps;
        }
    }
    return 0;
}

/* Ask twice: the first time for the number of words in the bitmaps, which the kernel answers as a negative number. */
static void read_link(struct doctor_link *link, int fd)
{
    union {
        struct ethtool_link_settings settings;
        uint8_t room[sizeof(struct ethtool_link_settings) + 3 * 4 * LINK_MASK_WORDS_MAX];
    } ask = {.settings = {.cmd = ETHTOOL_GLINKSETTINGS}};
    struct ifreq request = {0};
    memcpy(request.ifr_name, link->name, sizeof request.ifr_name);
    request.ifr_data = (void *)&ask;
    if (ioctl(fd, SIOCETHTOOL, &request) != 0 || ask.settings.link_mode_masks_nwords >= 0) {
        return;
    }
    signed char words = (signed char)-ask.settings.link_mode_masks_nwords;
    memset(&ask, 0, sizeof ask);
    ask.settings.cmd = ETHTOOL_GLINKSETTINGS;
    ask.settings.link_mode_masks_nwords = words;
    if (ioctl(fd, SIOCETHTOOL, &request) != 0 || ask.settings.link_mode_masks_nwords != words) {
        return;
    }
    link->speed_Mbps = ask.settings.speed == (uint32_t)SPEED_UNKNOWN ? 0 : ask.settings.speed;
    const uint8_t *supported = ask.room + sizeof ask.settings;
    for (unsigned bit = 0; bit < 32U * (unsigned)words; bit++) {
        uint32_t word;
        memcpy(&word, supported + 4 * (bit / 32), sizeof word);
        uint32_t rate = (word >> bit % 32 & 1) != 0 ? mode_Mbps(bit) : 0;
        link->supported_Mbps = rate > link->supported_Mbps ? rate : link->supported_Mbps;
    }
}

static void read_links(struct doctor_view *view)
{
    char names[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsigned count = fd < 0 ? 0 : doctor_list(names, view, "/sys/class/net");
    for (unsigned i = 0; i < count && view->links < DOCTOR_LINKS_MAX; i++) {
        struct doctor_link *link = &view->link[view->links];
        memset(link, 0, sizeof *link);
        if (strlen(names[i]) < sizeof link->name) {
            strcpy(link->name, names[i]);
            read_link(link, fd);
            view->links += link->speed_Mbps > 0 ? 1 : 0;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

static unsigned mask_bits(const struct sockaddr *mask)
{
    const uint8_t *bytes = NULL;
    unsigned count = 0, bits = 0;
    if (mask != NULL && mask->sa_family == AF_INET) {
        bytes = (const uint8_t *)&((const struct sockaddr_in *)(const void *)mask)->sin_addr;
        count = 4;
    } else if (mask != NULL && mask->sa_family == AF_INET6) {
        bytes = (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)mask)->sin6_addr;
        count = 16;
    }
    for (unsigned i = 0; i < 8 * count && (bytes[i / 8] >> (7 - i % 8) & 1) != 0; i++) {
        bits++;
    }
    return bits;
}

/* The addresses as interface_list() has them, and in the same order, with their prefixes. */
static void read_prefixes(struct doctor_view *view)
{
    struct ifaddrs *all;
    unsigned at = 0;
    if (getifaddrs(&all) != 0) {
        return;
    }
    for (const struct ifaddrs *one = all; one != NULL && at < view->addresses;
         one = one->ifa_next) {
        int family = one->ifa_addr != NULL ? one->ifa_addr->sa_family : AF_UNSPEC;
        if (family == AF_INET || family == AF_INET6) {
            view->prefix_bits[at++] = mask_bits(one->ifa_netmask);
        }
    }
    freeifaddrs(all);
}

void doctor_view_read_network(struct doctor_view *view)
{
    if (interface_list(view->address, &view->addresses) == KOLO_OK) {
        read_prefixes(view);
    }
    read_links(view);
}

static void read_host_name(struct doctor_view *view)
{
    struct addrinfo *found, hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (gethostname(view->host, sizeof view->host - 1) != 0) {
        return;
    }
    setenv("RES_OPTIONS", "timeout:2 attempts:1", 0); /* a name server that is away costs seconds */
    if (getaddrinfo(view->host, NULL, &hints, &found) != 0) {
        return;
    }
    for (const struct addrinfo *at = found;
         at != NULL && view->host_addresses < DOCTOR_HOST_ADDRESSES_MAX; at = at->ai_next) {
        if (at->ai_addrlen <= sizeof view->host_address[0]) {
            memcpy(&view->host_address[view->host_addresses++], at->ai_addr, at->ai_addrlen);
        }
    }
    freeaddrinfo(found);
}

static void read_memory(struct doctor_view *view)
{
    struct statvfs shm;
    if (statvfs("/dev/shm", &shm) == 0) {
        view->shm_bytes = (uint64_t)shm.f_blocks * shm.f_frsize;
    }
    int fd = memfd_create("kolo-doctor", MFD_CLOEXEC);
    view->memfd_error = fd < 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
}

void doctor_view_read(struct doctor_view *view)
{
    cpu_set_t allowed;
    memset(view, 0, sizeof *view);
    view->root = "";
    view->topology_xml = getenv("KOLO_TOPOLOGY_XML");
    const char *wanted = getenv("KOLO_INTERFACES");
    view->interfaces_wanted = wanted != NULL && wanted[0] != '\0' ? wanted : NULL;
    CPU_ZERO(&allowed);
    view->processors = sched_getaffinity(0, sizeof allowed, &allowed) == 0
                           ? (unsigned)CPU_COUNT(&allowed)
                           : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    doctor_view_read_network(view);
    read_host_name(view);
    read_memory(view);
    doctor_view_read_verbs(view);
}
