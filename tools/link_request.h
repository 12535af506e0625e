/* link_request: what is to be measured on a link. The client makes it from its command line; it travels to the server in one
 * piece, so that nothing has to be typed on both sides. Decoding takes any bytes and lets only what is within the limits
 * through. Pure functions; any thread. */
#ifndef KOLO_TOOLS_LINK_REQUEST_H
#define KOLO_TOOLS_LINK_REQUEST_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/wire.h"

#define LINK_SIZES_MAX 64
#define LINK_SIZE_BYTES_MAX (UINT64_C(1) << 30)
#define LINK_MEMORY_BYTES_MAX (UINT64_C(4) << 30) /* that one test takes on one end */
#define LINK_PAIRS_MAX 64
#define LINK_DEPTH_MAX 16384
#define LINK_INLINE_MAX 4096
#define LINK_POST_LIST_MAX 64
#define LINK_DURATION_S_MAX 3600
#define LINK_WARMUP_S_MAX 60
#define LINK_ITERATIONS_MAX UINT64_C(1000000000000)
#define LINK_TRANSPORT_BYTES 16
#define LINK_DEVICE_BYTES 80
#define LINK_REQUEST_BYTES 1024 /* encoded, at most */

enum link_test {
    LINK_WRITE = 0,
    LINK_READ,
    LINK_SEND,
    LINK_WRITE_IMM,
    LINK_ATOMIC_ADD,
    LINK_ATOMIC_CAS,
    LINK_TCP,
    LINK_MESSAGE, /* the library's own way of sending: transport.h */
    LINK_TESTS
};

/** "write", "read", ... */
const char *link_test_name(enum link_test test);
/** The test of that name; LINK_TESTS if there is none. */
enum link_test link_test_find(const char *name);
/** Does it need RDMA devices on both ends? */
bool link_test_is_verbs(enum link_test test);

/** Can it move messages of this size? Atomics: 8 bytes only. */
bool link_test_has_size(enum link_test test, uint64_t size_bytes);

enum link_side { LINK_CLIENT = 0, LINK_SERVER, LINK_SIDES };
enum link_mode { LINK_BANDWIDTH = 1, LINK_LATENCY = 2 }; /* bits */
enum link_wait {
    LINK_WAIT_DEFAULT = 0, /* RDMA and messages poll, TCP sleeps */
    LINK_WAIT_POLL,
    LINK_WAIT_EVENTS
};

/** What is chosen for each end on its own. */
struct link_end {
    char device[LINK_DEVICE_BYTES]; /* "mlx5_0:1"; empty: chosen */
    int gid_index;                  /* -1: chosen */
    int numa_node;                  /* memory and thread; -1: anywhere */
    int core;                       /* logical number as hwloc counts; -1: any */
};

struct link_request {
    uint32_t modes; /* enum link_mode */
    bool bidirectional;
    bool reverse; /* the server sends (one direction only) */
    unsigned size_count;
    uint64_t size_bytes[LINK_SIZES_MAX];
    uint64_t duration_ns; /* of each measurement */
    uint64_t iterations;  /* instead of a duration, if above 0; messages of each pair */
    uint64_t warmup_ns;
    uint64_t warmup_iterations; /* with `iterations` */
    uint32_t pairs;             /* queue pairs, TCP streams */
    uint32_t depth;             /* messages in flight on each */
    int32_t inline_bytes;       /* -1: chosen as perftest does */
    uint32_t post_list;         /* work requests a doorbell */
    uint32_t signal_interval;   /* 0: chosen by size */
    uint32_t mtu;               /* 256 .. 4096; 0: the path's */
    uint8_t service_level;
    uint8_t traffic_class;
    bool rdma_cm;
    enum link_wait wait;
    uint64_t rate_limit_Bps; /* 0: none */
    bool validate;
    bool huge_pages;
    uint64_t seed;                        /* of the pattern that is validated */
    char transport[LINK_TRANSPORT_BYTES]; /* LINK_MESSAGE: "tcp", "shm", "verbs"; empty: the best */
    struct link_end ends[LINK_SIDES];
};

/** The defaults: bandwidth and latency at 8 B, 64 KiB and 1 MiB, a second each. */
void link_request_init(struct link_request *request);

/** Is it within the limits and without contradictions? KOLO_ERR_ARGUMENT says what is not (not logged). */
kolo_status link_request_check(const struct link_request *request);

void link_request_put(struct wire_writer *writer, const struct link_request *request);
/** From a peer. KOLO_ERR_PROTOCOL if the bytes are no request; else as link_request_check(). Out: request, on success only. */
kolo_status link_request_get(struct link_request *request, struct wire_reader *reader);

/** Messages in flight for this size: the depth, or less where memory is validated message by message. */
uint32_t link_request_depth(const struct link_request *request, uint64_t size_bytes);

/** Does this side send (first, in a latency test)? */
bool link_request_sends(const struct link_request *request, enum link_side side);

#endif
