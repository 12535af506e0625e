/* Sends meet receives: the k-th send from one rank to another on a lane and the k-th receive there, for all k. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/verify_parts.h"

/* Each rank's messages of one direction, ordered by peer, lane and list order. */
struct match {
    struct proof *proof;
    uint32_t *received; /* [all] indexes; rank's part begins at base[rank] */
    uint32_t *receives; /* [size] how many */
    uint32_t *taken;    /* [size] how many of them have met their send */
    uint32_t *sent;     /* [most instructions of a rank] the same for one sender */
    uint32_t *count;    /* [size * lanes + 1] */
};

static bool is_send(const struct instruction *instruction)
{
    return instruction->kind == INSTRUCTION_SEND;
}

static bool is_receive(const struct instruction *instruction)
{
    return instruction->kind == INSTRUCTION_RECEIVE ||
           instruction->kind == INSTRUCTION_RECEIVE_REDUCE;
}

static uint32_t channel(const struct instruction *instruction)
{
    return instruction->peer * SCHEDULE_LANES + instruction->lane;
}

/* Counting sort of the wanted instructions by peer and lane. Returns how many; notes who follows whom on a lane. */
static uint32_t sort_messages(struct match *match, uint32_t *sorted,
                              const struct schedule *schedule,
                              bool (*wanted)(const struct instruction *))
{
    uint32_t channels = match->proof->size * SCHEDULE_LANES, all = 0;
    uint32_t *lane_next = &match->proof->lane_next[match->proof->base[schedule->rank]];
    memset(match->count, 0, (channels + 1) * sizeof *match->count);
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        if (wanted(&schedule->instruction[i])) {
            match->count[channel(&schedule->instruction[i]) + 1]++;
            all++;
        }
    }
    for (uint32_t i = 1; i <= channels; i++) {
        match->count[i] += match->count[i - 1];
    }
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        if (wanted(&schedule->instruction[i])) {
            sorted[match->count[channel(&schedule->instruction[i])]++] = i;
        }
    }
    for (uint32_t i = 1; i < all; i++) {
        bool same = channel(&schedule->instruction[sorted[i - 1]]) ==
                    channel(&schedule->instruction[sorted[i]]);
        lane_next[sorted[i - 1]] = same ? sorted[i] : NOBODY;
    }
    return all;
}

static kolo_status lonely(const struct match *match, uint32_t rank, uint32_t index)
{
    const struct instruction *instruction = &match->proof->schedules[rank]->instruction[index];
    bool send = is_send(instruction);
    return verify_wrong(
        match->proof->report,
        "rank %u, instruction %u: %s rank %u on lane %u of chunks %u..%u meets no %s", rank, index,
        send ? "the send to" : "the receive from", instruction->peer, instruction->lane,
        instruction->chunk, instruction->chunk + instruction->chunks - 1,
        send ? "receive" : "send");
}

/* The next receive of the peer, in the order of senders and lanes, must be the other end of this send. */
static kolo_status meet(struct match *match, uint32_t rank, uint32_t index)
{
    struct proof *proof = match->proof;
    const struct instruction *send = &proof->schedules[rank]->instruction[index];
    uint32_t peer = send->peer;
    if (match->taken[peer] == match->receives[peer]) {
        return lonely(match, rank, index);
    }
    uint32_t other = match->received[proof->base[peer] + match->taken[peer]];
    const struct instruction *receive = &proof->schedules[peer]->instruction[other];
    if (receive->peer != rank || receive->lane != send->lane) {
        bool earlier = channel(receive) < rank * SCHEDULE_LANES + send->lane;
        return earlier ? lonely(match, peer, other) : lonely(match, rank, index);
    }
    if (receive->chunk != send->chunk || receive->chunks != send->chunks) {
        return verify_wrong(proof->report,
                            "rank %u, instruction %u sends %u chunks from %u on; rank %u, "
                            "instruction %u expects %u chunks from %u on",
                            rank, index, send->chunks, send->chunk, peer, other, receive->chunks,
                            receive->chunk);
    }
    match->taken[peer]++;
    proof->partner[proof->base[rank] + index] = other;
    proof->partner[proof->base[peer] + other] = index;
    return KOLO_OK;
}

/* Senders in the order of ranks, so that each receiver's list is used up from the front. */
static kolo_status match_all(struct match *match)
{
    struct proof *proof = match->proof;
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        match->receives[rank] = sort_messages(match, &match->received[proof->base[rank]],
                                              proof->schedules[rank], is_receive);
    }
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        uint32_t sends = sort_messages(match, match->sent, proof->schedules[rank], is_send);
        proof->report->messages += sends;
        for (uint32_t i = 0; i < sends; i++) {
            kolo_status status = meet(match, rank, match->sent[i]);
            if (status != KOLO_OK) {
                return status;
            }
        }
    }
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        if (match->taken[rank] < match->receives[rank]) {
            return lonely(match, rank, match->received[proof->base[rank] + match->taken[rank]]);
        }
    }
    return KOLO_OK;
}

static uint32_t instructions_most(const struct proof *proof)
{
    uint32_t most = 0;
    for (uint32_t rank = 0; rank < proof->size; rank++) {
        uint32_t instructions = proof->schedules[rank]->instructions;
        most = instructions > most ? instructions : most;
    }
    return most;
}

kolo_status verify_match(struct proof *proof)
{
    uint32_t all = proof->base[proof->size];
    size_t channels = (size_t)proof->size * SCHEDULE_LANES;
    struct match match = {.proof = proof};
    match.received = malloc(((size_t)all + 1) * sizeof *match.received);
    match.receives = calloc(proof->size, sizeof *match.receives);
    match.taken = calloc(proof->size, sizeof *match.taken);
    match.sent = calloc((size_t)instructions_most(proof) + 1, sizeof *match.sent);
    match.count = malloc((channels + 1) * sizeof *match.count);
    bool room = match.received && match.receives && match.taken && match.sent && match.count;
    memset(proof->lane_next, 0xff, all * sizeof *proof->lane_next);
    kolo_status status = room ? match_all(&match) : verify_starved(proof->report);
    free(match.received);
    free(match.receives);
    free(match.taken);
    free(match.sent);
    free(match.count);
    return status;
}
