/* Every row of the table, proved: all sizes from 1 to 64 with all roots, and larger spot sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collectives/cost.h"
#include "collectives/emitters.h"
#include "collectives/verify.h"

#define EVERY_SIZE_MAX 64

static void prove(const struct algorithm *algorithm, uint32_t size, uint32_t root)
{
    struct verify_report report;
    kolo_status status = verify_algorithm(&report, algorithm, size, root);
    if (status != KOLO_OK) {
        fail_msg("%s by %s, %u ranks, root %u: %s", collective_name(algorithm->collective),
                 algorithm->name, size, root, report.text);
    }
    assert_string_equal(report.text, "");
    assert_true(size > 1 || report.messages == 0);
    assert_true(report.messages <= report.instructions);
}

static void test_every_row_every_size_every_root(void **state)
{
    (void)state;
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        for (uint32_t size = 1; size <= EVERY_SIZE_MAX && size <= row[i].size_max; size++) {
            uint32_t roots = collective_has_root(row[i].collective) ? size : 1;
            for (uint32_t root = 0; root < roots; root++) {
                prove(&row[i], size, root);
            }
        }
    }
}

static void prove_spot(uint32_t size)
{
    unsigned rows;
    const struct algorithm *row = algorithm_table(&rows);
    for (unsigned i = 0; i < rows; i++) {
        if (size > row[i].size_max) {
            continue;
        }
        prove(&row[i], size, 0);
        if (collective_has_root(row[i].collective)) {
            prove(&row[i], size, 1);
            prove(&row[i], size, size / 2);
            prove(&row[i], size, size - 1);
        }
    }
}

static void test_spot_sizes(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {100, 127, 128, 129, 255, 256, 257, 512};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        prove_spot(sizes[i]);
    }
}

static uint32_t large_size;

static void test_a_large_size(void **state)
{
    (void)state;
    prove_spot(large_size);
}

/* Rounds are what multiplies the latency: held to the literature's figures. */
static uint32_t rounds_of(enum collective collective, const char *name, uint32_t size)
{
    struct verify_report report;
    const struct algorithm *algorithm = algorithm_find(collective, name);
    assert_non_null(algorithm);
    assert_int_equal(verify_algorithm(&report, algorithm, size, 0), KOLO_OK);
    return report.rounds;
}

static void check_rounds(enum collective collective, const char *name, uint32_t size,
                         uint32_t rounds)
{
    assert_int_equal(rounds_of(collective, name, size), rounds);
}

/* All rounds wait for each other in powers of two; a little fewer otherwise. */
static void check_circulant(uint32_t size)
{
    unsigned rounds = circulant_rounds(size), log2 = cost_log2(size);
    assert_true((size & (size - 1)) == 0 ? rounds == log2 : rounds <= log2);
    check_rounds(COLLECTIVE_ALL_REDUCE, "circulant", size, 2 * rounds);
    check_rounds(COLLECTIVE_REDUCE_SCATTER, "circulant", size, rounds);
    check_rounds(COLLECTIVE_ALL_GATHER, "circulant", size, rounds);
}

static void test_rounds_are_the_textbooks(void **state)
{
    (void)state;
    for (uint32_t size = 2; size <= EVERY_SIZE_MAX; size++) {
        unsigned log2 = cost_log2(size);
        check_rounds(COLLECTIVE_ALL_REDUCE, "ring", size, 2 * (size - 1));
        check_rounds(COLLECTIVE_ALL_REDUCE, "double-tree", size, 2 * log2);
        check_circulant(size);
        check_rounds(COLLECTIVE_ALL_REDUCE, "two-shot", size, 2);
        check_rounds(COLLECTIVE_ALL_REDUCE, "direct", size, 1);
        check_rounds(COLLECTIVE_ALL_REDUCE, "star", size, 2);
        check_rounds(COLLECTIVE_BROADCAST, "double-tree", size, log2);
        check_rounds(COLLECTIVE_BROADCAST, "chain", size, size - 1);
        check_rounds(COLLECTIVE_REDUCE, "double-tree", size, log2);
        check_rounds(COLLECTIVE_BARRIER, "dissemination", size, log2);
    }
}

/* What to prove: every size up to 64 (no argument), "spots", or one larger size. */
int main(int argc, char **argv)
{
    const struct CMUnitTest small[] = {
        cmocka_unit_test(test_every_row_every_size_every_root),
        cmocka_unit_test(test_rounds_are_the_textbooks),
    };
    const struct CMUnitTest spots[] = {cmocka_unit_test(test_spot_sizes)};
    const struct CMUnitTest large[] = {cmocka_unit_test(test_a_large_size)};
    if (argc < 2) {
        return cmocka_run_group_tests(small, NULL, NULL);
    }
    if (strcmp(argv[1], "spots") == 0) {
        return cmocka_run_group_tests(spots, NULL, NULL);
    }
    large_size = (uint32_t)strtoul(argv[1], NULL, 10);
    return large_size > 1 ? cmocka_run_group_tests(large, NULL, NULL) : 2;
}
