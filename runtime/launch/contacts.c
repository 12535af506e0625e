/* KOLO_PEERS: the texts in which contacts are given. */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/env.h"
#include "runtime/base/status.h"
#include "runtime/launch/launch.h"

#define FORMS "\"host:port\", \"[2001:db8::7]:port\", \"dns:NAME:PORT\" or \"file:PATH\""
#define ITEM_MAX (LAUNCH_FOLDER_MAX + 8) /* "file:" and a path */

static kolo_status malformed(const char *item, const char *why)
{
    return fail(KOLO_ERR_ARGUMENT, "contact '%s': %s; a contact is " FORMS, item, why);
}

static bool known(const struct launch *launch, const struct launch_contact *contact)
{
    for (unsigned i = 0; i < launch->contacts; i++) {
        const struct launch_contact *other = &launch->contact[i];
        if (other->port == contact->port && strcmp(other->host, contact->host) == 0) {
            return true;
        }
    }
    return false;
}

static kolo_status add_contact(struct launch *launch, const char *host, size_t host_length,
                               const char *port, const char *item)
{
    struct launch_contact contact;
    if (host_length == 0) {
        return malformed(item, "no host");
    }
    if (host_length >= sizeof contact.host) {
        return malformed(item, "the host is too long");
    }
    memcpy(contact.host, host, host_length);
    contact.host[host_length] = '\0';
    if (port[0] < '0' || port[0] > '9') {
        return malformed(item, "no port");
    }
    kolo_status status = parse_int(&contact.port, port, "port", 1, UINT16_MAX);
    if (status != KOLO_OK) {
        return fail_more(status, "contact '%s'", item);
    }
    if (known(launch, &contact)) {
        return KOLO_OK;
    }
    if (launch->contacts == LAUNCH_CONTACTS_MAX) {
        return fail(KOLO_ERR_LIMIT, "more than %d contacts; any one that lives is enough",
                    LAUNCH_CONTACTS_MAX);
    }
    launch->contact[launch->contacts++] = contact;
    return KOLO_OK;
}

static kolo_status parse_address(struct launch *launch, const char *text, const char *item)
{
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL || close[1] != ':') {
            return malformed(item, "'[' without ']:port'");
        }
        return add_contact(launch, text + 1, (size_t)(close - text - 1), close + 2, item);
    }
    const char *colon = strchr(text, ':');
    if (colon == NULL) {
        return malformed(item, "no port");
    }
    if (strchr(colon + 1, ':') != NULL) {
        return malformed(item, "an IPv6 address needs brackets");
    }
    return add_contact(launch, text, (size_t)(colon - text), colon + 1, item);
}

static kolo_status parse_folder(struct launch *launch, const char *path, const char *item)
{
    if (path[0] == '\0') {
        return malformed(item, "no path");
    }
    if (launch->folder[0] != '\0' && strcmp(launch->folder, path) != 0) {
        return malformed(item, "only one shared folder can be used");
    }
    assert(strlen(path) < sizeof launch->folder);
    memcpy(launch->folder, path, strlen(path) + 1);
    return KOLO_OK;
}

static kolo_status parse_item(struct launch *launch, const char *start, size_t length)
{
    char item[ITEM_MAX];
    if (length >= sizeof item ||
        (length >= 5 && memcmp(start, "file:", 5) == 0 && length - 5 >= sizeof launch->folder)) {
        return fail(KOLO_ERR_ARGUMENT, "contact '%.64s...' is too long", start);
    }
    memcpy(item, start, length);
    item[length] = '\0';
    if (strncmp(item, "file:", 5) == 0) {
        return parse_folder(launch, item + 5, item);
    }
    return parse_address(launch, strncmp(item, "dns:", 4) == 0 ? item + 4 : item, item);
}

kolo_status launch_parse_peers(struct launch *launch, const char *text)
{
    static const char blanks[] = " \t\n";
    for (const char *at = text; *at != '\0';) {
        at += strspn(at, " \t\n,");
        size_t length = strcspn(at, ",");
        const char *next = at + length;
        while (length > 0 && strchr(blanks, at[length - 1]) != NULL) {
            length--;
        }
        if (length > 0) {
            kolo_status status = parse_item(launch, at, length);
            if (status != KOLO_OK) {
                return status;
            }
        }
        at = next;
    }
    if (launch->contacts == 0 && launch->folder[0] == '\0') {
        return fail(KOLO_ERR_ARGUMENT, "KOLO_PEERS='%s' names no contact; a contact is " FORMS,
                    text);
    }
    return KOLO_OK;
}

static bool is_address(const struct launch_contact *contact)
{
    struct in6_addr address;
    return inet_pton(AF_INET, contact->host, &address) == 1 ||
           inet_pton(AF_INET6, contact->host, &address) == 1;
}

/* "10.0.0.7:4242" or "[2001:db8::7]:4242". */
static bool read_address(struct launch_contact *contact, const char *text, size_t length)
{
    const char *end = text + length;
    const char *colon = memrchr(text, ':', length);
    if (colon == NULL || end - colon < 2 || end - colon > 6) {
        return false;
    }
    bool brackets = text[0] == '[' && colon - text > 2 && colon[-1] == ']';
    const char *host = brackets ? text + 1 : text;
    size_t host_length = (size_t)(colon - host) - brackets;
    if (host_length >= sizeof contact->host) {
        return false;
    }
    memcpy(contact->host, host, host_length);
    contact->host[host_length] = '\0';
    contact->port = 0;
    for (const char *digit = colon + 1; digit < end; digit++) {
        if (*digit < '0' || *digit > '9') {
            return false;
        }
        contact->port = 10 * contact->port + (*digit - '0');
    }
    bool v6 = memchr(host, ':', host_length) != NULL;
    return is_address(contact) && v6 == brackets && contact->port > 0 &&
           contact->port <= UINT16_MAX;
}

kolo_status launch_add_addresses(struct launch *launch, const char *text)
{
    for (const char *at = text;; at++) {
        struct launch_contact contact;
        size_t length = strcspn(at, ",");
        if (!read_address(&contact, at, length)) {
            return fail_quietly(KOLO_ERR_PROTOCOL, "'%.64s' is no address with a port", at);
        }
        if (!known(launch, &contact)) {
            if (launch->contacts == LAUNCH_CONTACTS_MAX) {
                return fail_quietly(KOLO_ERR_LIMIT, "more than %d addresses", LAUNCH_CONTACTS_MAX);
            }
            launch->contact[launch->contacts++] = contact;
        }
        at += length;
        if (*at == '\0') {
            return KOLO_OK;
        }
    }
}
