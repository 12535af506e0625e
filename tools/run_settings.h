/* run_settings: what the peers of one run are told through their environment, so that they find each other.
 *
 * On this machine they meet in a private folder (KOLO_PEERS=file:FOLDER), where each leaves the address that the kernel gave
 * it: no port is chosen ahead of time, so none can be taken by somebody else. Over ssh there is no such folder: the first
 * peer of each host listens on a port that all know. */
#ifndef KOLO_TOOLS_RUN_SETTINGS_H
#define KOLO_TOOLS_RUN_SETTINGS_H

#include "tools/run_hosts.h"
#include "tools/run_options.h"

#define RUN_ID_HEX 32         /* characters of a run id: 16 random bytes */
#define RUN_SETTING_TEXT 4096 /* of one "NAME=VALUE" that is made here */
#define RUN_SETTINGS_MAX 8    /* of one peer */

struct run_settings {
    unsigned peers;
    char run_id[RUN_ID_HEX + 1];
    char folder[1024]; /* "": over ssh */
    char *contacts;    /* KOLO_PEERS over ssh, owned; NULL: the folder */
    int port;          /* over ssh */
};

/** One peer's settings. */
struct run_peer_settings {
    unsigned count;
    char text[RUN_SETTINGS_MAX][RUN_SETTING_TEXT]; /* "KOLO_RANK=3" */
};

/** Settle them for a run of `peers` on this machine (hosts NULL) or on `hosts`. Makes the folder, in TMPDIR or /tmp.
 *  Returns 0, or the exit code after saying what failed. Out: settings, to be freed with run_settings_free(). */
int run_settings_make(struct run_settings *settings, const struct run_options *options,
                      const struct run_hosts *hosts, unsigned peers);

/** What `rank`, the `local_rank`-th on its host, is told. Out: peer. */
void run_settings_of(struct run_peer_settings *peer, const struct run_settings *settings,
                     unsigned rank, unsigned local_rank);

/** Remove the folder with what is in it, and free. */
void run_settings_free(struct run_settings *settings);

/** Remove a folder of plain files and the folder. Used by run_settings_free(), and by the keeper if the launcher was killed. */
void run_settings_remove_folder(const char *folder);

#endif
