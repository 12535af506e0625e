/* launch: rank, size, run id and first contacts from the launcher's environment. Opens no connection.
 * Precedence (innermost wins): kolo's own variables, torchrun, Open MPI, MPICH (hydra), Slurm, single process.
 * Source for names and traps: the launchers' manuals; see README.md of this folder. */
#ifndef KOLO_LAUNCH_LAUNCH_H
#define KOLO_LAUNCH_LAUNCH_H

#include <kolo/kolo.h>

#define LAUNCH_CONTACTS_MAX 256
#define LAUNCH_RUN_ID_MAX 128
#define LAUNCH_HOST_MAX 256
#define LAUNCH_FOLDER_MAX 1024
#define LAUNCH_SIZE_MAX 16384 /* peers of one run */
#define LAUNCH_CURE_MAX 256
#define LAUNCH_LOCAL_HOST "127.0.0.1"

struct launch_contact {
    char host[LAUNCH_HOST_MAX]; /* name or address, brackets of IPv6 taken off */
    int port;
};

/** A launcher's own way to carry a few words between the processes it started (exchange.h). */
enum launch_channel {
    LAUNCH_NO_CHANNEL,
    LAUNCH_PMI, /* PMI-1, in lines of text on the descriptor PMI_FD: hydra's */
    LAUNCH_PMIX /* libpmix: Open MPI's and PRRTE's */
};

/** What was found. */
struct launch {
    const char *launcher;           /* "kolo", "torchrun", "Open MPI", "MPICH", "Slurm", "none" */
    int rank;                       /* -1: to be agreed */
    int size;                       /* >= 1 */
    int local_rank;                 /* -1: unknown */
    char run_id[LAUNCH_RUN_ID_MAX]; /* "": the channel will tell */
    int port;                       /* to listen on; 0: any */
    unsigned contacts; /* 0 with size 1 only, unless a shared folder or a channel is used */
    struct launch_contact contact[LAUNCH_CONTACTS_MAX];
    char folder
        [LAUNCH_FOLDER_MAX]; /* "file:PATH": a shared folder in which every peer leaves its addresses; "" if none */
    enum launch_channel channel; /* over which the contacts are still to be exchanged */
    char cure[LAUNCH_CURE_MAX];  /* then: what to do where that fails */
};

/** Read config (may be NULL) and the environment. Environment variables: KOLO_RANK, KOLO_SIZE, KOLO_PEERS, KOLO_RUN_ID, KOLO_PORT;
 *  KOLO_LAUNCHER=none|torchrun|openmpi|mpich|slurm forces one. What config says wins over what the environment says.
 *
 *  How the peers of a launcher find each other without a server:
 *   - kolo run: KOLO_PEERS and KOLO_PORT for each peer.
 *   - torchrun: MASTER_ADDR, and MASTER_PORT + 1 (MASTER_PORT itself is bound): rank 0 listens there, it is the contact.
 *   - Open MPI, MPICH on one host: contact 127.0.0.1 at a port hashed from the job's id. On several hosts: no contact, but a
 *     channel, if there is one; else they need KOLO_PEERS, and the error says so.
 *   - Slurm: the first host of SLURM_STEP_NODELIST and a port hashed from the job's and step's id.
 *  In all with a contact but the first: the launcher's rank 0 takes the first contact's port, the others listen anywhere. With KOLO_PORT (or
 *  config.port), rank 0 and the first process of each host take that one, and the others of a host count up from it.
 *
 *  Returns KOLO_OK, KOLO_ERR_ARGUMENT with the variable, its value and the cure (rank >= size, size without contacts,
 *  a malformed host:port, conflicting settings, an sbatch script body that is not a step, RANK per node), or KOLO_ERR_LIMIT for
 *  more than LAUNCH_CONTACTS_MAX contacts or too long a run id. Out: launch, complete on success only. Any thread, while no
 *  other changes the environment. */
kolo_status launch_read(struct launch *launch, const kolo_config *config);

/** Parse "host:port,host:port", "[v6]:port", "file:PATH", "dns:NAME:PORT" (a name with several addresses is an ordinary host
 *  here: all of its addresses are tried), and any list of these with at most one file. Empty items and blanks around items are
 *  skipped, contacts given twice count once; a PATH has no comma. What is found is added to `launch`. */
kolo_status launch_parse_peers(struct launch *launch, const char *text);

/** Add "10.0.0.7:4242,[2001:db8::7]:4242" to the contacts: what another process says of itself, so addresses only, no names and
 *  no folders. KOLO_ERR_PROTOCOL quotes what is none, KOLO_ERR_LIMIT; neither is logged. */
kolo_status launch_add_addresses(struct launch *launch, const char *text);

#endif
