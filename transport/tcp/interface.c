#include "transport/tcp/interface.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"
#include "transport/tcp/address.h"

#define EXISTING_TEXT_MAX 320 /* of the list of what exists, in an error */

kolo_status interface_list(struct interface list[INTERFACES_MAX], unsigned *count)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        return fail(KOLO_ERR_SYSTEM, "cannot list the network interfaces: getifaddrs: %s",
                    strerror(errno));
    }
    *count = 0;
    for (const struct ifaddrs *at = all; at != NULL && *count < INTERFACES_MAX; at = at->ifa_next) {
        int family = at->ifa_addr != NULL ? at->ifa_addr->sa_family : AF_UNSPEC;
        if (family != AF_INET && family != AF_INET6) {
            continue;
        }
        struct interface *interface = &list[(*count)++];
        memset(interface, 0, sizeof *interface);
        snprintf(interface->name, sizeof interface->name, "%s", at->ifa_name);
        interface->up = (at->ifa_flags & IFF_UP) != 0;
        memcpy(&interface->address.as, at->ifa_addr,
               family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    }
    freeifaddrs(all);
    return KOLO_OK;
}

/* Interfaces that lead to containers or virtual machines of this host, and have the same addresses on every host. */
static bool is_bridge(const char *name)
{
    static const char *const prefixes[] = {"docker", "virbr",   "br-",        "lxcbr",
                                           "lxdbr",  "podman",  "cni",        "cbr0",
                                           "vmnet",  "vboxnet", "kube-bridge"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Keeps the set ordered, best first; equals stay in the order of the list. */
static void set_add(struct interface_set *set, const struct port_address *address)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (address_same_host(&set->addresses[i], address)) {
            return;
        }
    }
    if (set->count == INTERFACE_SELECTED_MAX) {
        return;
    }
    enum address_reach reach = address_reach(address);
    bool v6 = address->as.any.sa_family == AF_INET6;
    unsigned place = set->count;
    while (place > 0) {
        const struct port_address *before = &set->addresses[place - 1];
        enum address_reach other = address_reach(before);
        bool other_v6 = before->as.any.sa_family == AF_INET6;
        if (other < reach || (other == reach && other_v6 <= v6)) {
            break;
        }
        set->addresses[place] = *before;
        place--;
    }
    set->addresses[place] = *address;
    set->count++;
}

static void add_text(char text[EXISTING_TEXT_MAX], size_t *used, const char *before,
                     const char *what)
{
    int length = snprintf(text + *used, EXISTING_TEXT_MAX - *used, "%s%s", before, what);
    *used += length > 0 ? (size_t)length : 0;
    *used = *used < EXISTING_TEXT_MAX ? *used : EXISTING_TEXT_MAX - 1;
}

static bool seen_before(const struct interface *list, unsigned place)
{
    for (unsigned i = 0; i < place; i++) {
        if (strcmp(list[i].name, list[place].name) == 0) {
            return true;
        }
    }
    return false;
}

/* "lo (127.0.0.1, ::1), eth0 (10.0.0.7), eth1 (down, 10.9.9.9)", cut where the room ends. */
static const char *existing_text(char text[EXISTING_TEXT_MAX], const struct interface *list,
                                 unsigned count)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        if (seen_before(list, i)) {
            continue;
        }
        add_text(text, &used, used > 0 ? ", " : "", list[i].name);
        add_text(text, &used, " (", list[i].up ? "" : "down, ");
        for (unsigned k = i; k < count; k++) {
            if (strcmp(list[k].name, list[i].name) == 0) {
                const uint8_t *bytes;
                char ip[INET6_ADDRSTRLEN];
                address_bytes(&list[k].address, &bytes);
                inet_ntop(list[k].address.as.any.sa_family, bytes, ip, sizeof ip);
                add_text(text, &used, k > i ? ", " : "", ip);
            }
        }
        add_text(text, &used, ")", "");
    }
    return text;
}

static unsigned select_name(struct interface_set *set, const struct interface *list, unsigned count,
                            const char *name)
{
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0) {
            set_add(set, &list[i].address);
            found++;
        }
    }
    return found;
}

/* "10.1.0.0/16" or "10.1.0.7". Returns false if it is no prefix. */
static bool parse_prefix(struct port_address *prefix, unsigned *bits, const char *text)
{
    char ip[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);
    if (length >= sizeof ip) {
        return false;
    }
    memcpy(ip, text, length);
    ip[length] = '\0';
    if (!address_parse(prefix, ip)) {
        return false;
    }
    unsigned most = prefix->as.any.sa_family == AF_INET ? 32 : 128;
    *bits = most;
    if (slash == NULL) {
        return true;
    }
    char *end;
    unsigned long value = strtoul(slash + 1, &end, 10);
    *bits = (unsigned)value;
    return slash[1] >= '0' && slash[1] <= '9' && *end == '\0' && value <= most;
}

static unsigned select_prefix(struct interface_set *set, const struct interface *list,
                              unsigned count, const struct port_address *prefix, unsigned bits)
{
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++) {
        bool same_family = list[i].address.as.any.sa_family == prefix->as.any.sa_family;
        if (same_family && list[i].up && address_shared_bits(&list[i].address, prefix) >= bits) {
            set_add(set, &list[i].address);
            found++;
        }
    }
    return found;
}

static kolo_status select_entry(struct interface_set *set, const struct interface *list,
                                unsigned count, const char *entry)
{
    char existing[EXISTING_TEXT_MAX];
    struct port_address prefix;
    unsigned bits;
    if (parse_prefix(&prefix, &bits, entry)) {
        if (select_prefix(set, list, count, &prefix, bits) == 0) {
            return fail(KOLO_ERR_ARGUMENT,
                        "interfaces: no address of this machine that is up is in %s; there are %s",
                        entry, existing_text(existing, list, count));
        }
        return KOLO_OK;
    }
    if (strchr(entry, '/') != NULL) {
        return fail(KOLO_ERR_ARGUMENT,
                    "interfaces: '%s' is no prefix such as 10.1.0.0/16 or 2001:db8::/32", entry);
    }
    if (select_name(set, list, count, entry) == 0) {
        return fail(
            KOLO_ERR_ARGUMENT,
            "interfaces: '%s' is no interface with an address on this machine; there are %s", entry,
            existing_text(existing, list, count));
    }
    return KOLO_OK;
}

static kolo_status select_named(struct interface_set *set, const struct interface *list,
                                unsigned count, const char *selection)
{
    char entry[INET6_ADDRSTRLEN + 8];
    set->restricted = true;
    for (const char *at = selection; *at != '\0';) {
        size_t length = strcspn(at, ",");
        size_t start = strspn(at, " ");
        size_t trimmed = length;
        while (trimmed > start && at[trimmed - 1] == ' ') {
            trimmed--;
        }
        if (start < trimmed) {
            if (trimmed - start >= sizeof entry) {
                return fail(KOLO_ERR_ARGUMENT,
                            "interfaces: '%.*s' is neither a name nor a prefix: it is too long",
                            (int)(trimmed - start), at + start);
            }
            memcpy(entry, at + start, trimmed - start);
            entry[trimmed - start] = '\0';
            kolo_status status = select_entry(set, list, count, entry);
            if (status != KOLO_OK) {
                return status;
            }
        }
        at += at[length] == ',' ? length + 1 : length;
    }
    return KOLO_OK;
}

kolo_status interface_select(struct interface_set *set, const struct interface *list,
                             unsigned count, const char *selection)
{
    memset(set, 0, sizeof *set);
    if (selection == NULL) {
        for (unsigned i = 0; i < count; i++) {
            if (list[i].up && !is_bridge(list[i].name)) {
                set_add(set, &list[i].address);
            }
        }
        return KOLO_OK;
    }
    kolo_status status = select_named(set, list, count, selection);
    if (status == KOLO_OK && set->count == 0) {
        char existing[EXISTING_TEXT_MAX];
        return fail(KOLO_ERR_ARGUMENT, "interfaces: '%s' names nothing; there are %s", selection,
                    existing_text(existing, list, count));
    }
    return status;
}

bool interface_allows(const struct interface_set *set, const struct port_address *address)
{
    if (!set->restricted) {
        return true;
    }
    for (unsigned i = 0; i < set->count; i++) {
        if (address_same_host(&set->addresses[i], address)) {
            return true;
        }
    }
    return false;
}

const struct port_address *interface_source(const struct interface_set *set,
                                            const struct port_address *target)
{
    const struct port_address *best = NULL;
    unsigned best_bits = 0;
    bool to_loopback = address_reach(target) == ADDRESS_LOOPBACK;
    for (unsigned i = 0; i < set->count; i++) {
        const struct port_address *address = &set->addresses[i];
        bool loopback = address_reach(address) == ADDRESS_LOOPBACK;
        if (address->as.any.sa_family != target->as.any.sa_family || loopback != to_loopback) {
            continue;
        }
        unsigned bits = address_shared_bits(address, target);
        if (best == NULL || bits > best_bits) {
            best = address;
            best_bits = bits;
        }
    }
    return best;
}
