/* run_remote: how a peer is started on another host. ssh takes one text, which the user's shell over there reads; so every
 * word is quoted once, and all that needs a shell is two fixed scripts that get the words as their arguments.
 *
 * They start the command in a session of its own that obeys what comes down the connection: the name of a signal is passed on
 * to it, and the end of the connection (the launcher was killed, the network went, the command has ended) kills what is left. */
#ifndef KOLO_TOOLS_RUN_REMOTE_H
#define KOLO_TOOLS_RUN_REMOTE_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/run_options.h"
#include "tools/run_settings.h"

/** The program and arguments that start a peer on a host: those of options->ssh, then the host's, then the text.
 *  In:      login: "user@host"; folder: the current one; peer: its settings.
 *  Returns: a list with NULL at its end, to be freed with run_remote_free(); NULL without memory. */
char **run_remote_command(const struct run_options *options, const char *login, const char *folder,
                          const struct run_peer_settings *peer);
void run_remote_free(char **command);

/** Append `word` to `text`, quoted so that any shell reads it as it is. Returns false without memory. `text` is NULL at
 *  first, grows by realloc, and is the caller's. */
struct run_text {
    char *bytes;
    size_t length, capacity;
};
bool run_text_quote(struct run_text *text, const char *word);

#endif
