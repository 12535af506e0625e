/* link: measures the way between two hosts: RDMA, TCP, or the library's own messages. One end serves (`kolo perf link --serve`,
 * link_serve), the other asks (link_measure); everything that is to be measured travels in the request. Used by `kolo perf link`
 * and by whatever measures many pairs. */
#ifndef KOLO_TOOLS_LINK_H
#define KOLO_TOOLS_LINK_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/link_guest.h"
#include "tools/link_request.h"

#define LINK_PORT 18516 /* where a server listens unless told otherwise */
#define LINK_HOST_BYTES 72
#define LINK_DESCRIPTION_BYTES 192

/** One end, as it describes itself. */
struct link_host {
    char name[LINK_HOST_BYTES]; /* of the host */
    char device
        [LINK_DEVICE_BYTES]; /* what was used: "rxe0:1", or the interface ("eth0") for TCP; empty: none */
    char description[LINK_DESCRIPTION_BYTES]; /* of the device, for people; empty: none */
    uint64_t rate_Bps;                        /* of the port, one direction; 0: unknown */
    uint32_t processors;                      /* that the process may use */
    bool verbs;                               /* there is a working RDMA device */
    bool iwarp;                               /* and it is an iWARP one */
};

/** A distribution of times. */
struct link_times {
    double min, median, mean, deviation, p99, p999, max;
};

/** What was measured: one test at one size. */
struct link_record {
    enum link_test test;
    uint64_t size_bytes;
    struct link_host hosts[LINK_SIDES];

    bool has_bandwidth;
    double bandwidth_Bps;        /* mean over the whole measurement; both directions together */
    double bandwidth_median_Bps; /* of equal intervals of it */
    double bandwidth_peak_Bps;   /* the best interval */
    double messages_per_s;
    double direction_Bps[LINK_SIDES]; /* sent by this side */
    uint64_t iterations;              /* messages */
    double share_of_port_rate; /* of the slower port, per direction; 0: its rate is unknown */

    bool has_latency;
    struct link_times latency_us; /* half round trips; read, atomics: from posting to completion */
    uint64_t latency_iterations;

    double
        processor_percent[LINK_SIDES]; /* user and system time of the process; 100: one processor */
    bool validated;
    uint64_t wrong; /* messages that were not what was sent */
};

/** What to measure, and with whom. Texts are borrowed. */
struct link_goal {
    const char *host;         /* name or address */
    int port;                 /* LINK_PORT */
    double connect_timeout_s; /* 0: 5 s */
    uint32_t tests; /* bits 1 << enum link_test; 0: write if both ends have a device, else tcp */
    struct link_request request;

    /** A measurement is done; called in the thread of link_measure(), in order. NULL: not wanted. */
    void (*done)(void *context, const struct link_record *record);
    void *context;
};

/** Measure. The records' order is that of the tests, then of the sizes. Blocks for about the time that the request asks for;
 *  every wait is bounded.
 *
 *  Returns: KOLO_OK; KOLO_ERR_ARGUMENT (the request has no meaning, or a device cannot do what is asked for: says which end);
 *           KOLO_ERR_STATE (the server is busy); KOLO_ERR_SYSTEM (cannot connect, no device); KOLO_ERR_PEER_LOST,
 *           KOLO_ERR_TIMEOUT, KOLO_ERR_PROTOCOL. kolo_last_error() says it in full; nothing is logged.
 *  Out:     records: to be freed by the caller; count. What was measured before a failure is there, too. */
kolo_status link_measure(struct link_record **records, size_t *count, const struct link_goal *goal);

/** How a server runs. */
struct link_service {
    int port;            /* 0: chosen by the kernel */
    bool once;           /* return after the first client */
    int stop_fd;         /* returns when this is readable; -1: never */
    struct link_end end; /* what this end uses where clients do not ask for something else */
    const struct link_guest *guests; /* what else the port answers; NULL: nothing. Borrowed */

    /** It listens on this port now. NULL: not wanted. */
    void (*listening)(void *context, int port);
    /** A client came, or went; one line. NULL: not wanted. */
    void (*news)(void *context, const char *line);
    void *context;
};

/** Serve clients, one after the other, each in a process of its own. Returns KOLO_OK when stopped (or after one client), or
 *  KOLO_ERR_SYSTEM when the port cannot be had. Children are ended before it returns. Any thread that has no SIGCHLD handler
 *  that reaps. */
kolo_status link_serve(const struct link_service *service);

#endif
