/* Open MPI's mpirun (versions 4 and 5; also prterun, which sets the same names). */
#include <stdio.h>

#include "runtime/base/env.h"
#include "runtime/launch/launcher.h"

static bool openmpi_present(void)
{
    return launcher_has("OMPI_COMM_WORLD_RANK") && launcher_has("OMPI_COMM_WORLD_SIZE");
}

static void read_run_id(struct launcher_word *word)
{
    const char *job = env_text("PMIX_NAMESPACE");
    if (job == NULL) {
        job = env_text("OMPI_MCA_ess_base_jobid");
    }
    launcher_run_id(word, "openmpi-%s", job != NULL ? job : "default");
}

static kolo_status openmpi_read(struct launcher_word *word)
{
    int local_size = 0;
    kolo_status status = launcher_rank_size(word, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
    if (status == KOLO_OK) {
        status = env_int(&word->local_rank, "OMPI_COMM_WORLD_LOCAL_RANK", 0, LAUNCH_SIZE_MAX);
    }
    if (status == KOLO_OK) {
        status = env_int(&local_size, "OMPI_COMM_WORLD_LOCAL_SIZE", 1, LAUNCH_SIZE_MAX);
    }
    if (status != KOLO_OK) {
        return status;
    }
    read_run_id(word);
    if (local_size == word->size) {
        launcher_hashed_contact(word, LAUNCH_LOCAL_HOST);
    } else {
        bool pmix = launcher_has("PMIX_NAMESPACE") && launcher_has("PMIX_RANK");
        word->channel = pmix ? LAUNCH_PMIX : LAUNCH_NO_CHANNEL;
        snprintf(word->cause, sizeof word->cause,
                 "Open MPI runs %d ranks on several hosts (%d here) and does not say where",
                 word->size, local_size);
        snprintf(word->cure, sizeof word->cure,
                 "add -x KOLO_PEERS=HOST:PORT to mpirun, HOST being where rank 0 runs and PORT a "
                 "free one");
    }
    return KOLO_OK;
}

const struct launcher launcher_openmpi = {
    .name = "Open MPI",
    .keyword = "openmpi",
    .present = openmpi_present,
    .read = openmpi_read,
};
