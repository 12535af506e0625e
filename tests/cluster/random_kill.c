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
#define COUNT_MAX 200000
#define LIMIT_S 2.0 /* from the call to the error, at most, plus what a crowded machine adds */
#define CROWD_S 3.0

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
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

static bool right(const int32_t *out, size_t count, unsigned size, unsigned step)
{
    size_t stride = count / 64 + 1;
    for (size_t i = 0; i < count; i += stride) {
        int32_t sum = 0;
        for (unsigned rank = 0; rank < size; rank++) {
            sum += value_of(rank, i, step);
        }
        if (out[i] != sum) {
            return false;
        }
    }
    return true;
}

/* One operation, chosen by the round's seed and the step, the same on all ranks. */
static kolo_status one_step(kolo_comm *comm, const struct round *round, unsigned rank,
                            unsigned step, int32_t *out, int32_t *in)
{
    uint64_t state = round->seed + step;
    size_t count =
        next_random(&state) % 3 == 0 ? next_random(&state) % COUNT_MAX : next_random(&state) % 100;
    unsigned root = (unsigned)(next_random(&state) % round->size);
    unsigned what = (unsigned)(next_random(&state) % 4);
    for (size_t i = 0; i < count; i++) {
        in[i] = value_of(rank, i, step);
    }
    kolo_status status = KOLO_OK;
    if (what == 0) {
        return kolo_barrier(comm, NULL);
    }
    if (what == 1) {
        status = kolo_reduce(comm, out, in, count, KOLO_I32, KOLO_SUM, (int)root, NULL);
        PEER_CHECK(status != KOLO_OK || rank != root || right(out, count, round->size, step),
                   "wrong sum at the root");
        return status;
    }
    status = kolo_all_reduce(comm, out, in, count, KOLO_I32, KOLO_SUM, NULL);
    PEER_CHECK(status != KOLO_OK || right(out, count, round->size, step), "wrong sum");
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
    int32_t *in = calloc(COUNT_MAX, sizeof *in), *out = calloc(COUNT_MAX, sizeof *out);
    PEER_CHECK(in != NULL && out != NULL, "no memory");
    PEER_CHECK(write(round->started[1], "x", 1) == 1, "write");
    for (unsigned step = 0;; step++) {
        double start = now_s();
        kolo_status status = one_step(comm, round, rank, step, out, in);
        if (status != KOLO_OK) {
            PEER_CHECK(status == KOLO_ERR_PEER_LOST, "%s", kolo_status_name(status));
            PEER_CHECK(names_a_victim(round), "victims are %x", round->victims);
            PEER_CHECK(now_s() - start < LIMIT_S + CROWD_S, "it took %.2f s", now_s() - start);
            break;
        }
    }
    kolo_close(comm);
    free(in);
    free(out);
    return 0;
}

static void play(uint64_t seed)
{
    uint64_t state = seed;
    struct round round = {.seed = seed};
    round.size = 2 + (unsigned)(next_random(&state) % 4);
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
        if (victim ? !killed : status[rank] != 0) {
            print_error("seed %llu, %s: rank %u of %u, victims %x: wait status 0x%x\n",
                        (unsigned long long)seed, environment[0], rank, round.size, round.victims,
                        (unsigned)status[rank]);
        }
        assert_true(victim ? killed : status[rank] == 0);
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
