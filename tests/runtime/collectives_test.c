/* Every collective, type and operator through the public API in real processes, over each transport: exact values, in place and
 * out of place, odd counts, and the same bits on all ranks. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/peers.h"

static const size_t counts[] = {0, 1, 2, 5, 8, 63, 1000, 16411, 300001};
#define COUNTS (sizeof counts / sizeof counts[0])

/* Small whole numbers: sums, products, extremes and averages are exact in every type. */
static int value_of(kolo_operator op, unsigned rank, unsigned size, size_t i)
{
    switch (op) {
    case KOLO_PROD:
        return (i + rank) % 5 == 0 ? 2 : 1;
    case KOLO_AVG:
        return (int)((i % 2) * size); /* every partial sum is small, and the average is whole */
    default:
        return (int)((i + 3 * rank) % 11);
    }
}

static int expected(kolo_operator op, unsigned size, size_t i)
{
    int result = value_of(op, 0, size, i);
    for (unsigned rank = 1; rank < size; rank++) {
        int value = value_of(op, rank, size, i);
        result = op == KOLO_PROD  ? result * value
                 : op == KOLO_MIN ? (value < result ? value : result)
                 : op == KOLO_MAX ? (value > result ? value : result)
                                  : result + value;
    }
    return op == KOLO_AVG ? result / (int)size : result;
}

static uint16_t f16_of(int value)
{
    if (value == 0) {
        return 0;
    }
    int exponent = 31 - __builtin_clz((unsigned)value); /* whole numbers below 2048 */
    return (uint16_t)(((unsigned)(exponent + 15) << 10) |
                      (((unsigned)value << (10 - exponent)) & 0x3ff));
}

static void put(void *buffer, size_t i, kolo_type type, int value)
{
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    switch (type) {
    case KOLO_I8:
    case KOLO_U8:
        ((uint8_t *)buffer)[i] = (uint8_t)value;
        break;
    case KOLO_I32:
    case KOLO_U32:
        ((int32_t *)buffer)[i] = value;
        break;
    case KOLO_I64:
    case KOLO_U64:
        ((int64_t *)buffer)[i] = value;
        break;
    case KOLO_F16:
        ((uint16_t *)buffer)[i] = f16_of(value);
        break;
    case KOLO_BF16:
        ((uint16_t *)buffer)[i] = (uint16_t)(bits >> 16);
        break;
    case KOLO_F32:
        ((float *)buffer)[i] = single;
        break;
    case KOLO_F64:
        ((double *)buffer)[i] = value;
        break;
    }
}

struct job {
    kolo_comm *comm;
    unsigned rank, size;
    kolo_type type;
    kolo_operator op;
    size_t count;
    bool in_place;
    uint8_t *in, *out, *want; /* each size * count elements */
};

static void fill(struct job *job, uint8_t *buffer, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put(buffer, i, job->type, value_of(job->op, job->rank, job->size, i));
    }
}

static void check(const struct job *job, const uint8_t *got, size_t count, const char *call)
{
    size_t bytes = count * kolo_type_size(job->type);
    PEER_CHECK(memcmp(got, job->want, bytes) == 0, "%s rank %u of %u, %zu %s, %s, in place %d",
               call, job->rank, job->size, job->count, kolo_type_name(job->type),
               kolo_operator_name(job->op), job->in_place);
}

static void try_all_reduce(struct job *job)
{
    uint8_t *out = job->in_place ? job->in : job->out;
    fill(job, job->in, job->count);
    kolo_status status =
        kolo_all_reduce(job->comm, out, job->in, job->count, job->type, job->op, NULL);
    PEER_CHECK(status == KOLO_OK, "all-reduce: %s", kolo_status_name(status));
    for (size_t i = 0; i < job->count; i++) {
        put(job->want, i, job->type, expected(job->op, job->size, i));
    }
    check(job, out, job->count, "all-reduce");
}

static void try_reduce_scatter(struct job *job)
{
    size_t element = kolo_type_size(job->type);
    uint8_t *out = job->in_place ? job->in + job->rank * job->count * element : job->out;
    fill(job, job->in, job->count * job->size);
    kolo_status status =
        kolo_reduce_scatter(job->comm, out, job->in, job->count, job->type, job->op, NULL);
    PEER_CHECK(status == KOLO_OK, "reduce-scatter: %s", kolo_status_name(status));
    for (size_t i = 0; i < job->count; i++) {
        put(job->want, i, job->type, expected(job->op, job->size, job->rank * job->count + i));
    }
    check(job, out, job->count, "reduce-scatter");
}

static void try_all_gather(struct job *job)
{
    size_t element = kolo_type_size(job->type);
    uint8_t *in = job->in_place ? job->out + job->rank * job->count * element : job->in;
    fill(job, in, job->count);
    kolo_status status = kolo_all_gather(job->comm, job->out, in, job->count, job->type, NULL);
    PEER_CHECK(status == KOLO_OK, "all-gather: %s", kolo_status_name(status));
    for (size_t i = 0; i < job->count * job->size; i++) {
        put(job->want, i, job->type,
            value_of(job->op, (unsigned)(i / job->count), job->size, i % job->count));
    }
    check(job, job->out, job->count * job->size, "all-gather");
}

static void try_broadcast(struct job *job, unsigned root)
{
    uint8_t *in = job->in_place ? job->out : job->in;
    if (job->rank == root) {
        fill(job, in, job->count);
    }
    kolo_status status = kolo_broadcast(job->comm, job->out, job->rank == root ? in : NULL,
                                        job->count, job->type, (int)root, NULL);
    PEER_CHECK(status == KOLO_OK, "broadcast: %s", kolo_status_name(status));
    for (size_t i = 0; i < job->count; i++) {
        put(job->want, i, job->type, value_of(job->op, root, job->size, i));
    }
    check(job, job->out, job->count, "broadcast");
}

static void try_reduce(struct job *job, unsigned root)
{
    uint8_t *out = job->in_place ? job->in : job->out;
    fill(job, job->in, job->count);
    kolo_status status = kolo_reduce(job->comm, job->rank == root ? out : NULL, job->in, job->count,
                                     job->type, job->op, (int)root, NULL);
    PEER_CHECK(status == KOLO_OK, "reduce: %s", kolo_status_name(status));
    for (size_t i = 0; i < job->count; i++) {
        put(job->want, i, job->type, expected(job->op, job->size, i));
    }
    if (job->rank == root) {
        check(job, out, job->count, "reduce");
    }
}

static void try_all(struct job *job)
{
    try_all_reduce(job);
    try_reduce_scatter(job);
    try_all_gather(job);
    for (unsigned root = 0; root < job->size; root += 1 + job->size / 2) {
        try_broadcast(job, root);
        try_reduce(job, root);
    }
    PEER_CHECK(kolo_barrier(job->comm, NULL) == KOLO_OK, "barrier");
}

static int everything(unsigned rank, void *context)
{
    size_t most = *(size_t *)context;
    struct job job = {.comm = peer_open()};
    job.rank = (unsigned)kolo_rank(job.comm);
    job.size = (unsigned)kolo_size(job.comm);
    PEER_CHECK(job.rank == rank, "rank %d", kolo_rank(job.comm));
    size_t bytes = most * job.size * 8 + 64;
    job.in = malloc(bytes);
    job.out = malloc(bytes);
    job.want = malloc(bytes);
    PEER_CHECK(job.in != NULL && job.out != NULL && job.want != NULL, "no memory");
    for (int type = 0; type < KOLO_TYPES; type++) {
        for (int op = 0; op < KOLO_OPERATORS; op++) {
            for (size_t i = 0; i < COUNTS && counts[i] <= most; i++) {
                if (counts[i] > 20000 && (type != KOLO_F32 || op != KOLO_SUM)) {
                    continue;
                }
                job.type = (kolo_type)type;
                job.op = (kolo_operator)op;
                job.count = counts[i];
                job.in_place = (i + (size_t)op) % 2 == 0;
                try_all(&job);
            }
        }
    }
    free(job.in);
    free(job.out);
    free(job.want);
    PEER_CHECK(kolo_close(job.comm) == KOLO_OK, "close");
    return 0;
}

static void run(unsigned size, const char *transport, const char *algorithm, size_t most)
{
    char wire[64], forced[64];
    snprintf(wire, sizeof wire, "KOLO_TRANSPORT=%s", transport);
    snprintf(forced, sizeof forced, "KOLO_ALGORITHM=%s", algorithm);
    const char *environment[] = {wire, forced, NULL};
    peers_run(size, everything, &most, environment, 60);
}

static void one_rank_alone(void **state)
{
    (void)state;
    run(1, "shm,tcp", "", 300001);
}

static void over_shared_memory(void **state)
{
    (void)state;
    run(2, "shm", "", 300001);
    run(3, "shm", "", 16411);
    run(5, "shm", "", 1000);
    run(8, "shm", "", 1000);
}

static void over_tcp(void **state)
{
    (void)state;
    run(2, "tcp", "", 300001);
    run(3, "tcp", "", 16411);
    run(5, "tcp", "", 1000);
}

static void by_every_algorithm(void **state)
{
    (void)state;
    static const char *const names[] = {
        "ring",     "tree",      "double-tree", "direct", "recursive-doubling",
        "two-shot", "circulant", "chain",       "star"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        run(4, "shm", names[i], 1000);
        run(3, "tcp", names[i], 63);
    }
}

/* Floating point does not associate; all ranks must have the same bits all the same. */
static int same_bits(unsigned rank, void *context)
{
    (void)context;
    kolo_comm *comm = peer_open();
    size_t size = (size_t)kolo_size(comm);
    enum { COUNT = 10007 };
    float *in = malloc(COUNT * sizeof *in), *out = malloc(COUNT * sizeof *out),
          *all = malloc(size * COUNT * sizeof *all);
    PEER_CHECK(in != NULL && out != NULL && all != NULL, "no memory");
    unsigned seed = 17 + rank;
    for (size_t i = 0; i < COUNT; i++) {
        seed = seed * 1103515245u + 12345u;
        in[i] = ((float)(seed >> 8) / 16777216.0f - 0.5f) * (float)(1u << (seed % 24));
    }
    for (size_t count = 1; count <= COUNT; count = count * 3 + 1) {
        PEER_CHECK(kolo_all_reduce(comm, out, in, count, KOLO_F32, KOLO_SUM, NULL) == KOLO_OK,
                   "all-reduce");
        PEER_CHECK(kolo_all_gather(comm, all, out, count, KOLO_F32, NULL) == KOLO_OK, "all-gather");
        for (size_t other = 0; other < size; other++) {
            PEER_CHECK(memcmp(all + other * count, out, count * sizeof *out) == 0,
                       "rank %u differs from %zu at count %zu", rank, other, count);
        }
    }
    free(in);
    free(out);
    free(all);
    kolo_close(comm);
    return 0;
}

static void floating_point_has_the_same_bits_on_all_ranks(void **state)
{
    (void)state;
    static const char *const names[] = {
        "KOLO_ALGORITHM=ring",     "KOLO_ALGORITHM=double-tree",       "KOLO_ALGORITHM=direct",
        "KOLO_ALGORITHM=two-shot", "KOLO_ALGORITHM=circulant",         "KOLO_ALGORITHM=star",
        "KOLO_ALGORITHM=tree",     "KOLO_ALGORITHM=recursive-doubling"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *environment[] = {names[i], NULL};
        peers_run(5, same_bits, NULL, environment, 60);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_alone),
        cmocka_unit_test(over_shared_memory),
        cmocka_unit_test(over_tcp),
        cmocka_unit_test(by_every_algorithm),
        cmocka_unit_test(floating_point_has_the_same_bits_on_all_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
