#include "transport/verbs/rate.h"

#include <net/if.h>
#include <stddef.h>
#include <stdio.h>

#define BITS_A_BYTE 8
#define MBIT UINT64_C(1000000)

/* One lane, in Mbit/s: as Ethernet drivers mean it, and what InfiniBand's coding (8b/10b up to QDR, then 64b/66b) leaves. */
static const struct lane_rate {
    uint32_t speed;
    uint32_t ethernet_mbit, infiniband_mbit;
} lane_rates[] = {
    {1, 2500, 2000},       /* SDR */
    {2, 5000, 4000},       /* DDR */
    {4, 10000, 8000},      /* QDR */
    {8, 10000, 10000},     /* FDR10 */
    {16, 14000, 13636},    /* FDR */
    {32, 25000, 25000},    /* EDR */
    {64, 50000, 50000},    /* HDR */
    {128, 100000, 100000}, /* NDR */
    {256, 200000, 200000}, /* XDR */
};

static uint32_t lanes_of(uint32_t active_width)
{
    switch (active_width) {
    case 1:
        return 1;
    case 2:
        return 4;
    case 4:
        return 8;
    case 8:
        return 12;
    case 16:
        return 2;
    default:
        return 0;
    }
}

uint64_t rate_of(uint32_t active_speed, uint32_t active_width, bool ethernet)
{
    for (size_t i = 0; i < sizeof lane_rates / sizeof lane_rates[0]; i++) {
        const struct lane_rate *rate = &lane_rates[i];
        if (rate->speed == active_speed) {
            uint64_t mbit = ethernet ? rate->ethernet_mbit : rate->infiniband_mbit;
            return mbit * lanes_of(active_width) * (MBIT / BITS_A_BYTE);
        }
    }
    return 0;
}

/* What the network interface says; 0: nothing. */
static uint64_t rate_of_interface(uint32_t interface)
{
    char name[IF_NAMESIZE];
    char path[64];
    long mbit = 0;
    if (interface == 0 || if_indextoname(interface, name) == NULL) {
        return 0;
    }
    snprintf(path, sizeof path, "/sys/class/net/%s/speed", name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%ld", &mbit) != 1 || mbit < 0) {
        mbit = 0; /* -1: unknown */
    }
    fclose(file);
    return (uint64_t)mbit * (MBIT / BITS_A_BYTE);
}

uint64_t rate_of_port(const struct ibv_port_attr *attributes, uint32_t interface)
{
    bool ethernet = attributes->link_layer == IBV_LINK_LAYER_ETHERNET;
    uint64_t known = ethernet ? rate_of_interface(interface) : 0;
    if (known > 0) {
        return known;
    }
    uint32_t speed = attributes->active_speed;
#ifdef KOLO_HAVE_ACTIVE_SPEED_EX
    speed = attributes->active_speed_ex > 0 ? attributes->active_speed_ex : speed;
#endif
    if (ethernet && speed == 1 && attributes->active_width == 1) {
        return 0;
    }
    return rate_of(speed, attributes->active_width, ethernet);
}
