#include "runtime/execute/fingerprint.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "collectives/algorithm.h"

_Static_assert(TRANSPORT_HEADER_BYTES >= FINGERPRINT_BYTES + 12,
               "pass and chunks follow the fingerprint");

static void put_u32(uint8_t *place, uint32_t value)
{
    value = htole32(value);
    memcpy(place, &value, sizeof value);
}

void fingerprint_put(uint8_t header[TRANSPORT_HEADER_BYTES], const struct fingerprint *fingerprint,
                     uint32_t pass, uint32_t chunk, uint32_t chunks)
{
    uint64_t count = htole64(fingerprint->count);
    put_u32(header, fingerprint->sequence);
    header[4] = fingerprint->collective;
    header[5] = fingerprint->type;
    header[6] = fingerprint->op;
    header[7] = fingerprint->algorithm;
    memcpy(header + 8, &count, sizeof count);
    put_u32(header + 16, fingerprint->root);
    put_u32(header + 20, pass);
    put_u32(header + 24, chunk);
    put_u32(header + 28, chunks);
}

void fingerprint_put_shown(uint8_t header[TRANSPORT_HEADER_BYTES],
                           const struct fingerprint *fingerprint, uint64_t past)
{
    fingerprint_put(header, fingerprint, 0, 0, 0);
    past = htole64(past);
    memcpy(header + FINGERPRINT_BYTES, &past, sizeof past);
}

static uint64_t mix(uint64_t chain, uint64_t value)
{
    chain = (chain ^ value) * 0x9e3779b97f4a7c15ULL;
    return chain ^ chain >> 29;
}

uint64_t fingerprint_chain(uint64_t past, const struct fingerprint *fingerprint)
{
    uint64_t what = (uint64_t)fingerprint->collective << 24 | (uint64_t)fingerprint->type << 16 |
                    (uint64_t)fingerprint->op << 8 | fingerprint->algorithm;
    uint64_t chain = mix(past, (uint64_t)fingerprint->sequence << 32 | what);
    return mix(mix(chain, fingerprint->count), fingerprint->root);
}

struct fingerprint fingerprint_get(const uint8_t *bytes)
{
    uint32_t sequence, root;
    uint64_t count;
    memcpy(&sequence, bytes, sizeof sequence);
    memcpy(&count, bytes + 8, sizeof count);
    memcpy(&root, bytes + 16, sizeof root);
    return (struct fingerprint){.sequence = le32toh(sequence),
                                .collective = bytes[4],
                                .type = bytes[5],
                                .op = bytes[6],
                                .algorithm = bytes[7],
                                .count = le64toh(count),
                                .root = le32toh(root)};
}

bool fingerprint_equal(const struct fingerprint *a, const struct fingerprint *b)
{
    return a->sequence == b->sequence && a->collective == b->collective && a->type == b->type &&
           a->op == b->op && a->algorithm == b->algorithm && a->count == b->count &&
           a->root == b->root;
}

static const char *collective_text(uint8_t collective)
{
    return collective < COLLECTIVES ? collective_name((enum collective)collective)
                                    : "unknown collective";
}

static const char *type_text(uint8_t type)
{
    return type < KOLO_TYPES ? kolo_type_name((kolo_type)type) : "no type";
}

static const char *operator_text(uint8_t op)
{
    return op < KOLO_OPERATORS ? kolo_operator_name((kolo_operator)op) : "no operator";
}

static const char *algorithm_text(uint8_t algorithm)
{
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    return algorithm < count ? table[algorithm].name : "unknown algorithm";
}

const char *fingerprint_text(char text[FINGERPRINT_TEXT], const struct fingerprint *fingerprint)
{
    char root[24] = "";
    if (fingerprint->collective < COLLECTIVES &&
        collective_has_root((enum collective)fingerprint->collective)) {
        snprintf(root, sizeof root, ", root %u", fingerprint->root);
    }
    char what[64] = "";
    if (fingerprint->type != FINGERPRINT_NONE) {
        snprintf(what, sizeof what, " of %llu %s", (unsigned long long)fingerprint->count,
                 type_text(fingerprint->type));
    }
    snprintf(text, FINGERPRINT_TEXT, "%s%s%s%s%s (operation %u, %s)",
             collective_text(fingerprint->collective), what,
             fingerprint->op != FINGERPRINT_NONE ? ", " : "",
             fingerprint->op != FINGERPRINT_NONE ? operator_text(fingerprint->op) : "", root,
             fingerprint->sequence, algorithm_text(fingerprint->algorithm));
    return text;
}

const char *fingerprint_difference(char text[FINGERPRINT_TEXT], const struct fingerprint *here,
                                   const struct fingerprint *there)
{
    if (here->collective != there->collective) {
        snprintf(text, FINGERPRINT_TEXT, "%s there, %s here", collective_text(there->collective),
                 collective_text(here->collective));
    } else if (here->count != there->count) {
        snprintf(text, FINGERPRINT_TEXT, "count %llu there, %llu here",
                 (unsigned long long)there->count, (unsigned long long)here->count);
    } else if (here->type != there->type) {
        snprintf(text, FINGERPRINT_TEXT, "type %s there, %s here", type_text(there->type),
                 type_text(here->type));
    } else if (here->op != there->op) {
        snprintf(text, FINGERPRINT_TEXT, "operator %s there, %s here", operator_text(there->op),
                 operator_text(here->op));
    } else if (here->root != there->root) {
        snprintf(text, FINGERPRINT_TEXT, "root %u there, %u here", there->root, here->root);
    } else if (here->sequence != there->sequence) {
        snprintf(text, FINGERPRINT_TEXT, "operation number %u there, %u here", there->sequence,
                 here->sequence);
    } else if (here->algorithm != there->algorithm) {
        snprintf(text, FINGERPRINT_TEXT,
                 "algorithm %s there, %s here (KOLO_ALGORITHM must be the same everywhere)",
                 algorithm_text(there->algorithm), algorithm_text(here->algorithm));
    } else {
        snprintf(text, FINGERPRINT_TEXT, "another part of the same operation");
    }
    return text;
}
