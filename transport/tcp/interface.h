/* interface: the addresses of this machine, and which of them a selection ("eth0,10.1.0.0/16") names. Listing asks the
 * system; selecting is a pure function of the list. */
#ifndef KOLO_TRANSPORT_TCP_INTERFACE_H
#define KOLO_TRANSPORT_TCP_INTERFACE_H

#include <net/if.h>

#include "transport/tcp/port.h"

#define INTERFACES_MAX 256 /* addresses of one machine that are looked at; more are left out */
#define INTERFACE_SELECTED_MAX 64 /* addresses that a selection may hold; more are left out */

/** One address of one interface. An interface with several addresses is listed several times. */
struct interface {
    char name[IF_NAMESIZE];
    bool up;
    struct port_address address; /* port 0; a link-local IPv6 address has its scope */
};

/** What a selection holds, best first (see tcp_port_addresses). */
struct interface_set {
    struct port_address addresses[INTERFACE_SELECTED_MAX];
    unsigned count;
    bool restricted; /* the user chose: accept on these and dial from these only */
};

/** List this machine's addresses. Returns KOLO_OK or KOLO_ERR_SYSTEM. Out: list, count. Any thread. */
kolo_status interface_list(struct interface list[INTERFACES_MAX], unsigned *count);

/** Select among `list`. `selection` NULL: all that are up and no bridge of containers or virtual machines; else names and
 *  prefixes, comma-separated. KOLO_ERR_ARGUMENT (naming what exists) for an unknown name, a bad prefix, or nothing found. */
kolo_status interface_select(struct interface_set *set, const struct interface *list,
                             unsigned count, const char *selection);

/** Is this address (whatever its port) one that the set lets peers connect to? */
bool interface_allows(const struct interface_set *set, const struct port_address *address);

/** The address of the set to dial `target` from: that of the same family with the longest common prefix, and of loopback
 *  only for loopback. NULL if there is none. Borrowed from the set. */
const struct port_address *interface_source(const struct interface_set *set,
                                            const struct port_address *target);

#endif
