/* run_hosts: the list "a,b:2,user@c,[fd00::1]:4" of `kolo run --hosts`, and which rank runs where. */
#ifndef KOLO_TOOLS_RUN_HOSTS_H
#define KOLO_TOOLS_RUN_HOSTS_H

#define RUN_HOSTS_MAX 1024
#define RUN_HOST_TEXT 256
#define RUN_CONTACTS 8 /* how many hosts are first contacts: any of them may be down */

struct run_host {
    char login[RUN_HOST_TEXT]; /* for ssh: "user@c", "fd00::1" */
    const char *name;          /* for the peers: the same without the user; points into login */
    unsigned peers;            /* places */
};

struct run_hosts {
    unsigned count;
    unsigned peers; /* places, all together */
    struct run_host host[RUN_HOSTS_MAX];
};

/** Read the list. Returns 0, or the usage exit code after saying what is wrong. Out: hosts. */
int run_hosts_read(struct run_hosts *hosts, const char *text);

/** Leave out the last places until there are `peers`; 1 <= peers <= hosts->peers. */
void run_hosts_limit(struct run_hosts *hosts, unsigned peers);

/** Where `rank` runs: hosts are filled in order. Returns the host; out: local_rank there. rank < hosts->peers. */
const struct run_host *run_hosts_place(const struct run_hosts *hosts, unsigned *local_rank,
                                       unsigned rank);

/** The first contacts of a run, "a:P,[fd00::1]:P": the first RUN_CONTACTS different hosts at `port`. To be freed by the caller;
 *  NULL without memory. */
char *run_hosts_contacts(const struct run_hosts *hosts, int port);

#endif
