/* Payload that is placed in any order, over memory full of noise: what a receive says has come is right from that moment on, no byte
 * is written where none is allowed yet, and memory that a send gives back can be overwritten at once. */
#include <stdlib.h>

#include "tests/transport/verbs/stand.h"

#define SEEDS 40
#define STEP_BYTES 40000 /* a poster raises `ready` by at most so much */

/* One message; its poster lets it go little by little, and uses the memory again as soon as it may. */
struct flow {
    struct message out, in;
    size_t reused, checked;
    bool spans;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void flow_open(struct flow *flow, uint64_t seed, size_t length, bool regions, bool spans)
{
    *flow = (struct flow){.spans = spans};
    (regions ? stand_outgoing : message_outgoing)(&flow->out, seed, length);
    if (spans) {
        message_incoming_spans(&flow->in, seed, length);
    } else {
        (regions ? stand_incoming : message_incoming)(&flow->in, seed, length);
        flow->in.transfer.ready = 0;
    }
    flow->out.transfer.ready = 0;
}

static void flow_close(struct flow *flow, bool regions)
{
    (regions ? stand_free : message_free)(&flow->out);
    (regions && !flow->spans ? stand_free : message_free)(&flow->in);
}

static void raise_ready(struct transfer *transfer)
{
    transfer->ready = least(transfer->length, transfer->ready + (size_t)(random() % STEP_BYTES));
}

/* True when both ends are done. */
static bool flow_go_on(struct flow *flow, struct mesh *mesh)
{
    struct transfer *out = &flow->out.transfer, *in = &flow->in.transfer;
    raise_ready(out);
    if (flow->spans) {
        message_drain(&flow->in, mesh->peers[1].links[0], (size_t)(random() % STEP_BYTES) + 1);
    } else {
        message_check_blank(&flow->in, in->ready, in->length);
        raise_ready(in);
    }
    message_check_range(&flow->in, flow->checked, in->moved);
    flow->checked = in->moved;
    memset(flow->out.memory + flow->reused, 0x11, out->moved - flow->reused);
    flow->reused = out->moved;
    return in->state == TRANSFER_DONE && out->state == TRANSFER_DONE;
}

static void flow_over(bool regions, bool spans)
{
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct mesh mesh;
        struct flow flow;
        size_t length = 1 + (size_t)(random() % 400000);
        stand_open(&mesh, 1, NULL);
        stand_link(&mesh);
        fake_order(FAKE_SHUFFLED, seed);
        fake_garbage(true);
        flow_open(&flow, seed, length, regions, spans);
        message_receive(&flow.in, &mesh, 1, 0, seed % 2);
        message_send(&flow.out, &mesh, 0, 1, seed % 2);
        MESH_WAIT(&mesh, flow_go_on(&flow, &mesh));
        message_check(&flow.in);
        flow_close(&flow, regions);
        stand_close(&mesh);
    }
}

static void copied_messages(void **state)
{
    (void)state;
    flow_over(false, false);
    flow_over(false, true);
}

static void messages_in_registered_memory(void **state)
{
    (void)state;
    flow_over(true, false);
    flow_over(true, true);
}

/* Whole messages into registered memory: put straight there. Before a receive is done, what it says has moved is right. */
static void messages_put_into_place(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct mesh mesh;
        struct message out[3], in[3];
        stand_open(&mesh, 1, NULL);
        stand_link(&mesh);
        fake_order(FAKE_SHUFFLED, seed);
        fake_garbage(true);
        for (unsigned i = 0; i < 3; i++) {
            size_t length = 5000 + (size_t)(random() % 600000);
            stand_outgoing(&out[i], seed * 3 + i, length);
            stand_incoming(&in[i], seed * 3 + i, length);
            message_receive(&in[i], &mesh, 1, 0, 0);
        }
        mesh_settle(&mesh); /* the sender knows where to put them */
        for (unsigned i = 0; i < 3; i++) {
            message_send(&out[i], &mesh, 0, 1, 0);
        }
        for (unsigned i = 0; i < 3; i++) {
            MESH_WAIT(&mesh, (message_check_range(&in[i], 0, in[i].transfer.moved),
                              message_done(&in[i]) && message_done(&out[i])));
            message_check(&in[i]);
            stand_free(&in[i]);
            stand_free(&out[i]);
        }
        stand_close(&mesh);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copied_messages),
        cmocka_unit_test(messages_in_registered_memory),
        cmocka_unit_test(messages_put_into_place),
    };
    srandom(11);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
