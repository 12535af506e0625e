/* simulate_progress: how far each instruction of each rank has come. Only instructions that have begun and whose bytes still
 * matter have a record: records live in pages of neighbouring instructions, a page is made when one of them is first
 * touched and recycled when all of them are over. So the memory is that of what is under way, not of the whole collective. */
#ifndef KOLO_COLLECTIVES_SIMULATE_PROGRESS_H
#define KOLO_COLLECTIVES_SIMULATE_PROGRESS_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_PAGE_STEPS 32

/** One instruction. Times are seconds, counts are granules. */
struct progress {
    double ready;        /* the last of the instructions that it waits for was done then */
    double arrived_tail; /* of the last granule that arrived: when its last byte is here */
    double worked;       /* the processor is through with the last granule taken up */
    double taken_tail;   /* of the last granule taken up: when its last byte is through */
    double tail;         /* of the last granule done: when its last byte can be used */
    uint32_t met;        /* whole dependencies that are done */
    uint16_t arrived;    /* from the network */
    uint16_t taken;      /* by the port or the processor */
    uint16_t done;       /* their first byte can be used */
    bool pending;        /* local steps: an event will try it again */
};

struct progress_page;

/** Pages of all ranks. */
struct progress_pool {
    struct progress_page **slab; /* [slabs] arrays of pages */
    uint32_t slabs, pages;       /* pages made */
    uint32_t free_first;         /* recycled pages */
    uint32_t closing_first,
        closing_last;      /* pages that are over but may still be asked for their tails */
    struct progress spare; /* what progress_of returns when there is no memory */
    kolo_status status;    /* KOLO_ERR_MEMORY from then on */
};

void progress_pool_init(struct progress_pool *pool);
void progress_pool_free(struct progress_pool *pool);

/** Number of page table entries for this many steps. A table of zeros is one in which nothing has begun. */
uint32_t progress_table_length(uint32_t steps);

/** The record of a step that is not over, made if there is none. Never NULL (see pool->status). Valid until it is finished. */
struct progress *progress_of(struct progress_pool *pool, uint32_t *table, uint32_t steps,
                             uint32_t step, double now);

enum progress_answer { PROGRESS_NONE, PROGRESS_RECORD, PROGRESS_OVER };

/** Look without making one. Out: progress, if PROGRESS_RECORD. PROGRESS_OVER: done, its last byte has been usable since
 *  some time not after now. */
enum progress_answer progress_look(const struct progress **progress,
                                   const struct progress_pool *pool, const uint32_t *table,
                                   uint32_t step);

/** All granules of a step are done; its record will go when its tail has passed. */
void progress_finish(struct progress_pool *pool, const uint32_t *table, uint32_t step);

#endif
