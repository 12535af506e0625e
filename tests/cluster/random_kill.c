/* Peers die at random moments of random operations, round after round: no survivor hangs, none gets a wrong result, each names one
 * that was killed. The seed is printed; KOLO_SEED replays it, KOLO_ROUNDS says how many rounds. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/peers.h"

#define ROUNDS 200
#define COUNT_MAX 100000
#define PEERS_MOST 5
#define LIMIT_S 2.0 /* from the call to the error, at most, plus what a crowded machine adds */
#define CROWD_S 3.0

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

struct round {
    uint64_t seed;
    unsigned size, victims; /* victims: a set of ranks */
    int started[2];         /* a pipe: each peer writes a byte when it is connected */
};

static int32_t value_of(unsigned rank, size_t i, unsigned step)
{
    return (int32_t)((i * 31 + rank * 17 + step * 5) % 1009);
}

static int32_t sum_of(size_t i, unsigned size, unsigned step)
{
    int32_t sum = 0;
    for (unsigned rank = 0; rank < size; rank++) {
        sum += value_of(rank, i, step);
    }
    return sum;
}

/* An operation, chosen by the round's seed and the step: the same on all ranks. */
struct step {
    unsigned number, rank, size, root;
    enum { BARRIER, BROADCAST, REDUCE, ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, KINDS } kind;
    size_t count;
    bool queued;
};

static struct step choose(const struct round *round, unsigned rank, unsigned number)
{
    uint64_t state = round->seed + number;
    struct step step = {.number = number, .rank = rank, .size = round->size};
    step.count =
        next_random(&state) % 3 == 0 ? next_random(&state) % COUNT_MAX : next_random(&state) % 100;
    step.root = (unsigned)(next_random(&state) % round->size);
    step.kind = next_random(&state) % KINDS;
    step.queued = next_random(&state) % 4 == 0;
    return step;
}

static kolo_status call(kolo_comm *comm, const struct step *step, int32_t *out, const int32_t *in,
                        kolo_queue *queue)
{
    int root = (int)step->root;
    switch (step->kind) {
    case BROADCAST:
        return kolo_broadcast(comm, out, in, step->count, KOLO_I32, root, queue);
    case REDUCE:
        return kolo_reduce(comm, out, in, step->count, KOLO_I32, KOLO_SUM, root, queue);
    case ALL_REDUCE:
        return kolo_all_reduce(comm, out, in, step->count, KOLO_I32, KOLO_SUM, queue);
    case REDUCE_SCATTER:
        return kolo_reduce_scatter(comm, out, in, step->count, KOLO_I32, KOLO_SUM, queue);
    case ALL_GATHER:
        return kolo_all_gather(comm, out, in, step->count, KOLO_I32, queue);
    default:
        return kolo_barrier(comm, queue);
    }
}

static int32_t expected(const struct step *step, size_t i)
{
    switch (step->kind) {
    case BROADCAST:
        return value_of(step->root, i, step->number);
    case REDUCE_SCATTER:
        return sum_of(step->rank * step->count + i, step->size, step->number);
    case ALL_GATHER:
        return value_of((unsigned)(i / step->count), i % step->count, step->number);
    default:
        return sum_of(i, step->size, step->number);
    }
}

static bool right(const struct step *step, const int32_t *out)
{
    bool none = step->kind == BARRIER || (step->kind == REDUCE && step->rank != step->root);
    size_t count = none ? 0 : step->count * (step->kind == ALL_GATHER ? step->size : 1);
    for (size_t i = 0; i < count; i += count / 64 + 1) {
        if (out[i] != expected(step, i)) {
            return false;
        }
    }
    return true;
}

static kolo_status one_step(kolo_comm *comm, kolo_queue *queue, const struct step *step,
                            int32_t *out, int32_t *in)
{
    size_t count = step->count * (step->kind == REDUCE_SCATTER ? step->size : 1);
    for (size_t i = 0; i < count; i++) {
        in[i] = value_of(step->rank, i, step->number);
    }
    kolo_status status = call(comm, step, out, in, step->queued ? queue : NULL);
    if (step->queued && status == KOLO_OK) {
        status = kolo_queue_wait(queue, -1);
    }
    PEER_CHECK(status != KOLO_OK || right(step, out), "wrong result of kind %d", (int)step->kind);
    return status;
}

static bool names_a_victim(const struct round *round)
{
    for (unsigned rank = 0; rank < round->size; rank++) {
        char name[32];
        snprintf(name, sizeof name, "rank %u ", rank);
        if ((round->victims & (1u << rank)) != 0 && strstr(kolo_last_error(), name) != NULL) {
            return true;
        }
    }
    return false;
}

static int work_until_the_end(unsigned rank, void *context)
{
    const struct round *round = context;
    kolo_comm *comm = peer_open();
    kolo_queue *queue = NULL;
    int32_t *in = calloc(COUNT_MAX * PEERS_MOST, sizeof *in),
            *out = calloc(COUNT_MAX * PEERS_MOST, sizeof *out);
    PEER_CHECK(in != NULL && out != NULL, "no memory");
    PEER_CHECK(kolo_queue_create(&queue, comm) == KOLO_OK, "queue");
    PEER_CHECK(write(round->started[1], "x", 1) == 1, "write");
    for (unsigned number = 0;; number++) {
        const struct step step = choose(round, rank, number);
        double start = peer_now_s();
        kolo_status status = one_step(comm, queue, &step, out, in);
        if (status != KOLO_OK) {
            PEER_CHECK(status == KOLO_ERR_PEER_LOST, "%s", kolo_status_name(status));
            PEER_CHECK(names_a_victim(round), "victims are %x", round->victims);
            PEER_CHECK(peer_now_s() - start < LIMIT_S + CROWD_S, "it took %.2f s",
                       peer_now_s() - start);
            break;
        }
    }
    kolo_queue_destroy(queue);
    kolo_close(comm);
    free(in);
    free(out);
    return 0;
}

static void play(uint64_t seed)
{
    uint64_t state = seed;
    struct round round = {.seed = seed};
    round.size = 2 + (unsigned)(next_random(&state) % (PEERS_MOST - 1));
    while (round.victims == 0 || round.victims == (1u << round.size) - 1) {
        round.victims =
            (unsigned)(next_random(&state) & next_random(&state)) & ((1u << round.size) - 1);
    }
    static const char *const wires[] = {"KOLO_TRANSPORT=shm", "KOLO_TRANSPORT=tcp",
                                        "KOLO_TRANSPORT=shm,tcp"};
    const char *environment[] = {wires[next_random(&state) % 3], "KOLO_LOG=none", NULL};
    assert_int_equal(pipe(round.started), 0);
    struct peers *peers = peers_start(round.size, work_until_the_end, &round, environment);
    close(round.started[1]);
    char byte;
    for (unsigned rank = 0; rank < round.size; rank++) {
        assert_int_equal(read(round.started[0], &byte, 1), 1);
    }
    close(round.started[0]);
    const struct timespec moment = {.tv_nsec = (long)(next_random(&state) % 20000000)};
    nanosleep(&moment, NULL); /* the random moment: what this test is about */
    for (unsigned rank = 0; rank < round.size; rank++) {
        if ((round.victims & (1u << rank)) != 0) {
            kill(peers_pid(peers, rank), SIGKILL);
        }
    }
    int status[PEERS_MAX];
    peers_wait(peers, 20, status);
    for (unsigned rank = 0; rank < round.size; rank++) {
        bool killed = WIFSIGNALED(status[rank]) && WTERMSIG(status[rank]) == SIGKILL;
        bool victim = (round.victims & (1u << rank)) != 0;
        /* One that was to be killed after another may have ended well before its turn came: it had lost that one. */
        bool later = victim && (round.victims & ((1u << rank) - 1)) != 0;
        bool right = killed == victim || (later && status[rank] == 0);
        if (!right || (!victim && status[rank] != 0)) {
            print_error("seed %llu, %s: rank %u of %u, victims %x: wait status 0x%x\n",
                        (unsigned long long)seed, environment[0], rank, round.size, round.victims,
                        (unsigned)status[rank]);
        }
        assert_true(right && (victim || status[rank] == 0));
    }
}

static void nobody_hangs_and_nobody_is_wrong(void **state)
{
    (void)state;
    const char *given = getenv("KOLO_SEED");
    const char *rounds_text = getenv("KOLO_ROUNDS");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    unsigned rounds = rounds_text != NULL ? (unsigned)atoi(rounds_text) : ROUNDS;
    print_message("%u rounds, KOLO_SEED=%llu and on\n", rounds, (unsigned long long)seed);
    for (unsigned i = 0; i < rounds; i++) {
        play(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_hangs_and_nobody_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
