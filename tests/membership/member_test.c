/* Records of members as bytes, hostile bytes, and the agreement on ranks. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/membership/member.h"

static struct port_address address_v4(uint32_t ip, uint16_t port)
{
    struct port_address address = {0};
    address.as.v4.sin_family = AF_INET;
    address.as.v4.sin_addr.s_addr = htonl(ip);
    address.as.v4.sin_port = htons(port);
    return address;
}

static struct port_address address_v6(uint8_t last, uint16_t port)
{
    struct port_address address = {0};
    address.as.v6.sin6_family = AF_INET6;
    address.as.v6.sin6_addr.s6_addr[0] = 0x20;
    address.as.v6.sin6_addr.s6_addr[15] = last;
    address.as.v6.sin6_port = htons(port);
    return address;
}

/* A member whose identity and host are told by two numbers. */
static struct member member_of(int32_t rank, uint8_t host, uint8_t id)
{
    struct member member = {
        .rank = rank, .size = 4, .pid = 100u + id, .transports = 3, .processor_set = 5};
    memset(member.id, id, sizeof member.id);
    memset(member.host, host, sizeof member.host);
    snprintf(member.hostname, sizeof member.hostname, "host-%u", host);
    member.address[member.addresses++] = address_v4(0x0a000007, (uint16_t)(4000 + id));
    return member;
}

static struct member largest(void)
{
    struct member member = member_of(1023, 7, 9);
    member.size = 1024;
    memset(member.hostname, 'h', sizeof member.hostname - 1);
    for (member.addresses = 0; member.addresses < PORT_ADDRESSES_MAX; member.addresses++) {
        member.address[member.addresses] = address_v6((uint8_t)member.addresses, 65535);
    }
    return member;
}

static size_t encode(uint8_t bytes[MEMBER_WIRE_MAX], const struct member *member)
{
    struct wire_writer writer = {.bytes = bytes, .capacity = MEMBER_WIRE_MAX};
    member_put(&writer, member);
    assert_false(writer.failed);
    return writer.length;
}

static bool decode(struct member *member, const uint8_t *bytes, size_t length)
{
    struct wire_reader reader = {.bytes = bytes, .length = length};
    member_get(&reader, member);
    return !reader.failed;
}

static void assert_same(const struct member *a, const struct member *b)
{
    assert_memory_equal(a->id, b->id, sizeof a->id);
    assert_memory_equal(a->host, b->host, sizeof a->host);
    assert_int_equal(a->rank, b->rank);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->pid, b->pid);
    assert_int_equal(a->transports, b->transports);
    assert_int_equal(a->processor_set, b->processor_set);
    assert_string_equal(a->hostname, b->hostname);
    assert_int_equal(a->addresses, b->addresses);
    for (uint32_t i = 0; i < a->addresses; i++) {
        assert_true(port_address_equal(&a->address[i], &b->address[i]));
    }
}

static void a_record_survives_the_journey(void **state)
{
    (void)state;
    struct member members[] = {member_of(3, 1, 2), member_of(-1, 1, 2), largest()};
    members[0].address[members[0].addresses++] = address_v6(7, 1);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t bytes[MEMBER_WIRE_MAX];
        struct member back;
        assert_true(decode(&back, bytes, encode(bytes, &members[i])));
        assert_same(&back, &members[i]);
    }
}

static void half_a_record_is_none(void **state)
{
    (void)state;
    struct member member = largest(), back;
    uint8_t bytes[MEMBER_WIRE_MAX];
    size_t length = encode(bytes, &member);
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *exact = malloc(cut + (cut == 0)); /* so that a sanitizer sees one byte too many */
        memcpy(exact, bytes, cut);
        assert_false(decode(&back, exact, cut));
        free(exact);
    }
}

static void a_hostile_record_is_refused_or_harmless(void **state)
{
    (void)state;
    struct member member = member_of(3, 1, 2), back;
    uint8_t bytes[MEMBER_WIRE_MAX];
    size_t length = encode(bytes, &member);
    for (size_t at = 0; at < length; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t before = bytes[at];
            bytes[at] = (uint8_t)value;
            if (decode(&back, bytes, length)) {
                char name[MEMBER_NAME_MAX];
                assert_true(back.rank >= -1 && back.addresses <= PORT_ADDRESSES_MAX);
                assert_true(strlen(member_name(name, &back)) < MEMBER_NAME_MAX);
                assert_null(strpbrk(name, "\n\r\t\x1b"));
            }
            bytes[at] = before;
        }
    }
}

static void a_host_name_cannot_smuggle_control_characters(void **state)
{
    (void)state;
    struct member member = member_of(0, 1, 2), back;
    char name[MEMBER_NAME_MAX];
    strcpy(member.hostname, "evil\n\x1b[31m\xff");
    uint8_t bytes[MEMBER_WIRE_MAX];
    assert_true(decode(&back, bytes, encode(bytes, &member)));
    assert_string_equal(back.hostname, "evil??[31m?");
    assert_string_equal(member_name(name, &back), "rank 0 (evil??[31m?, 10.0.0.7:4002, pid 102)");
}

static void names_tell_what_is_known(void **state)
{
    (void)state;
    char name[MEMBER_NAME_MAX];
    struct member member = member_of(-1, 1, 2);
    assert_string_equal(member_name(name, &member), "peer (host-1, 10.0.0.7:4002, pid 102)");
    member.rank = 12;
    member.addresses = 0;
    assert_string_equal(member_name(name, &member), "rank 12 (host-1, no address, pid 102)");
    member = largest(); /* the longest name fits */
    member.address[0] = address_v6(255, 65535);
    assert_non_null(strstr(member_name(name, &member), "pid 109)"));
}

/* ---- ranks ---- */

static void shuffle(struct member *members, uint32_t size, unsigned *seed)
{
    for (uint32_t i = size; i > 1; i--) {
        *seed = *seed * 1103515245u + 12345u;
        uint32_t other = (*seed >> 8) % i;
        struct member member = members[i - 1];
        members[i - 1] = members[other];
        members[other] = member;
    }
}

static void assert_ranked(const struct member *members, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        assert_int_equal(members[i].rank, i);
    }
}

static void ranks_are_filled_by_host_and_identity(void **state)
{
    (void)state;
    struct member members[] = {member_of(-1, 2, 1), member_of(-1, 1, 9), member_of(-1, 2, 0),
                               member_of(-1, 1, 3)};
    assert_int_equal(members_rank(members, 4), KOLO_OK);
    assert_ranked(members, 4);
    const uint8_t order[] = {3, 9, 0, 1}; /* one host after the other */
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(members[i].id[0], order[i]);
    }
}

static void given_ranks_are_kept_and_gaps_filled(void **state)
{
    (void)state;
    for (unsigned given = 0; given < 64; given++) { /* every subset of six */
        struct member members[6];
        for (uint8_t i = 0; i < 6; i++) {
            members[i] = member_of((given >> i) & 1 ? 5 - i : -1, 1, i);
        }
        assert_int_equal(members_rank(members, 6), KOLO_OK);
        assert_ranked(members, 6);
        int before = -1;
        for (unsigned rank = 0; rank < 6; rank++) {
            unsigned id = members[rank].id[0];
            if ((given >> id) & 1) {
                assert_int_equal(rank, 5 - id);
            } else {
                assert_true((int)id > before); /* the others in order of identity */
                before = (int)id;
            }
        }
    }
}

static void all_peers_come_to_the_same_list(void **state)
{
    (void)state;
    unsigned seed = 1;
    uint64_t hash = 0;
    for (int round = 0; round < 100; round++) {
        struct member members[16];
        for (uint8_t i = 0; i < 16; i++) {
            members[i] = member_of(i % 3 == 0 ? (i * 7) % 16 : -1, i % 4, i);
        }
        shuffle(members, 16, &seed);
        assert_int_equal(members_rank(members, 16), KOLO_OK);
        assert_ranked(members, 16);
        uint64_t this_hash = members_hash(members, 16);
        assert_true(round == 0 || this_hash == hash);
        hash = this_hash;
    }
}

static void other_lists_have_other_hashes(void **state)
{
    (void)state;
    struct member members[3] = {member_of(0, 1, 1), member_of(1, 1, 2), member_of(2, 1, 3)};
    uint64_t hash = members_hash(members, 3);
    assert_true(hash != members_hash(members, 2));
    members[2].id[15] ^= 1;
    assert_true(hash != members_hash(members, 3));
    members[2].id[15] ^= 1;
    members[2].rank = 7;
    assert_true(hash != members_hash(members, 3));
}

static void two_of_one_rank_are_refused_by_name(void **state)
{
    (void)state;
    struct member members[] = {member_of(1, 1, 1), member_of(-1, 1, 2), member_of(1, 2, 3),
                               member_of(0, 2, 4)};
    assert_int_equal(members_rank(members, 4), KOLO_ERR_ARGUMENT);
    assert_non_null(strstr(kolo_last_error(), "rank 1 (host-1, 10.0.0.7:4001, pid 101)"));
    assert_non_null(strstr(kolo_last_error(), "rank 1 (host-2, 10.0.0.7:4003, pid 103)"));
}

static void a_rank_beyond_the_size_is_refused_by_name(void **state)
{
    (void)state;
    struct member members[] = {member_of(4, 1, 1), member_of(-1, 1, 2), member_of(2, 2, 3),
                               member_of(0, 2, 4)};
    assert_int_equal(members_rank(members, 4), KOLO_ERR_ARGUMENT);
    assert_non_null(strstr(kolo_last_error(), "rank 4 (host-1"));
    assert_non_null(strstr(kolo_last_error(), "0 to 3"));
    members[0].rank = INT32_MAX;
    assert_int_equal(members_rank(members, 4), KOLO_ERR_ARGUMENT);
}

static void one_alone_is_rank_0(void **state)
{
    (void)state;
    struct member member = member_of(-1, 1, 1);
    assert_int_equal(members_rank(&member, 1), KOLO_OK);
    assert_int_equal(member.rank, 0);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_survives_the_journey),
        cmocka_unit_test(half_a_record_is_none),
        cmocka_unit_test(a_hostile_record_is_refused_or_harmless),
        cmocka_unit_test(a_host_name_cannot_smuggle_control_characters),
        cmocka_unit_test(names_tell_what_is_known),
        cmocka_unit_test(ranks_are_filled_by_host_and_identity),
        cmocka_unit_test(given_ranks_are_kept_and_gaps_filled),
        cmocka_unit_test(all_peers_come_to_the_same_list),
        cmocka_unit_test(other_lists_have_other_hashes),
        cmocka_unit_test(two_of_one_rank_are_refused_by_name),
        cmocka_unit_test(a_rank_beyond_the_size_is_refused_by_name),
        cmocka_unit_test(one_alone_is_rank_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
