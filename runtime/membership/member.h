/* member: what one peer says about itself when it joins, and the group that results: the same ordered list on every peer. */
#ifndef KOLO_MEMBERSHIP_MEMBER_H
#define KOLO_MEMBERSHIP_MEMBER_H

#include <kolo/kolo.h>
#include <stdint.h>

#include "runtime/base/wire.h"
#include "runtime/topology/topology.h"
#include "transport/tcp/port.h"

#define MEMBER_HOSTNAME_MAX 64
#define MEMBER_WIRE_MAX 512 /* bytes of an encoded record */
#define MEMBER_NAME_MAX 192

struct member {
    uint8_t id[TRANSPORT_ID_BYTES];    /* random, new in every kolo_open */
    uint8_t host[TOPOLOGY_HOST_BYTES]; /* the running kernel */
    uint64_t processor_set;            /* which processors of the host it may use (topology.h) */
    int32_t rank;                      /* -1: to be agreed; a rank once the group is formed */
    uint32_t size;                     /* how many peers it expects */
    uint32_t pid;
    uint32_t transports; /* bit i: may use transport i of the runtime's table */
    char hostname[MEMBER_HOSTNAME_MAX];
    uint32_t addresses;
    struct port_address address[PORT_ADDRESSES_MAX]; /* where it listens, best first */
};

/** Encode into `writer`; at most MEMBER_WIRE_MAX bytes. */
void member_put(struct wire_writer *writer, const struct member *member);

/** Decode; sets reader->failed on anything that cannot be. */
void member_get(struct wire_reader *reader, struct member *member);

/** "rank 3 (host-b, 10.0.0.7:4242, pid 812)", or "peer (...)" while it has no rank. Returns `text`. */
const char *member_name(char text[MEMBER_NAME_MAX], const struct member *member);

/** Order of a list: by rank where given, then by host and identity. For qsort. */
int member_compare(const void *a, const void *b);

/** Give every member a rank and sort: ranks that were given are kept, the others fill the gaps in order of host and identity.
 *  Returns KOLO_OK, or KOLO_ERR_ARGUMENT when two claim the same rank, or a rank is not below `size` (both are named). */
kolo_status members_rank(struct member *members, uint32_t size);

/** A hash of a ranked list (ranks and identities), the same on all peers that have the same list. */
uint64_t members_hash(const struct member *members, uint32_t size);

#endif
