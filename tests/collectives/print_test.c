/* The printer: the text of known schedules line by line, the rounds of all algorithms, the pictures' well-formedness. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collectives/algorithm.h"
#include "collectives/print.h"
#include "collectives/verify.h"

#define RANKS_MAX 128

static struct schedule *group[RANKS_MAX];

static const struct schedule *const *build(const struct algorithm *algorithm, uint32_t size)
{
    assert_non_null(algorithm);
    for (uint32_t rank = 0; rank < size; rank++) {
        assert_int_equal(algorithm_build(&group[rank], algorithm, rank, size, 0), KOLO_OK);
    }
    return (const struct schedule *const *)group;
}

static void drop(uint32_t size)
{
    for (uint32_t rank = 0; rank < size; rank++) {
        schedule_free(group[rank]);
    }
}

/* ---- text -------------------------------------------------------------------------------------------------------------- */

static char *print_rank(const struct schedule *schedule, const struct print_rounds *rounds,
                        uint32_t lines)
{
    char *text = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&text, &length);
    assert_non_null(to);
    print_schedule(to, schedule, rounds, lines);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void test_ring_of_two_reads_as_it_is(void **state)
{
    (void)state;
    struct print_rounds rounds;
    const struct schedule *const *schedules =
        build(algorithm_find(COLLECTIVE_ALL_REDUCE, "ring"), 2);
    assert_int_equal(print_rounds(&rounds, schedules, 2), KOLO_OK);
    char *text = print_rank(schedules[0], &rounds, PRINT_ALL);
    assert_string_equal(text, "rank 0: 4 instructions on 2 chunks\n"
                              "   step  round  kind              peer       chunks   lane  from"
                              "          to       after\n"
                              "      0      1  send              to 1       1        0     input\n"
                              "      1      1  receive-reduce *  from 1     0        0     input"
                              "         output\n"
                              "      2      2  send              to 1       0        0     output"
                              "                 1~\n"
                              "      3      2  receive           from 1     1        0"
                              "                   output   0~\n");
    free(text);
    print_rounds_free(&rounds);
    drop(2);
}

static void test_long_listing_says_what_is_left_out(void **state)
{
    (void)state;
    const struct schedule *const *schedules =
        build(algorithm_find(COLLECTIVE_ALL_REDUCE, "ring"), 8);
    char *text = print_rank(schedules[0], NULL, 5);
    assert_non_null(strstr(text, "28 instructions on 8 chunks"));
    assert_non_null(strstr(text, "23 more\n"));
    assert_null(strstr(text, "round"));
    free(text);
    drop(8);
}

static void test_every_kind_has_its_words(void **state)
{
    (void)state;
    char *text =
        print_rank(build(algorithm_find(COLLECTIVE_ALL_REDUCE, "direct"), 3)[0], NULL, PRINT_ALL);
    assert_non_null(strstr(text, "fold *"));
    assert_non_null(strstr(text, "2 slots+input"));
    free(text);
    drop(3);
    text = print_rank(build(algorithm_find(COLLECTIVE_BARRIER, "dissemination"), 3)[0], NULL,
                      PRINT_ALL);
    assert_non_null(strstr(text, "none"));
    free(text);
    drop(3);
    text = print_rank(build(algorithm_find(COLLECTIVE_ALL_REDUCE, "ring"), 1)[0], NULL, PRINT_ALL);
    assert_non_null(strstr(text, "copy"));
    free(text);
    drop(1);
}

/* ---- rounds ------------------------------------------------------------------------------------------------------------ */

static uint32_t count_rounds(const char *name, enum collective collective, uint32_t size)
{
    struct print_rounds rounds;
    assert_int_equal(print_rounds(&rounds, build(algorithm_find(collective, name), size), size),
                     KOLO_OK);
    uint32_t count = rounds.rounds;
    print_rounds_free(&rounds);
    drop(size);
    return count;
}

static void test_rounds_are_those_of_the_literature(void **state)
{
    (void)state;
    for (uint32_t size = 2; size <= 33; size++) {
        uint32_t doubling = (uint32_t)ceil(log2(size));
        assert_int_equal(count_rounds("ring", COLLECTIVE_ALL_REDUCE, size), 2 * (size - 1));
        assert_int_equal(count_rounds("ring", COLLECTIVE_ALL_GATHER, size), size - 1);
        assert_int_equal(count_rounds("chain", COLLECTIVE_BROADCAST, size), size - 1);
        assert_int_equal(count_rounds("direct", COLLECTIVE_ALL_REDUCE, size), 1);
        assert_int_equal(count_rounds("two-shot", COLLECTIVE_ALL_REDUCE, size), 2);
        assert_int_equal(count_rounds("star", COLLECTIVE_ALL_REDUCE, size), 2);
        assert_int_equal(count_rounds("dissemination", COLLECTIVE_BARRIER, size), doubling);
        assert_int_equal(count_rounds("double-tree", COLLECTIVE_BROADCAST, size), doubling);
    }
}

/* The verifier counts the longest chain of messages in another way. */
static void test_rounds_are_those_that_the_verifier_counts(void **state)
{
    (void)state;
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    for (unsigned a = 0; a < count; a++) {
        for (uint32_t size = 1; size <= 17; size++) {
            struct verify_report report;
            assert_int_equal(verify_algorithm(&report, &table[a], size, 0), KOLO_OK);
            uint32_t rounds = count_rounds(table[a].name, table[a].collective, size);
            if (rounds != report.rounds) {
                fail_msg("%s by %s, %u ranks: %u rounds, %u by the verifier",
                         collective_name(table[a].collective), table[a].name, size, rounds,
                         report.rounds);
            }
        }
    }
}

/* Rank 0 sends twice, rank 1 receives once. */
static void test_unmatched_messages_are_found(void **state)
{
    (void)state;
    struct print_rounds rounds;
    struct schedule *pair[2];
    for (uint32_t rank = 0; rank < 2; rank++) {
        assert_int_equal(schedule_alloc(&pair[rank], 2, 0), KOLO_OK);
        pair[rank]->rank = rank;
        pair[rank]->size = 2;
        pair[rank]->blocks = pair[rank]->block_chunks = 1;
        pair[rank]->instructions = 2 - rank;
        for (uint32_t i = 0; i < 2; i++) {
            pair[rank]->instruction[i] = (struct instruction){
                .kind = rank == 0 ? INSTRUCTION_SEND : INSTRUCTION_RECEIVE, .peer = 1 - rank};
        }
    }
    assert_int_equal(print_rounds(&rounds, (const struct schedule *const *)pair, 2),
                     KOLO_ERR_INTERNAL);
    print_rounds_free(&rounds);
    schedule_free(pair[0]);
    schedule_free(pair[1]);
}

/* ---- pictures ---------------------------------------------------------------------------------------------------------- */

static char *picture(const struct algorithm *algorithm, uint32_t size, const char *title)
{
    char *text = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&text, &length);
    assert_non_null(to);
    assert_int_equal(print_svg(to, build(algorithm, size), size, title, algorithm->what), KOLO_OK);
    assert_int_equal(fclose(to), 0);
    drop(size);
    return text;
}

/* Read over a tag that begins at `<`. Returns where it ends. Its name goes onto the stack, or comes off. */
static const char *check_tag(const char *at, const char *stack[16], unsigned *depth)
{
    const char *end = at;
    bool quoted = false;
    while (*end != '\0' && (quoted || *end != '>')) {
        quoted = *end == '"' ? !quoted : quoted;
        assert_true(end == at || *end != '<');
        end++;
    }
    assert_true(*end == '>' && !quoted);
    if (at[1] == '/') {
        assert_true(*depth > 0);
        (*depth)--;
        size_t length = strcspn(at + 2, ">");
        assert_int_equal(strncmp(stack[*depth], at + 2, length), 0);
    } else if (end[-1] != '/') {
        assert_true(*depth < 16);
        stack[(*depth)++] = at + 1;
    }
    return end;
}

/* Tags nest, quotes close, and no number went wrong: as much as a picture without entities of its own needs. */
static void check_well_formed(const char *text)
{
    const char *stack[16];
    unsigned depth = 0, roots = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '<') {
            roots += depth == 0 && at[1] != '/';
            at = check_tag(at, stack, &depth);
        } else if (*at == '&') {
            assert_true(strncmp(at, "&lt;", 4) == 0 || strncmp(at, "&gt;", 4) == 0 ||
                        strncmp(at, "&amp;", 5) == 0);
        }
    }
    assert_int_equal(depth, 0);
    assert_int_equal(roots, 1);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf\""));
}

static void test_pictures_are_well_formed(void **state)
{
    (void)state;
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    const uint32_t sizes[] = {1, 2, 3, 4, 5, 8, 13, 16, 33};
    for (unsigned a = 0; a < count; a++) {
        for (unsigned s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            char *text = picture(&table[a], sizes[s], "a <title> & more");
            check_well_formed(text);
            assert_non_null(strstr(text, "a &lt;title&gt; &amp; more"));
            free(text);
        }
    }
}

static unsigned count_text(const char *text, const char *what)
{
    unsigned count = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what)) {
        count++;
    }
    return count;
}

static void test_ring_wraps_around_instead_of_crossing(void **state)
{
    (void)state;
    char *text = picture(algorithm_find(COLLECTIVE_ALL_REDUCE, "ring"), 8, "ring");
    assert_int_equal(count_text(text, "url(#columns)"), 14); /* one message a round */
    free(text);
    text = picture(algorithm_find(COLLECTIVE_ALL_REDUCE, "double-tree"), 8, "tree");
    assert_int_equal(count_text(text, "url(#columns)"), 0);
    free(text);
}

static void test_too_many_ranks_are_refused(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&text, &length);
    assert_non_null(to);
    const struct algorithm *tree = algorithm_find(COLLECTIVE_ALL_REDUCE, "double-tree");
    assert_int_equal(print_svg(to, build(tree, PRINT_RANKS_MAX + 1), PRINT_RANKS_MAX + 1, "", ""),
                     KOLO_ERR_LIMIT);
    assert_int_equal(fclose(to), 0);
    assert_int_equal(length, 0);
    free(text);
    drop(PRINT_RANKS_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_of_two_reads_as_it_is),
        cmocka_unit_test(test_long_listing_says_what_is_left_out),
        cmocka_unit_test(test_every_kind_has_its_words),
        cmocka_unit_test(test_rounds_are_those_of_the_literature),
        cmocka_unit_test(test_rounds_are_those_that_the_verifier_counts),
        cmocka_unit_test(test_unmatched_messages_are_found),
        cmocka_unit_test(test_pictures_are_well_formed),
        cmocka_unit_test(test_ring_wraps_around_instead_of_crossing),
        cmocka_unit_test(test_too_many_ranks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
