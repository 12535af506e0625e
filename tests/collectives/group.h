/* group: the schedules of all ranks of a group, built, and open to being broken by a test. */
#ifndef KOLO_TESTS_GROUP_H
#define KOLO_TESTS_GROUP_H

#include "collectives/verify.h"

struct group {
    struct schedule **schedule; /* [size] */
    uint32_t size;
};

/** Build all ranks; the test fails if that does. Freed with group_free(). */
struct group group_build(const struct algorithm *algorithm, uint32_t size, uint32_t root);
void group_free(struct group *group);

/** Verify the schedules as they are now. */
kolo_status group_verify(struct verify_report *report, const struct group *group);

/** An empty schedule for each rank, with room, in which a test writes its own. */
struct group group_empty(enum collective collective, uint32_t size, uint32_t block_chunks,
                         uint32_t instructions);

/** Append an instruction to a rank's schedule, with no dependencies. Returns its index. */
uint32_t group_add(struct group *group, uint32_t rank, struct instruction instruction);

/** Let the rank's last instruction wait for `on`. */
void group_wait(struct group *group, uint32_t rank, uint32_t on, bool streamed);

/** Take out the instruction's dependencies. */
void group_unwait(struct group *group, uint32_t rank, uint32_t index);

/** The rank's first instruction of this kind from index `from` on; the test fails if there is none. */
uint32_t group_find(const struct group *group, uint32_t rank, enum instruction_kind kind,
                    uint32_t from);

#endif
