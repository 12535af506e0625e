/* rate: how fast a port is, as its driver says. Bytes of packets in a second, one direction. */
#ifndef KOLO_VERBS_RATE_H
#define KOLO_VERBS_RATE_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stdint.h>

/** From the enumerated speed and width of InfiniBand's PortInfo (IBTA 1.7, 14.2.5.6), with line coding taken off on InfiniBand;
 *  Ethernet's nominal rates have none in them. 0: none that is known. */
uint64_t rate_of(uint32_t active_speed, uint32_t active_width, bool ethernet);

/** Of a port. An Ethernet port has the speed of its network interface (`interface`, 0: unknown), since the enumeration has no
 *  word for 1 Gbit/s and below, nor for "unknown", and says 2.5 Gbit/s for all of them. 0: unknown. */
uint64_t rate_of_port(const struct ibv_port_attr *attributes, uint32_t interface);

#endif
