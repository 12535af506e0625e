#include "runtime/membership/contacts.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

#define FILE_PREFIX "kolo-"
#define FILE_SUFFIX ".peer"

static void add(struct contacts *contacts, const struct port_address *address)
{
    for (unsigned i = 0; i < contacts->count; i++) {
        if (port_address_equal(&contacts->address[i], address)) {
            return;
        }
    }
    if (contacts->count < CONTACTS_ADDRESSES_MAX) {
        contacts->address[contacts->count++] = *address;
    }
}

/* All addresses of one host name. */
static bool look_up(struct contacts *contacts, const char *host, int port, int flags)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *found = NULL;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    int error = getaddrinfo(host, service, &hints, &found);
    if (error != 0) {
        if ((flags & AI_NUMERICHOST) == 0) {
            snprintf(contacts->problem, sizeof contacts->problem,
                     "the contact %.180s has no address (%s)", host, gai_strerror(error));
        }
        return false;
    }
    for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        struct port_address address = {0};
        if (at->ai_addrlen <= sizeof address) {
            memcpy(&address, at->ai_addr, at->ai_addrlen);
            add(contacts, &address);
        }
    }
    freeaddrinfo(found);
    return true;
}

/* A peer's file: an address a line, "host:port" or "[v6]:port". */
static void read_file(struct contacts *contacts, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return; /* it may just have been taken away */
    }
    char line[PORT_ADDRESS_TEXT + 8];
    while (fgets(line, sizeof line, file) != NULL) {
        char *colon = strrchr(line, ':');
        if (colon == NULL) {
            continue;
        }
        *colon = '\0';
        char *host = line;
        size_t length = strlen(host);
        if (host[0] == '[' && host[length - 1] == ']') {
            host[length - 1] = '\0';
            host++;
        }
        int port = atoi(colon + 1);
        if (port > 0 && port < 65536) {
            look_up(contacts, host, port, AI_NUMERICHOST | AI_NUMERICSERV);
        }
    }
    fclose(file);
}

static void read_folder(struct contacts *contacts)
{
    const char *folder = contacts->launch->folder;
    DIR *directory = opendir(folder);
    if (directory == NULL) {
        snprintf(contacts->problem, sizeof contacts->problem,
                 "the folder %.180s cannot be read (%s)", folder, strerror(errno));
        return;
    }
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        size_t length = strlen(entry->d_name);
        if (strncmp(entry->d_name, FILE_PREFIX, strlen(FILE_PREFIX)) == 0 &&
            length > strlen(FILE_SUFFIX) &&
            strcmp(entry->d_name + length - strlen(FILE_SUFFIX), FILE_SUFFIX) == 0) {
            char path[sizeof contacts->own_file + 256];
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            if (strcmp(path, contacts->own_file) != 0) {
                read_file(contacts, path);
            }
        }
    }
    closedir(directory);
}

/* Written under another name and renamed, so that nobody reads half of it. */
static kolo_status leave_file(struct contacts *contacts, const uint8_t *id,
                              const struct port_address *own, unsigned own_count)
{
    const char *folder = contacts->launch->folder;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        return fail(KOLO_ERR_SYSTEM, "the folder %s of KOLO_PEERS cannot be made: %s", folder,
                    strerror(errno));
    }
    uint64_t number;
    memcpy(&number, id, sizeof number);
    char path[sizeof contacts->own_file], fresh[sizeof contacts->own_file + 8];
    snprintf(path, sizeof path, "%s/" FILE_PREFIX "%016" PRIx64 FILE_SUFFIX, folder, number);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *file = fopen(fresh, "we");
    if (file == NULL) {
        return fail(
            KOLO_ERR_SYSTEM,
            "%s cannot be written: %s; KOLO_PEERS=file:PATH needs a folder that all may write to",
            fresh, strerror(errno));
    }
    for (unsigned i = 0; i < own_count; i++) {
        char text[PORT_ADDRESS_TEXT];
        fprintf(file, "%s\n", port_address_text(text, &own[i]));
    }
    if (fclose(file) != 0 || rename(fresh, path) != 0) {
        unlink(fresh);
        return fail(KOLO_ERR_SYSTEM, "%s cannot be written: %s", path, strerror(errno));
    }
    memcpy(contacts->own_file, path, sizeof path);
    return KOLO_OK;
}

kolo_status contacts_open(struct contacts *contacts, const struct launch *launch,
                          const uint8_t id[TRANSPORT_ID_BYTES], const struct port_address *own,
                          unsigned own_count)
{
    memset(contacts, 0, sizeof *contacts);
    contacts->launch = launch;
    contacts->address = calloc(CONTACTS_ADDRESSES_MAX, sizeof *contacts->address);
    if (contacts->address == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory for the addresses of the contacts");
    }
    if (launch->folder[0] == '\0') {
        return KOLO_OK;
    }
    kolo_status status = leave_file(contacts, id, own, own_count);
    if (status != KOLO_OK) {
        contacts_close(contacts);
    }
    return status;
}

/* Numeric ones all at once, then one name. Returns how long to leave the resolver alone. */
static uint64_t refresh_names(struct contacts *contacts, uint64_t now_ns)
{
    const struct launch *launch = contacts->launch;
    for (unsigned looked = 0; looked < launch->contacts; looked++) {
        unsigned index = contacts->next_name;
        const struct launch_contact *contact = &launch->contact[index];
        contacts->next_name = (index + 1) % launch->contacts;
        if (contacts->numeric[index]) {
            continue;
        }
        contacts->numeric[index] =
            look_up(contacts, contact->host, contact->port, AI_NUMERICHOST | AI_NUMERICSERV);
        if (!contacts->numeric[index]) {
            look_up(contacts, contact->host, contact->port, AI_NUMERICSERV);
            uint64_t took_ns = clock_now_ns() - now_ns;
            return 4 * took_ns + (contacts->next_name == 0 ? CONTACTS_NAMES_NS : 0);
        }
    }
    return CONTACTS_NAMES_NS;
}

void contacts_refresh(struct contacts *contacts, uint64_t now_ns)
{
    const struct launch *launch = contacts->launch;
    if (launch->contacts > 0 && now_ns >= contacts->next_names_ns) {
        contacts->next_names_ns = now_ns + refresh_names(contacts, now_ns);
    }
    if (launch->folder[0] != '\0' && now_ns >= contacts->next_folder_ns) {
        contacts->next_folder_ns = now_ns + CONTACTS_FOLDER_NS;
        read_folder(contacts);
    }
}

void contacts_close(struct contacts *contacts)
{
    if (contacts->own_file[0] != '\0') {
        unlink(contacts->own_file);
        contacts->own_file[0] = '\0';
    }
    free(contacts->address);
    contacts->address = NULL;
}

static bool elsewhere(const struct port_address *address)
{
    if (address->as.any.sa_family == AF_INET) {
        return (ntohl(address->as.v4.sin_addr.s_addr) >> 24) != IN_LOOPBACKNET;
    }
    const struct in6_addr *v6 = &address->as.v6.sin6_addr;
    return !IN6_IS_ADDR_LOOPBACK(v6) && !IN6_IS_ADDR_LINKLOCAL(v6);
}

unsigned contacts_text(char text[CONTACTS_TEXT_MAX], const struct port_address *own,
                       unsigned own_count)
{
    unsigned listed = 0;
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < own_count; i++) {
        char address[PORT_ADDRESS_TEXT];
        size_t length = strlen(port_address_text(address, &own[i]));
        if (elsewhere(&own[i]) && used + length + 2 <= CONTACTS_TEXT_MAX) {
            used += (size_t)snprintf(text + used, CONTACTS_TEXT_MAX - used, "%s%s",
                                     listed > 0 ? "," : "", address);
            listed++;
        }
    }
    return listed;
}
