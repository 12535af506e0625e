/* Runs all ranks at once on symbols. A send and its receive are one event; an event is ready when everything that its ends wait
 * for (dependencies, and the message before it on the lane) has happened. No message is ever stored on the way: so if all
 * events happen here, they do with any amount of buffering (no deadlock at zero credit). Since conflicting accesses are
 * ordered (verify_order), one order of events shows what all orders do. */
#include <assert.h>
#include <stdlib.h>

#include "collectives/verify_memory.h"
#include "collectives/verify_parts.h"
#include "collectives/verify_run.h"

struct event {
    uint32_t rank;
    uint32_t index;
};

struct flow {
    const struct proof *proof;
    struct run run;
    uint32_t *pending;  /* [all] what the instruction still waits for */
    uint32_t *follower; /* [all + 1] where its followers begin in `followers` */
    uint32_t *followers;
    uint32_t *depth; /* [all] messages, one after another, until it is done (a send: before it) */
    struct event *ready;
    uint32_t ready_count;
    uint64_t done;
};

static uint32_t number(const struct flow *flow, uint32_t rank, uint32_t index)
{
    return flow->proof->base[rank] + index;
}

static const struct instruction *at(const struct flow *flow, uint32_t rank, uint32_t index)
{
    return &flow->proof->schedules[rank]->instruction[index];
}

static bool is_message(const struct instruction *instruction)
{
    return instruction->kind != INSTRUCTION_COPY && instruction->kind != INSTRUCTION_FOLD;
}

/* ---- the graph ---------------------------------------------------------------------------------------------------- */

static void count_rank(struct flow *flow, const struct schedule *schedule)
{
    uint32_t base = flow->proof->base[schedule->rank];
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        flow->pending[base + i] += instruction->dependencies;
        for (uint32_t d = 0; d < instruction->dependencies; d++) {
            flow->follower[base + schedule->dependency[instruction->dependency + d].on]++;
        }
        if (flow->proof->lane_next[base + i] != NOBODY) {
            flow->pending[base + flow->proof->lane_next[base + i]]++;
        }
    }
}

/* follower[] holds each instruction's end when this begins, and its beginning when it is over. */
static void fill_rank(struct flow *flow, const struct schedule *schedule)
{
    uint32_t base = flow->proof->base[schedule->rank];
    for (uint32_t i = schedule->instructions; i-- > 0;) {
        const struct instruction *instruction = &schedule->instruction[i];
        for (uint32_t d = 0; d < instruction->dependencies; d++) {
            uint32_t on = base + schedule->dependency[instruction->dependency + d].on;
            flow->followers[--flow->follower[on]] = i;
        }
    }
}

static uint64_t dependencies_of_all(const struct proof *proof)
{
    uint64_t all = 0;
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        const struct schedule *schedule = proof->schedules[rank];
        for (uint32_t i = 0; i < schedule->instructions; i++) {
            all += schedule->instruction[i].dependencies;
        }
    }
    return all;
}

static bool graph_alloc(struct flow *flow, uint32_t all, uint64_t dependencies)
{
    if (dependencies > UINT32_MAX) {
        return false;
    }
    flow->pending = calloc((size_t)all + 1, sizeof *flow->pending);
    flow->follower = calloc((size_t)all + 1, sizeof *flow->follower);
    flow->followers = malloc((dependencies + 1) * sizeof *flow->followers);
    flow->depth = calloc((size_t)all + 1, sizeof *flow->depth);
    flow->ready = calloc((size_t)all + 1, sizeof *flow->ready);
    return flow->pending && flow->follower && flow->followers && flow->depth && flow->ready;
}

static bool graph_build(struct flow *flow)
{
    const struct proof *proof = flow->proof;
    uint32_t all = proof->base[proof->size];
    if (!graph_alloc(flow, all, dependencies_of_all(proof))) {
        return false;
    }
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        count_rank(flow, proof->schedules[rank]);
    }
    for (uint32_t i = 1; i <= all; i++) {
        flow->follower[i] += flow->follower[i - 1];
    }
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        fill_rank(flow, proof->schedules[rank]);
    }
    return true;
}

static void graph_free(struct flow *flow)
{
    free(flow->pending);
    free(flow->follower);
    free(flow->followers);
    free(flow->depth);
    free(flow->ready);
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

/* A message is put on the list by whichever end becomes ready last. */
static void push_if_ready(struct flow *flow, uint32_t rank, uint32_t index)
{
    const struct instruction *instruction = at(flow, rank, index);
    if (flow->pending[number(flow, rank, index)] != 0) {
        return;
    }
    if (is_message(instruction)) {
        uint32_t partner = flow->proof->partner[number(flow, rank, index)];
        if (flow->pending[number(flow, instruction->peer, partner)] != 0) {
            return;
        }
    }
    flow->ready[flow->ready_count++] = (struct event){rank, index};
}

static void satisfy(struct flow *flow, uint32_t rank, uint32_t index, uint32_t depth)
{
    uint32_t follower = number(flow, rank, index);
    assert(flow->pending[follower] > 0);
    if (flow->depth[follower] < depth) {
        flow->depth[follower] = depth;
    }
    flow->pending[follower]--;
    push_if_ready(flow, rank, index);
}

/* The instruction has happened: those that waited for it wait for one less. The order of a lane costs no latency. */
static void finish(struct flow *flow, uint32_t rank, uint32_t index)
{
    uint32_t self = number(flow, rank, index);
    uint32_t end = flow->follower[self + 1];
    flow->done++;
    for (uint32_t i = flow->follower[self]; i < end; i++) {
        satisfy(flow, rank, flow->followers[i], flow->depth[self]);
    }
    if (flow->proof->lane_next[self] != NOBODY) {
        satisfy(flow, rank, flow->proof->lane_next[self], 0);
    }
}

static kolo_status happen(struct flow *flow, struct event event)
{
    const struct instruction *instruction = at(flow, event.rank, event.index);
    if (!is_message(instruction)) {
        kolo_status status = verify_run_local(&flow->run, event.rank, event.index);
        finish(flow, event.rank, event.index);
        return status;
    }
    struct event other = {instruction->peer,
                          flow->proof->partner[number(flow, event.rank, event.index)]};
    struct event send = instruction->kind == INSTRUCTION_SEND ? event : other;
    struct event receive = instruction->kind == INSTRUCTION_SEND ? other : event;
    kolo_status status =
        verify_run_message(&flow->run, send.rank, send.index, receive.rank, receive.index);
    const uint32_t *sent = &flow->depth[number(flow, send.rank, send.index)];
    uint32_t *received = &flow->depth[number(flow, receive.rank, receive.index)];
    *received = *received > *sent + 1 ? *received : *sent + 1;
    if (flow->proof->report->rounds < *received) {
        flow->proof->report->rounds = *received;
    }
    flow->pending[number(flow, send.rank, send.index)] = NOBODY; /* has happened */
    flow->pending[number(flow, receive.rank, receive.index)] = NOBODY;
    finish(flow, send.rank, send.index);
    finish(flow, receive.rank, receive.index);
    return status;
}

/* Those that wait for nothing. A message's receive waits for its send to be looked at: so it is listed once. */
static void push_first(struct flow *flow)
{
    for (uint32_t rank = 0; rank < flow->proof->size; rank++) {
        for (uint32_t i = 0; i < flow->proof->schedules[rank]->instructions; i++) {
            uint8_t kind = at(flow, rank, i)->kind;
            if (kind != INSTRUCTION_RECEIVE && kind != INSTRUCTION_RECEIVE_REDUCE) {
                push_if_ready(flow, rank, i);
            }
        }
    }
}

/* Name one instruction of the cycle, or behind it. */
static kolo_status deadlock(const struct flow *flow)
{
    const struct proof *proof = flow->proof;
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        for (uint32_t i = 0; i < proof->schedules[rank]->instructions; i++) {
            uint32_t pending = flow->pending[number(flow, rank, i)];
            if (pending != 0 && pending != NOBODY) {
                return verify_wrong(proof->report,
                                    "deadlock: %llu instructions wait for each other, among them "
                                    "rank %u, instruction %u",
                                    (unsigned long long)(proof->base[proof->size] - flow->done),
                                    rank, i);
            }
        }
    }
    return verify_wrong(proof->report, "deadlock");
}

static kolo_status flow_all(struct flow *flow)
{
    push_first(flow);
    while (flow->ready_count > 0) {
        kolo_status status = happen(flow, flow->ready[--flow->ready_count]);
        if (status != KOLO_OK) {
            return status;
        }
    }
    return flow->done == flow->proof->base[flow->proof->size] ? verify_run_end(&flow->run)
                                                              : deadlock(flow);
}

kolo_status verify_flow(const struct proof *proof)
{
    struct flow flow = {.proof = proof};
    kolo_status status = verify_run_init(&flow.run, proof);
    if (status == KOLO_OK) {
        status = graph_build(&flow) ? flow_all(&flow) : verify_starved(proof->report);
        graph_free(&flow);
        verify_run_free(&flow.run);
    }
    return status;
}
