/* kolo: collectives between the processes of a training run, peer to peer, with no server.
 *
 * A program opens a communicator (kolo_open), calls collectives on it, and closes it. Every peer of the communicator makes
 * the same calls in the same order; a peer that does not is told so (KOLO_ERR_MISMATCH) instead of hanging.
 *
 * All collectives have one calling shape: (communicator, output, input, count, type, [operator], [root], queue). `queue` is
 * NULL for a call that returns when the operation is done, or a kolo_queue for one that returns at once and is done in
 * the background, in order.
 *
 * Threads: a communicator may be used from several threads; calls on it are serialised, and since all peers must issue the
 * same operations in the same order, concurrent issuers must order themselves. Different communicators are independent.
 *
 * This header is C99 and C++11. It is not the place for tuning: see the environment variables in README.md.
 */
#ifndef KOLO_KOLO_H
#define KOLO_KOLO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KOLO_VERSION_MAJOR 0
#define KOLO_VERSION_MINOR 1
#define KOLO_VERSION_PATCH 0

#if defined(__GNUC__)
#define KOLO_API __attribute__((visibility("default")))
#else
#define KOLO_API
#endif

/** What a call returns. 0 is success. The hundreds digit is the class: whose fault it is. */
typedef enum kolo_status {
    KOLO_OK = 0,

    /* Argument: the caller's mistake; nothing has been done. */
    KOLO_ERR_ARGUMENT = 100, /**< an argument or an environment variable has no meaning */
    KOLO_ERR_LIMIT = 101,    /**< a documented limit is exceeded */
    KOLO_ERR_STATE = 102,    /**< the object cannot do this now (closed, failed, aborted) */

    /* Peer: another process, or a link to it. */
    KOLO_ERR_PEER_LOST = 200, /**< a peer died, or has been silent for too long */
    KOLO_ERR_MISMATCH = 201, /**< a peer called another collective, count, type, operator or root */
    KOLO_ERR_TIMEOUT = 202,  /**< a limit of time passed; the message names who was waited for */
    KOLO_ERR_PROTOCOL = 203, /**< a peer sent bytes that are not kolo's, or of another version */
    KOLO_ERR_ABORTED = 204,  /**< kolo_abort was called here or by a peer */

    /* System: this machine. */
    KOLO_ERR_SYSTEM = 300, /**< a system call failed; the message has its name and errno */
    KOLO_ERR_MEMORY = 301, /**< out of memory */

    /* Internal: kolo's own mistake; please report it. */
    KOLO_ERR_INTERNAL = 400
} kolo_status;

/** Element types. Sizes: kolo_type_size(). f16 and bf16 are accumulated in f32. */
typedef enum kolo_type {
    KOLO_I8 = 0,
    KOLO_U8 = 1,
    KOLO_I32 = 2,
    KOLO_U32 = 3,
    KOLO_I64 = 4,
    KOLO_U64 = 5,
    KOLO_F16 = 6,
    KOLO_BF16 = 7,
    KOLO_F32 = 8,
    KOLO_F64 = 9
} kolo_type;
#define KOLO_TYPES 10

/** Reduction operators. Integers wrap around. AVG is the sum divided by the number of ranks: rounded once for floating
 *  point, truncated toward zero for integers (the sum itself wraps). MIN and MAX of a NaN and anything is a NaN. */
typedef enum kolo_operator {
    KOLO_SUM = 0,
    KOLO_PROD = 1,
    KOLO_MIN = 2,
    KOLO_MAX = 3,
    KOLO_AVG = 4
} kolo_operator;
#define KOLO_OPERATORS 5

typedef struct kolo_comm
    kolo_comm; /**< a communicator: an ordered group of peers, this process among them */
typedef struct kolo_queue kolo_queue; /**< operations that are done in order, in the background */

/** How to open a communicator. Zero (KOLO_CONFIG_INIT) means: from the environment, else the default.
 *  A value given here wins over the environment. Strings are copied. */
typedef struct kolo_config {
    size_t struct_size; /**< sizeof(kolo_config): lets the structure grow */
    int rank;           /**< -1: from the launcher, else agreed among the peers */
    int size;           /**< number of peers; 0: from KOLO_SIZE or the launcher */
    const char
        *peers; /**< contacts "host:port,..." or "file:PATH" or "dns:NAME:PORT"; NULL: KOLO_PEERS */
    const char *run_id; /**< tells runs apart; NULL: KOLO_RUN_ID or the launcher's job id */
    int port;           /**< the one port to listen on; 0: KOLO_PORT, else chosen by the kernel */
    double open_timeout_s; /**< limit for kolo_open; 0: KOLO_OPEN_TIMEOUT, else 60 */
    double
        timeout_s; /**< limit for an operation in which no byte moves; 0: KOLO_TIMEOUT, else 300 */
    double
        peer_timeout_s; /**< a host silent for this long is lost; 0: KOLO_PEER_TIMEOUT, else 10 */
    const char *
        transport; /**< comma-separated names that may be used ("shm", "verbs", "tcp"); NULL: KOLO_TRANSPORT, else all */
    const char *
        algorithm; /**< force an algorithm by name; NULL: KOLO_ALGORITHM, else the cost model chooses */
    const char *
        interfaces; /**< names ("eth0") or prefixes ("10.1.0.0/16"), comma-separated; NULL: KOLO_INTERFACES */
} kolo_config;
#define KOLO_CONFIG_INIT                                                                           \
    {                                                                                              \
        sizeof(kolo_config), -1, 0, NULL, NULL, 0, 0.0, 0.0, 0.0, NULL, NULL, NULL                 \
    }

/* ---- errors ------------------------------------------------------------------------------------------------------- */

/** The name of a status, for example "KOLO_ERR_PEER_LOST". Never NULL. */
KOLO_API const char *kolo_status_name(kolo_status status);

/** One line about the last error that a kolo call returned in this thread: the exact cause and what to do. "" if none.
 *  Valid until the thread's next kolo call. */
KOLO_API const char *kolo_last_error(void);

/** The version as "0.1.0". */
KOLO_API const char *kolo_version(void);

/* ---- communicators ------------------------------------------------------------------------------------------------ */

/** Open a communicator: find the peers, agree on the ranks, connect.
 *
 *  Returns: KOLO_OK; KOLO_ERR_ARGUMENT if the configuration or environment has no meaning; KOLO_ERR_TIMEOUT if peers are
 *           missing after the limit (the message names them); KOLO_ERR_PEER_LOST, KOLO_ERR_PROTOCOL, KOLO_ERR_SYSTEM.
 *  Out:     comm:   the communicator, to be closed with kolo_close. Assigned on success only.
 *  In:      config: NULL: everything from the environment. With nothing set at all: a communicator of one.
 *  A process may have several open at once; each needs its own run_id, and its own port and peers where these are given.
 *  A child made by fork() must not use the parent's communicators.
 *  Blocks until all peers are connected or the limit has passed. Any thread. */
KOLO_API kolo_status kolo_open(kolo_comm **comm, const kolo_config *config);

/** Close a communicator and free it; NULL is allowed. Operations still queued are ended with KOLO_ERR_ABORTED. Never waits
 *  for a peer for more than a second. No other thread may use `comm` any more. Returns KOLO_OK. */
KOLO_API kolo_status kolo_close(kolo_comm *comm);

/** End everything on this communicator, here and on all peers, with KOLO_ERR_ABORTED: running and queued operations
 *  return, later ones are refused. Does not block. May be called from any thread, while others are inside calls. */
KOLO_API kolo_status kolo_abort(kolo_comm *comm);

/** This process's rank, 0 <= rank < size. Any thread. */
KOLO_API int kolo_rank(const kolo_comm *comm);

/** Number of peers, this one included. Any thread. */
KOLO_API int kolo_size(const kolo_comm *comm);

/** A line a person can read about how this rank reaches `peer`: "rank 3 host-b (10.0.0.7:4242) by tcp". Copied into
 *  `text` (at most `text_bytes`, always terminated). Any thread. */
KOLO_API kolo_status kolo_describe_peer(const kolo_comm *comm, char *text, size_t text_bytes,
                                        int peer);

/** What this communicator has done so far: counters only grow. Any thread. */
typedef struct kolo_statistics {
    size_t struct_size;      /**< In: sizeof(kolo_statistics) */
    uint64_t operations;     /**< operations finished with KOLO_OK */
    uint64_t bytes_sent;     /**< payload bytes sent to peers */
    uint64_t bytes_received; /**< payload bytes received from peers */
    uint64_t busy_ns; /**< time in which an operation was under way; exact over many, not for one */
} kolo_statistics;
KOLO_API kolo_status kolo_get_statistics(kolo_comm *comm, kolo_statistics *statistics);

/* ---- collectives -------------------------------------------------------------------------------------------------- */
/* Common to all:
 *  Returns: KOLO_OK; KOLO_ERR_ARGUMENT (nothing done); KOLO_ERR_MISMATCH (both sides are told which rank asked for what);
 *           KOLO_ERR_PEER_LOST, KOLO_ERR_TIMEOUT, KOLO_ERR_ABORTED: the communicator is of no further use but for
 *           kolo_close, and the contents of `out` are undefined (in place: the input is lost, too).
 *           With a queue: what can be said at once; the outcome is told by kolo_queue_wait or kolo_queue_poll.
 *  In:      count:  elements, not bytes; 0 is allowed and still takes part.
 *           queue:  NULL: return when done. Else return at once; `in` and `out` must stay valid until the queue says done.
 *  `in` and `out` are equal (in place, see each) or do not overlap. Any alignment that suits the type.
 *  The result has the same bits on every rank. */

/** out[i] = operator over all ranks of in[i]; `count` elements each. In place: out == in. */
KOLO_API kolo_status kolo_all_reduce(kolo_comm *comm, void *out, const void *in, size_t count,
                                     kolo_type type, kolo_operator op, kolo_queue *queue);

/** out[i] = operator over all ranks of in[rank * count + i]. `in`: size * count elements, `out`: count elements.
 *  In place: out == in + rank * count elements; the rest of `in` is then undefined afterwards. Otherwise `in` is kept. */
KOLO_API kolo_status kolo_reduce_scatter(kolo_comm *comm, void *out, const void *in, size_t count,
                                         kolo_type type, kolo_operator op, kolo_queue *queue);

/** out[r * count + i] = in[i] of rank r. `in`: count elements, `out`: size * count. In place: in == out + rank * count. */
KOLO_API kolo_status kolo_all_gather(kolo_comm *comm, void *out, const void *in, size_t count,
                                     kolo_type type, kolo_queue *queue);

/** out[i] = in[i] of rank `root`; `count` elements. `in` is read on the root only (NULL elsewhere). In place: out == in. */
KOLO_API kolo_status kolo_broadcast(kolo_comm *comm, void *out, const void *in, size_t count,
                                    kolo_type type, int root, kolo_queue *queue);

/** On rank `root`: out[i] = operator over all ranks of in[i]; `out` is not touched elsewhere (NULL allowed there).
 *  In place on the root: out == in. */
KOLO_API kolo_status kolo_reduce(kolo_comm *comm, void *out, const void *in, size_t count,
                                 kolo_type type, kolo_operator op, int root, kolo_queue *queue);

/** Returns (or the queue gets past it) only after every rank has called it. */
KOLO_API kolo_status kolo_barrier(kolo_comm *comm, kolo_queue *queue);

/* ---- queues ------------------------------------------------------------------------------------------------------- */

/** Create a queue on `comm`. Operations given to it are done in order, in the background, also with those of other
 *  queues and blocking calls of the same communicator, in the order of the calls. To be destroyed before `comm` is closed.
 *  Returns: KOLO_OK, KOLO_ERR_MEMORY, KOLO_ERR_SYSTEM. Out: queue, on success only. Any thread. */
KOLO_API kolo_status kolo_queue_create(kolo_queue **queue, kolo_comm *comm);

/** Wait until everything given to the queue so far is done.
 *  Returns: KOLO_OK, the status of the first operation that failed, or KOLO_ERR_TIMEOUT when `timeout_s` seconds have passed
 *           (nothing is cancelled: wait again). timeout_s < 0: as long as the operations themselves may take. Any thread. */
KOLO_API kolo_status kolo_queue_wait(kolo_queue *queue, double timeout_s);

/** Ask without waiting. Out: done: 1 if everything given so far has ended, else 0.
 *  Returns: KOLO_OK, or the status of the first operation that failed. Any thread. */
KOLO_API kolo_status kolo_queue_poll(kolo_queue *queue, int *done);

/** Wait for what is under way, then free the queue; NULL is allowed. Returns what kolo_queue_wait(queue, -1) does. */
KOLO_API kolo_status kolo_queue_destroy(kolo_queue *queue);

/* ---- memory and types --------------------------------------------------------------------------------------------- */

/** Memory that transports can share or register without a copy: page-aligned, zeroed. NULL if there is none. Any thread. */
KOLO_API void *kolo_alloc(size_t bytes);

/** Free what kolo_alloc gave; NULL is allowed. No operation may be using it. Any thread. */
KOLO_API void kolo_free(void *memory);

/** Tell kolo of host memory that it did not allocate and that will stay: transports may then register it with their devices and
 *  move its bytes without a copy. Nothing is read, written or locked by this call itself; without it (and without
 *  kolo_alloc) any pointer works too, at the price of a copy where a device would have to know the memory.
 *
 *  Returns: KOLO_OK; KOLO_ERR_ARGUMENT if it is NULL, empty or not mapped, or overlaps memory that is registered already or
 *           came from kolo_alloc (which needs no registration); KOLO_ERR_MEMORY.
 *  In:      memory: any alignment. It must stay mapped at this address, to the same pages, until it is unregistered: do not
 *           free, unmap, remap or shrink it before. It is worthwhile for large buffers that are used many times.
 *  Does not block. Any thread. */
KOLO_API kolo_status kolo_register(void *memory, size_t bytes);

/** End what kolo_register began at this address; devices forget the memory before this returns. No operation may be using it.
 *  NULL is allowed. Returns: KOLO_OK, or KOLO_ERR_ARGUMENT if no registered memory begins at `memory`. Any thread. */
KOLO_API kolo_status kolo_unregister(void *memory);

/** Bytes of one element; 0 if `type` is none. */
KOLO_API size_t kolo_type_size(kolo_type type);

/** "f32", "bf16", ...; NULL if `type` is none. */
KOLO_API const char *kolo_type_name(kolo_type type);

/** "sum", "prod", "min", "max", "avg"; NULL if `op` is none. */
KOLO_API const char *kolo_operator_name(kolo_operator op);

#ifdef __cplusplus
}
#endif

#endif
