/* Slurm's srun. A batch script's body and an interactive shell see much of the same environment without being a task: only a
 * step with a number of its own counts. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/env.h"
#include "runtime/base/status.h"
#include "runtime/launch/launcher.h"
#include "runtime/launch/nodelist.h"

#define RESERVED_STEPS 0xfffffff0ULL /* batch, extern, interactive: names, given as numbers */

static bool is_step(const char *text)
{
    char *end = NULL;
    unsigned long long step = text == NULL ? 0 : strtoull(text, &end, 10);
    return text != NULL && text[0] >= '0' && text[0] <= '9' && *end == '\0' &&
           step < RESERVED_STEPS;
}

static bool slurm_present(void)
{
    return launcher_has("SLURM_JOB_ID") && launcher_has("SLURM_PROCID") &&
           is_step(env_text("SLURM_STEP_ID"));
}

static kolo_status read_contact(struct launcher_word *word)
{
    int nodes = 0;
    kolo_status status = env_int(&nodes, "SLURM_STEP_NUM_NODES", 1, LAUNCH_SIZE_MAX);
    if (status != KOLO_OK) {
        return status;
    }
    if (nodes == 1) {
        launcher_hashed_contact(word, LAUNCH_LOCAL_HOST);
        return KOLO_OK;
    }
    const char *list = env_text("SLURM_STEP_NODELIST");
    if (list == NULL) {
        snprintf(word->cause, sizeof word->cause, "SLURM_STEP_NODELIST is not set");
        snprintf(word->cure, sizeof word->cure,
                 "set KOLO_PEERS=HOST:PORT, HOST being where task 0 runs");
        return KOLO_OK;
    }
    char host[LAUNCH_HOST_MAX];
    if (!nodelist_first(host, sizeof host, list)) {
        return fail(KOLO_ERR_ARGUMENT,
                    "SLURM_STEP_NODELIST=%s is not a list of hosts such as node[01-03,7],other",
                    list);
    }
    launcher_hashed_contact(word, host);
    return KOLO_OK;
}

static kolo_status slurm_read(struct launcher_word *word)
{
    const char *job = env_text("SLURM_JOB_ID");
    const char *step = env_text("SLURM_STEP_ID");
    if (job == NULL || !is_step(step)) {
        return fail(KOLO_ERR_ARGUMENT,
                    "SLURM_STEP_ID=%s is not the number of a step: start the program with srun",
                    step != NULL ? step : "");
    }
    const char *size =
        launcher_has("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
    kolo_status status = launcher_rank_size(word, "SLURM_PROCID", size);
    if (status == KOLO_OK) {
        status = env_int(&word->local_rank, "SLURM_LOCALID", 0, LAUNCH_SIZE_MAX);
    }
    if (status != KOLO_OK) {
        return status;
    }
    launcher_run_id(word, "slurm-%s.%s", job, step);
    return read_contact(word);
}

const struct launcher launcher_slurm = {
    .name = "Slurm",
    .keyword = "slurm",
    .present = slurm_present,
    .read = slurm_read,
};
