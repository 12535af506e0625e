#include "runtime/membership/member.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/status.h"

static void put_address(struct wire_writer *writer, const struct port_address *address)
{
    bool v6 = address->as.any.sa_family == AF_INET6;
    wire_put_u8(writer, v6 ? 6 : 4);
    wire_put_u16(writer, ntohs(v6 ? address->as.v6.sin6_port : address->as.v4.sin_port));
    if (v6) {
        wire_put_bytes(writer, &address->as.v6.sin6_addr, 16);
    } else {
        wire_put_bytes(writer, &address->as.v4.sin_addr, 4);
    }
}

static void get_address(struct wire_reader *reader, struct port_address *address)
{
    memset(address, 0, sizeof *address);
    uint8_t version = wire_get_u8(reader);
    uint16_t port = htons(wire_get_u16(reader));
    if (version == 6) {
        address->as.v6.sin6_family = AF_INET6;
        address->as.v6.sin6_port = port;
        wire_get_bytes(reader, &address->as.v6.sin6_addr, 16);
    } else if (version == 4) {
        address->as.v4.sin_family = AF_INET;
        address->as.v4.sin_port = port;
        wire_get_bytes(reader, &address->as.v4.sin_addr, 4);
    } else {
        reader->failed = true;
    }
}

void member_put(struct wire_writer *writer, const struct member *member)
{
    assert(member->addresses <= PORT_ADDRESSES_MAX);
    wire_put_bytes(writer, member->id, sizeof member->id);
    wire_put_bytes(writer, member->host, sizeof member->host);
    wire_put_u32(writer, (uint32_t)member->rank);
    wire_put_u32(writer, member->size);
    wire_put_u32(writer, member->pid);
    wire_put_u32(writer, member->transports);
    wire_put_u64(writer, member->processor_set);
    wire_put_blob(writer, member->hostname, strlen(member->hostname));
    wire_put_u8(writer, (uint8_t)member->addresses);
    for (uint32_t i = 0; i < member->addresses; i++) {
        put_address(writer, &member->address[i]);
    }
}

void member_get(struct wire_reader *reader, struct member *member)
{
    memset(member, 0, sizeof *member);
    wire_get_bytes(reader, member->id, sizeof member->id);
    wire_get_bytes(reader, member->host, sizeof member->host);
    member->rank = (int32_t)wire_get_u32(reader);
    member->size = wire_get_u32(reader);
    member->pid = wire_get_u32(reader);
    member->transports = wire_get_u32(reader);
    member->processor_set = wire_get_u64(reader);
    wire_get_text(reader, member->hostname, sizeof member->hostname);
    member->addresses = wire_get_u8(reader);
    if (member->addresses > PORT_ADDRESSES_MAX || member->rank < -1) {
        reader->failed = true;
        member->addresses = 0;
    }
    for (uint32_t i = 0; i < member->addresses && !reader->failed; i++) {
        get_address(reader, &member->address[i]);
    }
    for (char *c = member->hostname; *c != '\0'; c++) {
        *c = *c > ' ' && *c < 127 ? *c : '?'; /* it goes into messages */
    }
}

const char *member_name(char text[MEMBER_NAME_MAX], const struct member *member)
{
    char address[PORT_ADDRESS_TEXT] = "no address";
    if (member->addresses > 0) {
        port_address_text(address, &member->address[0]);
    }
    char rank[24] = "peer";
    if (member->rank >= 0) {
        snprintf(rank, sizeof rank, "rank %d", member->rank);
    }
    snprintf(text, MEMBER_NAME_MAX, "%s (%s, %s, pid %u)", rank, member->hostname, address,
             member->pid);
    return text;
}

int member_compare(const void *a, const void *b)
{
    const struct member *left = a;
    const struct member *right = b;
    if (left->rank != right->rank) {
        return left->rank < right->rank ? -1 : 1;
    }
    int by_host = memcmp(left->host, right->host, sizeof left->host);
    return by_host != 0 ? by_host : memcmp(left->id, right->id, sizeof left->id);
}

/* Members with a rank of their own, sorted, must be distinct and below size. */
static kolo_status check_given_ranks(const struct member *members, uint32_t size)
{
    char name[MEMBER_NAME_MAX], other[MEMBER_NAME_MAX];
    for (uint32_t i = 0; i < size; i++) {
        if (members[i].rank >= (int32_t)size) {
            return fail(KOLO_ERR_ARGUMENT,
                        "%s claims a rank that is not below the size, %u; give ranks 0 to %u",
                        member_name(name, &members[i]), size, size - 1);
        }
        if (i > 0 && members[i].rank >= 0 && members[i].rank == members[i - 1].rank) {
            return fail(KOLO_ERR_ARGUMENT,
                        "%s and %s claim the same rank; give each peer its own, or none at all",
                        member_name(name, &members[i - 1]), member_name(other, &members[i]));
        }
    }
    return KOLO_OK;
}

kolo_status members_rank(struct member *members, uint32_t size)
{
    qsort(members, size, sizeof *members,
          member_compare); /* those without a rank (-1) come first */
    kolo_status status = check_given_ranks(members, size);
    if (status != KOLO_OK) {
        return status;
    }
    uint32_t given = 0; /* the first member with a rank that was given */
    while (given < size && members[given].rank < 0) {
        given++;
    }
    int32_t next = 0;
    uint32_t taken = given;
    for (uint32_t i = 0; i < given; i++) {
        while (taken < size && members[taken].rank == next) {
            taken++;
            next++;
        }
        members[i].rank = next++;
    }
    qsort(members, size, sizeof *members, member_compare);
    return KOLO_OK;
}

uint64_t members_hash(const struct member *members, uint32_t size)
{
    uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a: tells lists apart, is no defence */
    for (uint32_t i = 0; i < size; i++) {
        for (size_t k = 0; k < sizeof members[i].id; k++) {
            hash = (hash ^ members[i].id[k]) * 0x100000001b3ULL;
        }
        hash = (hash ^ (uint64_t)(uint32_t)members[i].rank) * 0x100000001b3ULL;
    }
    return hash;
}
