#include "transport/verbs/gid.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool gid_is_ipv4(const union ibv_gid *gid)
{
    return memcmp(gid->raw, mapped, sizeof mapped) == 0;
}

bool gid_is_zero(const union ibv_gid *gid)
{
    static const union ibv_gid zero;
    return memcmp(gid->raw, zero.raw, sizeof zero.raw) == 0;
}

bool gid_is_multicast(const union ibv_gid *gid)
{
    return gid_is_ipv4(gid) ? (gid->raw[12] & 0xf0) == 0xe0 : gid->raw[0] == 0xff;
}

static enum gid_reach reach_v4(const uint8_t address[4])
{
    if (address[0] == 0 || address[0] >= 224) {
        return GID_NOWHERE; /* this network, multicast, reserved, broadcast */
    }
    if (address[0] == 127) {
        return GID_HOST;
    }
    return address[0] == 169 && address[1] == 254 ? GID_LINK : GID_ROUTABLE;
}

enum gid_reach gid_reach(const union ibv_gid *gid)
{
    static const uint8_t loopback[16] = {[15] = 1};
    if (gid_is_ipv4(gid)) {
        return reach_v4(gid->raw + sizeof mapped);
    }
    if (gid_is_zero(gid) || gid_is_multicast(gid)) {
        return GID_NOWHERE;
    }
    if (memcmp(gid->raw, loopback, sizeof loopback) == 0) {
        return GID_HOST;
    }
    return gid->raw[0] == 0xfe && (gid->raw[1] & 0xc0) == 0x80 ? GID_LINK : GID_ROUTABLE;
}

const char *gid_text(char text[GID_TEXT_BYTES], const union ibv_gid *gid)
{
    bool v4 = gid_is_ipv4(gid);
    const void *address = v4 ? gid->raw + sizeof mapped : gid->raw;
    const char *written = inet_ntop(v4 ? AF_INET : AF_INET6, address, text, GID_TEXT_BYTES);
    assert(written != NULL);
    return written;
}

const char *gid_type_name(uint32_t gid_type)
{
    switch (gid_type) {
    case IBV_GID_TYPE_ROCE_V2:
        return "RoCE v2";
    case IBV_GID_TYPE_ROCE_V1:
        return "RoCE v1";
    default:
        return "InfiniBand";
    }
}

static bool usable(const struct ibv_gid_entry *entry, uint32_t port)
{
    return entry->port_num == port && entry->gid_index < GID_TABLE_MAX &&
           gid_reach(&entry->gid) != GID_NOWHERE;
}

/* More is better. */
static unsigned worth(const struct ibv_gid_entry *entry)
{
    unsigned version = entry->gid_type == IBV_GID_TYPE_ROCE_V2;
    return version << 4 | (unsigned)gid_reach(&entry->gid) << 1 | gid_is_ipv4(&entry->gid);
}

const struct ibv_gid_entry *gid_choose(const struct ibv_gid_entry *entries, size_t count,
                                       uint32_t port)
{
    const struct ibv_gid_entry *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct ibv_gid_entry *entry = &entries[i];
        if (usable(entry, port) &&
            (best == NULL || worth(entry) > worth(best) ||
             (worth(entry) == worth(best) && entry->gid_index < best->gid_index))) {
            best = entry;
        }
    }
    return best;
}

const struct ibv_gid_entry *gid_at(const struct ibv_gid_entry *entries, size_t count, uint32_t port,
                                   uint32_t index)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].gid_index == index && usable(&entries[i], port)) {
            return &entries[i];
        }
    }
    return NULL;
}

const char *gid_list(char *text, size_t bytes, const struct ibv_gid_entry *entries, size_t count,
                     uint32_t port)
{
    assert(bytes > 0);
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < count && used < bytes; i++) {
        char address[GID_TEXT_BYTES];
        if (usable(&entries[i], port)) {
            int more = snprintf(text + used, bytes - used, "%s%u %s %s", used > 0 ? ", " : "",
                                entries[i].gid_index, gid_type_name(entries[i].gid_type),
                                gid_text(address, &entries[i].gid));
            used += more > 0 ? (size_t)more : 0;
        }
    }
    return text;
}
