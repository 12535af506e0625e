#include <assert.h>
#include <stdlib.h>

#include "collectives/verify_parts.h"

/* Every different tree is kept once, so that comparing numbers compares trees. */
struct value {
    value_id left;
    value_id right; /* VALUE_NOTHING: `left`, completed */
};

#define FIRST_VALUES 256

kolo_status verify_values_init(struct values *values, uint32_t size)
{
    *values =
        (struct values){.size = size, .values_max = FIRST_VALUES, .buckets = 2 * FIRST_VALUES};
    values->value = malloc(values->values_max * sizeof *values->value);
    values->bucket = calloc(values->buckets, sizeof *values->bucket);
    values->seen = calloc(size, sizeof *values->seen);
    values->stack = malloc(((size_t)size + 1) * sizeof *values->stack);
    if (values->value && values->bucket && values->seen && values->stack) {
        return KOLO_OK;
    }
    verify_values_free(values);
    return KOLO_ERR_MEMORY;
}

void verify_values_free(struct values *values)
{
    free(values->value);
    free(values->bucket);
    free(values->seen);
    free(values->stack);
    *values = (struct values){0};
}

static const struct value *value_at(const struct values *values, value_id id)
{
    assert(id > values->size && id <= values->size + values->values);
    return &values->value[id - 1 - values->size];
}

static uint32_t hash(value_id left, value_id right, uint32_t buckets)
{
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(key >> 32) & (buckets - 1);
}

static void insert(struct values *values, uint32_t index)
{
    const struct value *value = &values->value[index];
    uint32_t at = hash(value->left, value->right, values->buckets);
    while (values->bucket[at] != 0) {
        at = (at + 1) & (values->buckets - 1);
    }
    values->bucket[at] = index + 1;
}

static bool grow(struct values *values)
{
    if (values->values_max > UINT32_MAX / 8) {
        return false;
    }
    uint32_t most = values->values_max * 2;
    struct value *value = realloc(values->value, most * sizeof *value);
    if (value == NULL) {
        return false;
    }
    values->value = value;
    uint32_t *bucket = calloc((size_t)most * 2, sizeof *bucket);
    if (bucket == NULL) {
        return false;
    }
    free(values->bucket);
    values->bucket = bucket;
    values->buckets = most * 2;
    values->values_max = most;
    for (uint32_t i = 0; i < values->values; i++) {
        insert(values, i);
    }
    return true;
}

/* The id of the pair; made if it is new. */
static value_id intern(struct values *values, value_id left, value_id right)
{
    uint32_t at = hash(left, right, values->buckets);
    for (; values->bucket[at] != 0; at = (at + 1) & (values->buckets - 1)) {
        uint32_t index = values->bucket[at] - 1;
        if (values->value[index].left == left && values->value[index].right == right) {
            return values->size + 1 + index;
        }
    }
    if (values->values == values->values_max && !grow(values)) {
        return VALUE_NOTHING;
    }
    uint32_t index = values->values++;
    values->value[index] = (struct value){.left = left, .right = right};
    insert(values, index);
    return values->size + 1 + index;
}

value_id verify_value_join(struct values *values, value_id left, value_id right)
{
    assert(left != VALUE_NOTHING && right != VALUE_NOTHING);
    return intern(values, left, right);
}

value_id verify_value_complete(struct values *values, value_id sum)
{
    assert(sum != VALUE_NOTHING);
    return intern(values, sum, VALUE_NOTHING);
}

bool verify_value_is_complete(const struct values *values, value_id value)
{
    return value > values->size && value_at(values, value)->right == VALUE_NOTHING;
}

/* Which rank was not counted, if any. */
static bool all_seen(uint32_t *rank, const struct values *values)
{
    for (*rank = 0; *rank < values->size; ++*rank) {
        if (values->seen[*rank] != values->counted) {
            return false;
        }
    }
    return true;
}

/* Walks the tree; a rank met twice ends the walk, so it takes at most 2 size steps, and the stack never holds more than
 * one waiting right branch for each rank met or to be met. */
bool verify_value_has_all(uint32_t *rank, bool *twice, struct values *values, value_id sum)
{
    uint32_t height = 0;
    *twice = false;
    values->counted++;
    values->stack[height++] = sum;
    while (height > 0) {
        value_id id = values->stack[--height];
        while (id > values->size) {
            const struct value *value = value_at(values, id);
            if (value->right != VALUE_NOTHING) {
                if (height > values->size) {
                    *rank =
                        0; /* more branches than ranks: some rank is in it twice, whichever it is */
                    *twice = true;
                    return false;
                }
                values->stack[height++] = value->right;
            }
            id = value->left;
        }
        *rank = id - 1;
        if (values->seen[*rank] == values->counted) {
            *twice = true;
            return false;
        }
        values->seen[*rank] = values->counted;
    }
    return all_seen(rank, values);
}
