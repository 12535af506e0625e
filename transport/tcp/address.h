/* address: an IPv4 or IPv6 address with its port: comparing, ranking and moving it between families. (As text, and whether two
 * are equal: port.h, since callers of the port need that.) Pure functions; any thread. */
#ifndef KOLO_TRANSPORT_TCP_ADDRESS_H
#define KOLO_TRANSPORT_TCP_ADDRESS_H

#include "transport/tcp/port.h"

/** How far an address reaches, best first. */
enum address_reach { ADDRESS_GLOBAL, ADDRESS_PRIVATE, ADDRESS_LINK_LOCAL, ADDRESS_LOOPBACK };
enum address_reach address_reach(const struct port_address *address);

/** The bytes of the IP address (4 or 16 of them at *bytes, borrowed from `address`). Returns how many; 0: no address. */
unsigned address_bytes(const struct port_address *address, const uint8_t **bytes);

/** How many leading bits two addresses share; 0 if their families differ. */
unsigned address_shared_bits(const struct port_address *a, const struct port_address *b);

/** Equal but for the port (and the scope of a link-local address, where one of the two has none). */
bool address_same_host(const struct port_address *a, const struct port_address *b);

/** The size of the socket address inside, for bind() and connect(). */
socklen_t address_length(const struct port_address *address);

uint16_t address_port(const struct port_address *address);
void address_set_port(struct port_address *address, uint16_t number);

/** ::ffff:10.0.0.7, as a dual-stack socket reports an IPv4 peer, becomes 10.0.0.7. Others are left alone. */
void address_unmap(struct port_address *address);

/** From a text such as "10.0.0.7", "fe80::1" (port 0). Returns false if it is none. */
bool address_parse(struct port_address *address, const char *text);

#endif
