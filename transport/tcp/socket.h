/* socket: the options of a connection between peers. */
#ifndef KOLO_TRANSPORT_TCP_SOCKET_H
#define KOLO_TRANSPORT_TCP_SOCKET_H

#include <stdint.h>

/** No delay, and a limit on silence: keepalive every second while nothing is under way, TCP_USER_TIMEOUT while something is. A
 *  host that is silent for `peer_timeout_ns` breaks the connection (0: no limit). Failures are ignored: the connection works without. */
void socket_tune(int fd, uint64_t peer_timeout_ns);

/** If both ends are on this host, bound what is on its way, so that it stays in the processor's caches: twice as fast for
 *  large messages as the megabytes that the kernel would allow. Between hosts the kernel knows best: nothing is done. */
void socket_keep_local_in_cache(int fd);

#endif
