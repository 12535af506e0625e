/* The checks of interfaces, addresses and names: what peers would be told to connect to. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "tools/doctor_check.h"
#include "transport/tcp/address.h"

#define LIST_TEXT_MAX 200

static const char *address_text(char text[INET6_ADDRSTRLEN], const struct port_address *address)
{
    const uint8_t *bytes;
    text[0] = '\0';
    if (address_bytes(address, &bytes) > 0) {
        inet_ntop(address->as.any.sa_family, bytes, text, INET6_ADDRSTRLEN);
    }
    return text;
}

/* Append "before" and "what", cut where the room ends. */
static void add_text(char text[LIST_TEXT_MAX], const char *before, const char *what)
{
    size_t used = strlen(text);
    snprintf(text + used, LIST_TEXT_MAX - used, "%s%s", used > 0 ? before : "", what);
}

/* What kolo would tell peers on this host. */
static kolo_status select_addresses(struct interface_set *set, const struct doctor_view *view)
{
    return interface_select(set, view->address, view->addresses, view->interfaces_wanted);
}

static bool in_set(const struct interface_set *set, const struct port_address *address)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (address_same_host(&set->addresses[i], address)) {
            return true;
        }
    }
    return false;
}

static bool leaves_host(const struct port_address *address)
{
    return address_reach(address) != ADDRESS_LOOPBACK;
}

/* An interface that leads out of this host, by its name; NULL if there is none. */
static const struct interface *physical(const struct doctor_view *view)
{
    for (unsigned i = 0; i < view->addresses; i++) {
        const struct interface *at = &view->address[i];
        if (at->up && leaves_host(&at->address) &&
            address_reach(&at->address) != ADDRESS_LINK_LOCAL &&
            doctor_interface_kind(view, at->name) == DOCTOR_PHYSICAL) {
            return at;
        }
    }
    return NULL;
}

void doctor_addresses(struct doctor_findings *findings, const struct doctor_view *view)
{
    struct interface_set set;
    char list[LIST_TEXT_MAX] = "", text[INET6_ADDRSTRLEN];
    unsigned out = 0;
    struct doctor_finding *finding;
    if (select_addresses(&set, view) != KOLO_OK) {
        finding = doctor_add(findings, "addresses", DOCTOR_ERROR,
                             "KOLO_INTERFACES=%s selects nothing", view->interfaces_wanted);
        doctor_why(finding, "%s", kolo_last_error());
        doctor_cure(finding,
                    "unset KOLO_INTERFACES   (or name an interface or prefix of this host)");
        return;
    }
    for (unsigned i = 0; i < set.count; i++) {
        if (leaves_host(&set.addresses[i])) {
            out++;
            add_text(list, ", ", address_text(text, &set.addresses[i]));
        }
    }
    if (out > 0) {
        doctor_add(findings, "addresses", DOCTOR_OK, "peers are told to connect to: %s", list);
        return;
    }
    finding = doctor_add(findings, "addresses", DOCTOR_WARNING,
                         "no interface with an address leads out of this host");
    doctor_why(finding, "peers on other hosts cannot connect to this one");
    doctor_cure(finding, "sudo ip link set dev INTERFACE up && sudo ip addr add ADDRESS/PREFIX dev "
                         "INTERFACE");
}

static bool same_subnet(const struct doctor_view *view, unsigned a, unsigned b)
{
    const struct interface *left = &view->address[a], *right = &view->address[b];
    unsigned bits =
        view->prefix_bits[a] < view->prefix_bits[b] ? view->prefix_bits[a] : view->prefix_bits[b];
    unsigned most = left->address.as.any.sa_family == AF_INET ? 32 : 128;
    bool routable = leaves_host(&left->address) && leaves_host(&right->address) &&
                    address_reach(&left->address) != ADDRESS_LINK_LOCAL;
    return left->up && right->up && strcmp(left->name, right->name) != 0 && routable &&
           left->address.as.any.sa_family == right->address.as.any.sa_family && bits > 0 &&
           view->prefix_bits[a] < most && view->prefix_bits[b] < most &&
           address_shared_bits(&left->address, &right->address) >= bits;
}

/* Has this pair of interfaces been told of, because of other addresses of theirs? */
static bool pair_seen(const struct doctor_view *view, unsigned a, unsigned b)
{
    for (unsigned i = 0; i <= a; i++) {
        for (unsigned k = i + 1; k < view->addresses && (i < a || k < b); k++) {
            bool same = strcmp(view->address[i].name, view->address[a].name) == 0 &&
                        strcmp(view->address[k].name, view->address[b].name) == 0;
            if (same && same_subnet(view, i, k)) {
                return true;
            }
        }
    }
    return false;
}

static void tell_subnet(struct doctor_findings *findings, const struct doctor_view *view,
                        unsigned a, unsigned b)
{
    char left[INET6_ADDRSTRLEN], right[INET6_ADDRSTRLEN];
    const struct interface *one = &view->address[a], *other = &view->address[b];
    struct doctor_finding *finding = doctor_add(
        findings, "subnets", DOCTOR_WARNING, "%s (%s/%u) and %s (%s/%u) are in the same subnet",
        one->name, address_text(left, &one->address), view->prefix_bits[a], other->name,
        address_text(right, &other->address), view->prefix_bits[b]);
    doctor_why(finding, "the kernel sends for both through one of them, and answers ARP for one on "
                        "the other: half the bandwidth, and RoCE connections that fail");
    doctor_cure(finding,
                "give each its own subnet; or sudo sysctl net.ipv4.conf.all.arp_ignore=1 "
                "net.ipv4.conf.all.arp_announce=2 and KOLO_INTERFACES=%s",
                one->name);
}

void doctor_subnets(struct doctor_findings *findings, const struct doctor_view *view)
{
    unsigned found = 0;
    for (unsigned a = 0; a < view->addresses; a++) {
        for (unsigned b = a + 1; b < view->addresses; b++) {
            if (same_subnet(view, a, b)) {
                if (!pair_seen(view, a, b)) {
                    tell_subnet(findings, view, a, b);
                }
                found++;
            }
        }
    }
    if (found == 0) {
        doctor_add(findings, "subnets", DOCTOR_OK, "every interface has a subnet of its own");
    }
}

static const char *kind_name(enum doctor_virtual kind)
{
    return kind == DOCTOR_BRIDGE   ? "a bridge of containers or virtual machines"
           : kind == DOCTOR_TUNNEL ? "a tunnel"
                                   : "a wireless interface";
}

static void tell_virtual(struct doctor_findings *findings, const struct doctor_view *view,
                         const struct interface *interface, enum doctor_virtual kind)
{
    char text[INET6_ADDRSTRLEN];
    const struct interface *better = physical(view);
    struct doctor_finding *finding =
        doctor_add(findings, "bridges", kind == DOCTOR_BRIDGE ? DOCTOR_WARNING : DOCTOR_NOTE,
                   "%s (%s) is %s, and peers are told of it", interface->name,
                   address_text(text, &interface->address), kind_name(kind));
    doctor_why(finding, kind == DOCTOR_BRIDGE
                            ? "other hosts have a bridge with the same address: peers that try it "
                              "reach nobody, or the wrong host, and lose time"
                            : "if peers can reach nothing better they use it, at a fraction of a "
                              "cable's rate");
    if (better != NULL) {
        doctor_cure(finding, "export KOLO_INTERFACES=%s", better->name);
    } else {
        doctor_cure(finding,
                    "export KOLO_INTERFACES=NAME   (of the interface that leads to the other "
                    "hosts)");
    }
}

static bool name_seen(const struct doctor_view *view, unsigned place)
{
    for (unsigned i = 0; i < place; i++) {
        if (strcmp(view->address[i].name, view->address[place].name) == 0) {
            return true;
        }
    }
    return false;
}

void doctor_bridges(struct doctor_findings *findings, const struct doctor_view *view)
{
    struct interface_set set;
    char skipped[LIST_TEXT_MAX] = "";
    unsigned picked = 0;
    if (select_addresses(&set, view) != KOLO_OK) {
        return; /* doctor_addresses() has told */
    }
    for (unsigned i = 0; i < view->addresses; i++) {
        const struct interface *at = &view->address[i];
        enum doctor_virtual kind = doctor_interface_kind(view, at->name);
        if (kind == DOCTOR_PHYSICAL || !at->up || name_seen(view, i)) {
            continue;
        }
        if (in_set(&set, &at->address)) {
            tell_virtual(findings, view, at, kind);
            picked++;
        } else {
            add_text(skipped, ", ", at->name);
        }
    }
    if (picked == 0) {
        doctor_add(findings, "bridges", DOCTOR_OK,
                   "virtual interfaces that peers are not told of: %s",
                   skipped[0] != '\0' ? skipped : "there are none");
    }
}

static bool is_here(const struct doctor_view *view, const struct port_address *address)
{
    for (unsigned i = 0; i < view->addresses; i++) {
        if (address_same_host(&view->address[i].address, address)) {
            return true;
        }
    }
    return false;
}

static void cure_host_name(struct doctor_finding *finding, const struct doctor_view *view)
{
    char text[INET6_ADDRSTRLEN];
    const struct interface *better = physical(view);
    doctor_why(finding, "launchers that tell peers this name (MASTER_ADDR, KOLO_PEERS) send them "
                        "nowhere, or to themselves");
    doctor_cure(finding,
                "let /etc/hosts on every host have the line '%s %s', and no line that gives "
                "127.* this name",
                better != NULL ? address_text(text, &better->address) : "ADDRESS", view->host);
}

void doctor_host_name(struct doctor_findings *findings, const struct doctor_view *view)
{
    char text[INET6_ADDRSTRLEN] = "";
    unsigned loopback = 0, elsewhere = 0;
    for (unsigned i = 0; i < view->host_addresses; i++) {
        bool inside = !leaves_host(&view->host_address[i]);
        loopback += inside ? 1 : 0;
        elsewhere += !inside && !is_here(view, &view->host_address[i]) ? 1 : 0;
    }
    if (view->host_addresses > 0) {
        address_text(text, &view->host_address[0]);
    }
    if (view->host_addresses == 0) {
        cure_host_name(doctor_add(findings, "host name", DOCTOR_WARNING,
                                  "the host's name, %s, has no address", view->host),
                       view);
    } else if (loopback == view->host_addresses) {
        cure_host_name(doctor_add(findings, "host name", DOCTOR_WARNING,
                                  "the host's name, %s, is %s: an address of every host",
                                  view->host, text),
                       view);
    } else if (loopback + elsewhere == view->host_addresses) {
        cure_host_name(doctor_add(findings, "host name", DOCTOR_WARNING,
                                  "the host's name, %s, is an address of another host or of none: "
                                  "%s",
                                  view->host, text),
                       view);
    } else {
        doctor_add(findings, "host name", DOCTOR_OK, "the host's name, %s, is %s", view->host,
                   text);
    }
}
