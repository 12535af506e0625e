/* link_hello: how a connection to a measuring server begins: a hello of fixed size and the answer to it, so that strangers are told
 * from clients, and a second client is told that it must wait. Also dials and says hello. */
#ifndef KOLO_TOOLS_LINK_HELLO_H
#define KOLO_TOOLS_LINK_HELLO_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#define LINK_VERSION 1
#define LINK_HELLO_BYTES 32
#define LINK_ANSWER_BYTES 16
#define LINK_PEER_BYTES 128

enum link_purpose {
    LINK_PURPOSE_CONTROL = 1,
    LINK_PURPOSE_STREAM = 2,
    LINK_PURPOSE_MESH = 3,  /* guests (link_guest.h): kolo perf mesh */
    LINK_PURPOSE_DOCTOR = 4 /* kolo doctor HOST */
};

/** What a connection begins with. Its first eight bytes mean the same in every version. */
struct link_hello {
    uint16_t version;
    uint16_t purpose; /* enum link_purpose */
    uint32_t index;   /* LINK_PURPOSE_STREAM: which stream */
    uint64_t token;   /* LINK_PURPOSE_STREAM: of which session */
};

enum link_verdict {
    LINK_WELCOME = 0,
    LINK_REFUSED_BUSY = 1, /* another client is being served */
    LINK_REFUSED_VERSION = 2,
    LINK_REFUSED_SESSION = 3 /* a stream of no session */
};

void link_hello_encode(uint8_t bytes[LINK_HELLO_BYTES], const struct link_hello *hello);
/** False: not a hello. */
bool link_hello_decode(struct link_hello *hello, const uint8_t bytes[LINK_HELLO_BYTES]);
void link_answer_encode(uint8_t bytes[LINK_ANSWER_BYTES], enum link_verdict verdict);

/** Limits on silence, no delay: for every connection between the two ends. */
void link_hello_tune(int fd);

/** Connect to a server and be welcomed. Out: fd, non-blocking, with limits on silence; peer (LINK_PEER_BYTES). KOLO_ERR_SYSTEM (no such
 *  host, refused, unreachable), KOLO_ERR_TIMEOUT, KOLO_ERR_STATE (busy for 3 s), KOLO_ERR_PROTOCOL (something else listens there). */
kolo_status link_hello_dial(int *fd, char *peer, const char *host, int port,
                            const struct link_hello *hello, uint64_t deadline_ns);

#endif
