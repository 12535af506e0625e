#include "collectives/schedule.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"

static const char *const names[COLLECTIVES] = {
    [COLLECTIVE_ALL_REDUCE] = "all-reduce", [COLLECTIVE_REDUCE_SCATTER] = "reduce-scatter",
    [COLLECTIVE_ALL_GATHER] = "all-gather", [COLLECTIVE_BROADCAST] = "broadcast",
    [COLLECTIVE_REDUCE] = "reduce",         [COLLECTIVE_BARRIER] = "barrier",
};

const char *collective_name(enum collective collective)
{
    return (unsigned)collective < COLLECTIVES ? names[collective] : NULL;
}

int collective_from_name(const char *name)
{
    for (int i = 0; i < COLLECTIVES; i++) {
        if (strcmp(name, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

bool collective_has_root(enum collective collective)
{
    return collective == COLLECTIVE_BROADCAST || collective == COLLECTIVE_REDUCE;
}

/* The element at which a chunk starts; for one past the last chunk, the length of the vector. */
static uint64_t chunk_start(const struct schedule *schedule, uint32_t chunk, uint64_t count)
{
    uint32_t per_block = schedule->block_chunks;
    uint64_t block = chunk / per_block, k = chunk % per_block;
    /* floor(k * count / per_block) without the product overflowing 64 bits. */
    uint64_t within = k * (count / per_block) + k * (count % per_block) / per_block;
    return block * count + within;
}

void schedule_chunk_range(uint64_t *first, uint64_t *length, const struct schedule *schedule,
                          uint32_t chunk, uint32_t chunks, uint64_t count)
{
    *first = 0;
    *length = 0;
    if (chunks == 0) {
        return; /* an empty message: a schedule without chunks, too */
    }
    assert((uint64_t)chunk + chunks <= (uint64_t)schedule->blocks * schedule->block_chunks);
    *first = chunk_start(schedule, chunk, count);
    *length = chunk_start(schedule, chunk + chunks, count) - *first;
}

kolo_status schedule_alloc(struct schedule **schedule, uint64_t instructions, uint64_t dependencies)
{
    if (instructions > UINT32_MAX || dependencies > UINT32_MAX) {
        return fail(KOLO_ERR_LIMIT,
                    "a schedule of %llu instructions and %llu dependencies is beyond 32 bits; "
                    "choose another algorithm (KOLO_ALGORITHM) for a group of this size",
                    (unsigned long long)instructions, (unsigned long long)dependencies);
    }
    size_t instruction_bytes = (size_t)instructions * sizeof(struct instruction);
    size_t bytes = sizeof(struct schedule) + instruction_bytes +
                   (size_t)dependencies * sizeof(struct dependency);
    struct schedule *made = calloc(1, bytes);
    if (made == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory for a schedule of %zu bytes", bytes);
    }
    made->instruction = (struct instruction *)(made + 1);
    made->dependency = (struct dependency *)((char *)(made + 1) + instruction_bytes);
    made->instructions_max = (uint32_t)instructions;
    made->dependencies_max = (uint32_t)dependencies;
    *schedule = made;
    return KOLO_OK;
}

void schedule_free(struct schedule *schedule)
{
    free(schedule);
}
