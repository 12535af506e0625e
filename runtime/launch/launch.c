#include "runtime/launch/launch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/env.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/launch/launcher.h"

/* From the innermost outwards: torchrun is started by mpirun or srun, mpirun inside an allocation of Slurm; never the other
 * way round. So what an outer one has left in the environment does not win. */
static const struct launcher *const launchers[] = {&launcher_torchrun, &launcher_openmpi,
                                                   &launcher_mpich, &launcher_slurm};
#define LAUNCHERS (sizeof launchers / sizeof launchers[0])

/* What the user says: the configuration, else kolo's own variables. */
struct own {
    int rank, size, port; /* -1, 0, 0: not said */
    const char *peers;    /* NULL: not said */
    const char *run_id;
};

static const char *text_or_env(const char *text, const char *name)
{
    return text != NULL && text[0] != '\0' ? text : env_text(name);
}

static kolo_status check_config(const kolo_config *config)
{
    if (config->rank < -1 || config->size < 0 || config->size > LAUNCH_SIZE_MAX ||
        config->port < 0 || config->port > UINT16_MAX) {
        return fail(KOLO_ERR_ARGUMENT,
                    "kolo_config: rank %d, size %d, port %d: rank is -1 or more, size 0 to %d, "
                    "port 0 to %d",
                    config->rank, config->size, config->port, LAUNCH_SIZE_MAX, UINT16_MAX);
    }
    return KOLO_OK;
}

static kolo_status read_own(struct own *own, const kolo_config *config)
{
    static const kolo_config nothing = KOLO_CONFIG_INIT;
    config = config != NULL ? config : &nothing;
    kolo_status status = check_config(config);
    *own = (struct own){
        .rank = config->rank,
        .size = config->size,
        .port = config->port,
        .peers = text_or_env(config->peers, "KOLO_PEERS"),
        .run_id = text_or_env(config->run_id, "KOLO_RUN_ID"),
    };
    if (status == KOLO_OK && own->rank < 0) {
        status = env_int(&own->rank, "KOLO_RANK", 0, LAUNCH_SIZE_MAX - 1);
    }
    if (status == KOLO_OK && own->size == 0) {
        status = env_int(&own->size, "KOLO_SIZE", 1, LAUNCH_SIZE_MAX);
    }
    if (status == KOLO_OK && own->port == 0) {
        status = env_int(&own->port, "KOLO_PORT", 0, UINT16_MAX);
    }
    if (status == KOLO_OK && own->run_id != NULL && strlen(own->run_id) >= LAUNCH_RUN_ID_MAX) {
        status = fail(KOLO_ERR_LIMIT, "KOLO_RUN_ID (or config.run_id) is longer than %d bytes",
                      LAUNCH_RUN_ID_MAX - 1);
    }
    return status;
}

/* KOLO_LAUNCHER forces one, or none; else the innermost that is present. Out: NULL if there is none. */
static kolo_status find_launcher(const struct launcher **found)
{
    const char *forced = env_text("KOLO_LAUNCHER");
    *found = NULL;
    for (size_t i = 0; i < LAUNCHERS; i++) {
        if (forced != NULL ? strcmp(forced, launchers[i]->keyword) == 0 : launchers[i]->present()) {
            *found = launchers[i];
            return KOLO_OK;
        }
    }
    if (forced != NULL && strcmp(forced, "none") != 0) {
        return fail(KOLO_ERR_ARGUMENT,
                    "KOLO_LAUNCHER=%s is none of: none, torchrun, openmpi, mpich, slurm", forced);
    }
    return KOLO_OK;
}

/* Some platforms set these once a host: guessing would start a run of one, or of too many. */
static kolo_status check_rank_variables(void)
{
    int size = 0;
    if (!launcher_has("RANK") || !launcher_has("WORLD_SIZE")) {
        return KOLO_OK;
    }
    kolo_status status = env_int(&size, "WORLD_SIZE", 1, LAUNCH_SIZE_MAX);
    if (status != KOLO_OK || size == 1) {
        return status;
    }
    return fail(KOLO_ERR_ARGUMENT,
                "RANK=%s and WORLD_SIZE=%s are set, but LOCAL_RANK, or MASTER_ADDR and "
                "MASTER_PORT, are not: they "
                "may count hosts, not processes; set KOLO_RANK, KOLO_SIZE and KOLO_PEERS, or "
                "KOLO_LAUNCHER=none "
                "for a single process",
                env_text("RANK"), env_text("WORLD_SIZE"));
}

/* A batch script's body runs once, as "task 0", whatever the number of tasks. */
static kolo_status check_batch_body(void)
{
    int size = 0;
    if (!launcher_has("SLURM_JOB_ID") || !launcher_has("SLURM_PROCID")) {
        return KOLO_OK;
    }
    kolo_status status = env_int(&size, "SLURM_NTASKS", 1, LAUNCH_SIZE_MAX);
    if (status != KOLO_OK || size <= 1) {
        return status;
    }
    return fail(KOLO_ERR_ARGUMENT,
                "Slurm job %s has %d tasks, but this process is none of them (a batch script's "
                "body, or a shell): "
                "start the program with srun, or set KOLO_LAUNCHER=none for a single process",
                env_text("SLURM_JOB_ID"), size);
}

/* No launcher is recognised and the user says nothing: is this really a process on its own? */
static kolo_status check_alone(void)
{
    if (env_text("KOLO_LAUNCHER") != NULL) {
        return KOLO_OK;
    }
    kolo_status status = check_rank_variables();
    return status == KOLO_OK ? check_batch_body() : status;
}

/* Is there anything that only a launcher could tell? */
static bool needs_launcher(const struct own *own)
{
    return own->size == 0 || (own->size > 1 && (own->rank < 0 || own->peers == NULL));
}

/* Ask the launcher, if there is one and it speaks of this run; an interactive shell of an allocation does not. Out: `*found`
 * is NULL and `*word` says nothing if there is none. */
static kolo_status ask_launcher(const struct launcher **found, struct launcher_word *word,
                                const struct own *own)
{
    const struct launcher_word nothing = {.rank = -1, .local_rank = -1};
    *word = nothing;
    *found = NULL;
    if (!needs_launcher(own)) {
        return KOLO_OK;
    }
    kolo_status status = find_launcher(found);
    if (status != KOLO_OK) {
        return status;
    }
    if (*found == NULL) {
        return own->size == 0 && own->rank < 0 ? check_alone() : KOLO_OK;
    }
    status = (*found)->read(word);
    if (status != KOLO_OK) {
        return fail_more(status, "%s", (*found)->name);
    }
    if (own->size > 0 && own->size != word->size) {
        log_line(LOG_INFO, "%s started %d processes, but KOLO_SIZE is %d: not of this run, ignored",
                 (*found)->name, word->size, own->size);
        *word = nothing;
        *found = NULL;
    }
    return KOLO_OK;
}

static kolo_status set_ranks(struct launch *launch, const struct own *own,
                             const struct launcher_word *word)
{
    launch->size = own->size > 0 ? own->size : word->size;
    launch->rank = own->rank >= 0 ? own->rank : word->rank;
    launch->local_rank = word->local_rank;
    if (launch->size == 0 && (launch->rank >= 0 || own->peers != NULL)) {
        return fail(
            KOLO_ERR_ARGUMENT,
            "%s is given without a size; set KOLO_SIZE (or config.size) to the number of peers",
            launch->rank >= 0 ? "a rank" : "KOLO_PEERS");
    }
    if (launch->size == 0) {
        launch->size = 1;
    }
    if (launch->size == 1 && launch->rank < 0) {
        launch->rank = 0;
    }
    if (launch->rank >= launch->size) {
        return fail(KOLO_ERR_ARGUMENT, "rank %d of a run of %d: ranks go from 0 to %d",
                    launch->rank, launch->size, launch->size - 1);
    }
    return KOLO_OK;
}

static kolo_status set_contacts(struct launch *launch, const struct own *own,
                                const struct launcher *launcher, const struct launcher_word *word)
{
    if (own->peers != NULL) {
        return launch_parse_peers(launch, own->peers);
    }
    if (launch->size == 1) {
        return KOLO_OK;
    }
    if (launcher == NULL) {
        return fail(KOLO_ERR_ARGUMENT,
                    "%d peers, but no contact and no launcher: set KOLO_PEERS (or config.peers) to "
                    "one or more "
                    "peers as HOST:PORT, or to file:PATH on a shared folder",
                    launch->size);
    }
    if (word->contact.port == 0 && word->channel == LAUNCH_NO_CHANNEL) {
        return fail(KOLO_ERR_ARGUMENT, "%s: %s", word->cause, word->cure);
    }
    if (word->contact.port == 0) {
        launch->channel = word->channel;
        memcpy(launch->cure, word->cure, sizeof launch->cure);
        return KOLO_OK;
    }
    launch->contact[launch->contacts++] = word->contact;
    if (own->port > 0) {
        launch->contact[0].port = own->port;
    }
    return KOLO_OK;
}

/* A launcher gives all its processes the same environment, so KOLO_PORT is the port of the first on each host, and the others
 * count up from there. Without it, rank 0 has to be found and takes the contact's port; the others listen anywhere. */
static kolo_status set_port(struct launch *launch, const struct own *own,
                            const struct launcher *launcher, const struct launcher_word *word)
{
    launch->port = own->port;
    if (launcher == NULL || launch->size == 1) {
        return KOLO_OK;
    }
    if (own->port == 0) {
        launch->port = word->rank == 0 && launch->contacts > 0 ? launch->contact[0].port : 0;
        return KOLO_OK;
    }
    launch->port += word->rank == 0 || word->local_rank < 0 ? 0 : word->local_rank;
    if (launch->port > UINT16_MAX) {
        return fail(KOLO_ERR_ARGUMENT,
                    "KOLO_PORT=%d plus local rank %d is no port: choose one below %d", own->port,
                    word->local_rank, UINT16_MAX - word->local_rank);
    }
    return KOLO_OK;
}

static const char *launcher_name(const struct launcher *launcher, const struct own *own)
{
    if (launcher != NULL) {
        return launcher->name;
    }
    return own->size > 0 ? "kolo" : "none";
}

/* "" only if a channel will tell. */
static void set_run_id(struct launch *launch, const struct own *own,
                       const struct launcher_word *word)
{
    const char *id = own->run_id != NULL ? own->run_id : word->run_id;
    if (id[0] == '\0' && launch->channel == LAUNCH_NO_CHANNEL) {
        id = "default";
    }
    snprintf(launch->run_id, sizeof launch->run_id, "%s", id);
}

kolo_status launch_read(struct launch *launch, const kolo_config *config)
{
    assert(launch != NULL);
    memset(launch, 0, sizeof *launch);
    struct own own;
    const struct launcher *launcher = NULL;
    struct launcher_word word;
    kolo_status status = read_own(&own, config);
    if (status == KOLO_OK) {
        status = ask_launcher(&launcher, &word, &own);
    }
    if (status == KOLO_OK) {
        status = set_ranks(launch, &own, &word);
    }
    if (status == KOLO_OK) {
        status = set_contacts(launch, &own, launcher, &word);
    }
    if (status == KOLO_OK) {
        status = set_port(launch, &own, launcher, &word);
    }
    if (status != KOLO_OK) {
        return status;
    }
    launch->launcher = launcher_name(launcher, &own);
    set_run_id(launch, &own, &word);
    log_line(LOG_INFO, "launcher %s: rank %d of %d, run %s, %u contacts, port %d", launch->launcher,
             launch->rank, launch->size, launch->run_id, launch->contacts, launch->port);
    return KOLO_OK;
}
