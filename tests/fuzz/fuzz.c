/* Feeds one decoder with mutated samples and noise for a while. The seed is printed; KOLO_SEED replays it, and a run that fails
 * prints the bytes that did it. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "tests/fuzz/decoders.h"

#define ROUNDS_MAX 200000
#define SECONDS 1.0

static uint64_t state;
static uint8_t fed[DECODER_BYTES_MAX];
static size_t fed_bytes;

static uint64_t next(void) /* splitmix64 */
{
    uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
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

/* Only what may be called in a signal handler. */
static void say_what_was_fed(int number)
{
    static const char digits[] = "0123456789abcdef";
    char hex[2];
    for (size_t i = 0; i < fed_bytes; i++) {
        hex[0] = digits[fed[i] >> 4];
        hex[1] = digits[fed[i] & 15];
        ssize_t written = write(STDERR_FILENO, hex, 2);
        (void)written;
    }
    ssize_t written = write(STDERR_FILENO, "\n", 1);
    (void)written;
    signal(number, SIG_DFL);
    raise(number);
}

static void change_one(uint8_t *bytes, size_t length)
{
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe, ':', '\n'};
    size_t at = next() % length;
    switch (next() % 3) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << next() % 8);
        break;
    case 1:
        bytes[at] = edges[next() % sizeof edges];
        break;
    default:
        bytes[at] = (uint8_t)next();
    }
}

/* Cut, extended, or spliced with itself. */
static size_t change_length(uint8_t *bytes, size_t length)
{
    size_t more = next() % 64;
    switch (next() % 4) {
    case 0:
        return next() % (length + 1);
    case 1:
        for (size_t i = length; i < length + more; i++) {
            bytes[i] = (uint8_t)next();
        }
        return length + more;
    case 2:
        memmove(bytes + next() % length, bytes + next() % length, length / 4);
        return length;
    default:
        memcpy(bytes + length, bytes, length);
        return 2 * length;
    }
}

static size_t mutate(uint8_t *bytes, const uint8_t *sample, size_t length)
{
    if (next() % 16 == 0) {
        length = next() % 600;
        for (size_t i = 0; i < length; i++) {
            bytes[i] = (uint8_t)next();
        }
        return length;
    }
    memcpy(bytes, sample, length);
    for (uint64_t changes = next() % 8; changes > 0 && length > 0; changes--) {
        change_one(bytes, length);
    }
    return length > 0 && next() % 3 == 0 ? change_length(bytes, length) : length;
}

static void feed_exactly(const struct decoder *decoder)
{
    uint8_t *exact = malloc(fed_bytes + (fed_bytes == 0));
    if (exact == NULL) {
        abort();
    }
    memcpy(exact, fed, fed_bytes);
    decoder->feed(exact, fed_bytes);
    free(exact);
}

int main(int count, char **words)
{
    const struct decoder *decoder = count == 2 ? decoder_find(words[1]) : NULL;
    const char *seed_text = getenv("KOLO_SEED"), *seconds_text = getenv("KOLO_FUZZ_SECONDS");
    uint64_t seed = 1;
    if (decoder == NULL) {
        fprintf(stderr, "usage: fuzz DECODER; see decoders.c\n");
        return 2;
    }
    if (seed_text != NULL) {
        seed = strtoull(seed_text, NULL, 0);
    } else if (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
        seed = 1;
    }
    state = seed;
    printf("%s: KOLO_SEED=%" PRIu64 "\n", decoder->name, seed);
    fflush(stdout);
    signal(SIGABRT, say_what_was_fed);
    signal(SIGSEGV, say_what_was_fed);
    uint8_t sample[DECODER_BYTES_MAX];
    size_t length = decoder->sample(sample);
    double end_s = now_s() + (seconds_text != NULL ? atof(seconds_text) : SECONDS);
    uint64_t rounds = 0;
    memcpy(fed, sample, length);
    fed_bytes = length;
    feed_exactly(decoder);
    while (now_s() < end_s && (seconds_text != NULL || rounds < ROUNDS_MAX)) {
        fed_bytes = mutate(fed, sample, length);
        feed_exactly(decoder);
        rounds++;
    }
    printf("%" PRIu64 " inputs\n", rounds);
    return 0;
}
