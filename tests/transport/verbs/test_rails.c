/* A link of several rails: all carry, in any order of arrival; and when one fails, whatever the cause, the others take over inside the
 * operation: nothing is lost, nothing comes twice, no link is lost, and both ends say so once. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>

#include "tests/transport/verbs/stand.h"
#include "transport/verbs/parting.h"

#define LENGTH 1000000
#define STREAM 40            /* messages a lane and direction */
#define AT_ONCE 4            /* of them posted */
#define DELAY_MAX_NS 4000000 /* of what goes by rail 0 */
#define LAST 6               /* messages a lane before a goodbye: each in a slot */
#define LONG_NS (40 * NS_PER_S)
#define DESTROYS 20  /* attempts */
#define STRIKE_AT 20 /* messages of a stream that have come, at most */

enum what {
    REMOVED_AND_FLUSHED,
    REMOVED_SILENTLY,
    PORT_DOWN,
    PATH_CUT,
    PAIR_BROKEN,
    WHATS,
};

/* Rail 1, seen from one end or the other. */
static void strike(enum what what, unsigned rails)
{
    switch (what) {
    case REMOVED_AND_FLUSHED:
        fake_remove(rails + 1, true);
        break;
    case REMOVED_SILENTLY:
        fake_remove(1, false);
        break;
    case PORT_DOWN:
        fake_port_set(rails + 1, 1, false);
        break;
    case PATH_CUT:
        fake_path(1, 1, rails + 1, 1, true, 0);
        break;
    default:
        assert_true(fake_break(fake_pair(1)));
    }
}

/* A stream of messages from one peer to the other on one lane, AT_ONCE of them posted. */
struct stream {
    unsigned from, lane, begun, ended;
    bool regions; /* messages lie in registered memory */
    struct message out[AT_ONCE], in[AT_ONCE];
};

static size_t length_of(unsigned number)
{
    static const size_t lengths[] = {LENGTH, 100, 70000, 0, 5000, LENGTH / 3, 64, 300001};
    return lengths[number % (sizeof lengths / sizeof lengths[0])];
}

static void stream_begin_one(struct stream *stream, struct mesh *mesh)
{
    unsigned number = stream->begun++, slot = number % AT_ONCE;
    uint64_t seed = stream->lane * 1000 + stream->from * 100000 + number;
    bool region = stream->regions && length_of(number) > 0;
    (region ? stand_outgoing : message_outgoing)(&stream->out[slot], seed, length_of(number));
    (region ? stand_incoming : message_incoming)(&stream->in[slot], seed, length_of(number));
    message_receive(&stream->in[slot], mesh, 1 - stream->from, stream->from, stream->lane);
    message_send(&stream->out[slot], mesh, stream->from, 1 - stream->from, stream->lane);
}

static void stream_end_one(struct stream *stream)
{
    unsigned number = stream->ended++, slot = number % AT_ONCE;
    bool region = stream->regions && length_of(number) > 0;
    message_check(&stream->in[slot]);
    message_check(&stream->out[slot]);
    (region ? stand_free : message_free)(&stream->in[slot]);
    (region ? stand_free : message_free)(&stream->out[slot]);
}

/* True if all of it has come. */
static bool stream_go_on(struct stream *stream, struct mesh *mesh)
{
    while (stream->begun < STREAM && stream->begun - stream->ended < AT_ONCE) {
        stream_begin_one(stream, mesh);
    }
    while (stream->ended < stream->begun && message_done(&stream->in[stream->ended % AT_ONCE]) &&
           message_done(&stream->out[stream->ended % AT_ONCE])) {
        stream_end_one(stream);
    }
    return stream->ended == STREAM;
}

static void streams_begin(struct stream *streams)
{
    for (unsigned i = 0; i < 4; i++) {
        streams[i] = (struct stream){.from = i / 2, .lane = i % 2, .regions = i % 2 == 0};
    }
}

static bool streams_go_on(struct stream *streams, struct mesh *mesh)
{
    bool done = true;
    for (unsigned i = 0; i < 4; i++) {
        done &= stream_go_on(&streams[i], mesh);
    }
    return done;
}

static bool is_up(struct mesh *mesh)
{
    return mesh_state(mesh, 0, 1) == LINK_UP && mesh_state(mesh, 1, 0) == LINK_UP;
}

/* Lines of the log that say that a rail is given up. */
static unsigned given_up(void)
{
    return stand_log_count("is given up");
}

static void run_streams_on(unsigned rails, unsigned pairs, enum fake_order order, enum what what)
{
    struct mesh mesh;
    struct stream streams[4];
    unsigned said = given_up();
    unsigned failing = what == WHATS ? 0 : what == PAIR_BROKEN ? 1 : pairs;
    stand_queue_pairs(pairs);
    stand_open(&mesh, rails, NULL);
    stand_queue_pairs(1);
    stand_link(&mesh);
    uint64_t seed = (uint64_t)random();
    unsigned strike_at = (unsigned)(random() % STRIKE_AT);
    fake_order(order, seed);
    fake_garbage(true);
    fake_speed(4); /* queue pairs give up sooner */
    streams_begin(streams);
    MESH_WAIT(&mesh,
              !is_up(&mesh) || (streams_go_on(streams, &mesh), streams[0].ended >= strike_at));
    if (what != WHATS) {
        fake_path(0, 1, rails, 1, false, (uint64_t)(random() % DELAY_MAX_NS)); /* news overtake */
        strike(what, rails);
    }
    MESH_WAIT(&mesh, !is_up(&mesh) || streams_go_on(streams, &mesh));
    assert_true(is_up(&mesh));
    assert_int_equal(given_up() - said, 2 * failing); /* once at each end */
    stand_exchange(&mesh, 0, 0, 7, LENGTH);           /* and later, too */
    stand_exchange(&mesh, 1, 1, 8, LENGTH);
    stand_close(&mesh);
}

static void run_streams(unsigned rails, enum fake_order order, enum what what)
{
    run_streams_on(rails, 1, order, what);
}

static void all_rails_carry(void **state)
{
    (void)state;
    run_streams(2, FAKE_PROMPT, WHATS);
    run_streams(4, FAKE_SHUFFLED, WHATS);
}

static void one_rail_fails(void **state)
{
    (void)state;
    for (enum what what = 0; what < WHATS; what++) {
        run_streams(2, FAKE_PROMPT, what);
    }
}

static void one_rail_of_three_fails_in_any_order(void **state)
{
    (void)state;
    for (enum what what = 0; what < WHATS; what++) {
        run_streams(3, FAKE_SHUFFLED, what);
    }
}

/* Each rail has bytes to carry, so each queue pair has completions. */
static void queue_pairs_of_a_port_share_the_load(void **state)
{
    (void)state;
    run_streams_on(1, 2, FAKE_PROMPT, WHATS);
    run_streams_on(1, 4, FAKE_SHUFFLED, WHATS);
    run_streams_on(2, 2, FAKE_SHUFFLED, WHATS);
}

static void one_queue_pair_of_a_port_fails(void **state)
{
    (void)state;
    run_streams_on(1, 2, FAKE_PROMPT, PAIR_BROKEN);
    run_streams_on(1, 4, FAKE_SHUFFLED, PAIR_BROKEN);
}

static void a_port_fails_with_all_its_queue_pairs(void **state)
{
    (void)state;
    for (enum what what = 0; what < WHATS; what++) {
        run_streams_on(2, 2, FAKE_SHUFFLED, what);
    }
}

/* All rails but one fail, one after another, and then the last. */
static void rails_fail_until_none_is_left(void **state)
{
    (void)state;
    struct mesh mesh;
    stand_open(&mesh, 3, NULL);
    stand_link(&mesh);
    fake_speed(4);
    for (unsigned rail = 0; rail < 2; rail++) {
        fake_port_set(rail, 1, false);
        stand_exchange(&mesh, 0, 0, rail, LENGTH);
        stand_exchange(&mesh, 1, 1, rail, LENGTH);
        assert_int_equal(mesh_state(&mesh, 0, 1), LINK_UP);
    }
    fake_port_set(2, 1, false);
    MESH_WAIT(&mesh, mesh_state(&mesh, 0, 1) == LINK_LOST && mesh_state(&mesh, 1, 0) == LINK_LOST);
    stand_close(&mesh);
}

/* Peer 1 sends its last messages, all of them from slots, in part by rail 1, where they take their time. */
struct farewell {
    struct mesh mesh;
    struct message out[2 * LAST], in[2 * LAST];
    sem_t runs; /* the thread that receives */
};

static void farewell_begin(struct farewell *farewell, uint64_t delay_ns)
{
    stand_open(&farewell->mesh, 2, NULL);
    stand_link(&farewell->mesh);
    fake_speed(4);
    fake_path(1, 1, 3, 1, false, delay_ns);
    for (unsigned i = 0; i < 2 * LAST; i++) {
        message_outgoing(&farewell->out[i], i, 20000);
        message_incoming(&farewell->in[i], i, 20000);
        message_send(&farewell->out[i], &farewell->mesh, 1, 0, i % 2);
        assert_true(message_done(&farewell->out[i]));
    }
}

static void farewell_receive(struct farewell *farewell)
{
    for (unsigned i = 0; i < 2 * LAST; i++) {
        message_receive(&farewell->in[i], &farewell->mesh, 0, 1, i % 2);
    }
}

/* Has the last of each lane come, or nothing can come any more? */
static bool farewell_over(struct farewell *farewell)
{
    bool all =
        message_done(&farewell->in[2 * LAST - 1]) && message_done(&farewell->in[2 * LAST - 2]);
    return all || mesh_state(&farewell->mesh, 0, 1) != LINK_UP;
}

static void farewell_drop(struct farewell *farewell)
{
    stand_close(&farewell->mesh);
    for (unsigned i = 0; i < 2 * LAST; i++) {
        message_free(&farewell->in[i]);
        message_free(&farewell->out[i]);
    }
}

static void farewell_end(struct farewell *farewell)
{
    for (unsigned i = 0; i < 2 * LAST; i++) {
        assert_true(message_done(&farewell->in[i]));
        message_check(&farewell->in[i]);
    }
    farewell_drop(farewell);
}

/* Its end closed, what rail 1 had in flight has to come by the other. */
static void a_rail_fails_after_the_goodbye(void **state)
{
    (void)state;
    struct farewell farewell;
    for (enum what what = 0; what < WHATS; what++) {
        farewell_begin(&farewell, DELAY_MAX_NS);
        mesh_link_close(&farewell.mesh, 1, 0);
        strike(what, 2);
        farewell_receive(&farewell);
        MESH_WAIT(&farewell.mesh, farewell_over(&farewell));
        farewell_end(&farewell);
    }
}

static bool can_sleep(struct transport *transport)
{
    bool sleeps = !transport->ops->progress(transport) && transport->ops->arm(transport);
    transport->ops->disarm(transport);
    return sleeps;
}

/* Nothing fails, but the goodbye is there before other frames. */
static void who_waits_for_the_last_frames_sleeps(void **state)
{
    (void)state;
    struct farewell farewell;
    farewell_begin(&farewell, LONG_NS);
    mesh_link_close(&farewell.mesh, 1, 0);
    farewell_receive(&farewell);
    struct transport *transport = farewell.mesh.peers[0].transport;
    const struct verbs_link *link = (const struct verbs_link *)farewell.mesh.peers[0].links[1];
    MESH_WAIT(&farewell.mesh, farewell_over(&farewell) || (link->leaving && can_sleep(transport)));
    assert_false(farewell_over(&farewell));
    fake_advance(LONG_NS);
    MESH_WAIT(&farewell.mesh, farewell_over(&farewell));
    farewell_end(&farewell);
}

/* In a thread of its own: destroy() does not wait for long. */
static void *receive_all(void *context)
{
    struct farewell *farewell = context;
    uint64_t deadline_ns = clock_now_ns() + MESH_WAIT_S * NS_PER_S;
    farewell_receive(farewell);
    sem_post(&farewell->runs);
    while (!farewell_over(farewell) && clock_now_ns() < deadline_ns) {
        if (!mesh_step_peer(&farewell->mesh, 0)) {
            sched_yield();
        }
    }
    return NULL;
}

/* Returns false if destroy() waited as long as it may: then this machine was too slow, and what came of it proves nothing. */
static bool lose_rail_while_destroying(struct farewell *farewell, enum what what)
{
    pthread_t thread;
    farewell_begin(farewell, LONG_NS);
    assert_int_equal(sem_init(&farewell->runs, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, receive_all, farewell), 0);
    while (sem_wait(&farewell->runs) != 0) { /* interrupted */
    }
    strike(what, 2);
    uint64_t before_ns = clock_now_ns();
    mesh_kill(&farewell->mesh, 1);
    bool early = clock_now_ns() - before_ns < PARTING_DESTROY_NS;
    pthread_join(thread, NULL);
    sem_destroy(&farewell->runs);
    return early;
}

/* As when a process ends: a rail fails while it destroys its transport. */
static void a_rail_fails_while_all_is_destroyed(void **state)
{
    (void)state;
    static const enum what whats[] = {REMOVED_AND_FLUSHED, PORT_DOWN, PAIR_BROKEN};
    struct farewell farewell;
    for (unsigned i = 0; i < sizeof whats / sizeof whats[0]; i++) {
        for (unsigned attempt = 0; !lose_rail_while_destroying(&farewell, whats[i]); attempt++) {
            assert_true(attempt < DESTROYS);
            farewell_drop(&farewell);
        }
        farewell_end(&farewell);
    }
}

int main(void)
{
    if (!stand_log_begin("rails")) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_rails_carry),
        cmocka_unit_test(one_rail_fails),
        cmocka_unit_test(one_rail_of_three_fails_in_any_order),
        cmocka_unit_test(queue_pairs_of_a_port_share_the_load),
        cmocka_unit_test(one_queue_pair_of_a_port_fails),
        cmocka_unit_test(a_port_fails_with_all_its_queue_pairs),
        cmocka_unit_test(rails_fail_until_none_is_left),
        cmocka_unit_test(a_rail_fails_after_the_goodbye),
        cmocka_unit_test(who_waits_for_the_last_frames_sleeps),
        cmocka_unit_test(a_rail_fails_while_all_is_destroyed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stand_log_end();
    return failed;
}
