/* random: seeded bits for these tests, so that a failure can be replayed with KOLO_SEED. */
#ifndef TESTS_REDUCE_RANDOM_H
#define TESTS_REDUCE_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/** The seed: KOLO_SEED, else a fixed one. Printed. */
static inline uint64_t random_seed(void)
{
    const char *text = getenv("KOLO_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 20240611;
    printf("KOLO_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/** The next 64 bits (splitmix64). */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/** A number from 0 to `below` - 1. */
static inline unsigned random_below(uint64_t *state, unsigned below)
{
    return (unsigned)((random_next(state) >> 32) * below >> 32);
}

#endif
