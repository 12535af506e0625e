#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

#include "transport/verbs/cm.h"

/* More is better; 0: not to be used. */
static unsigned worth(const struct ifaddrs *at)
{
    if (at->ifa_addr == NULL || (at->ifa_flags & IFF_UP) == 0 ||
        (at->ifa_flags & IFF_LOOPBACK) != 0) {
        return 0;
    }
    if (at->ifa_addr->sa_family == AF_INET) {
        return 3;
    }
    if (at->ifa_addr->sa_family != AF_INET6) {
        return 0;
    }
    const struct sockaddr_in6 *v6 = (const void *)at->ifa_addr;
    return IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) ? 1 : 2;
}

/* rdma_cm itself says which device an address belongs to. */
static bool belongs(const struct sockaddr *address, const struct device_port *port)
{
    struct rdma_cm_id *id = NULL;
    struct sockaddr_storage copy = {0};
    memcpy(&copy, address,
           address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                         : sizeof(struct sockaddr_in6));
    if (rdma_create_id(NULL, &id, NULL, RDMA_PS_TCP) != 0) {
        return false;
    }
    bool found = rdma_bind_addr(id, (struct sockaddr *)&copy) == 0 && id->verbs != NULL &&
                 strcmp(ibv_get_device_name(id->verbs->device), port->name) == 0 &&
                 id->port_num == port->number;
    rdma_destroy_id(id);
    return found;
}

bool cm_address(struct sockaddr_storage *address, const struct device_port *port)
{
    struct ifaddrs *all = NULL;
    const struct sockaddr *best = NULL;
    unsigned best_worth = 0;
    if (getifaddrs(&all) != 0) {
        return false;
    }
    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        if (worth(at) > best_worth && belongs(at->ifa_addr, port)) {
            best = at->ifa_addr;
            best_worth = worth(at);
        }
    }
    if (best != NULL) {
        memset(address, 0, sizeof *address);
        memcpy(address, best,
               best->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                          : sizeof(struct sockaddr_in6));
    }
    freeifaddrs(all);
    return best != NULL;
}
