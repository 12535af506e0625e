/* launcher: what one launcher says in the environment of the processes it starts. Each has a file of its own that exports a
 * constant table; launch.c asks them from the innermost outwards. */
#ifndef KOLO_LAUNCH_LAUNCHER_H
#define KOLO_LAUNCH_LAUNCHER_H

#include <kolo/kolo.h>
#include <stdbool.h>

#include "runtime/launch/launch.h"

#define LAUNCHER_CAUSE_MAX 256

/* Ports for jobs of which only a name is known: below the range from which the kernel hands out ports (32768 on). */
#define LAUNCHER_PORT_LEAST 20000
#define LAUNCHER_PORT_MOST 31999

/** What a launcher tells this process. */
struct launcher_word {
    int rank, size;
    int local_rank;                 /* -1: unknown */
    char run_id[LAUNCH_RUN_ID_MAX]; /* "": unknown */
    struct launch_contact contact;  /* where rank 0 listens; port 0: it cannot be known */
    enum launch_channel channel;    /* then: how to find out; LAUNCH_NO_CHANNEL: in no way */
    char cause[LAUNCHER_CAUSE_MAX]; /* why it cannot be known */
    char cure[LAUNCH_CURE_MAX];     /* what to do, where there is no channel or it fails */
};

struct launcher {
    const char *name;    /* as the launcher calls itself */
    const char *keyword; /* for KOLO_LAUNCHER */
    /** Does the environment look as if this launcher had started the process? */
    bool (*present)(void);
    /** Read it. KOLO_ERR_ARGUMENT names the variable that is missing or has no meaning. Out: word. */
    kolo_status (*read)(struct launcher_word *word);
};

extern const struct launcher launcher_torchrun;
extern const struct launcher launcher_openmpi;
extern const struct launcher launcher_mpich;
extern const struct launcher launcher_slurm;

/** Rank and size (1 to LAUNCH_SIZE_MAX) from variables that must be there; KOLO_ERR_ARGUMENT says what is wrong. */
kolo_status launcher_rank_size(struct launcher_word *word, const char *rank_name,
                               const char *size_name);

/** Put the id together; one that is too long keeps its start and ends in a hash of all of it. */
void launcher_run_id(struct launcher_word *word, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The contact `host` at a port in LAUNCHER_PORT_LEAST..MOST that follows from the run id. */
void launcher_hashed_contact(struct launcher_word *word, const char *host);

/** A variable is set and not empty. */
bool launcher_has(const char *name);

#endif
