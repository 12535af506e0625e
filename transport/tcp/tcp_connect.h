/* tcp_connect: bringing a TCP link up. The dialling end tries the other's addresses, best first, with its first lane: the next
 * one when the last has failed or has not answered for a moment (as RFC 8305 does); the other lanes follow to the address that
 * answered. The other end waits for hellos with the link's token. */
#ifndef KOLO_TRANSPORT_TCP_TCP_CONNECT_H
#define KOLO_TRANSPORT_TCP_TCP_CONNECT_H

#include "transport/tcp/tcp_link.h"

/** Begin to dial. link->connect.addresses and count are set. */
void tcp_connect_begin(struct tcp_link *link);

/** Time passes. */
void tcp_connect_tick(struct tcp_link *link, uint64_t now_ns);

/** Give up all dials. */
void tcp_connect_cancel(struct tcp_link *link);

/** The port's handler of PORT_LANE hellos; `context` is the transport. */
enum port_verdict tcp_connect_arrived(void *context, const struct port_hello *hello,
                                      const struct port_address *from);
void tcp_connect_opened(void *context, const struct port_hello *hello,
                        const struct port_address *from, int fd);

#endif
