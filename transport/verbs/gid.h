/* gid: the addresses of an RDMA port, and which of them to use. A RoCE port has one or two (v1 and v2) for each IP address of
 * its network interface; the choice decides whether the packets can be routed at all. Pure functions of the port's table. */
#ifndef KOLO_VERBS_GID_H
#define KOLO_VERBS_GID_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>

#define GID_TABLE_MAX 256 /* entries looked at; an address handle has eight bits for the index */
#define GID_TEXT_BYTES 46 /* of an IPv6 address */

/** How far packets to this address get. */
enum gid_reach { GID_NOWHERE = 0, GID_HOST, GID_LINK, GID_ROUTABLE };

enum gid_reach gid_reach(const union ibv_gid *gid);

/** "10.77.0.1" for an IPv4-mapped one, else as an IPv6 address. Returns `text`. */
const char *gid_text(char text[GID_TEXT_BYTES], const union ibv_gid *gid);

bool gid_is_ipv4(const union ibv_gid *gid); /* ::ffff:a.b.c.d */
bool gid_is_zero(const union ibv_gid *gid);
bool gid_is_multicast(const union ibv_gid *gid);

/** "RoCE v2", "RoCE v1", "InfiniBand". */
const char *gid_type_name(uint32_t gid_type);

/** The best entry for `port` of an Ethernet device: RoCE v2 before v1, then the farther reach, then IPv4 before IPv6 (which every
 *  router forwards), then the lower index. NULL if the port has none. */
const struct ibv_gid_entry *gid_choose(const struct ibv_gid_entry *entries, size_t count,
                                       uint32_t port);

/** The entry with this index, or NULL if it is empty. */
const struct ibv_gid_entry *gid_at(const struct ibv_gid_entry *entries, size_t count, uint32_t port,
                                   uint32_t index);

/** "0 RoCE v1 fe80::1, 1 RoCE v2 10.77.0.1", cut to `bytes`. Returns `text`. */
const char *gid_list(char *text, size_t bytes, const struct ibv_gid_entry *entries, size_t count,
                     uint32_t port);

#endif
