#include "transport/tcp/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

unsigned address_bytes(const struct port_address *address, const uint8_t **bytes)
{
    if (address->as.any.sa_family == AF_INET) {
        *bytes = (const uint8_t *)&address->as.v4.sin_addr;
        return 4;
    }
    if (address->as.any.sa_family == AF_INET6) {
        *bytes = (const uint8_t *)&address->as.v6.sin6_addr;
        return 16;
    }
    *bytes = NULL;
    return 0;
}

unsigned address_shared_bits(const struct port_address *a, const struct port_address *b)
{
    const uint8_t *left;
    const uint8_t *right;
    unsigned length = address_bytes(a, &left);
    if (length != address_bytes(b, &right)) {
        return 0;
    }
    unsigned bits = 0;
    for (unsigned i = 0; i < length; i++) {
        unsigned differ = left[i] ^ right[i];
        if (differ != 0) {
            while ((differ & 0x80u) == 0) {
                differ <<= 1;
                bits++;
            }
            break;
        }
        bits += 8;
    }
    return bits;
}

bool address_same_host(const struct port_address *a, const struct port_address *b)
{
    const uint8_t *left;
    const uint8_t *right;
    unsigned length = address_bytes(a, &left);
    if (length != address_bytes(b, &right) || (length > 0 && memcmp(left, right, length) != 0)) {
        return false;
    }
    if (length != 16) {
        return true;
    }
    uint32_t scope_a = a->as.v6.sin6_scope_id;
    uint32_t scope_b = b->as.v6.sin6_scope_id;
    return scope_a == scope_b || scope_a == 0 || scope_b == 0;
}

bool port_address_equal(const struct port_address *a, const struct port_address *b)
{
    return address_same_host(a, b) && address_port(a) == address_port(b);
}

static enum address_reach reach_v4(const uint8_t *ip)
{
    if (ip[0] == 127) {
        return ADDRESS_LOOPBACK;
    }
    if (ip[0] == 169 && ip[1] == 254) {
        return ADDRESS_LINK_LOCAL;
    }
    bool shared = ip[0] == 100 && (ip[1] & 0xc0u) == 64; /* 100.64.0.0/10, RFC 6598 */
    bool private = ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0u) == 16) ||
                   (ip[0] == 192 && ip[1] == 168); /* RFC 1918 */
    return shared || private ? ADDRESS_PRIVATE : ADDRESS_GLOBAL;
}

static enum address_reach reach_v6(const struct in6_addr *ip)
{
    if (IN6_IS_ADDR_LOOPBACK(ip)) {
        return ADDRESS_LOOPBACK;
    }
    if (IN6_IS_ADDR_LINKLOCAL(ip)) {
        return ADDRESS_LINK_LOCAL;
    }
    return (ip->s6_addr[0] & 0xfeu) == 0xfc ? ADDRESS_PRIVATE : ADDRESS_GLOBAL; /* RFC 4193 */
}

enum address_reach address_reach(const struct port_address *address)
{
    if (address->as.any.sa_family == AF_INET) {
        return reach_v4((const uint8_t *)&address->as.v4.sin_addr);
    }
    assert(address->as.any.sa_family == AF_INET6);
    return reach_v6(&address->as.v6.sin6_addr);
}

socklen_t address_length(const struct port_address *address)
{
    return address->as.any.sa_family == AF_INET ? sizeof address->as.v4 : sizeof address->as.v6;
}

uint16_t address_port(const struct port_address *address)
{
    if (address->as.any.sa_family == AF_INET) {
        return ntohs(address->as.v4.sin_port);
    }
    return address->as.any.sa_family == AF_INET6 ? ntohs(address->as.v6.sin6_port) : 0;
}

void address_set_port(struct port_address *address, uint16_t number)
{
    if (address->as.any.sa_family == AF_INET) {
        address->as.v4.sin_port = htons(number);
    } else if (address->as.any.sa_family == AF_INET6) {
        address->as.v6.sin6_port = htons(number);
    }
}

void address_unmap(struct port_address *address)
{
    if (address->as.any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->as.v6.sin6_addr)) {
        return;
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = address->as.v6.sin6_port};
    memcpy(&v4.sin_addr, &address->as.v6.sin6_addr.s6_addr[12], sizeof v4.sin_addr);
    memset(address, 0, sizeof *address);
    address->as.v4 = v4;
}

bool address_parse(struct port_address *address, const char *text)
{
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &address->as.v4.sin_addr) == 1) {
        address->as.v4.sin_family = AF_INET;
        return true;
    }
    if (inet_pton(AF_INET6, text, &address->as.v6.sin6_addr) == 1) {
        address->as.v6.sin6_family = AF_INET6;
        return true;
    }
    return false;
}

static const char *text_v6(char *text, const struct sockaddr_in6 *address)
{
    char ip[INET6_ADDRSTRLEN];
    char name[IF_NAMESIZE];
    const char *scope = "";
    inet_ntop(AF_INET6, &address->sin6_addr, ip, sizeof ip);
    if (address->sin6_scope_id != 0) {
        scope = if_indextoname(address->sin6_scope_id, name);
        if (scope == NULL) {
            snprintf(name, sizeof name, "%u", (unsigned)address->sin6_scope_id);
            scope = name;
        }
    }
    snprintf(text, PORT_ADDRESS_TEXT, "[%s%s%s]:%u", ip, scope[0] ? "%" : "", scope,
             (unsigned)ntohs(address->sin6_port));
    return text;
}

const char *port_address_text(char *text, const struct port_address *address)
{
    if (address->as.any.sa_family == AF_INET6) {
        return text_v6(text, &address->as.v6);
    }
    if (address->as.any.sa_family != AF_INET) {
        snprintf(text, PORT_ADDRESS_TEXT, "no address");
        return text;
    }
    char ip[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address->as.v4.sin_addr, ip, sizeof ip);
    snprintf(text, PORT_ADDRESS_TEXT, "%s:%u", ip, (unsigned)ntohs(address->as.v4.sin_port));
    return text;
}
