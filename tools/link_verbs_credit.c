/* Flow control for sends where the device has none: iWARP knows no "receiver not ready", and a send that finds no receive posted ends the
 * connection. So the receiver writes to the sender's memory how many receives it has posted in all, once a quarter of them is new, and
 * the sender never sends more. The counts live as long as the queue pair: runs do not reset them.
 *
 * A count may be seen half written. It is then too small, never too large, since its low bytes come first; the next look sees it whole. */
#include <assert.h>
#include <string.h>

#include "runtime/base/status.h"
#include "tools/link_verbs_bench.h"

#define COUNT_BYTES sizeof(uint64_t)
#define NEW_PART 4 /* this part of the receives, posted anew, is worth a write */

uint64_t link_verbs_credit_bytes(const struct link_verbs_bench *bench)
{
    return bench->credited ? bench->bench.place->request->pairs * COUNT_BYTES : 0;
}

static uint64_t count_offset(const struct link_verbs_bench *bench,
                             const struct link_verbs_lane *lane)
{
    return bench->credit_offset + (uint64_t)(lane - bench->lanes) * COUNT_BYTES;
}

uint32_t link_verbs_room(const struct link_verbs_bench *bench, const struct link_verbs_lane *lane)
{
    const uint64_t *granted = (const uint64_t *)(bench->in.bytes + count_offset(bench, lane));
    int64_t more = (int64_t)(__atomic_load_n(granted, __ATOMIC_RELAXED) - lane->sent);
    return more <= 0 ? 0 : more < UINT32_MAX ? (uint32_t)more : UINT32_MAX;
}

static kolo_status write_count(struct link_verbs_bench *bench, struct link_verbs_lane *lane)
{
    uint64_t offset = count_offset(bench, lane), index = (uint64_t)(lane - bench->lanes) << 32;
    uint8_t *count =
        bench->out.bytes + offset; /* one on its way may take the newer value with it */
    memcpy(count, &lane->given, sizeof lane->given);
    struct ibv_sge piece = {
        .addr = (uintptr_t)count, .length = COUNT_BYTES, .lkey = bench->out_mr->lkey};
    struct ibv_send_wr request = {.wr_id = index, /* no messages */
                                  .sg_list = &piece,
                                  .num_sge = 1,
                                  .opcode = IBV_WR_RDMA_WRITE,
                                  .send_flags = IBV_SEND_SIGNALED,
                                  .wr.rdma.remote_addr = bench->remote.in_address + offset,
                                  .wr.rdma.rkey = bench->remote.in_key};
    struct ibv_send_wr *bad = NULL;
    int error = ibv_post_send(lane->pair->qp, &request, &bad);
    if (error != 0) {
        return fail_quietly(KOLO_ERR_SYSTEM, "%s: cannot post a write: %s", bench->port->name,
                            strerror(error < 0 ? -error : error));
    }
    lane->told = lane->given;
    lane->grants++;
    return KOLO_OK;
}

kolo_status link_verbs_grant(struct link_verbs_bench *bench)
{
    kolo_status status = KOLO_OK;
    assert(bench->credited);
    for (unsigned i = 0; i < bench->bench.place->request->pairs && status == KOLO_OK; i++) {
        struct link_verbs_lane *lane = &bench->lanes[i];
        if (lane->given == lane->told ||
            lane->given - lane->told < bench->receive_depth / NEW_PART) {
            continue;
        }
        if (lane->grants == LINK_VERBS_GRANTS_MAX) {
            status = link_verbs_collect(bench); /* the side that only receives reaps nowhere else */
        }
        if (status == KOLO_OK && lane->grants < LINK_VERBS_GRANTS_MAX) {
            status = write_count(bench, lane);
        }
    }
    return status;
}
