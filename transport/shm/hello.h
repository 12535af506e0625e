/* hello: the first and only packet that each end of a link sends over its UNIX socket (SOCK_SEQPACKET), with descriptors:
 * the dialling end sends its hello with the link's segment, its bell and its board, the other end answers with its own bell and board. After that
 * the socket carries wake-ups (one byte, of no meaning) and, by its end, the news of a death. */
#ifndef KOLO_TRANSPORT_SHM_HELLO_H
#define KOLO_TRANSPORT_SHM_HELLO_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport/transport.h"

#define SHM_HELLO_FDS 3 /* bell, board, segment */

struct shm_hello {
    bool answers;  /* the listening end's */
    bool barriers; /* the sender takes part in membarriers (bell.h) */
    uint64_t token;
    uint8_t from[TRANSPORT_ID_BYTES];
    uint8_t to[TRANSPORT_ID_BYTES];
    int segment; /* -1 in an answer */
    int bell;
    int board;
};

enum shm_heard { SHM_HEARD_NOTHING = 0, SHM_HEARD_HELLO, SHM_HEARD_END, SHM_HEARD_NONSENSE };

/** Send on a connected socket; the descriptors stay the caller's. KOLO_ERR_SYSTEM, quietly. */
kolo_status shm_hello_send(int socket, const struct shm_hello *hello);

/** Receive without blocking. On SHM_HEARD_HELLO the descriptors become the caller's; otherwise there are none. */
enum shm_heard shm_hello_receive(struct shm_hello *hello, int socket);

/** Close the descriptors of a hello. */
void shm_hello_drop(const struct shm_hello *hello);

#endif
