/* doctor_peer: `kolo doctor HOST`: can the two hosts reach each other, both ways, with small and with large messages, and do their
 * settings agree? One end asks (doctor_peer_check), the other answers (doctor_peer_answer), on a connection that a measuring
 * server has welcomed (link_hello.h).
 *
 * What is said, in this order: how long each step may take and the asker's facts; the answerer's facts; how the answerer's call to
 * the asker's own port ended; many bytes to the answerer, a byte back; many bytes to the asker, a byte back. After it, where both
 * have RDMA ports, the asker measures each of them as a client of `kolo perf link`. */
#ifndef KOLO_TOOLS_DOCTOR_PEER_H
#define KOLO_TOOLS_DOCTOR_PEER_H

#include "tools/doctor_facts.h"
#include "tools/doctor_finding.h"
#include "tools/doctor_view.h"

struct doctor_peer {
    const char *host; /* name or address. Borrowed */
    int port;
    int back_port;    /* of this host, for the call back; 0: any */
    double timeout_s; /* for each step */
};

/** Ask. Adds what was found, the good things too. Takes a few time-outs at most. Main thread. */
void doctor_peer_check(struct doctor_findings *findings, const struct doctor_view *view,
                       const struct doctor_peer *peer);

/** The part that tries RDMA: adds one finding for each port here that has a partner there. Blocks for half a second a port, and
 *  where nothing passes until RDMA gives up: some seconds, LINK_RUN_GRACE_NS (link_bench.h) at most. */
void doctor_peer_try_rdma(struct doctor_findings *findings, const struct doctor_peer *peer,
                          const struct doctor_facts *here, const struct doctor_facts *there);

/** Answer one asker; `fd` is welcomed and stays the caller's. Every wait is bounded; whatever goes wrong ends it. */
void doctor_peer_answer(int fd, const struct doctor_view *view);

/** How a call went, as it travels; the numbers are fixed. */
enum doctor_call {
    DOCTOR_CALL_WORKS = 0,
    DOCTOR_CALL_REFUSED = 1,     /* nothing listens, or a firewall says so */
    DOCTOR_CALL_FILTERED = 2,    /* no answer at all */
    DOCTOR_CALL_UNREACHABLE = 3, /* no route, no such host, or a firewall says so */
    DOCTOR_CALL_FAILED = 4       /* anything else */
};
enum doctor_call doctor_call_from(int error);

#define DOCTOR_BULK_BYTES 262144 /* many packets, whatever their size */
#define DOCTOR_MESSAGE_BYTES 4096
#define DOCTOR_STEP_MS_MAX 60000

/** A message: its length, then its bytes. Each returns 0 or an errno; EPROTO: longer than DOCTOR_MESSAGE_BYTES. Out: length. */
int doctor_message_send(int fd, const void *bytes, size_t length, uint64_t deadline_ns);
int doctor_message_receive(int fd, uint8_t bytes[DOCTOR_MESSAGE_BYTES], size_t *length,
                           uint64_t deadline_ns);
/** DOCTOR_BULK_BYTES of no meaning. */
int doctor_bulk_send(int fd, uint64_t deadline_ns);
int doctor_bulk_receive(int fd, uint64_t deadline_ns);

#endif
