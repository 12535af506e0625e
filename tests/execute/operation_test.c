/* Whole collectives over the simulated network, checked element for element, and held to their virtual time. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "tests/execute/cluster.h"

/* What rank `rank` puts in at element `i`: sums and averages are exact in 32 bits for up to 64 ranks. */
static int32_t input_of(uint32_t rank, uint64_t i)
{
    return (int32_t)((i * 7 + rank * 13) % 1001) - 500;
}

struct buffers {
    int32_t *in, *out;
    size_t in_count, out_count;
};

struct test_case {
    enum collective collective;
    uint32_t size, root;
    uint64_t count;
    bool in_place;
};

static void make_buffers(struct buffers *buffers, const struct test_case *test, uint32_t rank)
{
    bool gathers = test->collective == COLLECTIVE_ALL_GATHER;
    bool scatters = test->collective == COLLECTIVE_REDUCE_SCATTER;
    buffers->in_count = test->count * (scatters ? test->size : 1);
    buffers->out_count = test->count * (gathers ? test->size : 1);
    size_t most = test->count * (gathers || scatters ? test->size : 1);
    int32_t *memory = malloc((most + 1) * sizeof *memory);
    int32_t *other = test->in_place ? memory : malloc((most + 1) * sizeof *other);
    assert_non_null(memory);
    assert_non_null(other);
    for (size_t i = 0; i < most; i++) {
        other[i] = -77777;
    }
    buffers->out = other;
    buffers->in = memory;
    if (test->in_place && gathers) {
        buffers->in = memory + rank * test->count;
    } else if (test->in_place && scatters) {
        buffers->out = memory + rank * test->count;
    }
    for (size_t i = 0; i < buffers->in_count; i++) {
        buffers->in[i] = input_of(rank, i);
    }
}

static void free_buffers(struct buffers *buffers, const struct test_case *test, uint32_t rank)
{
    bool gathers = test->collective == COLLECTIVE_ALL_GATHER;
    int32_t *base = test->in_place && gathers ? buffers->in - rank * test->count : buffers->in;
    if (!test->in_place) {
        free(buffers->out);
    }
    free(base);
}

static int32_t expected(const struct test_case *test, uint32_t rank, size_t i)
{
    if (test->collective == COLLECTIVE_BROADCAST) {
        return input_of(test->root, i);
    }
    if (test->collective == COLLECTIVE_ALL_GATHER) {
        return input_of((uint32_t)(i / test->count), i % test->count);
    }
    size_t position = test->collective == COLLECTIVE_REDUCE_SCATTER ? rank * test->count + i : i;
    int32_t sum = 0;
    for (uint32_t other = 0; other < test->size; other++) {
        sum += input_of(other, position);
    }
    return sum;
}

static void check_rank(const struct buffers *buffers, const struct test_case *test, uint32_t rank)
{
    bool rooted = test->collective == COLLECTIVE_REDUCE;
    if (!rooted || rank == test->root) {
        for (size_t i = 0; i < buffers->out_count; i++) {
            assert_int_equal(buffers->out[i], expected(test, rank, i));
        }
    }
    if (!test->in_place) {
        for (size_t i = 0; i < buffers->in_count; i++) {
            assert_int_equal(buffers->in[i], input_of(rank, i));
        }
    }
}

/* Returns the virtual time it took. */
static uint64_t run_case(struct cluster *cluster, const struct test_case *test)
{
    struct buffers buffers[CLUSTER_RANKS_MAX];
    struct request request[CLUSTER_RANKS_MAX];
    for (uint32_t rank = 0; rank < test->size; rank++) {
        make_buffers(&buffers[rank], test, rank);
        request[rank] = (struct request){.collective = test->collective,
                                         .out = buffers[rank].out,
                                         .in = buffers[rank].in,
                                         .count = test->count,
                                         .type = KOLO_I32,
                                         .op = KOLO_SUM,
                                         .root = test->root};
    }
    uint64_t start_ns = sim_network_now_ns(cluster->network);
    cluster_begin(cluster, request);
    assert_int_equal(cluster_run(cluster), 0);
    for (uint32_t rank = 0; rank < test->size; rank++) {
        assert_int_equal(cluster->operation[rank].status, KOLO_OK);
        check_rank(&buffers[rank], test, rank);
        free_buffers(&buffers[rank], test, rank);
    }
    return sim_network_now_ns(cluster->network) - start_ns;
}

static uint32_t size_most = 9;

static void run_counts(struct cluster *cluster, const struct algorithm *algorithm, uint64_t most)
{
    static const uint64_t counts[] = {0, 1, 2, 3, 7, 64, 1000, 4097};
    uint32_t size = cluster->size;
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0] && counts[i] <= most; i++) {
        uint32_t roots = collective_has_root(algorithm->collective) ? size : 1;
        for (uint32_t root = 0; root < roots; root += 1 + roots / 3) {
            run_case(cluster,
                     &(struct test_case){algorithm->collective, size, root, counts[i], false});
            run_case(cluster,
                     &(struct test_case){algorithm->collective, size, root, counts[i], true});
        }
    }
}

static void run_sizes(const struct algorithm *algorithm, const struct sim_network_config *config,
                      uint64_t most)
{
    for (uint32_t size = 1; size <= size_most && size <= algorithm->size_max; size++) {
        struct cluster *cluster = malloc(sizeof *cluster);
        cluster_open(cluster, size, config, algorithm->name);
        run_counts(cluster, algorithm, most);
        cluster_close(cluster);
        free(cluster);
    }
}

static void all_algorithms(const struct sim_network_config *config, uint64_t most)
{
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    for (unsigned i = 0; i < count; i++) {
        if (table[i].collective != COLLECTIVE_BARRIER) {
            run_sizes(&table[i], config, most);
        }
    }
}

static void every_algorithm_is_right_on_a_fast_network(void **state)
{
    (void)state;
    struct sim_network_config config = sim_network_defaults();
    all_algorithms(&config, 4097);
}

static void every_algorithm_is_right_with_little_room(void **state)
{
    (void)state;
    struct sim_network_config config = sim_network_defaults();
    config.window_bytes = 7; /* elements arrive in pieces */
    config.window_messages = 1;
    all_algorithms(&config, 64);
}

static void every_algorithm_is_right_with_no_room_and_reordered_lanes(void **state)
{
    (void)state;
    struct sim_network_config config = sim_network_defaults();
    config.window_bytes = 0;
    config.jitter_ns = 20000;
    config.reorder = true;
    all_algorithms(&config, 1000);
}

/* What is short enough is shown to all at once, what is not goes from rank to rank, as they come; the results are the same. */
static void small_exchanges_are_shown(void **state)
{
    (void)state;
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    struct sim_network_config config = sim_network_defaults();
    config.jitter_ns = 20000;
    for (unsigned i = 0; i < count; i++) {
        bool barrier = table[i].collective == COLLECTIVE_BARRIER;
        for (uint32_t size = 1; size <= size_most && !barrier; size++) {
            struct cluster *cluster = malloc(sizeof *cluster);
            cluster_open_shown(cluster, size, &config, table[i].name);
            run_counts(cluster, &table[i], 4097);
            bool shows = table[i].shown_seconds != NULL && size > 1;
            assert_int_equal(cluster->operation[0].shows > 0, shows);
            cluster_close(cluster);
            free(cluster);
        }
    }
}

static void what_is_shown_has_its_limit(void **state)
{
    (void)state;
    const uint64_t most = TRANSPORT_SHOWN_BYTES / sizeof(int32_t);
    struct sim_network_config config = sim_network_defaults();
    struct cluster *cluster = malloc(sizeof *cluster);
    cluster_open_shown(cluster, 4, &config, "direct");
    for (uint64_t count = most - 1; count <= most + 1; count++) {
        run_case(cluster, &(struct test_case){COLLECTIVE_ALL_REDUCE, 4, 0, count, false});
        assert_int_equal(cluster->operation[3].shown, count <= most);
        run_case(cluster, &(struct test_case){COLLECTIVE_ALL_GATHER, 4, 0, count, true});
        assert_int_equal(cluster->operation[3].shown, count <= most);
        run_case(cluster, &(struct test_case){COLLECTIVE_REDUCE_SCATTER, 4, 0, count / 4, false});
        assert_int_equal(cluster->operation[3].shown, count / 4 * 4 <= most);
    }
    cluster_close(cluster);
    free(cluster);
}

/* Private memory is bounded: larger operations go in passes, and ranges of several blocks still come out right. */
static void large_operations_go_in_passes(void **state)
{
    (void)state;
    struct sim_network_config config = sim_network_defaults();
    static const char *const names[] = {"ring",  "circulant",   "direct",
                                        "chain", "double-tree", "recursive-doubling"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct cluster *cluster = malloc(sizeof *cluster);
        cluster_open(cluster, 3, &config, names[i]);
        for (int collective = COLLECTIVE_REDUCE_SCATTER; collective <= COLLECTIVE_REDUCE;
             collective++) {
            run_case(cluster,
                     &(struct test_case){(enum collective)collective, 3, 1, 1500000, false});
            run_case(cluster,
                     &(struct test_case){(enum collective)collective, 3, 1, 1500001, true});
            assert_true(cluster->operation[0].private_room <= OPERATION_PRIVATE_BYTES + 4096);
        }
        cluster_close(cluster);
        free(cluster);
    }
}

/* Bytes of a chunk move on as soon as they are ready: the ring reaches its bound, not the sum of its steps' latencies. */
static void the_ring_reaches_its_bound(void **state)
{
    (void)state;
    struct sim_network_config config = sim_network_defaults();
    const uint32_t size = 8;
    const uint64_t count = 2u << 20;
    struct cluster *cluster = malloc(sizeof *cluster);
    cluster_open(cluster, size, &config, "ring");
    uint64_t took_ns =
        run_case(cluster, &(struct test_case){COLLECTIVE_ALL_REDUCE, size, 0, count, false});
    double bound_ns = 2.0 * (size - 1) / size * (double)(count * 4) / (double)config.link_Bps * 1e9;
    print_message("ring of %u, %llu bytes: %.3f of the bound\n", size,
                  (unsigned long long)count * 4, bound_ns / (double)took_ns);
    assert_true((double)took_ns < bound_ns / 0.95);
    uint64_t sent = 0;
    uint8_t id[TRANSPORT_ID_BYTES];
    cluster_id(id, 3);
    assert_true(sim_network_count(cluster->network, id, &sent, NULL));
    assert_int_equal(sent, 2 * (size - 1) * (count * 4 / size));
    cluster_close(cluster);
    free(cluster);
}

static void a_tree_pipelines(void **state)
{
    (void)state;
    struct sim_network_config config = sim_network_defaults();
    const uint32_t size = 15;
    const uint64_t count = 2u << 20;
    struct cluster *cluster = malloc(sizeof *cluster);
    cluster_open(cluster, size, &config, "double-tree");
    uint64_t took_ns =
        run_case(cluster, &(struct test_case){COLLECTIVE_ALL_REDUCE, size, 0, count, false});
    double bound_ns = 2.0 * (double)(count * 4) / (double)config.link_Bps * 1e9;
    print_message("double tree of %u: %.3f of 2S/B\n", size, bound_ns / (double)took_ns);
    assert_true((double)took_ns < bound_ns / 0.75);
    cluster_close(cluster);
    free(cluster);
}

typedef void opener(struct cluster *cluster, uint32_t size, const struct sim_network_config *config,
                    const char *algorithm);

static void find_a_mismatch(opener *open)
{
    struct sim_network_config config = sim_network_defaults();
    struct cluster *cluster = malloc(sizeof *cluster);
    open(cluster, 2, &config, "direct");
    int32_t in[8] = {0}, out[8] = {0};
    struct request request[2] = {{COLLECTIVE_ALL_REDUCE, out, in, 8, KOLO_I32, KOLO_SUM, 0},
                                 {COLLECTIVE_ALL_REDUCE, out, in, 7, KOLO_I32, KOLO_SUM, 0}};
    cluster_begin(cluster, request);
    assert_int_equal(cluster_run(cluster), 0);
    for (uint32_t rank = 0; rank < 2; rank++) {
        assert_int_equal(cluster->operation[rank].status, KOLO_ERR_MISMATCH);
        assert_int_equal(cluster->operation[rank].culprit, 1 - rank);
        assert_true(cluster->operation[rank].theirs_known);
        assert_int_equal(cluster->operation[rank].theirs.count, request[1 - rank].count);
    }
    cluster_close(cluster);
    free(cluster);
}

static void a_mismatch_is_found_and_named(void **state)
{
    (void)state;
    find_a_mismatch(cluster_open);
    find_a_mismatch(cluster_open_shown);
}

static void die(opener *open)
{
    struct sim_network_config config = sim_network_defaults();
    struct cluster *cluster = malloc(sizeof *cluster);
    open(cluster, 3, &config, "direct");
    int32_t in[3][8] = {0}, out[3][8] = {0};
    struct request request[3];
    for (uint32_t rank = 0; rank < 3; rank++) {
        request[rank] =
            (struct request){COLLECTIVE_ALL_REDUCE, out[rank], in[rank], 8, KOLO_I32, KOLO_SUM, 0};
    }
    uint8_t id[TRANSPORT_ID_BYTES];
    cluster_id(id, 2);
    assert_true(sim_network_kill(cluster->network, id));
    cluster_begin(cluster, request);
    cluster_run(cluster);
    for (uint32_t rank = 0; rank < 2; rank++) {
        assert_int_equal(cluster->operation[rank].status, KOLO_ERR_PEER_LOST);
        assert_int_equal(cluster->operation[rank].culprit, 2);
    }
    cluster_close(cluster);
    free(cluster);
}

static void a_death_ends_the_operation_of_its_neighbours(void **state)
{
    (void)state;
    die(cluster_open);
    die(cluster_open_shown);
}

static void hold(opener *open, const char *algorithm)
{
    struct sim_network_config config = sim_network_defaults();
    for (uint32_t size = 1; size <= 9; size++) {
        struct cluster *cluster = malloc(sizeof *cluster);
        open(cluster, size, &config, algorithm);
        struct request request[CLUSTER_RANKS_MAX] = {{0}};
        for (uint32_t rank = 0; rank < size; rank++) {
            request[rank] = (struct request){.collective = COLLECTIVE_BARRIER, .type = KOLO_U8};
        }
        const struct plan *plan = NULL;
        uint32_t late = size / 2;
        for (uint32_t rank = 0; rank < size; rank++) {
            if (rank != late) {
                assert_int_equal(plans_get(&plan, cluster->plans[rank], COLLECTIVE_BARRIER, 0, 0),
                                 KOLO_OK);
                assert_int_equal(operation_begin(&cluster->operation[rank], plan, &request[rank], 1,
                                                 cluster->link[rank]),
                                 KOLO_OK);
            }
        }
        assert_int_equal(cluster_run(cluster), size - 1);
        char waits[64];
        char expected[64];
        snprintf(expected, sizeof expected, "rank %u (to send)", late);
        if (size == 2) {
            assert_string_equal(
                operation_waits_for(&cluster->operation[1 - late], waits, sizeof waits), expected);
        }
        assert_int_equal(plans_get(&plan, cluster->plans[late], COLLECTIVE_BARRIER, 0, 0), KOLO_OK);
        assert_int_equal(operation_begin(&cluster->operation[late], plan, &request[late], 1,
                                         cluster->link[late]),
                         KOLO_OK);
        assert_int_equal(cluster_run(cluster), 0);
        cluster_close(cluster);
        free(cluster);
    }
}

/* Nobody may leave a barrier before the last one has entered. */
static void a_barrier_holds(void **state)
{
    (void)state;
    hold(cluster_open, "dissemination");
    hold(cluster_open, "direct");
    hold(cluster_open_shown, "direct");
}

/* "small": what a fifty times slower machine (Valgrind) can do in a minute. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_is_right_with_little_room),
        cmocka_unit_test(a_mismatch_is_found_and_named),
        cmocka_unit_test(a_death_ends_the_operation_of_its_neighbours),
        cmocka_unit_test(a_barrier_holds),
        cmocka_unit_test(small_exchanges_are_shown),
        cmocka_unit_test(what_is_shown_has_its_limit),
        cmocka_unit_test(every_algorithm_is_right_on_a_fast_network),
        cmocka_unit_test(every_algorithm_is_right_with_no_room_and_reordered_lanes),
        cmocka_unit_test(large_operations_go_in_passes),
        cmocka_unit_test(the_ring_reaches_its_bound),
        cmocka_unit_test(a_tree_pipelines),
    };
    if (argc > 1 && strcmp(argv[1], "small") == 0) {
        const struct CMUnitTest few[] = {tests[0], tests[1], tests[2], tests[3]};
        size_most = 4;
        return cmocka_run_group_tests(few, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
