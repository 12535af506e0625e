#include "tools/run_settings.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "tools/command.h"

/** A fresh run id. Returns a number made from it (for the port), or -1 without randomness. */
static int make_run_id(char *hex)
{
    uint8_t bytes[RUN_ID_HEX / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        return -1;
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
    return bytes[0] << 8 | bytes[1];
}

static int make_folder(struct run_settings *settings)
{
    const char *temporary = getenv("TMPDIR");
    if (temporary == NULL || temporary[0] != '/') {
        temporary = "/tmp";
    }
    snprintf(settings->folder, sizeof settings->folder, "%s/kolo-run-XXXXXX", temporary);
    if (mkdtemp(settings->folder) == NULL) {
        int error = errno;
        settings->folder[0] = '\0';
        return command_failed(
            &command_run, "cannot make a folder in %s: %s; set TMPDIR to one that can be written",
            temporary, strerror(error));
    }
    return 0;
}

int run_settings_make(struct run_settings *settings, const struct run_options *options,
                      const struct run_hosts *hosts, unsigned peers)
{
    *settings = (struct run_settings){.peers = peers};
    int number = make_run_id(settings->run_id);
    if (number < 0) {
        return command_failed(&command_run, "no random numbers: %s", strerror(errno));
    }
    if (hosts == NULL) {
        return make_folder(settings);
    }
    settings->port = options->port != 0 ? options->port : RUN_PORT_FIRST + number % RUN_PORTS;
    settings->contacts = run_hosts_contacts(hosts, settings->port);
    return settings->contacts != NULL ? 0 : command_failed(&command_run, "out of memory");
}

static void add(struct run_peer_settings *peer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct run_peer_settings *peer, const char *format, ...)
{
    assert(peer->count < RUN_SETTINGS_MAX);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(peer->text[peer->count++], RUN_SETTING_TEXT, format, arguments);
    va_end(arguments);
    assert(length > 0 && length < RUN_SETTING_TEXT);
    (void)length;
}

void run_settings_of(struct run_peer_settings *peer, const struct run_settings *settings,
                     unsigned rank, unsigned local_rank)
{
    assert(rank < settings->peers);
    peer->count = 0;
    add(peer, "KOLO_RANK=%u", rank);
    add(peer, "KOLO_SIZE=%u", settings->peers);
    add(peer, "KOLO_LOCAL_RANK=%u", local_rank);
    add(peer, "KOLO_RUN_ID=%s", settings->run_id);
    /* Empty is as good as not set: what stood there was meant for another launcher or for a single process. */
    add(peer, "KOLO_LAUNCHER=");
    if (settings->contacts == NULL) {
        add(peer, "KOLO_PEERS=file:%s", settings->folder);
        add(peer, "KOLO_PORT=");
        return;
    }
    add(peer, "KOLO_PEERS=%s", settings->contacts);
    if (local_rank == 0) {
        add(peer, "KOLO_PORT=%d", settings->port);
    } else {
        add(peer, "KOLO_PORT=");
    }
}

void run_settings_remove_folder(const char *folder)
{
    DIR *entries = opendir(folder);
    if (entries == NULL) {
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        unlinkat(dirfd(entries), entry->d_name, 0); /* "." and ".." are refused */
    }
    closedir(entries);
    rmdir(folder);
}

void run_settings_free(struct run_settings *settings)
{
    if (settings->folder[0] != '\0') {
        run_settings_remove_folder(settings->folder);
    }
    free(settings->contacts);
    *settings = (struct run_settings){0};
}
