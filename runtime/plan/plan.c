#include "runtime/plan/plan.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/exchange.h"
#include "collectives/verify.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"

#define CHOICES 64 /* one for every power of two of bytes: the cost model is asked once each */
#define CROWD_RANKS_MAX 64 /* larger groups: messages are not counted */
#define CLEARLY                                                                                    \
    0.95 /* estimates are no better than this: of equals, the row that stands first is kinder to caches */

/* What an average rank does: ends of messages, and vectors sent. */
struct load {
    double ends, vectors;
    bool known;
};

struct plans {
    uint32_t rank, size;
    struct network_uniform network;
    char forced[32]; /* "" if none */
    const struct algorithm *choice[COLLECTIVES][CHOICES];
    struct load *load; /* of the rows of the table, once one has been asked for */
    unsigned count, oldest;
    struct plan plan[PLANS_MAX];
    const struct plan *last; /* the one that was used last */
};

/* Is this the first row of its name? */
static bool is_first(const struct algorithm *table, unsigned row)
{
    unsigned first = 0;
    while (strcmp(table[first].name, table[row].name) != 0) {
        first++;
    }
    return first == row;
}

static kolo_status check_forced(const char *forced)
{
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    char names[256] = "";
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(table[i].name, forced) == 0) {
            return KOLO_OK;
        }
        if (is_first(table, i) && strlen(names) + strlen(table[i].name) + 3 < sizeof names) {
            strcat(names, names[0] != '\0' ? ", " : "");
            strcat(names, table[i].name);
        }
    }
    return fail(KOLO_ERR_ARGUMENT, "there is no algorithm '%s'; KOLO_ALGORITHM takes one of: %s",
                forced, names);
}

kolo_status plans_create(struct plans **plans, uint32_t rank, uint32_t size,
                         const struct network_uniform *network, const char *forced)
{
    assert(rank < size);
    unsigned rows = 0;
    (void)algorithm_table(&rows);
    struct plans *made = calloc(1, sizeof *made);
    struct load *load = calloc(rows, sizeof *load);
    if (made == NULL || load == NULL) {
        free(made);
        free(load);
        return fail(KOLO_ERR_MEMORY, "no memory for the plans (%zu bytes)", sizeof *made);
    }
    *made = (struct plans){.rank = rank, .size = size, .network = *network, .load = load};
    if (forced != NULL && forced[0] != '\0') {
        kolo_status status = check_forced(forced);
        if (status != KOLO_OK) {
            plans_free(made);
            return status;
        }
        strncpy(made->forced, forced, sizeof made->forced - 1);
    }
    *plans = made;
    return KOLO_OK;
}

static void drop(struct plan *plan)
{
    schedule_free(plan->schedule);
    free(plan->next);
    free(plan->first);
    *plan = (struct plan){0};
}

void plans_free(struct plans *plans)
{
    if (plans == NULL) {
        return;
    }
    for (unsigned i = 0; i < plans->count; i++) {
        drop(&plans->plan[i]);
    }
    free(plans->load);
    free(plans);
}

/* ---- choosing ---- */

static void add_load(struct load *load, const struct schedule *schedule)
{
    double ranks = schedule->size, chunks = (double)schedule->blocks * schedule->block_chunks;
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        load->ends += instruction_is_local(instruction) ? 0 : 1 / ranks;
        if (instruction->kind == INSTRUCTION_SEND && chunks > 0) {
            load->vectors += instruction->chunks / chunks / ranks;
        }
    }
}

static kolo_status count_load(struct load *load, const struct algorithm *row, uint32_t size)
{
    *load = (struct load){.known = true};
    for (uint32_t rank = 0; rank < size; rank++) {
        struct schedule *schedule = NULL;
        kolo_status status = algorithm_build(&schedule, row, rank, size, 0);
        if (status != KOLO_OK) {
            return status;
        }
        add_load(load, schedule);
        schedule_free(schedule);
    }
    return KOLO_OK;
}

/* Is everybody's input short enough to be shown? */
static bool can_show(const struct plans *plans, const struct algorithm *row, uint64_t bytes)
{
    double input =
        exchange_shows_block(row->collective) ? (double)bytes / plans->size : (double)bytes;
    return row->shown_seconds != NULL && plans->size > 1 && plans->network.shown_bytes > 0 &&
           input <= plans->network.shown_bytes;
}

/* The formula gives every rank a processor: that is the span. Where ranks take turns, the work of all is added: the bound
 * of Brent, "The parallel evaluation of general arithmetic expressions", 1974. So few messages win over few steps. Of
 * the span only the latencies are left: overheads, copies and sums are work, meanwhile the processor is with another rank. */
static kolo_status expect(double *seconds, struct plans *plans, const struct algorithm *row,
                          uint64_t bytes)
{
    unsigned rows = 0;
    const struct network_uniform *network = &plans->network;
    if (can_show(plans, row, bytes)) {
        *seconds = row->shown_seconds(network, plans->size, bytes);
        return KOLO_OK;
    }
    if (network->crowd <= 1 || plans->size > CROWD_RANKS_MAX) {
        *seconds = row->seconds(network, plans->size, bytes);
        return KOLO_OK;
    }
    const struct network_uniform span = {.latency_s = network->latency_s};
    *seconds = row->seconds(&span, plans->size, bytes);
    struct load load = plans->load[row - algorithm_table(&rows)];
    if (!load.known) {
        kolo_status status = count_load(&load, row, plans->size);
        if (status != KOLO_OK) {
            return status;
        }
        plans->load[row - algorithm_table(&rows)] = load;
    }
    double copying = network->link_Bps > 0 ? (double)bytes / network->link_Bps : 0;
    *seconds += network->crowd * (load.ends * network->overhead_s + load.vectors * copying);
    return KOLO_OK;
}

/* By what part of its time another row must be quicker than `best`. The first row is the ring, whose short chunks are kind to caches and
 * fit into the buffers of those whose turn has not come; but with no more than two ranks a processor its many steps cost more. */
static double margin(const struct plans *plans, const struct algorithm *best)
{
    unsigned rows = 0;
    double crowd = plans->network.crowd;
    bool ring = best == algorithm_table(&rows);
    return ring && crowd > 1 && crowd <= 2 ? 1 : CLEARLY;
}

static kolo_status cheapest(const struct algorithm **choice, struct plans *plans,
                            enum collective collective, uint64_t bytes)
{
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    const struct algorithm *best = NULL, *second = NULL;
    double best_s = 0, second_s = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct algorithm *row = &table[i];
        if (row->collective != collective || row->baseline_only || plans->size > row->size_max ||
            bytes > row->bytes_max) {
            continue;
        }
        double seconds;
        kolo_status status = expect(&seconds, plans, row, bytes);
        if (status != KOLO_OK) {
            return status;
        }
        if (best == NULL || seconds < best_s * margin(plans, best)) {
            second = best;
            second_s = best_s;
            best = row;
            best_s = seconds;
        } else if (second == NULL || seconds < second_s) {
            second = row;
            second_s = seconds;
        }
    }
    assert(best != NULL);
    log_line(LOG_INFO,
             "%s of about %llu bytes: %s%s, expected %.1f us, before %s, %.1f us (latency %.2f us, "
             "%.2f GB/s a link)",
             collective_name(collective), (unsigned long long)bytes, best->name,
             can_show(plans, best, bytes) ? " (shown to all at once)" : "", best_s * 1e6,
             second != NULL ? second->name : "none", second_s * 1e6, plans->network.latency_s * 1e6,
             plans->network.link_Bps / 1e9);
    *choice = best;
    return KOLO_OK;
}

static unsigned bytes_class(uint64_t bytes)
{
    return bytes <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(bytes - 1);
}

static kolo_status choose(const struct algorithm **algorithm, struct plans *plans,
                          enum collective collective, uint64_t bytes)
{
    unsigned class = bytes_class(bytes);
    class = class < CHOICES ? class : CHOICES - 1;
    const struct algorithm **choice = &plans->choice[collective][class];
    if (*choice != NULL) {
        *algorithm = *choice;
        return KOLO_OK;
    }
    const struct algorithm *forced =
        plans->forced[0] != '\0' ? algorithm_find(collective, plans->forced) : NULL;
    if (forced != NULL && plans->size <= forced->size_max) {
        log_line(LOG_INFO, "%s: %s, because KOLO_ALGORITHM says so", collective_name(collective),
                 forced->name);
        *choice = forced;
    } else {
        if (plans->forced[0] != '\0' && collective != COLLECTIVE_BARRIER) {
            log_line(LOG_WARN, "%s has no algorithm '%s' for %u ranks: the cost model chooses",
                     collective_name(collective), plans->forced, plans->size);
        }
        kolo_status status = cheapest(choice, plans, collective, (uint64_t)1 << class);
        if (status != KOLO_OK) {
            return status;
        }
    }
    *algorithm = *choice;
    return KOLO_OK;
}

/* ---- building ---- */

/* Chain the instructions of each lane. `last` has a place for every (peer, lane, direction). */
static void chain(struct plan *plan, uint32_t *last)
{
    const struct schedule *schedule = plan->schedule;
    for (uint32_t i = 0; i < schedule->instructions; i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        plan->next[i] = PLAN_NONE;
        if (instruction_is_local(instruction)) {
            plan->first[plan->firsts++] = i;
            continue;
        }
        uint32_t lane = (instruction->peer * SCHEDULE_LANES + instruction->lane) * 2 +
                        (instruction->kind == INSTRUCTION_SEND);
        if (last[lane] == PLAN_NONE) {
            plan->first[plan->firsts++] = i;
        } else {
            plan->next[last[lane]] = i;
        }
        last[lane] = i;
    }
}

static kolo_status chain_lanes(struct plan *plan)
{
    uint32_t instructions = plan->schedule->instructions;
    uint32_t lanes = plan->schedule->size * SCHEDULE_LANES * 2;
    uint32_t *last = malloc(lanes * sizeof *last);
    plan->next = malloc((instructions + 1) * sizeof *plan->next);
    plan->first = malloc((instructions + 1) * sizeof *plan->first);
    kolo_status status = KOLO_OK;
    if (last == NULL || plan->next == NULL || plan->first == NULL) {
        status = fail(KOLO_ERR_MEMORY, "no memory for a plan of %u instructions", instructions);
    } else {
        memset(last, 0xff, lanes * sizeof *last);
        chain(plan, last);
    }
    free(last);
    return status;
}

static bool crosses_blocks(const struct schedule *schedule)
{
    for (uint32_t i = 0; i < schedule->instructions && schedule->blocks > 1; i++) {
        const struct instruction *instruction = &schedule->instruction[i];
        if (instruction->chunks > schedule->block_chunks &&
            instruction->from.buffer == BUFFER_INPUT) {
            return true;
        }
    }
    return false;
}

/* Private memory decides into how many passes an operation is cut, so all ranks must count alike: by what the root and its
 * neighbour need, and always as if a rank needed WORK where some do. */
static kolo_status count_private(struct plan *plan, uint32_t size, uint32_t root)
{
    for (uint32_t other = 0; other < 2; other++) {
        struct schedule *schedule = NULL;
        kolo_status status =
            algorithm_build(&schedule, plan->algorithm, (root + other) % size, size, root);
        if (status != KOLO_OK) {
            return status;
        }
        uint32_t slots = schedule->slots;
        plan->private_slots = slots > plan->private_slots ? slots : plan->private_slots;
        plan->crosses_blocks |= crosses_blocks(schedule);
        schedule_free(schedule);
    }
    enum collective collective = plan->algorithm->collective;
    plan->private_blocks = collective == COLLECTIVE_REDUCE           ? 1
                           : collective == COLLECTIVE_REDUCE_SCATTER ? size
                                                                     : 0;
    if (plan->schedule->slots > plan->private_slots ||
        (plan->schedule->uses_work && plan->private_blocks == 0)) {
        return fail(KOLO_ERR_INTERNAL,
                    "%s %s needs more private memory on this rank than on others",
                    collective_name(collective), plan->algorithm->name);
    }
    return KOLO_OK;
}

static kolo_status build(struct plan *plan, const struct plans *plans,
                         const struct algorithm *algorithm, uint32_t root)
{
    unsigned count = 0;
    static atomic_uint_fast64_t serials;
    *plan = (struct plan){
        .algorithm = algorithm, .root = root, .serial = 1 + atomic_fetch_add(&serials, 1)};
    plan->algorithm_row = (uint8_t)(algorithm - algorithm_table(&count));
    kolo_status status =
        algorithm_build(&plan->schedule, algorithm, plans->rank, plans->size, root);
    if (status == KOLO_OK && plans->size <= PLAN_VERIFY_RANKS_MAX) {
        struct verify_report report;
        status = verify_algorithm(&report, algorithm, plans->size, root);
        if (status == KOLO_ERR_INTERNAL) {
            fail(status, "the %s schedule '%s' for %u ranks is not right: %s",
                 collective_name(algorithm->collective), algorithm->name, plans->size, report.text);
        }
    }
    if (status == KOLO_OK && algorithm->shown_seconds != NULL && plans->size > 1) {
        plan->exchange = exchange_is(plan->schedule);
        assert(plan->exchange); /* of all ranks, or of none */
    }
    if (status == KOLO_OK) {
        status = count_private(plan, plans->size, root);
    }
    if (status == KOLO_OK) {
        status = chain_lanes(plan);
    }
    if (status != KOLO_OK) {
        drop(plan);
    }
    return status;
}

static struct plan *place_for_new(struct plans *plans)
{
    if (plans->count < PLANS_MAX) {
        return &plans->plan[plans->count++];
    }
    struct plan *plan = &plans->plan[plans->oldest];
    plans->oldest = (plans->oldest + 1) % PLANS_MAX;
    drop(plan);
    return plan;
}

static const struct plan *find(const struct plans *plans, const struct algorithm *algorithm,
                               uint32_t root)
{
    for (unsigned i = 0; i < plans->count; i++) {
        if (plans->plan[i].algorithm == algorithm && plans->plan[i].root == root) {
            return &plans->plan[i];
        }
    }
    return NULL;
}

kolo_status plans_get(const struct plan **plan, struct plans *plans, enum collective collective,
                      uint64_t bytes, uint32_t root)
{
    const struct algorithm *algorithm = NULL;
    kolo_status status = choose(&algorithm, plans, collective, bytes);
    if (status != KOLO_OK) {
        return status;
    }
    if (plans->last != NULL && plans->last->algorithm == algorithm && plans->last->root == root) {
        *plan = plans->last;
        return KOLO_OK;
    }
    const struct plan *found = find(plans, algorithm, root);
    if (found == NULL) {
        struct plan fresh;
        status = build(&fresh, plans, algorithm, root);
        if (status != KOLO_OK) {
            return status;
        }
        struct plan *place = place_for_new(plans);
        *place = fresh;
        found = place;
    }
    plans->last = found;
    *plan = found;
    return KOLO_OK;
}
