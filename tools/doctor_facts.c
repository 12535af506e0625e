#include "tools/doctor_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/tcp/address.h"

#define STATE_ACTIVE 4

static void read_port(struct doctor_facts *facts, const struct doctor_view *view,
                      const char *device, const char *port)
{
    char layer[32], rate[64];
    long long state = 0;
    double Gbps = 0;
    const struct doctor_device *known = doctor_device_named(view, device);
    unsigned number = (unsigned)strtoul(port, NULL, 10);
    doctor_read_number(&state, view, "/sys/class/infiniband/%s/ports/%s/state", device, port);
    if (state != STATE_ACTIVE || known == NULL || number == 0 || number > known->ports ||
        facts->ports == DOCTOR_FACTS_PORTS_MAX) {
        return;
    }
    struct doctor_fact_port *fact = &facts->port[facts->ports++];
    snprintf(fact->name, sizeof fact->name, "%.50s:%u", device, number);
    fact->ethernet = doctor_read(layer, sizeof layer, view,
                                 "/sys/class/infiniband/%s/ports/%s/link_layer", device, port) &&
                     strcmp(layer, "Ethernet") == 0;
    fact->mtu = known->active_mtu[number - 1];
    if (doctor_read(rate, sizeof rate, view, "/sys/class/infiniband/%s/ports/%s/rate", device,
                    port) &&
        sscanf(rate, "%lf", &Gbps) == 1 && Gbps > 0 && Gbps < 1e6) {
        fact->rate_Mbps = (uint32_t)(Gbps * 1000);
    }
}

static void read_ports(struct doctor_facts *facts, const struct doctor_view *view)
{
    char devices[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX], ports[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    unsigned count = doctor_list(devices, view, "/sys/class/infiniband");
    for (unsigned i = 0; i < count; i++) {
        unsigned port_count =
            doctor_list(ports, view, "/sys/class/infiniband/%s/ports", devices[i]);
        for (unsigned k = 0; k < port_count; k++) {
            read_port(facts, view, devices[i], ports[k]);
        }
    }
}

void doctor_facts_read(struct doctor_facts *facts, const struct doctor_view *view,
                       const struct port_address *local)
{
    long long mtu = 0;
    memset(facts, 0, sizeof *facts);
    snprintf(facts->host, sizeof facts->host, "%.63s", view->host);
    snprintf(facts->version, sizeof facts->version, "%d.%d.%d", KOLO_VERSION_MAJOR,
             KOLO_VERSION_MINOR, KOLO_VERSION_PATCH);
    for (unsigned i = 0; i < view->addresses; i++) {
        if (address_same_host(&view->address[i].address, local)) {
            snprintf(facts->interface, sizeof facts->interface, "%s", view->address[i].name);
        }
    }
    if (facts->interface[0] != '\0') {
        const struct doctor_link *link = doctor_link_named(view, facts->interface);
        doctor_read_number(&mtu, view, "/sys/class/net/%s/mtu", facts->interface);
        facts->mtu = mtu > 0 && mtu <= UINT32_MAX ? (uint32_t)mtu : 0;
        facts->speed_Mbps = link != NULL ? link->speed_Mbps : 0;
    }
    read_ports(facts, view);
}

static void put_text(struct wire_writer *writer, const char *text)
{
    wire_put_blob(writer, text, strlen(text));
}

void doctor_facts_put(struct wire_writer *writer, const struct doctor_facts *facts)
{
    put_text(writer, facts->host);
    put_text(writer, facts->version);
    put_text(writer, facts->interface);
    wire_put_u32(writer, facts->mtu);
    wire_put_u32(writer, facts->speed_Mbps);
    wire_put_u16(writer, facts->back_port);
    wire_put_u64(writer, facts->token);
    wire_put_u8(writer, (uint8_t)facts->ports);
    for (unsigned i = 0; i < facts->ports; i++) {
        put_text(writer, facts->port[i].name);
        wire_put_u8(writer, facts->port[i].ethernet ? 1 : 0);
        wire_put_u32(writer, facts->port[i].mtu);
        wire_put_u32(writer, facts->port[i].rate_Mbps);
    }
}

/* A text that will be shown: no control characters. */
static void get_text(struct wire_reader *reader, char *text, size_t capacity)
{
    wire_get_text(reader, text, capacity);
    for (char *at = text; *at != '\0'; at++) {
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at;
    }
}

void doctor_facts_get(struct doctor_facts *facts, struct wire_reader *reader)
{
    memset(facts, 0, sizeof *facts);
    get_text(reader, facts->host, sizeof facts->host);
    get_text(reader, facts->version, sizeof facts->version);
    get_text(reader, facts->interface, sizeof facts->interface);
    facts->mtu = wire_get_u32(reader);
    facts->speed_Mbps = wire_get_u32(reader);
    facts->back_port = wire_get_u16(reader);
    facts->token = wire_get_u64(reader);
    unsigned ports = wire_get_u8(reader);
    if (ports > DOCTOR_FACTS_PORTS_MAX) {
        reader->failed = true;
        return;
    }
    for (unsigned i = 0; i < ports; i++) {
        struct doctor_fact_port *port = &facts->port[i];
        get_text(reader, port->name, sizeof port->name);
        port->ethernet = wire_get_u8(reader) != 0;
        port->mtu = wire_get_u32(reader);
        port->rate_Mbps = wire_get_u32(reader);
    }
    facts->ports = reader->failed ? 0 : ports;
}

static void compare_mtu(struct doctor_findings *findings, const struct doctor_facts *here,
                        const struct doctor_facts *there)
{
    if (here->mtu == 0 || there->mtu == 0) {
        return;
    }
    if (here->mtu == there->mtu) {
        doctor_add(findings, "peer mtu", DOCTOR_OK,
                   "%s and %s both have an MTU of %u here and there", here->interface,
                   there->interface, here->mtu);
        return;
    }
    bool mine = here->mtu < there->mtu;
    struct doctor_finding *finding = doctor_add(
        findings, "peer mtu", DOCTOR_WARNING, "%s has an MTU of %u here, %s on %s has %u",
        here->interface, here->mtu, there->interface, there->host, there->mtu);
    doctor_why(finding, "in one network all must agree: RDMA packets and datagrams that are larger "
                        "than what the other takes are dropped without a word");
    doctor_cure(finding,
                "on %s: sudo ip link set dev %s mtu %u   (if the switch passes that; else %u "
                "on the other)",
                mine ? "this host" : there->host, mine ? here->interface : there->interface,
                mine ? there->mtu : here->mtu, mine ? here->mtu : there->mtu);
}

static void compare_speed(struct doctor_findings *findings, const struct doctor_facts *here,
                          const struct doctor_facts *there)
{
    if (here->speed_Mbps == 0 || there->speed_Mbps == 0) {
        return;
    }
    if (here->speed_Mbps == there->speed_Mbps) {
        doctor_add(findings, "peer rate", DOCTOR_OK, "both ends run at %u Mbit/s",
                   here->speed_Mbps);
        return;
    }
    struct doctor_finding *finding = doctor_add(
        findings, "peer rate", DOCTOR_NOTE, "%s runs at %u Mbit/s here, %s on %s at %u",
        here->interface, here->speed_Mbps, there->interface, there->host, there->speed_Mbps);
    doctor_why(finding, "the slower one sets the pace of a ring");
    doctor_cure(finding, "ethtool %s on the slower host",
                here->speed_Mbps < there->speed_Mbps ? here->interface : there->interface);
}

const struct doctor_fact_port *doctor_facts_partner(const struct doctor_facts *there,
                                                    const struct doctor_facts *here, unsigned port)
{
    bool ethernet = here->port[port].ethernet;
    if (port < there->ports && there->port[port].ethernet == ethernet) {
        return &there->port[port];
    }
    for (unsigned i = 0; i < there->ports; i++) {
        if (there->port[i].ethernet == ethernet) {
            return &there->port[i];
        }
    }
    return NULL;
}

static void compare_port(struct doctor_findings *findings, const struct doctor_facts *here,
                         unsigned port, const struct doctor_facts *there)
{
    const struct doctor_fact_port *mine = &here->port[port];
    const struct doctor_fact_port *other = doctor_facts_partner(there, here, port);
    struct doctor_finding *finding;
    if (other == NULL) {
        finding =
            doctor_add(findings, "peer rdma", DOCTOR_WARNING, "%s is %s, and no port of %s is",
                       mine->name, mine->ethernet ? "Ethernet (RoCE)" : "InfiniBand", there->host);
        doctor_why(finding, "two fabrics that cannot reach each other: peers use TCP");
        doctor_cure(finding,
                    "set both ports to one link layer: mlxconfig -d DEVICE set LINK_TYPE_P1=%d",
                    mine->ethernet ? 2 : 1);
    } else if (other->mtu != mine->mtu && other->mtu != 0 && mine->mtu != 0) {
        finding = doctor_add(findings, "peer rdma", DOCTOR_WARNING,
                             "%s sends packets of %u bytes, %s on %s of %u", mine->name, mine->mtu,
                             other->name, there->host, other->mtu);
        doctor_why(finding, "the smaller is used between them; with rdma_cm, or a switch between, "
                            "the larger may be dropped");
        doctor_cure(finding, "give the interfaces under both the same MTU: sudo ip link set dev "
                             "INTERFACE mtu 9000");
    } else if (other->rate_Mbps != mine->rate_Mbps && other->rate_Mbps != 0 &&
               mine->rate_Mbps != 0) {
        finding = doctor_add(
            findings, "peer rdma", DOCTOR_NOTE, "%s runs at %.4g Gbit/s, %s on %s at %.4g",
            mine->name, mine->rate_Mbps / 1e3, other->name, there->host, other->rate_Mbps / 1e3);
        doctor_why(finding, "the slower one sets the pace of a ring");
        doctor_cure(finding, "ibstat; rdma link   (on both)");
    } else {
        doctor_add(findings, "peer rdma", DOCTOR_OK, "%s and %s on %s agree", mine->name,
                   other->name, there->host);
    }
}

static void compare_ports(struct doctor_findings *findings, const struct doctor_facts *here,
                          const struct doctor_facts *there)
{
    if ((here->ports == 0) != (there->ports == 0)) {
        struct doctor_finding *finding = doctor_add(findings, "peer rdma", DOCTOR_WARNING,
                                                    "%s has a working RDMA port, %s has none",
                                                    here->ports > 0 ? "this host" : there->host,
                                                    here->ports > 0 ? there->host : "this host");
        doctor_why(finding, "peers on the two use TCP");
        doctor_cure(finding, "kolo doctor   (on the one without)");
        return;
    }
    for (unsigned i = 0; i < here->ports; i++) {
        compare_port(findings, here, i, there);
    }
}

void doctor_facts_compare(struct doctor_findings *findings, const struct doctor_facts *here,
                          const struct doctor_facts *there)
{
    if (strcmp(here->version, there->version) != 0) {
        struct doctor_finding *finding =
            doctor_add(findings, "peer version", DOCTOR_WARNING, "kolo is %s here, and %s on %s",
                       here->version, there->version, there->host);
        doctor_why(finding, "peers of different versions may refuse each other");
        doctor_cure(finding, "install the same version on both");
    }
    compare_mtu(findings, here, there);
    compare_speed(findings, here, there);
    compare_ports(findings, here, there);
}
