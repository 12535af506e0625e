/* The checks of what is slower than it could be: RDMA ports, PCIe slots, Ethernet interfaces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor_check.h"

#define STATE_ACTIVE 4
#define INFINIBAND_WIDTH 4 /* lanes of an ordinary cable */

/* A port as the kernel describes its rate: "100 Gb/sec (4X EDR)". */
struct port_rate {
    char device[DOCTOR_NAME_MAX];
    unsigned port;
    char text[64];
    char board[64];
    double Gbps;
    unsigned width;
    bool ethernet;
};

/* False if the port is not active, or its rate not known. */
static bool read_rate(struct port_rate *rate, const struct doctor_view *view, const char *device,
                      const char *port)
{
    char layer[32];
    long long state = 0;
    memset(rate, 0, sizeof *rate);
    snprintf(rate->device, sizeof rate->device, "%.63s", device);
    rate->port = (unsigned)strtoul(port, NULL, 10);
    doctor_read_number(&state, view, "/sys/class/infiniband/%s/ports/%s/state", device, port);
    doctor_read(layer, sizeof layer, view, "/sys/class/infiniband/%s/ports/%s/link_layer", device,
                port);
    doctor_read(rate->board, sizeof rate->board, view, "/sys/class/infiniband/%s/board_id", device);
    rate->ethernet = strcmp(layer, "Ethernet") == 0;
    return state == STATE_ACTIVE &&
           doctor_read(rate->text, sizeof rate->text, view,
                       "/sys/class/infiniband/%s/ports/%s/rate", device, port) &&
           sscanf(rate->text, "%lf Gb/sec (%uX", &rate->Gbps, &rate->width) == 2;
}

static unsigned read_rates(struct port_rate rates[DOCTOR_NAMES_MAX], const struct doctor_view *view)
{
    char devices[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX], ports[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    unsigned found = 0, count = doctor_list(devices, view, "/sys/class/infiniband");
    for (unsigned i = 0; i < count; i++) {
        unsigned port_count =
            doctor_list(ports, view, "/sys/class/infiniband/%s/ports", devices[i]);
        for (unsigned k = 0; k < port_count && found < DOCTOR_NAMES_MAX; k++) {
            found += read_rate(&rates[found], view, devices[i], ports[k]) ? 1 : 0;
        }
    }
    return found;
}

/* The fastest active port of the same kind of card and of network: what this one should reach. */
static const struct port_rate *best_sibling(const struct port_rate *rates, unsigned count,
                                            const struct port_rate *rate)
{
    const struct port_rate *best = rate;
    for (unsigned i = 0; i < count; i++) {
        bool alike = rates[i].ethernet == rate->ethernet && rate->board[0] != '\0' &&
                     strcmp(rates[i].board, rate->board) == 0;
        if (alike && rates[i].Gbps > best->Gbps) {
            best = &rates[i];
        }
    }
    return best;
}

void doctor_port_rate(struct doctor_findings *findings, const struct doctor_view *view)
{
    struct port_rate rates[DOCTOR_NAMES_MAX];
    unsigned count = read_rates(rates, view);
    for (unsigned i = 0; i < count; i++) {
        const struct port_rate *rate = &rates[i], *best = best_sibling(rates, count, rate);
        struct doctor_finding *finding = NULL;
        if (!rate->ethernet && rate->width < INFINIBAND_WIDTH) {
            finding = doctor_add(findings, "port rate", DOCTOR_WARNING,
                                 "%s:%u runs at %s, on %u of %d lanes", rate->device, rate->port,
                                 rate->text, rate->width, INFINIBAND_WIDTH);
        } else if (best->Gbps > rate->Gbps) {
            finding = doctor_add(findings, "port rate", DOCTOR_WARNING,
                                 "%s:%u runs at %s, but %s:%u, the same card, at %s", rate->device,
                                 rate->port, rate->text, best->device, best->port, best->text);
        } else {
            doctor_add(findings, "port rate", DOCTOR_OK, "%s:%u runs at %s", rate->device,
                       rate->port, rate->text);
            continue;
        }
        doctor_why(finding,
                   "a collective is as fast as its slowest link: cable, transceiver or the "
                   "switch's port do not reach the card's rate");
        doctor_cure(finding,
                    "reseat or change the cable, then look at errors: mlxlink -d %s -p %u -c "
                    "  (or ibqueryerrors, ethtool -m)",
                    rate->device, rate->port);
    }
}

/* "8.0 GT/s PCIe" and "16": what a slot can, one direction, roughly: transfers times lanes. */
static bool read_slot(double *speed, long long *width, const struct doctor_view *view,
                      const char *device, const char *which)
{
    char text[64];
    return doctor_read(text, sizeof text, view, "/sys/class/infiniband/%s/device/%s_link_speed",
                       device, which) &&
           sscanf(text, "%lf", speed) == 1 &&
           doctor_read_number(width, view, "/sys/class/infiniband/%s/device/%s_link_width", device,
                              which) &&
           *speed > 0 && *width > 0;
}

void doctor_pcie(struct doctor_findings *findings, const struct doctor_view *view)
{
    char devices[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    unsigned count = doctor_list(devices, view, "/sys/class/infiniband");
    for (unsigned i = 0; i < count; i++) {
        double speed, most_speed;
        long long width, most_width;
        if (!read_slot(&speed, &width, view, devices[i], "current") ||
            !read_slot(&most_speed, &most_width, view, devices[i], "max")) {
            continue;
        }
        if (speed * (double)width >= most_speed * (double)most_width) {
            doctor_add(findings, "pcie", DOCTOR_OK, "%s is connected by PCIe %.3g GT/s x%lld",
                       devices[i], speed, width);
            continue;
        }
        struct doctor_finding *finding =
            doctor_add(findings, "pcie", DOCTOR_WARNING,
                       "%s is connected by PCIe %.3g GT/s x%lld, and could be by %.3g GT/s x%lld",
                       devices[i], speed, width, most_speed, most_width);
        doctor_why(finding, "the slot may carry less than the port: %.0f of %.0f Gbit/s",
                   speed * (double)width, most_speed * (double)most_width);
        doctor_cure(finding,
                    "put the card into a slot with x%lld and the processor's generation; "
                    "reseat it; look at the BIOS (link speed, bifurcation)",
                    most_width);
    }
}

void doctor_ethernet_rate(struct doctor_findings *findings, const struct doctor_view *view)
{
    for (unsigned i = 0; i < view->links; i++) {
        const struct doctor_link *link = &view->link[i];
        if (link->speed_Mbps == 0 || link->supported_Mbps == 0) {
            continue;
        }
        if (link->speed_Mbps >= link->supported_Mbps) {
            doctor_add(findings, "interface rate", DOCTOR_OK, "%s runs at %u Mbit/s", link->name,
                       link->speed_Mbps);
            continue;
        }
        bool far_below = link->speed_Mbps * 2 <= link->supported_Mbps;
        struct doctor_finding *finding =
            doctor_add(findings, "interface rate", far_below ? DOCTOR_WARNING : DOCTOR_NOTE,
                       "%s runs at %u Mbit/s, and could at %u", link->name, link->speed_Mbps,
                       link->supported_Mbps);
        doctor_why(finding,
                   "a collective is as fast as its slowest link: cable, transceiver or the "
                   "switch's port do not reach the card's rate");
        doctor_cure(finding,
                    "ethtool %s; change the cable or the switch's port; sudo ethtool -s %s "
                    "autoneg on",
                    link->name, link->name);
    }
}
