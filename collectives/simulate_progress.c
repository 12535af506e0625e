#include "collectives/simulate_progress.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"

#define SLAB_PAGES 256
#define SLABS_MAX (1U << 16) /* 16 M pages: 25 GB; the machine's memory ends before */

/* Page table entries: 0 is a page not begun, 1 one that is over, else its number + 2. */
#define ENTRY_NONE 0U
#define ENTRY_OVER 1U
#define ENTRY_FIRST 2U
#define NO_PAGE UINT32_MAX

struct progress_page {
    struct progress step[PROGRESS_PAGE_STEPS];
    double tail;     /* the latest of its steps */
    uint32_t *entry; /* of the table it stands in */
    uint32_t left;   /* steps not finished */
    uint32_t next;   /* in the list of free or closing pages */
};

void progress_pool_init(struct progress_pool *pool)
{
    *pool = (struct progress_pool){
        .free_first = NO_PAGE, .closing_first = NO_PAGE, .closing_last = NO_PAGE};
}

void progress_pool_free(struct progress_pool *pool)
{
    for (uint32_t s = 0; s < pool->slabs; s++) {
        free(pool->slab[s]);
    }
    free(pool->slab);
    progress_pool_init(pool);
}

uint32_t progress_table_length(uint32_t steps)
{
    return steps / PROGRESS_PAGE_STEPS + 1;
}

static struct progress_page *page_of(const struct progress_pool *pool, uint32_t number)
{
    return &pool->slab[number / SLAB_PAGES][number % SLAB_PAGES];
}

static bool add_slab(struct progress_pool *pool)
{
    if (pool->slab == NULL) {
        pool->slab = calloc(SLABS_MAX, sizeof(struct progress_page *));
    }
    struct progress_page *slab =
        pool->slab == NULL || pool->slabs == SLABS_MAX ? NULL : malloc(SLAB_PAGES * sizeof *slab);
    if (slab == NULL) {
        if (pool->status == KOLO_OK) {
            pool->status = fail(KOLO_ERR_MEMORY,
                                "no memory for the progress of more than %u "
                                "simulated instructions",
                                pool->pages * PROGRESS_PAGE_STEPS);
        }
        return false;
    }
    pool->slab[pool->slabs++] = slab;
    return true;
}

/* Move the oldest closing page to the free ones if its time has passed. */
static void recycle(struct progress_pool *pool, double now)
{
    uint32_t number = pool->closing_first;
    if (number == NO_PAGE || page_of(pool, number)->tail > now) {
        return;
    }
    struct progress_page *page = page_of(pool, number);
    pool->closing_first = page->next;
    if (pool->closing_first == NO_PAGE) {
        pool->closing_last = NO_PAGE;
    }
    *page->entry = ENTRY_OVER;
    page->next = pool->free_first;
    pool->free_first = number;
}

static uint32_t take_page(struct progress_pool *pool, double now)
{
    recycle(pool, now);
    uint32_t number = pool->free_first;
    if (number != NO_PAGE) {
        pool->free_first = page_of(pool, number)->next;
        return number;
    }
    if (pool->pages == pool->slabs * SLAB_PAGES && !add_slab(pool)) {
        return NO_PAGE;
    }
    return pool->pages++;
}

struct progress *progress_of(struct progress_pool *pool, uint32_t *table, uint32_t steps,
                             uint32_t step, double now)
{
    uint32_t *entry = &table[step / PROGRESS_PAGE_STEPS];
    assert(step < steps && *entry != ENTRY_OVER);
    if (*entry == ENTRY_NONE) {
        uint32_t number = take_page(pool, now);
        if (number == NO_PAGE) {
            pool->spare = (struct progress){0};
            return &pool->spare;
        }
        struct progress_page *page = page_of(pool, number);
        uint32_t first = step / PROGRESS_PAGE_STEPS * PROGRESS_PAGE_STEPS;
        memset(page, 0, sizeof *page);
        page->left = steps - first < PROGRESS_PAGE_STEPS ? steps - first : PROGRESS_PAGE_STEPS;
        page->entry = entry;
        *entry = number + ENTRY_FIRST;
    }
    return &page_of(pool, *entry - ENTRY_FIRST)->step[step % PROGRESS_PAGE_STEPS];
}

enum progress_answer progress_look(const struct progress **progress,
                                   const struct progress_pool *pool, const uint32_t *table,
                                   uint32_t step)
{
    uint32_t entry = table[step / PROGRESS_PAGE_STEPS];
    if (entry < ENTRY_FIRST) {
        return entry == ENTRY_NONE ? PROGRESS_NONE : PROGRESS_OVER;
    }
    *progress = &page_of(pool, entry - ENTRY_FIRST)->step[step % PROGRESS_PAGE_STEPS];
    return PROGRESS_RECORD;
}

void progress_finish(struct progress_pool *pool, const uint32_t *table, uint32_t step)
{
    uint32_t entry = table[step / PROGRESS_PAGE_STEPS];
    if (entry < ENTRY_FIRST) {
        return; /* the spare: memory has run out */
    }
    struct progress_page *page = page_of(pool, entry - ENTRY_FIRST);
    double tail = page->step[step % PROGRESS_PAGE_STEPS].tail;
    page->tail = tail > page->tail ? tail : page->tail;
    assert(page->left > 0);
    if (--page->left > 0) {
        return;
    }
    page->next = NO_PAGE;
    if (pool->closing_last == NO_PAGE) {
        pool->closing_first = entry - ENTRY_FIRST;
    } else {
        page_of(pool, pool->closing_last)->next = entry - ENTRY_FIRST;
    }
    pool->closing_last = entry - ENTRY_FIRST;
}
