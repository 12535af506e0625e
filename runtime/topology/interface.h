/* interface: the rate of the network interface behind an address, as its driver tells. For the cost model. */
#ifndef KOLO_TOPOLOGY_INTERFACE_H
#define KOLO_TOPOLOGY_INTERFACE_H

#include <sys/socket.h>

/** Bytes a second, each direction; 0 if no interface has this address, or its driver does not tell (loopback, many virtual
 *  ones). Any thread. */
double interface_rate_Bps(const struct sockaddr *address);

#endif
