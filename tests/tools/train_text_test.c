/* Which bytes of the text which peer sees: batches do not depend on the number of peers, and shards are only shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/train_text.h"

#define TEXT_BYTES 20011
#define BATCH 48
#define CONTEXT 5

static char path[] = "/tmp/kolo-text-XXXXXX";
static uint8_t bytes[TEXT_BYTES];
static char why[512];

static int write_text(void **state)
{
    (void)state;
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof bytes; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(random >> 24);
    }
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, sizeof bytes), sizeof bytes);
    return close(file);
}

static int remove_text(void **state)
{
    (void)state;
    return unlink(path);
}

static struct train_text open_text(int rank, int size)
{
    struct train_text text;
    assert_null(train_text_measure(&text, why, sizeof why, path, CONTEXT, BATCH, 9));
    assert_null(train_text_read(&text, why, sizeof why, path, rank, size));
    return text;
}

/* The whole batch of a step, as `size` peers draw it. */
static void draw(uint8_t *contexts, uint8_t *targets, int size, uint64_t step)
{
    for (int rank = 0; rank < size; rank++) {
        struct train_text text = open_text(rank, size);
        assert_int_equal(text.sample_count, BATCH / size);
        train_text_batch(&text, contexts + text.sample_first * CONTEXT, targets + text.sample_first,
                         step);
        train_text_free(&text);
    }
}

static void batches_are_the_same_on_any_number_of_peers(void **state)
{
    (void)state;
    static const int sizes[] = {2, 3, 4, 8, 48};
    uint8_t contexts[2][BATCH * CONTEXT], targets[2][BATCH];
    for (uint64_t step = 1; step < 30; step++) {
        draw(contexts[0], targets[0], 1, step);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            draw(contexts[1], targets[1], sizes[i], step);
            assert_memory_equal(contexts[0], contexts[1], sizeof contexts[0]);
            assert_memory_equal(targets[0], targets[1], sizeof targets[0]);
        }
    }
}

/* Is this sample somewhere in bytes first .. end - 1 of the text? */
static bool is_in(const uint8_t *context, uint8_t target, size_t first, size_t end)
{
    for (size_t at = first + CONTEXT; at < end; at++) {
        if (bytes[at] == target && memcmp(bytes + at - CONTEXT, context, CONTEXT) == 0) {
            return true;
        }
    }
    return false;
}

static void samples_come_from_their_stratum(void **state)
{
    (void)state;
    uint8_t contexts[BATCH * CONTEXT], targets[BATCH];
    size_t train_bytes = TEXT_BYTES - TEXT_BYTES / 10;
    for (uint64_t step = 1; step < 50; step++) {
        draw(contexts, targets, 4, step);
        for (size_t i = 0; i < BATCH; i++) {
            size_t begin = train_bytes * i / BATCH, end = train_bytes * (i + 1) / BATCH;
            size_t first = begin > CONTEXT ? begin - CONTEXT : 0;
            assert_true(is_in(contexts + i * CONTEXT, targets[i], first, end));
        }
    }
}

static void a_peer_holds_its_share_only(void **state)
{
    (void)state;
    size_t train = 0, validation = 0;
    for (int rank = 0; rank < 4; rank++) {
        struct train_text text = open_text(rank, 4);
        assert_true(text.train_shard.length <= TEXT_BYTES / 4);
        train += text.train_shard.length;
        validation += text.validation_shard.length;
        train_text_free(&text);
    }
    assert_true(train >= TEXT_BYTES * 9 / 10 && train <= TEXT_BYTES * 9 / 10 + 4 * CONTEXT + 1);
    assert_true(validation <= TEXT_BYTES / 10 + 4 * CONTEXT + 1);
}

static void validation_is_of_the_last_tenth_and_shared_out(void **state)
{
    (void)state;
    static uint8_t contexts[TRAIN_TEXT_VALIDATION_MAX * CONTEXT];
    static uint8_t targets[TRAIN_TEXT_VALIDATION_MAX];
    int all = 0;
    for (int rank = 0; rank < 3; rank++) {
        struct train_text text = open_text(rank, 3);
        train_text_validation(&text, contexts, targets, 0, text.validation_count);
        for (int i = 0; i < text.validation_count; i += 37) {
            assert_true(is_in(contexts + i * CONTEXT, targets[i], TEXT_BYTES - TEXT_BYTES / 10,
                              TEXT_BYTES));
        }
        all += text.validation_count;
        assert_true(text.validation > TEXT_BYTES / 10 - 2 * CONTEXT);
        train_text_free(&text);
    }
    assert_int_equal(all, TEXT_BYTES / 10 - CONTEXT);
}

static void what_cannot_be_trained_on_is_refused(void **state)
{
    (void)state;
    struct train_text text;
    assert_non_null(train_text_measure(&text, why, sizeof why, "/nowhere", 5, 1, 0));
    assert_non_null(strstr(why, "/nowhere"));
    assert_non_null(train_text_measure(&text, why, sizeof why, "/tmp", 5, 1, 0));
    assert_non_null(train_text_measure(&text, why, sizeof why, "/dev/null", 5, 1, 0));
    assert_non_null(train_text_measure(&text, why, sizeof why, path, 5, 10000, 0));
    assert_non_null(strstr(why, "--batch"));
    assert_non_null(train_text_measure(&text, why, sizeof why, path, 1010, 1, 0));
}

/* Whatever is accepted can be read and drawn from, to the last sample. */
static void every_batch_and_context_that_is_accepted_works(void **state)
{
    (void)state;
    static uint8_t contexts[4096 * 64], targets[4096];
    for (int context = 1; context <= 64; context += 9) {
        for (int batch = 1; batch <= 4096; batch = batch * 2 + 1) {
            struct train_text text;
            if (train_text_measure(&text, why, sizeof why, path, context, batch, 3) != NULL) {
                continue;
            }
            assert_null(train_text_read(&text, why, sizeof why, path, 0, 1));
            for (uint64_t step = 0; step < 5; step++) {
                train_text_batch(&text, contexts, targets, step);
            }
            int last = text.validation_count - 1;
            train_text_validation(&text, contexts, targets, last, 1);
            size_t end = text.validation_shard.first + text.validation_shard.length;
            assert_true(end <= TEXT_BYTES);
            assert_int_equal(targets[0], bytes[end - 1]);
            train_text_free(&text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_the_same_on_any_number_of_peers),
        cmocka_unit_test(samples_come_from_their_stratum),
        cmocka_unit_test(a_peer_holds_its_share_only),
        cmocka_unit_test(validation_is_of_the_last_tenth_and_shared_out),
        cmocka_unit_test(what_cannot_be_trained_on_is_refused),
        cmocka_unit_test(every_batch_and_context_that_is_accepted_works)};
    return cmocka_run_group_tests(tests, write_text, remove_text);
}
