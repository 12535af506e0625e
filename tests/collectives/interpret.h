/* interpret: runs the schedules of all ranks on real numbers, in one process, in a random order that the contract of
 * schedule.h allows and as badly as it allows: a few elements of one instruction, then a few of another. Shares nothing with
 * the library but schedule.h: so it tells whether what the verifier accepts is right. */
#ifndef KOLO_TESTS_INTERPRET_H
#define KOLO_TESTS_INTERPRET_H

#include "collectives/schedule.h"

enum interpret_operator {
    INTERPRET_SUM, /* wraps around; order does not matter */
    INTERPRET_AVG, /* sum, divided where the schedule says that it is complete */
    INTERPRET_MIX  /* neither commutative nor associative: equal only if the same tree was used */
};

/** Which instruction goes next. */
enum interpret_order {
    INTERPRET_RANDOM,
    INTERPRET_LAST_FIRST, /* of those that may, the last in its list: what forgotten dependencies fear */
    INTERPRET_ORDERS
};

struct interpretation {
    const struct schedule *const *schedules; /* [size] */
    uint32_t size;
    uint64_t count; /* elements of a block */
    enum interpret_operator op;
    enum interpret_order order;
    bool in_place;
    bool buffered; /* sends run ahead of their receives; else both move together */
    uint64_t seed;
};

/** Run. Returns NULL if every output is what the collective promises, the same bits on all ranks, and nothing else was written;
 *  else what is wrong (static storage). */
const char *interpret(const struct interpretation *how);

#endif
