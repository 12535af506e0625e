/* Every kernel table that this processor has gives the same bits as the scalar one: all types, operators and divisors, counts
 * around the vector widths, one or two destinations, in place, at addresses aligned to the element only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/reduce/kernel.h"
#include "tests/reduce/random.h"

#define SOURCES_MAX 9
#define COUNT_MAX 600
#define ROOM (COUNT_MAX * 8 + 256)
#define ROUNDS 200

/* Half of all values are these, so that they meet: zeros, ones, largest, smallest, infinities, quiet and signalling NaNs,
 * subnormals, of each width. */
static const uint16_t special16[] = {0,      0x8000, 0x3c00, 0xbc00, 0x7bff, 0xfbff, 0x7c00,
                                     0xfc00, 0x7e00, 0xfe01, 0x7c01, 0x0001, 0x8001, 0x03ff,
                                     0x0400, 0x3f80, 0x7f80, 0xff80, 0x7fc0, 0xff81, 0x7f7f,
                                     0x007f, 0x0080, 0x7fff, 0xffff};
static const uint32_t special32[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f7fffff,
                                     0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345,
                                     0x7f800001, 0x00000001, 0x80000001, 0x007fffff, 0x00800000,
                                     0x7fffffff, 0xffffffff};
static const uint64_t special64[] = {0,
                                     0x8000000000000000,
                                     0x3ff0000000000000,
                                     0x7fefffffffffffff,
                                     0x7ff0000000000000,
                                     0xfff0000000000000,
                                     0x7ff8000000000000,
                                     0xfff8000000012345,
                                     0x7ff0000000000001,
                                     0x0000000000000001,
                                     0x800fffffffffffff,
                                     0x7fffffffffffffff,
                                     0xffffffffffffffff};
static const uint8_t special8[] = {0, 1, 0x7f, 0x80, 0x81, 0xff};

#define PICK(table, state) table[random_below(state, sizeof table / sizeof table[0])]

static void put_special(uint8_t *place, size_t size, uint64_t *state)
{
    uint64_t bits = size == 1   ? PICK(special8, state)
                    : size == 2 ? PICK(special16, state)
                    : size == 4 ? PICK(special32, state)
                                : PICK(special64, state);
    memcpy(place, &bits, size); /* little-endian, as the tables with more than one kernel are */
}

static void fill(uint8_t *place, size_t count, size_t size, uint64_t *state)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = random_next(state);
        if (bits % 2 == 0) {
            put_special(place + i * size, size, state);
        } else {
            bits >>= 64 - 8 * size;
            memcpy(place + i * size, &bits, size);
        }
    }
}

struct trial {
    kolo_type type;
    kolo_operator op;
    unsigned sources, destinations, divisor;
    size_t count, size;
    size_t offset[SOURCES_MAX +
                  2]; /* of sources, then destinations, in bytes: any multiple of the size */
    int in_place[2];  /* the source that a destination is, or -1 */
    uint8_t input[SOURCES_MAX][ROOM];
};

struct outcome {
    uint8_t source[SOURCES_MAX][ROOM];
    uint8_t destination[2][ROOM];
};

static void draw(struct trial *trial, kolo_type type, kolo_operator op, uint64_t *state)
{
    trial->type = type;
    trial->op = op;
    trial->size = kolo_type_size(type);
    trial->sources = 1 + random_below(state, random_below(state, 2) ? SOURCES_MAX : 2);
    trial->destinations = 1 + random_below(state, 2);
    static const unsigned divisors[] = {0, 0, 1, 2, 3, 7, 8, 255, 4096, 0x7fffffff};
    trial->divisor = op == KOLO_SUM ? PICK(divisors, state) : 0;
    trial->count = random_below(state, random_below(state, 2) ? COUNT_MAX + 1 : 70);
    for (unsigned i = 0; i < SOURCES_MAX + 2; i++) {
        trial->offset[i] = random_below(state, 64) * trial->size % 128;
    }
    for (unsigned d = 0; d < 2; d++) {
        trial->in_place[d] = random_below(state, 2) ? (int)random_below(state, trial->sources) : -1;
    }
    if (trial->in_place[0] == trial->in_place[1]) {
        trial->in_place[1] = -1;
    }
    for (unsigned s = 0; s < trial->sources; s++) {
        fill(trial->input[s], ROOM / trial->size, trial->size, state);
    }
}

static void run(struct outcome *outcome, const struct trial *trial,
                const struct reduce_kernels *kernels)
{
    const void *source[SOURCES_MAX];
    void *destination[2] = {NULL, NULL};
    for (unsigned s = 0; s < trial->sources; s++) {
        memcpy(outcome->source[s], trial->input[s], ROOM);
        source[s] = outcome->source[s] + trial->offset[s];
    }
    memset(outcome->destination, 0xa5, sizeof outcome->destination);
    for (unsigned d = 0; d < trial->destinations; d++) {
        int s = trial->in_place[d];
        destination[d] = s >= 0 ? outcome->source[s] + trial->offset[s]
                                : outcome->destination[d] + trial->offset[SOURCES_MAX + d];
    }
    kernels->kernel[trial->type][trial->op](destination[0], destination[1], source, trial->sources,
                                            trial->count, trial->divisor);
}

static void compare(const struct trial *trial, const struct outcome *expected,
                    const struct outcome *found, const char *name)
{
    bool same = memcmp(expected->destination, found->destination, sizeof found->destination) == 0;
    for (unsigned s = 0; s < trial->sources; s++) {
        same = same && memcmp(expected->source[s], found->source[s], ROOM) == 0;
    }
    if (!same) {
        fail_msg("%s differs: %s %s, %u sources, %u destinations (in place %d, %d), count %zu, "
                 "divisor %u",
                 name, kolo_type_name(trial->type), kolo_operator_name(trial->op), trial->sources,
                 trial->destinations, trial->in_place[0], trial->in_place[1], trial->count,
                 trial->divisor);
    }
}

static void all_kernels_agree(void **unused)
{
    (void)unused;
    static struct trial trial;
    static struct outcome expected;
    static struct outcome found;
    const struct reduce_kernels *here[REDUCE_KERNELS_MAX];
    unsigned count = reduce_kernels_here(here);
    assert_true(count >= 2 && here[count - 1] == &reduce_scalar);
    uint64_t state = random_seed();
    for (int round = 0; round < ROUNDS * KOLO_TYPES * KOLO_AVG; round++) {
        draw(&trial, (kolo_type)(round % KOLO_TYPES),
             (kolo_operator)(round / KOLO_TYPES % KOLO_AVG), &state);
        run(&expected, &trial, &reduce_scalar);
        for (unsigned i = 0; i + 1 < count; i++) {
            run(&found, &trial, here[i]);
            compare(&trial, &expected, &found, here[i]->name);
        }
    }
}

/* All pairs of 256 x 256 in one call: every 8-bit operand meets every other. */
static void bytes_exhaustively(void **unused)
{
    (void)unused;
    static uint8_t a[65536];
    static uint8_t b[65536];
    static uint8_t expected[65536];
    static uint8_t found[65536];
    for (unsigned i = 0; i < 65536; i++) {
        a[i] = (uint8_t)i;
        b[i] = (uint8_t)(i >> 8);
    }
    const void *source[] = {a, b};
    const struct reduce_kernels *here[REDUCE_KERNELS_MAX];
    unsigned count = reduce_kernels_here(here);
    for (int type = KOLO_I8; type <= KOLO_U8; type++) {
        for (int op = KOLO_SUM; op <= KOLO_MAX; op++) {
            reduce_scalar.kernel[type][op](expected, NULL, source, 2, sizeof a, 0);
            for (unsigned i = 0; i + 1 < count; i++) {
                here[i]->kernel[type][op](found, NULL, source, 2, sizeof a, 0);
                assert_memory_equal(found, expected, sizeof expected);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kernels_agree),
        cmocka_unit_test(bytes_exhaustively),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
