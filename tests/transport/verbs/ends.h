/* ends: two connected queue pairs with memory, on two devices of the fake, for tests of the fake itself. */
#ifndef KOLO_TESTS_ENDS_H
#define KOLO_TESTS_ENDS_H

#include "tests/transport/verbs/fake/fake.h"

#define END_MEMORY_BYTES 8192u
#define END_SENDS 16u
#define END_RECEIVES 16u
#define END_INLINE_BYTES 64u

struct end {
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq; /* of sends and receives */
    struct ibv_srq *srq;
    struct ibv_qp *qp;
    struct ibv_mr *mr;
    uint8_t *memory;
    unsigned device;
};

/** What differs from the usual; zero: nothing does. */
struct end_wish {
    int cqe;                   /* 128 */
    bool shared;               /* receives through an SRQ */
    unsigned access;           /* of memory and queue pair: all */
    uint8_t timeout, retries;  /* 14 and 7, as pairs usually have */
    uint8_t not_ready_retries; /* 7: for ever */
    uint32_t sends;            /* END_SENDS */
};

/** A new world of two default devices, an end on each, connected. And its end: closes all, asserts that nothing is left. */
void ends_open(struct end *a, struct end *b, const struct end_wish *wish);
void ends_close(struct end *a, struct end *b);

/** Open device `device` of fake_start() and make everything, the queue pair in INIT. Asserts that it works. */
void end_open(struct end *end, unsigned device, const struct end_wish *wish);
/** RTR and RTS, both; over port 1 and GID 2 (or LIDs). */
void ends_connect(struct end *a, struct end *b, const struct end_wish *wish);
void end_close(struct end *end);

/** The address of `end`, as modifying to RTR wants it. */
struct ibv_qp_attr end_address(const struct end *end);
int end_to_receive(struct end *end, struct ibv_qp_attr *attr);
int end_to_send(struct end *end, const struct end_wish *wish);

/** Requests on [offset, offset + bytes) of the end's memory, signalled. `far`: the end whose memory is meant, at the same offset. */
struct ibv_send_wr end_request(struct ibv_sge *sge, const struct end *end, const struct end *far,
                               enum ibv_wr_opcode opcode, size_t offset, size_t bytes, uint64_t id);
int end_send(struct end *end, const struct end *far, enum ibv_wr_opcode opcode, size_t offset,
             size_t bytes, uint64_t id);
int end_receive(struct end *end, size_t offset, size_t bytes, uint64_t id);

/** The next completion, waited for (bounded: the test fails). */
struct ibv_wc end_wait(struct end *end);
/** Assert that the next completion is this one. */
void end_expect(struct end *end, uint64_t id, enum ibv_wc_status status);
/** Nothing is there. */
void end_expect_none(struct end *end);

#endif
