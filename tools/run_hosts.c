#include "tools/run_hosts.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/option.h"
#include "tools/run_options.h"

/** Where the places begin in "name:K" or "[v6]:K": at the colon, or at the end if there are none. */
static const char *find_places(const char *host, const char *end)
{
    const char *bracket = memchr(host, ']', (size_t)(end - host));
    const char *from = bracket != NULL ? bracket : host;
    const char *colon = memchr(from, ':', (size_t)(end - from));
    return colon != NULL ? colon : end;
}

/** Copy the host part, without the brackets of an IPv6 address, and find the name in it. Returns whether it is one. */
static bool take_name(struct run_host *host, const char *text, size_t length)
{
    size_t used = 0;
    for (size_t i = 0; i < length && used < sizeof host->login; i++) {
        if (text[i] != '[' && text[i] != ']') {
            host->login[used++] = text[i];
        }
    }
    if (used == sizeof host->login) {
        return false;
    }
    host->login[used] = '\0';
    const char *at = strrchr(host->login, '@');
    host->name = at != NULL ? at + 1 : host->login;
    /* A leading '-' would be an option of ssh; spaces and quotes are in no host's name. */
    return host->name[0] != '\0' && host->login[0] != '-' &&
           strpbrk(host->login, " \t\"'`$;&|<>()") == NULL;
}

/** Take in one element of the list, text .. end. */
static int add_host(struct run_hosts *hosts, const char *text, const char *end)
{
    if (hosts->count == RUN_HOSTS_MAX) {
        return command_usage(&command_run, "--hosts names more than %d hosts", RUN_HOSTS_MAX);
    }
    struct run_host *host = &hosts->host[hosts->count];
    const char *places = find_places(text, end);
    if (!take_name(host, text, (size_t)(places - text))) {
        return command_usage(&command_run, "--hosts: \"%.*s\" is not a host", (int)(end - text),
                             text);
    }
    int peers = 1;
    if (places < end) {
        char number[16];
        snprintf(number, sizeof number, "%.*s", (int)(end - places - 1), places + 1);
        if (!option_int(&peers, &command_run, "--hosts: the number after HOST:", number, 1,
                        RUN_PEERS_MAX)) {
            return COMMAND_USAGE;
        }
    }
    host->peers = (unsigned)peers;
    hosts->peers += host->peers;
    hosts->count++;
    return 0;
}

int run_hosts_read(struct run_hosts *hosts, const char *text)
{
    hosts->count = 0;
    hosts->peers = 0;
    for (;;) {
        const char *end = text + strcspn(text, ",");
        int status = add_host(hosts, text, end);
        if (status != 0) {
            return status;
        }
        if (hosts->peers > RUN_PEERS_MAX) {
            return command_usage(&command_run, "--hosts has more than %d places", RUN_PEERS_MAX);
        }
        if (*end == '\0') {
            return 0;
        }
        text = end + 1;
    }
}

void run_hosts_limit(struct run_hosts *hosts, unsigned peers)
{
    assert(peers >= 1 && peers <= hosts->peers);
    while (hosts->peers > peers) {
        struct run_host *last = &hosts->host[hosts->count - 1];
        unsigned over = hosts->peers - peers;
        if (over >= last->peers) {
            hosts->peers -= last->peers;
            hosts->count--;
        } else {
            hosts->peers = peers;
            last->peers -= over;
        }
    }
}

const struct run_host *run_hosts_place(const struct run_hosts *hosts, unsigned *local_rank,
                                       unsigned rank)
{
    assert(rank < hosts->peers);
    const struct run_host *host = hosts->host;
    while (rank >= host->peers) {
        rank -= host->peers;
        host++;
    }
    /* A host that is named again goes on counting. */
    for (const struct run_host *before = hosts->host; before < host; before++) {
        if (strcmp(before->name, host->name) == 0) {
            rank += before->peers;
        }
    }
    *local_rank = rank;
    return host;
}

static bool is_named_before(const struct run_hosts *hosts, unsigned i)
{
    for (unsigned before = 0; before < i; before++) {
        if (strcmp(hosts->host[before].name, hosts->host[i].name) == 0) {
            return true;
        }
    }
    return false;
}

char *run_hosts_contacts(const struct run_hosts *hosts, int port)
{
    size_t capacity = RUN_CONTACTS * (RUN_HOST_TEXT + sizeof "[]:65535,"), used = 0;
    char *text = malloc(capacity);
    if (text == NULL) {
        return NULL;
    }
    text[0] = '\0';
    unsigned contacts = 0;
    for (unsigned i = 0; i < hosts->count && contacts < RUN_CONTACTS; i++) {
        const char *name = hosts->host[i].name;
        if (is_named_before(hosts, i)) {
            continue;
        }
        const char *format = strchr(name, ':') != NULL ? "%s[%s]:%d" : "%s%s:%d";
        used += (size_t)snprintf(text + used, capacity - used, format, contacts > 0 ? "," : "",
                                 name, port);
        contacts++;
    }
    assert(used < capacity);
    return text;
}
