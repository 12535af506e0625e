/* link_verbs_bench: what the RDMA tests share: the device, its queue pairs and buffers, how the other end is reached, and posting and
 * polling. Streams (bandwidth) and ping-pongs (latency) are in files of their own. */
#ifndef KOLO_TOOLS_LINK_VERBS_BENCH_H
#define KOLO_TOOLS_LINK_VERBS_BENCH_H

#include <infiniband/verbs.h>

#include "tools/link_bench.h"
#include "tools/link_buffer.h"
#include "transport/verbs/cm.h"
#include "transport/verbs/device.h"
#include "transport/verbs/pair.h"

#define LINK_VERBS_BATCH 16         /* completions polled at once, receives posted at once */
#define LINK_VERBS_PAGE_BYTES 4096u /* within which small messages walk */
#define LINK_VERBS_POLLS (1u << 12) /* empty polls between two looks at the control connection */
#define LINK_VERBS_ATOMIC_BYTES 8
#define LINK_VERBS_GRANTS_MAX 4 /* writes of a lane's count of receives on their way at once */

struct link_verbs_bench;

/** One queue pair and its memory. Offsets are within the bench's buffers, the same on both ends. */
struct link_verbs_lane {
    struct link_verbs_bench *bench; /* with rdma_cm */
    struct pair *pair;
    struct pair own; /* connected by addresses; by rdma_cm, the pair is the connection's */
    struct cm_connection *connection;
    uint64_t out_offset, in_offset;
    uint32_t receives;    /* posted and not completed */
    uint32_t next_slot;   /* for the next receive */
    uint32_t in_flight;   /* sends posted and not known to be done */
    uint32_t unsignalled; /* of them, since the last that asked for a completion */
    uint64_t left;        /* messages that may still be posted in this run */
    uint64_t posted;      /* in this run */
    uint64_t cycle;       /* where in its page the next small message is */

    /* flow control, of the connection's whole life */
    uint64_t sent; /* messages posted */
    uint64_t given,
        told;        /* receives posted here; of them, as many as the other end has been told of */
    uint32_t grants; /* writes that tell so, not known to be done */
};

struct link_verbs_remote {
    uint64_t out_address, in_address; /* of the other end's buffers */
    uint32_t out_key, in_key;
};

struct link_verbs_bench {
    struct link_bench bench;
    struct devices devices;           /* all, as opened */
    struct devices chosen;            /* the one port; not to be closed */
    const struct device_port *port;   /* of `chosen` */
    struct ibv_comp_channel *channel; /* NULL: polling */
    struct ibv_cq *send_cq, *receive_cq;
    struct link_buffer out, in, expected; /* expected: one message, when validated */
    struct ibv_mr *out_mr, *in_mr;
    struct link_verbs_lane lanes[LINK_PAIRS_MAX];
    struct link_verbs_remote remote;
    struct cm *cm;                        /* NULL: connected by addresses */
    struct sockaddr_storage listening;    /* server: where rdma_cm listens */
    uint64_t out_stride, in_stride;       /* of a lane */
    uint64_t slot_bytes;                  /* of a receive */
    uint32_t slots, receive_depth;        /* of a lane */
    uint32_t send_depth;                  /* work requests of a queue pair */
    uint32_t send_events, receive_events; /* taken from the channel and not acknowledged */
    uint32_t idle_polls;
    uint64_t reaped;        /* messages known to be sent that link_verbs_reap() has not told of */
    bool credited;          /* no more is sent than the other end has posted receives for */
    uint64_t credit_offset; /* in both buffers: the lanes' counts of receives */

    /* of a run */
    const struct link_run *run;
    enum ibv_wr_opcode opcode;
    unsigned inline_flag;     /* IBV_SEND_INLINE or 0 */
    uint32_t signal_interval; /* sends for one completion */
    uint64_t received;        /* messages */
    uint64_t wrong;
    bool said_done, heard_done;
    uint64_t promised[LINK_PAIRS_MAX];
};

/** Make all that the chosen port is used with: queues, memory, queue pairs (with rdma_cm: what listens). KOLO_ERR_ARGUMENT: what is asked
 *  for is not possible with it. Undone by link_verbs_unmake() in any case. */
kolo_status link_verbs_make(struct link_verbs_bench *bench);
void link_verbs_unmake(struct link_verbs_bench *bench);

/** How this end is reached; and connecting to the other. */
void link_verbs_put_address(struct wire_writer *address, const struct link_verbs_bench *bench);
kolo_status link_verbs_connect(struct link_verbs_bench *bench, struct wire_reader *address,
                               uint64_t deadline_ns);

/** Messages of at most so many bytes are to go inline in these modes (bits). */
uint32_t link_verbs_inline(const struct link_verbs_bench *bench, unsigned modes);

/** Does the test consume receives at the target? */
bool link_verbs_receives(const struct link_verbs_bench *bench);
/** Is its latency that of a ping-pong? */
bool link_verbs_answers(const struct link_verbs_bench *bench);

/** Post receives on a lane until there are receive_depth of them. */
kolo_status link_verbs_fill(struct link_verbs_bench *bench, struct link_verbs_lane *lane);

/** Post `count` messages (<= LINK_POST_LIST_MAX) on a lane with one doorbell; `last`: the last of them asks for a completion in any case. */
kolo_status link_verbs_post(struct link_verbs_bench *bench, struct link_verbs_lane *lane,
                            uint32_t count, bool last);

/** Ask for a completion after everything that is posted on a lane: by a write of no bytes, of which the other end sees nothing. There is
 *  room for it beyond the depth. */
kolo_status link_verbs_flush(struct link_verbs_bench *bench, struct link_verbs_lane *lane);

/** Reap sends. Out: done: messages of all lanes. */
kolo_status link_verbs_reap(struct link_verbs_bench *bench, uint32_t *done);

/** The same, for link_verbs_reap() to tell of later. */
kolo_status link_verbs_collect(struct link_verbs_bench *bench);

/** Messages that the other end has room for. */
uint32_t link_verbs_room(const struct link_verbs_bench *bench, const struct link_verbs_lane *lane);
static inline uint32_t link_verbs_credit(const struct link_verbs_bench *bench,
                                         const struct link_verbs_lane *lane)
{
    return bench->credited ? link_verbs_room(bench, lane) : UINT32_MAX;
}

/** Of a credited bench: tell the other end of receives posted since it was told last, where they are worth it. */
kolo_status link_verbs_grant(struct link_verbs_bench *bench);
/** What the counts take at the end of each buffer. */
uint64_t link_verbs_credit_bytes(const struct link_verbs_bench *bench);

/** Take what has been received, and post receives again. Out: came: messages. */
kolo_status link_verbs_take(struct link_verbs_bench *bench, uint32_t *came);

/** Nothing has come: look at the control connection; with events, sleep. */
kolo_status link_verbs_rest(struct link_verbs_bench *bench);

/** The two modes. */
kolo_status link_verbs_stream(struct link_verbs_bench *bench, struct link_outcome *outcome);
kolo_status link_verbs_ping(struct link_verbs_bench *bench, struct link_outcome *outcome);

/** Queue pairs through rdma_cm: the server listens, the client dials. */
kolo_status link_verbs_cm_listen(struct link_verbs_bench *bench);
kolo_status link_verbs_cm_connect(struct link_verbs_bench *bench, struct wire_reader *address,
                                  uint64_t deadline_ns);
void link_verbs_cm_put(struct wire_writer *writer, const struct link_verbs_bench *bench);

/** What every queue pair of this bench is made like. */
void link_verbs_shape(struct pair_shape *shape, struct pair_settings *settings,
                      const struct link_verbs_bench *bench);

#endif
