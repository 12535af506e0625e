/* Everything at random: lengths, lanes, both directions, growing `ready`, spans, reserved room; once with both ends in one
 * thread, once with a thread for each. The seed is printed; KOLO_SEED=... runs it again. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "tests/transport/conformance/cases.h"

#define STRESS_QUEUE 12 /* messages posted at once on one side of a lane */
#define STRESS_LIMIT_NS (60 * NS_PER_S)

/* One side of one lane in one direction: messages first..next are posted, in order. */
struct line {
    uint64_t seed; /* of its first message; the same on both sides */
    uint64_t first, next;
    struct message queue[STRESS_QUEUE];
};

/* One end of the link. */
struct half {
    struct mesh *mesh;
    unsigned self;
    uint64_t random;
    struct line out[TRANSPORT_LANES], in[TRANSPORT_LANES];
};

static uint64_t draw(struct half *half, uint64_t limit)
{
    half->random = half->random * 6364136223846793005u + 1442695040888963407u;
    return (half->random >> 33) % limit;
}

/* The length of a line's n-th message: mostly short, at times long. Both ends work it out. */
static size_t length_of(const struct line *line, uint64_t number)
{
    uint64_t mix = (line->seed + number) * 0x9e3779b97f4a7c15u;
    mix = (mix ^ (mix >> 29)) * 0xbf58476d1ce4e5b9u;
    mix ^= mix >> 32;
    size_t limit = (size_t)1 << (mix % 18);
    return (size_t)((mix >> 8) % (limit + 1)) + (mix % 1000 == 0 ? 400000 : 0);
}

static bool has_room(const struct half *half, const struct line *line)
{
    return line->next - line->first < STRESS_QUEUE &&
           line->next < half->mesh->wire->stress_messages;
}

static void post_send(struct half *half, unsigned lane)
{
    struct line *line = &half->out[lane];
    struct message *out = &line->queue[line->next % STRESS_QUEUE];
    message_outgoing(out, line->seed + line->next, length_of(line, line->next));
    if (draw(half, 2) == 0) {
        out->transfer.ready = (size_t)draw(half, out->transfer.length + 1);
    }
    if ((half->mesh->wire->ops->features & TRANSPORT_RESERVES) != 0 && draw(half, 4) == 0) {
        out->transfer.data = NULL;
    }
    line->next++;
    message_send(out, half->mesh, half->self, 1 - half->self, lane);
}

static void post_receive(struct half *half, unsigned lane)
{
    struct line *line = &half->in[lane];
    struct message *in = &line->queue[line->next % STRESS_QUEUE];
    message_incoming(in, line->seed + line->next, length_of(line, line->next));
    if (draw(half, 2) == 0) {
        in->transfer.ready = (size_t)draw(half, in->transfer.length + 1);
    }
    if (draw(half, 3) == 0) {
        in->transfer.data = NULL;
    }
    line->next++;
    message_receive(in, half->mesh, half->self, 1 - half->self, lane);
}

static void raise_ready(struct half *half, struct transfer *transfer)
{
    if (transfer->state == TRANSFER_POSTED && transfer->data != NULL) {
        size_t left = transfer->length - transfer->ready;
        transfer->ready += draw(half, 3) == 0 ? left : (size_t)draw(half, left + 1);
    }
}

/* Fill some room of a send without data, if it is the first of its lane. */
static void fill(struct half *half, struct message *out, struct link *link)
{
    struct transfer *transfer = &out->transfer;
    uint8_t *place = NULL;
    if (transfer->state != TRANSFER_POSTED || transfer->data != NULL || transfer->length == 0) {
        return;
    }
    size_t room = link->ops->reserve(link, out->lane, transfer, &place);
    if (room > 0) {
        size_t bytes = draw(half, 2) == 0 ? room : 1 + (size_t)draw(half, room);
        memcpy(place, out->memory + transfer->moved, bytes);
        link->ops->commit(link, out->lane, transfer, bytes);
    }
}

/* Check and free what is done, in order. */
static void collect(struct line *line)
{
    while (line->first < line->next) {
        struct message *message = &line->queue[line->first % STRESS_QUEUE];
        assert_false(message_failed(message));
        if (!message_done(message)) {
            break;
        }
        message_check(message);
        message_free(message);
        line->first++;
    }
}

/* Do something on a lane, perhaps. */
static void act(struct half *half)
{
    unsigned lane = (unsigned)draw(half, TRANSPORT_LANES);
    struct line *out = &half->out[lane];
    struct line *in = &half->in[lane];
    struct link *link = half->mesh->peers[half->self].links[1 - half->self];
    if (has_room(half, out) && draw(half, 2) == 0) {
        post_send(half, lane);
    }
    if (has_room(half, in) && draw(half, 2) == 0) {
        post_receive(half, lane);
    }
    if (out->first < out->next) {
        struct message *message = &out->queue[out->first % STRESS_QUEUE];
        raise_ready(half, &message->transfer);
        fill(half, message, link);
    }
    if (in->first < in->next) {
        struct message *message = &in->queue[in->first % STRESS_QUEUE];
        raise_ready(half, &message->transfer);
        message_drain(message, link, draw(half, 2) == 0 ? SIZE_MAX : (size_t)draw(half, 5000));
    }
    collect(out);
    collect(in);
}

static bool half_done(const struct half *half)
{
    bool done = true;
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        done = done && half->out[lane].first == half->mesh->wire->stress_messages &&
               half->in[lane].first == half->mesh->wire->stress_messages;
    }
    return done;
}

static void halves_init(struct half halves[2], struct mesh *mesh)
{
    const char *given = getenv("KOLO_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : clock_now_ns() % 1000000007;
    print_message("stress: KOLO_SEED=%llu\n", (unsigned long long)seed);
    memset(halves, 0, 2 * sizeof halves[0]);
    for (unsigned self = 0; self < 2; self++) {
        halves[self].mesh = mesh;
        halves[self].self = self;
        halves[self].random = seed + self;
        for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
            halves[self].out[lane].seed = (seed << 22) + self * 0x100000 + lane * 0x200000;
            halves[1 - self].in[lane].seed = halves[self].out[lane].seed;
        }
    }
}

void stress_at_random(void **state)
{
    struct mesh mesh;
    static struct half halves[2];
    pair_open(&mesh, state);
    halves_init(halves, &mesh);
    uint64_t deadline_ns = clock_now_ns() + STRESS_LIMIT_NS;
    while (!half_done(&halves[0]) || !half_done(&halves[1])) {
        act(&halves[draw(&halves[0], 2)]);
        if (draw(&halves[0], 2) == 0) {
            mesh_step(&mesh);
        }
        assert_true(clock_now_ns() < deadline_ns);
    }
    mesh_close(&mesh);
}

static void *half_run(void *argument)
{
    struct half *half = argument;
    uint64_t deadline_ns = clock_now_ns() + STRESS_LIMIT_NS;
    while (!half_done(half)) {
        act(half);
        if (!mesh_step_peer(half->mesh, half->self) && draw(half, 8) == 0) {
            sched_yield();
        }
        assert_true(clock_now_ns() < deadline_ns);
    }
    return NULL;
}

void stress_in_two_threads(void **state)
{
    struct mesh mesh;
    static struct half halves[2];
    pthread_t thread;
    pair_open(&mesh, state);
    if (!mesh.wire->forks) {
        mesh_close(&mesh);
        skip();
    }
    halves_init(halves, &mesh);
    assert_int_equal(pthread_create(&thread, NULL, half_run, &halves[1]), 0);
    half_run(&halves[0]);
    pthread_join(thread, NULL);
    mesh_close(&mesh);
}
