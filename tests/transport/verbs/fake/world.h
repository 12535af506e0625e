/* world: what the fake's files share: the objects behind the verbs' structures, and the one lock over all of them. Every function here
 * is called with the lock held unless it says otherwise. */
#ifndef KOLO_TESTS_FAKE_WORLD_H
#define KOLO_TESTS_FAKE_WORLD_H

#include <pthread.h>

#include "tests/transport/verbs/fake/fake.h"

#define WORLD_PAIRS_MAX 4096u    /* a power of two: the index is the low bits of the number */
#define WORLD_REGIONS_MAX 16384u /* likewise, of the key from bit 8 on */
#define WORLD_SGES_MAX 32u
#define WORLD_PARENTS_MAX 4u
#define WORLD_PIECES_MAX 64u /* of a message: bits of a word */
#define WORLD_WINDOW 4u      /* writes of a queue pair whose payload may be on the way at once */
#define WORLD_INLINE_DEFAULT 256u

/* An object that can be left open. */
struct object {
    struct object *previous, *next;
    const char *kind;
    uint32_t number;
    unsigned children;                        /* that must go first */
    struct object *parent[WORLD_PARENTS_MAX]; /* NULL ends the list */
};

/* Events that wait to be fetched from a descriptor: a counter of the kernel's beside a list, so that it can be polled. */
struct event {
    struct event *next;
    struct ibv_async_event async; /* of a device */
    struct completions *cq;       /* of a completion channel */
};
struct event_queue {
    int fd;
    struct event *first, *last;
};

struct hca {
    struct ibv_device device; /* first: what users see */
    unsigned index;
    bool gone;
    struct fake_device shape;
    union ibv_gid gid[FAKE_PORTS_MAX][FAKE_GIDS_MAX];
    char name[IBV_SYSFS_NAME_MAX];
    uint64_t pinned_bytes;
    unsigned counted_qps, counted_cqs, counted_mrs, counted_pds, counted_srqs;
};

struct context {
    struct object object;
    struct hca *hca;
    struct event_queue events;
    struct verbs_context verbs; /* its `context` is what users see */
};

struct domain {
    struct object object;
    struct ibv_pd pd;
};

struct address_handle {
    struct object object;
    struct ibv_ah ah;
};

struct region {
    struct object object;
    struct ibv_mr mr;
    uint64_t iova; /* how work requests call the first byte */
    uint8_t *host; /* where it is */
    void *mapping; /* of a dma-buf, or NULL */
    size_t mapping_bytes;
    unsigned access;
};

struct channel {
    struct object object;
    struct ibv_comp_channel channel;
    struct event_queue events;
};

/* A completion, with what polling it gives back. */
struct completion {
    struct ibv_wc wc;
    struct queue_pair *pair;
    struct receives *receives; /* a slot of it; or NULL: */
    uint64_t send_position;    /* this and all earlier send slots */
};

struct completions {
    struct object object;
    struct ibv_cq cq;
    struct channel *channel;
    struct completion *slot;
    uint32_t slots;
    uint64_t pushed, polled;
    enum { ARMED_NOT = 0, ARMED_SOLICITED, ARMED_NEXT } armed;
    unsigned unacknowledged;
    bool overrun;
};

struct receive {
    uint64_t id;
    unsigned sges;
    struct ibv_sge *sge;
};

struct receives {
    struct receive *slot;
    struct ibv_sge *sge;
    uint32_t slots, sges_max;
    uint64_t posted, taken, freed;
};

struct shared_receives {
    struct object object;
    struct ibv_srq srq;
    struct receives receives;
    uint32_t limit; /* raise IBV_EVENT_SRQ_LIMIT_REACHED below it; 0: do not */
    unsigned unacknowledged;
};

/* A send request. */
struct work {
    uint64_t id;
    enum ibv_wr_opcode opcode;
    unsigned flags;
    bool signalled;
    __be32 immediate;
    uint64_t remote_address, compare_add, swap;
    uint32_t rkey;
    unsigned sges;
    struct ibv_sge *sge; /* in the pair's storage */
    uint8_t *inlined;    /* likewise: the payload, copied; used if IBV_SEND_INLINE */
    uint64_t length;
    uint64_t posted_ns;
    unsigned pieces; /* 0: not begun */
    uint64_t placed; /* a bit a piece */
};

struct queue_pair {
    struct object object;
    struct ibv_qp qp;
    struct hca *hca;
    struct ibv_qp_init_attr made;
    struct ibv_qp_attr attr; /* as set by ibv_modify_qp(); qp_state is the state */
    /* Sends: freed <= acknowledged <= delivered <= posted. */
    struct work *work;
    struct ibv_sge *work_sge;
    uint8_t *work_inline;
    uint64_t posted, delivered, acknowledged, freed;
    /* Receives */
    struct receives own;
    struct receives *receives; /* own, or the shared ones */
    struct receive matched;    /* the one that the message under way goes to */
    struct ibv_sge matched_sge[WORLD_SGES_MAX];
    bool is_matched;
    /* Waiting for an answer that does not come */
    uint64_t silent_since_ns; /* 0: not */
    uint64_t not_ready_since_ns;
    unsigned not_ready_tries;
    unsigned feign_not_ready;
    unsigned unacknowledged;
};

struct path {
    bool cut;
    uint64_t delay_ns;
};

struct fault {
    unsigned in; /* calls; 0: none */
    int error;
    unsigned calls;
};

struct world {
    pthread_mutex_t lock;
    pthread_cond_t wake;     /* for the thread */
    pthread_cond_t resolved; /* for those in ibv_create_ah() */
    bool holds_resolving;
    pthread_t thread;
    unsigned contexts; /* open; the thread lives while there are any */
    bool thread_runs, thread_ends;
    struct object objects; /* a ring of all that are open */
    struct hca hca[FAKE_DEVICES_MAX];
    unsigned hcas;
    struct path path[FAKE_DEVICES_MAX][FAKE_PORTS_MAX][FAKE_DEVICES_MAX][FAKE_PORTS_MAX];
    struct queue_pair *pair[WORLD_PAIRS_MAX];
    struct queue_pair *made[WORLD_PAIRS_MAX]; /* the same, in order of creation */
    unsigned pairs;
    uint32_t pair_serial;
    struct region *region[WORLD_REGIONS_MAX];
    uint32_t region_serial;
    struct fault fault[FAKE_VERB_COUNT];
    enum fake_order order;
    uint64_t random;
    bool garbage;
    unsigned speed;
    uint64_t clock_real_ns, clock_ns; /* a point of both clocks */
    const uint8_t *device_memory;
    size_t device_memory_bytes;
};

extern struct world world;

void world_lock(void);
void world_unlock(void);
uint64_t world_now_ns(void);           /* the world's clock */
uint64_t world_random(uint64_t below); /* 0 <= value < below */
/** One call of the verb: 0, or the errno with which it fails (a fault, or EIO where `hca` is given and gone). */
int world_verb(enum fake_verb verb, const struct hca *hca);

/** Register an object as open. */
void object_open(struct object *object, const char *kind, uint32_t number);
/** `parent` cannot go before it. */
void object_needs(struct object *object, struct object *parent);
/** 0, or EBUSY if it has children. */
int object_close(struct object *object);

/* event.c */
int events_open(struct event_queue *queue); /* 0 or errno */
void events_close(struct event_queue *queue);
void events_push(struct event_queue *queue, const struct event *event);
/** Without the lock: waits as the descriptor's O_NONBLOCK says. False: errno is set. */
bool events_pop(struct event *event, struct event_queue *queue);
/** Drop the events that are about this object (the pointer that users see). */
void events_drop(struct event_queue *queue, const void *about);
void event_raise(struct ibv_context *context, enum ibv_event_type type, void *element, int port);
/** Abort, because the real function would wait for ever. */
void event_demand_acknowledged(unsigned count, const char *verb);

/* memory.c */
struct stretch {
    uint8_t *host;
    size_t bytes;
};
/** Where work requests' memory is. False: a key, range or right is wrong. Out: stretch[sges]. */
bool region_local(struct stretch *stretch, const struct ibv_pd *pd, const struct ibv_sge *sge,
                  unsigned sges, unsigned access);
bool region_remote(struct stretch *stretch, const struct ibv_pd *pd, uint32_t rkey,
                   uint64_t address, uint64_t bytes, unsigned access);

/* completion.c */
void completion_push(struct completions *cq, const struct completion *completion, bool solicited);
void completions_forget(struct completions *cq, const struct queue_pair *pair);
int completions_poll(struct ibv_cq *cq, int entries, struct ibv_wc *wc);
int completions_notify(struct ibv_cq *cq, int solicited_only);

/* receive.c */
bool receives_open(struct receives *receives, uint32_t slots, uint32_t sges_max);
void receives_close(struct receives *receives);
int receives_post(struct receives *receives, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
int shared_post(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);

/* queue_pair.c */
struct queue_pair *pair_find(uint32_t number); /* NULL: none */
struct completions *pair_send_cq(const struct queue_pair *pair);
struct completions *pair_receive_cq(const struct queue_pair *pair);
/** To the error state: everything posted is flushed, in order. */
void pair_fail(struct queue_pair *pair);
/** Complete the oldest unacknowledged send: always if it is an error, else if it is signalled. */
void pair_complete_send(struct queue_pair *pair, enum ibv_wc_status status);
/** Complete a receive that was taken. */
void pair_complete_receive(struct queue_pair *pair, const struct receive *receive,
                           enum ibv_wc_status status, const struct work *work);

/* post.c */
int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
int post_receive(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);

/* fabric.c */
/** What a poll does, as the order says. */
void fabric_poll(void);
unsigned fabric_steps(unsigned steps);
bool fabric_pending(void);
/** The thread: started with the first context, ended with the last. Without the lock. */
void fabric_start(void);
void fabric_end(void);
/** Wake the thread, if it sleeps for lack of work. */
void fabric_wake(void);

/* route.c */
/** The port that an address leads to from a pair's; false: none. Out: device and port (from 0). */
bool route_find(unsigned *device, unsigned *port, const struct hca *from, unsigned from_port,
                const struct ibv_ah_attr *to);
/** The other end of a connected pair, if a packet sent now would be taken there. NULL: it is lost. Out: delay_ns. */
struct queue_pair *route_peer(const struct queue_pair *pair, uint64_t *delay_ns);

/* transfer.c */
enum outcome { OUTCOME_DONE = 0, OUTCOME_NOT_READY, OUTCOME_ERROR };
/** Make a request ready to place (takes the receive of a send, checks all rights). Out: on OUTCOME_ERROR: what the sender sees, and what the
 *  receiver's side suffers has been done. `is_first`: it is the oldest undelivered one; if not, errors are left for later. */
enum outcome transfer_begin(struct queue_pair *pair, struct queue_pair *peer, struct work *work,
                            bool is_first, enum ibv_wc_status *status);
/** Place one piece. */
enum outcome transfer_place(struct queue_pair *pair, struct queue_pair *peer, struct work *work,
                            unsigned piece, enum ibv_wc_status *status);
/** After the last piece: the receiver's completion, if there is one. */
enum outcome transfer_end(struct queue_pair *pair, struct queue_pair *peer, struct work *work);

#define WORLD_OWNER(pointer, type, member)                                                         \
    ((type *)(void *)((uint8_t *)(uintptr_t)(pointer)-offsetof(type, member)))

static inline struct context *context_of(const struct ibv_context *context)
{
    return WORLD_OWNER(context, struct context, verbs.context);
}

#endif
