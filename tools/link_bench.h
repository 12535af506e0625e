/* link_bench: one kind of test, as both ends of it see it: what it needs is made once (open, connect), then it runs at every size in
 * every mode. Client and server run the same functions at the same time; who sends is in the request. The rows: link_tcp,
 * link_message, link_verbs. */
#ifndef KOLO_TOOLS_LINK_BENCH_H
#define KOLO_TOOLS_LINK_BENCH_H

#include "tools/link.h"
#include "tools/link_control.h"
#include "tools/link_meter.h"
#include "tools/link_sample.h"

#define LINK_DONE_STREAMS LINK_PAIRS_MAX
#define LINK_RUN_GRACE_NS 20000000000ULL        /* that a run may take longer than asked for */
#define LINK_RUN_ITERATIONS_NS 3600000000000ULL /* that iterations may take in all */

/** Where a bench runs. Borrowed for its life. */
struct link_place {
    const struct link_request *request;
    enum link_test test;
    enum link_side side;
    struct link_control *control;
    uint64_t token;   /* of the session */
    const char *host; /* client: the server, as it was named */
    int port;         /* client: of the server */
    int streams_fd; /* server: where accepted streams come from (link_stream.h); -1 in the client */
};

/** One measurement. */
struct link_run {
    enum link_mode mode;
    uint64_t size_bytes;
    uint32_t depth; /* messages in flight on each pair */
    uint64_t deadline_ns;
};

/** What one end has found. The sender or the receiver meters, as the test likes; the other end's rate is zero. */
struct link_outcome {
    bool sent_metered; /* `rate` is what this side sent; else what it received */
    struct link_rate rate;
    struct link_times times_us;
    uint64_t iterations; /* of times_us; 0: this side measured none */
    uint64_t wrong;      /* messages that were not what was sent */
    double processor_percent;
};

struct link_bench {
    const struct link_bench_ops *ops;
    const struct link_place *place;
};

struct link_bench_ops {
    /** Make this end, and describe to the other (`address`) how it is reached. host: device, description and rate are filled in.
     *  Freed by close(), which is also called after a failed connect(). */
    kolo_status (*open)(struct link_bench **bench, struct wire_writer *address,
                        struct link_host *host, const struct link_place *place);
    /** Connect to the other end. Both ends are in connect() at the same time; bounded by `deadline_ns`. */
    kolo_status (*connect)(struct link_bench *bench, struct wire_reader *address,
                           uint64_t deadline_ns);
    /** Be ready for what the other end sends in this run. Does not wait. */
    kolo_status (*prepare)(struct link_bench *bench, const struct link_run *run);
    /** Run. Both ends have prepared. Returns when both have said that they are done; bounded by run->deadline_ns. */
    kolo_status (*run)(struct link_bench *bench, const struct link_run *run,
                       struct link_outcome *outcome);
    void (*close)(struct link_bench *bench);
};

/** The row of a test; NULL if this kolo was built without it. */
const struct link_bench_ops *link_bench_ops(enum link_test test);

/** The run of a size; its deadline counts from now. */
void link_bench_run(struct link_run *run, const struct link_request *request, enum link_mode mode,
                    uint64_t size_bytes);

/** When this side stops sending, by the clock: after warm-up, duration and a little more than the receiver meters. CLOCK_FOREVER if
 *  iterations decide. Out: messages: of each pair; UINT64_MAX if the time decides. */
uint64_t link_bench_end_ns(uint64_t *messages, const struct link_request *request);

/** Does this side send the first message of a ping-pong, and take the times? */
bool link_bench_begins(const struct link_place *place);

/** Within a run: I send no more, and this is what I have sent (bytes, or messages, of each stream). */
kolo_status link_bench_say_done(const struct link_place *place, const uint64_t *sent, size_t count);

/** Has the other end said so? Out: done; sent[count] then. Does not wait. */
kolo_status link_bench_hear_done(const struct link_place *place, bool *done, uint64_t *sent,
                                 size_t count);
/** The same, waiting. */
kolo_status link_bench_await_done(const struct link_place *place, uint64_t *sent, size_t count,
                                  uint64_t deadline_ns);

/** Prepare and run, with the processor time that it took; the outcomes of both sides are then exchanged by the caller. */
kolo_status link_bench_measure(struct link_bench *bench, const struct link_run *run,
                               struct link_outcome *outcome);

void link_outcome_put(struct wire_writer *writer, const struct link_outcome *outcome);
void link_outcome_get(struct wire_reader *reader, struct link_outcome *outcome);

extern const struct link_bench_ops link_tcp;
extern const struct link_bench_ops link_message;
extern const struct link_bench_ops link_verbs;

#endif
