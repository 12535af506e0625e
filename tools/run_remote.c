#include "tools/run_remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SSH_WORDS_MAX 64 /* in --ssh */

/* The first script goes to the folder and starts the second in a session of its own. It waits for it as its foreground: what
 * a shell starts in its background cannot be interrupted. (The exit at its end keeps a shell from being replaced by setsid.) */
static const char enter[] =
    "cd -- \"$1\" || exit 126; s=$2; shift 2; setsid sh -c \"$s\" kolo-run \"$@\"; exit $?";

/* The second leaves somebody behind who reads names of signals, and becomes the command. The reader is of the command's
 * process group, so that the group lasts as long as the reader, but not its child, so that no wait() finds it. */
static const char become[] =
    "exec 3<&0 </dev/null; "
    "( { trap '' HUP INT TERM USR1 USR2 TSTP; "
    "while read -r s; do kill -s \"$s\" -- \"-$$\"; done; kill -s KILL -- \"-$$\"; } "
    "<&3 >/dev/null 2>&1 & ); "
    "exec 3<&-; exec env \"$@\"";

static bool text_put(struct run_text *text, const char *bytes, size_t length)
{
    if (text->length + length + 1 > text->capacity) {
        size_t capacity = 2 * (text->length + length + 1);
        char *grown = realloc(text->bytes, capacity);
        if (grown == NULL) {
            return false;
        }
        text->bytes = grown;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
    return true;
}

bool run_text_quote(struct run_text *text, const char *word)
{
    bool fits = text->length == 0 || text_put(text, " ", 1);
    fits = fits && text_put(text, "'", 1);
    for (; fits && *word != '\0'; word++) {
        /* a quote ends the quoted text, stands by itself, and begins it again */
        fits = *word == '\'' ? text_put(text, "'\\''", 4) : text_put(text, word, 1);
    }
    return fits && text_put(text, "'", 1);
}

/** --env for a peer over there: NAME=VALUE as given, NAME with the value it has here (and nothing if it has none). */
static bool quote_variable(struct run_text *text, const char *variable)
{
    if (strchr(variable, '=') != NULL) {
        return run_text_quote(text, variable);
    }
    const char *value = getenv(variable);
    if (value == NULL) {
        return true;
    }
    char *pair;
    if (asprintf(&pair, "%s=%s", variable, value) < 0) {
        return false;
    }
    bool fits = run_text_quote(text, pair);
    free(pair);
    return fits;
}

/** KOLO_* of this environment first, then --env, then the peer's own: the last one counts. */
static bool quote_environment(struct run_text *text, const struct run_options *options,
                              const struct run_peer_settings *peer)
{
    bool fits = true;
    for (char **variable = environ; fits && *variable != NULL; variable++) {
        if (strncmp(*variable, "KOLO_", 5) == 0) {
            fits = run_text_quote(text, *variable);
        }
    }
    for (unsigned i = 0; fits && i < options->variables; i++) {
        fits = quote_variable(text, options->variable[i]);
    }
    for (unsigned i = 0; fits && i < peer->count; i++) {
        fits = run_text_quote(text, peer->text[i]);
    }
    return fits;
}

static bool quote_all(struct run_text *text, const struct run_options *options, const char *folder,
                      const struct run_peer_settings *peer)
{
    const char *before[] = {"sh", "-c", enter, "kolo-run", folder, become};
    const char *after[] = {"sh", "-c", "exec \"$@\"",
                           "sh"}; /* env would take a COMMAND with '=' in it for a variable */
    bool fits = true;
    for (unsigned i = 0; fits && i < sizeof before / sizeof before[0]; i++) {
        fits = run_text_quote(text, before[i]);
    }
    fits = fits && quote_environment(text, options, peer);
    for (unsigned i = 0; fits && i < sizeof after / sizeof after[0]; i++) {
        fits = run_text_quote(text, after[i]);
    }
    for (char **word = options->command; fits && *word != NULL; word++) {
        fits = run_text_quote(text, *word);
    }
    return fits;
}

/** Append a copy of `word` to a list that has room. Returns false without memory. */
static bool push(char **command, unsigned *count, const char *word)
{
    command[*count] = strdup(word);
    return command[(*count)++] != NULL;
}

/** The words of --ssh, what is ours, and the host. */
static bool push_ssh(char **command, unsigned *count, const char *ssh, const char *login)
{
    char *words = strdup(ssh), *state = NULL;
    bool fits = words != NULL;
    char *word = fits ? strtok_r(words, " ", &state) : NULL;
    for (; fits && word != NULL && *count < SSH_WORDS_MAX; word = strtok_r(NULL, " ", &state)) {
        fits = push(command, count, word);
    }
    free(words);
    /* Nobody is there to answer a question: BatchMode. It does not overrule a -o of the user's. */
    return fits && push(command, count, "-o") && push(command, count, "BatchMode=yes") &&
           push(command, count, login);
}

char **run_remote_command(const struct run_options *options, const char *login, const char *folder,
                          const struct run_peer_settings *peer)
{
    char **command = calloc(SSH_WORDS_MAX + 5, sizeof *command);
    struct run_text text = {0};
    unsigned count = 0;
    if (command == NULL || !push_ssh(command, &count, options->ssh, login) ||
        !quote_all(&text, options, folder, peer)) {
        run_remote_free(command);
        free(text.bytes);
        return NULL;
    }
    command[count] = text.bytes;
    return command;
}

void run_remote_free(char **command)
{
    for (char **word = command; word != NULL && *word != NULL; word++) {
        free(*word);
    }
    free(command);
}
