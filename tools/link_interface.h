/* link_interface: the network interface that a TCP connection goes through, and its speed. */
#ifndef KOLO_TOOLS_LINK_INTERFACE_H
#define KOLO_TOOLS_LINK_INTERFACE_H

#include "tools/link.h"

/** Fill in device, description and rate of a host from the local end of a connection; left alone if that cannot be told. */
void link_interface_describe(struct link_host *host, int fd);

#endif
